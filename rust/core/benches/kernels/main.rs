//! The kernels under a quantum-backed butler, at the sizes that butlers have.
//!
//! One quantum reads 10 datasets and writes 5; a butler over a whole graph has thousands. Each
//! kernel is checked once before it is timed. Measurements are short: what matters here is how the
//! cost grows, and a change of tens of percent.

mod files;
mod fixtures;
mod id_set;
mod provenance;
mod records;

use std::time::Duration;

use criterion::{
    BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime,
};

/// Numbers of inputs and of outputs.
const SIZES: [(usize, usize); 3] = [(10, 5), (300, 300), (10_000, 10_000)];

/// A group whose figures are also given per item.
fn group<'a>(criterion: &'a mut Criterion, name: &str, items: usize) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements(items as u64));
    group
}

fn quick() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800))
        .without_plots()
}

criterion_group! {
    name = kernels;
    config = quick();
    targets = id_set::bench, records::bench, files::bench, provenance::bench
}
criterion_main!(kernels);
