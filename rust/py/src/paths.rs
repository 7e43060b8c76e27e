//! Which paths mean the same to files, to URIs and to upstream.

use pyo3::prelude::*;
use pyo3::types::PyString;
use quantum_butler_core as core;

/// Whether a path is relative, goes nowhere but down, and has nothing that a URI would expand, decode or divide at.
#[pyfunction]
#[pyo3(signature = (path, /))]
pub(crate) fn is_plain_path(path: &Bound<'_, PyString>) -> bool {
    path.to_str().is_ok_and(core::is_plain)
}

/// Whether a path is plain, and a URI would quote no character of it.
#[pyfunction]
#[pyo3(signature = (path, /))]
pub(crate) fn is_unquoted_path(path: &Bound<'_, PyString>) -> bool {
    path.to_str().is_ok_and(core::is_unquoted)
}
