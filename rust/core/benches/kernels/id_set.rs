//! Sets of dataset ids.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion};
use quantum_butler_core::IdSet;

use crate::{SIZES, fixtures, group};

pub(crate) fn bench(criterion: &mut Criterion) {
    for (count, _) in SIZES {
        let ids = fixtures::ids(count);
        let set: IdSet = ids.iter().copied().collect();
        assert_eq!(set.len(), count, "ids repeat");
        let mut group = group(criterion, "id_set", count);
        group.bench_function(BenchmarkId::new("collect", count), |bencher| {
            bencher.iter(|| black_box(&ids).iter().copied().collect::<IdSet>());
        });
        group.bench_function(BenchmarkId::new("contains", count), |bencher| {
            bencher.iter(|| black_box(&ids).iter().filter(|id| set.contains(**id)).count());
        });
        group.bench_function(BenchmarkId::new("sorted", count), |bencher| {
            bencher.iter(|| black_box(&set).sorted());
        });
    }
}
