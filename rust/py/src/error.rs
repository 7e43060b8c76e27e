//! How the core's errors appear in Python.

use pyo3::create_exception;
use pyo3::exceptions::{PyKeyError, PyOSError, PyTypeError, PyUnicodeError, PyValueError};
use pyo3::prelude::*;
use quantum_butler_core::Error;

create_exception!(quantum_butler._core, DuplicateKeyError, PyValueError);
create_exception!(quantum_butler._core, UnfitValueError, PyValueError);
create_exception!(quantum_butler._core, UnreadableGraphError, PyValueError);
create_exception!(quantum_butler._core, UnknownColumnError, PyKeyError);

/// The exception for an error of the core.
///
/// Every variant is named: a new one does not compile until it is decided what it is in Python.
pub(crate) fn to_python(error: Error) -> PyErr {
    let message = error.to_string();
    match error {
        Error::DuplicateKey { .. } | Error::DuplicateLocation { .. } => DuplicateKeyError::new_err(message),
        Error::MissingValue { .. } | Error::WrongLength { .. } => UnfitValueError::new_err(message),
        Error::UnknownColumn { .. } => UnknownColumnError::new_err(message),
        Error::Graph { .. } => UnreadableGraphError::new_err(message),
        Error::NotText => PyUnicodeError::new_err(message),
        Error::WrongType { .. } => PyTypeError::new_err(message),
        // Python chooses the subclass by the number.
        Error::Io { path, code: Some(code), message } => {
            PyOSError::new_err((code, message, path.into_os_string()))
        }
        Error::Io { .. } => PyOSError::new_err(message),
        Error::IntegerId { .. }
        | Error::LogInUse { .. }
        | Error::NotALog { .. }
        | Error::LogOfParent { .. }
        | Error::RepeatedDatastore { .. }
        | Error::TooManyRecords
        | Error::TooMuchText
        | Error::TooManyRows
        | Error::RowsMissing { .. }
        | Error::UnfitColumn { .. }
        | Error::RepeatedEdge { .. }
        | Error::TooManyNodes
        | Error::Stopped
        | Error::DamagedIndex { .. }
        | Error::UnevenEdges { .. }
        | Error::TooManyEdges
        | Error::NoSuchQuantum { .. }
        | Error::CircularGraph { .. }
        | Error::NotHandedOut { .. }
        | Error::CompleteQuantum { .. } => PyValueError::new_err(message),
    }
}
