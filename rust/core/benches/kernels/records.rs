//! File records: in as a batch, out one by one and together.

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion};
use quantum_butler_core::{Filter, Value};

use crate::fixtures::{Store, ids};
use crate::{SIZES, group};

pub(crate) fn bench(criterion: &mut Criterion) {
    for (count, _) in SIZES {
        let ids = ids(count);
        let store = Store::with(count);
        assert_eq!(store.table.len(), count);
        assert!(ids.iter().all(|id| store.records.get(&store.table, *id).len() == 1));
        let mut group = group(criterion, "records", count);
        group.bench_function(BenchmarkId::new("import", count), |bencher| {
            // As it goes for a new butler: rows from records, then into a table that is empty.
            bencher.iter_batched_ref(
                Store::empty,
                |store| {
                    let batch = store.batch(count);
                    store.add(&batch);
                },
                BatchSize::LargeInput,
            );
        });
        group.bench_function(BenchmarkId::new("insert", count), |bencher| {
            let batch = store.batch(count);
            bencher.iter_batched_ref(Store::empty, |store| store.add(&batch), BatchSize::LargeInput);
        });
        group.bench_function(BenchmarkId::new("get each", count), |bencher| {
            bencher.iter(|| {
                for id in black_box(&ids) {
                    black_box(store.records.get(&store.table, *id));
                }
            });
        });
        group.bench_function(BenchmarkId::new("fetch each", count), |bencher| {
            let column = store.table.schema().position("dataset_id").expect("it is a column");
            bencher.iter(|| {
                for id in black_box(&ids) {
                    let wanted = Value::Guid(id.as_uuid().expect("every id is a UUID"));
                    black_box(store.table.fetch(&[(column, Filter::Equals(wanted))]).expect("it fits"));
                }
            });
        });
        group.bench_function(BenchmarkId::new("export", count), |bencher| {
            bencher.iter(|| {
                let ids = black_box(&ids).iter().copied();
                store.records.export(&store.table, &store.locations, ids)
            });
        });
        group.bench_function(BenchmarkId::new("export_table", count), |bencher| {
            bencher.iter(|| store.export_table(black_box(&ids)));
        });
        group.bench_function(BenchmarkId::new("import_table", count), |bencher| {
            let table = store.export_table(&ids);
            bencher.iter_batched_ref(Store::empty, |store| store.import_table(&table), BatchSize::LargeInput);
        });
    }
}
