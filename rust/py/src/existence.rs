//! Local files, looked for with the interpreter released.

use std::path::Path;
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use quantum_butler_core as core;

use crate::dataset_id::dataset_id;

/// Files, or datasets, that the core is asked about at once.
const AT_ONCE: usize = 4096;

/// Time between two checks for signals.
///
/// Not shorter: a thread that comes back for one may have to wait several milliseconds for its turn.
const PATIENCE: Duration = Duration::from_millis(50);

/// Tells of each path below a root whether there is a file.
#[pyfunction]
#[pyo3(signature = (root, paths, /))]
pub(crate) fn files_exist(py: Python<'_>, root: &str, paths: Vec<String>) -> PyResult<Vec<bool>> {
    detached(py, &paths, |paths| core::files_exist(Path::new(root), paths))
}

/// The name of a dataset's file in a folder where files are named by ids, or `None`.
#[pyfunction]
#[pyo3(signature = (folder, dataset, component, extension, /))]
pub(crate) fn file_of_dataset(
    py: Python<'_>,
    folder: &str,
    dataset: &Bound<'_, PyAny>,
    component: Option<&str>,
    extension: &str,
) -> PyResult<Option<String>> {
    let id = dataset_id(dataset)?;
    Ok(py.detach(|| core::file_of_dataset(Path::new(folder), id, component, extension)))
}

/// Applies a function to all items, some at a time, detached from the interpreter.
pub(crate) fn detached<T: Sync, R: Send>(
    py: Python<'_>,
    items: &[T],
    apply: impl Fn(&[T]) -> Vec<R> + Sync,
) -> PyResult<Vec<R>> {
    let mut results = Vec::with_capacity(items.len());
    let mut batches = items.chunks(AT_ONCE);
    loop {
        let finished = py.detach(|| {
            let start = Instant::now();
            for batch in batches.by_ref() {
                results.extend(apply(batch));
                if start.elapsed() > PATIENCE {
                    return false;
                }
            }
            true
        });
        py.check_signals()?;
        if finished {
            return Ok(results);
        }
    }
}
