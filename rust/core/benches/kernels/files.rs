//! Looking for files, and writing them.

use std::fs;
use std::hint::black_box;
use std::path::PathBuf;

use criterion::{BatchSize, BenchmarkId, Criterion};
use quantum_butler_core::{files_exist, write_file};

use crate::{SIZES, fixtures, group};

struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn bench(criterion: &mut Criterion) {
    let name = format!("quantum-butler-bench-{}", std::process::id());
    let folder = Folder(std::env::temp_dir().join(name));
    for (count, _) in SIZES {
        let paths: Vec<_> = (0..count).map(fixtures::path).collect();
        for path in paths.iter().step_by(2) {
            let path = folder.0.join(path);
            fs::create_dir_all(path.parent().expect("it is in a folder"))
                .and_then(|()| fs::write(&path, b"{}"))
                .expect("the temporary folder can be written");
        }
        let exist = || files_exist(&folder.0, black_box(&paths));
        let mut group = group(criterion, "files", count);
        assert!(exist().iter().step_by(2).all(|exists| *exists));
        group.bench_function(BenchmarkId::new("exist", count), |bencher| bencher.iter(exist));
    }
    let path = folder.0.join(fixtures::path(1));
    group(criterion, "files", 1).bench_function("write", |bencher| {
        // Datasets are new files; taking the place of an old one costs some file systems much more.
        let remove = || {
            let _ = fs::remove_file(&path);
        };
        let write = |()| {
            write_file(black_box(&path), "temporary", &[b'x'; 1000]).expect("the folder can be written");
        };
        bencher.iter_batched(remove, write, BatchSize::PerIteration);
    });
}
