//! What a quantum did: taken from its bookkeeping, written as JSON, read back.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion};
use quantum_butler_core::provenance::Provenance;

use crate::fixtures::Quantum;
use crate::{SIZES, group};

pub(crate) fn bench(criterion: &mut Criterion) {
    for (inputs, outputs) in SIZES {
        let quantum = Quantum::done(inputs, outputs);
        let json = quantum.extract();
        let provenance = Provenance::from_json(&json).expect("it is plain JSON");
        assert_eq!(provenance.to_json(None), json, "it reads back as another");
        let size = format!("{inputs} in {outputs} out");
        let mut group = group(criterion, "provenance", outputs);
        group.bench_function(BenchmarkId::new("extract", &size), |bencher| {
            bencher.iter(|| black_box(&quantum).extract());
        });
        group.bench_function(BenchmarkId::new("to_json", &size), |bencher| {
            bencher.iter(|| black_box(&provenance).to_json(None));
        });
        group.bench_function(BenchmarkId::new("from_json", &size), |bencher| {
            bencher.iter(|| Provenance::from_json(black_box(&json)));
        });
    }
}
