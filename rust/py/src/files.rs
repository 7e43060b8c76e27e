//! Local files, written with the interpreter released.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use quantum_butler_core as core;

use crate::error;

/// Writes a file as a whole or not at all, through a temporary one in its folder.
#[pyfunction]
#[pyo3(signature = (path, temporary, data, /))]
pub(crate) fn write_file(path: &Bound<'_, PyAny>, temporary: &str, data: &[u8]) -> PyResult<()> {
    let py = path.py();
    // Most are UTF-8, and then need not be copied.
    let text = path.extract::<&str>();
    let path = match &text {
        Ok(text) => Cow::Borrowed(Path::new(text)),
        Err(_) => Cow::Owned(path.extract::<PathBuf>()?),
    };
    py.detach(|| core::write_file(&path, temporary, data)).map_err(error::to_python)
}

/// Local folders that something depends on.
#[pyclass(frozen, module = "quantum_butler._core")]
pub(crate) struct Folders(Vec<PathBuf>);

#[pymethods]
impl Folders {
    #[new]
    #[pyo3(signature = (paths, /))]
    fn new(paths: &Bound<'_, PyAny>) -> PyResult<Self> {
        paths.try_iter()?.map(|path| path?.extract()).collect::<PyResult<_>>().map(Self)
    }

    fn exist(&self, py: Python<'_>) -> bool {
        py.detach(|| self.0.iter().all(|path| path.is_dir()))
    }
}

/// Compresses bytes into one Zstandard frame.
#[pyfunction]
#[pyo3(signature = (data, /))]
pub(crate) fn compress<'py>(py: Python<'py>, data: &[u8]) -> Bound<'py, PyBytes> {
    PyBytes::new(py, &py.detach(|| core::compress(data)))
}
