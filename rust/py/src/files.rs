//! Local files, looked for and written with the interpreter released.

use std::path::{Path, PathBuf};

use pyo3::prelude::*;
use quantum_butler_core as core;

use crate::error;

/// Files that are looked for between two checks for signals.
const AT_ONCE: usize = 1024;

/// Tells of each path below a root whether there is a file.
#[pyfunction]
#[pyo3(signature = (root, paths, /))]
pub(crate) fn files_exist(py: Python<'_>, root: &str, paths: Vec<String>) -> PyResult<Vec<bool>> {
    let root = Path::new(root);
    let mut existence = Vec::with_capacity(paths.len());
    for paths in paths.chunks(AT_ONCE) {
        existence.extend(py.detach(|| core::files_exist(root, paths.iter().map(String::as_str))));
        py.check_signals()?;
    }
    Ok(existence)
}

/// Writes a file as a whole or not at all.
#[pyfunction]
#[pyo3(signature = (path, data, /))]
pub(crate) fn write_file(py: Python<'_>, path: PathBuf, data: &[u8]) -> PyResult<()> {
    py.detach(|| core::write_file(&path, data)).map_err(error::to_python)
}
