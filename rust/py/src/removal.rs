//! Removing many local files with the interpreter released.

use std::path::Path;

use pyo3::prelude::*;
use quantum_butler_core as core;

use crate::error;

/// Files that are removed between two checks for signals; threads share them.
const AT_ONCE: usize = 10_000;

/// Removes files below a root; returns the positions of those that could not be, with the reasons.
#[pyfunction]
#[pyo3(signature = (root, paths, /))]
pub(crate) fn remove_files<'py>(
    py: Python<'py>,
    root: &str,
    paths: Vec<String>,
) -> PyResult<Vec<(usize, Bound<'py, PyAny>)>> {
    remove(py, root, &paths)
}

/// The same for paths that are in Rust already.
pub(crate) fn remove<'py>(
    py: Python<'py>,
    root: &str,
    paths: &[String],
) -> PyResult<Vec<(usize, Bound<'py, PyAny>)>> {
    let root = Path::new(root);
    let mut failures = Vec::new();
    for (number, paths) in paths.chunks(AT_ONCE).enumerate() {
        for (position, failure) in py.detach(|| core::remove_files(root, paths)) {
            let reason = error::to_python(failure).into_value(py).into_bound(py).into_any();
            failures.push((number * AT_ONCE + position, reason));
        }
        py.check_signals()?;
    }
    Ok(failures)
}
