//! Values of table cells on their way in and out.

use std::borrow::Cow;

use pyo3::exceptions::PyOverflowError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyFloat, PyInt, PyString};
use quantum_butler_core::{DatasetId, Kind, Schema, Value};

use crate::dataset_id::{type_name, uuid_number, uuid_to_python};
use crate::error;

/// A value for a column, which borrows the characters of strings and bytes.
pub(crate) fn to_core<'a>(
    schema: &Schema,
    column: usize,
    value: &'a Bound<'_, PyAny>,
) -> PyResult<Value<'a>> {
    if value.is_none() {
        return Ok(Value::Null);
    }
    let fitting = match schema.columns()[column].kind {
        Kind::Guid => uuid_number(value)?.map(Value::Guid),
        Kind::Text => match value.cast::<PyString>() {
            Ok(text) => Some(Value::Text(Cow::Borrowed(text.to_str()?))),
            Err(_) => None,
        },
        Kind::Integer => integer(value)?.map(Value::Integer),
        Kind::Boolean => boolean(value)?.map(Value::Boolean),
        Kind::Float if value.is_instance_of::<PyFloat>() || value.is_instance_of::<PyInt>() => {
            Some(Value::Float(value.extract()?))
        }
        Kind::Float => None,
        Kind::Bytes => {
            value.cast::<PyBytes>().ok().map(|bytes| Value::Bytes(Cow::Borrowed(bytes.as_bytes())))
        }
        Kind::Timestamp => integer(value)?.map(Value::Timestamp),
    };
    fitting.ok_or_else(|| error::to_python(schema.wrong_type(column, type_name(value))))
}

/// An integer, or whatever Python would take as one.
fn integer(value: &Bound<'_, PyAny>) -> PyResult<Option<i64>> {
    match value.extract() {
        Ok(integer) => Ok(Some(integer)),
        // Too large for a column is not the same as no integer at all.
        Err(error) if error.is_instance_of::<PyOverflowError>(value.py()) => Err(error),
        Err(_) => Ok(None),
    }
}

/// A boolean, or the integers that SQL has for them.
fn boolean(value: &Bound<'_, PyAny>) -> PyResult<Option<bool>> {
    if let Ok(boolean) = value.cast::<PyBool>() {
        return Ok(Some(boolean.is_true()));
    }
    if !value.is_instance_of::<PyInt>() {
        return Ok(None);
    }
    Ok(match value.extract::<i64>() {
        Ok(0) => Some(false),
        Ok(1) => Some(true),
        _ => None,
    })
}

/// A value as Python has it.
pub(crate) fn to_python<'py>(py: Python<'py>, value: &Value<'_>) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Null => py.None().into_bound(py),
        Value::Guid(uuid) => uuid_to_python(py, *uuid)?,
        Value::Text(text) => PyString::new(py, text).into_any(),
        Value::Integer(integer) | Value::Timestamp(integer) => integer.into_pyobject(py)?.into_any(),
        Value::Boolean(boolean) => PyBool::new(py, *boolean).to_owned().into_any(),
        Value::Float(number) => PyFloat::new(py, *number).into_any(),
        Value::Bytes(bytes) => PyBytes::new(py, bytes).into_any(),
    })
}

/// A value as upstream's column types have it in SQLite: UUIDs as 32 hexadecimal digits, others as they are.
pub(crate) fn to_sqlite<'py>(py: Python<'py>, value: &Value<'_>) -> PyResult<Bound<'py, PyAny>> {
    match value {
        Value::Guid(uuid) => Ok(PyString::new(py, &hexadecimal(DatasetId::Uuid(*uuid))).into_any()),
        other => to_python(py, other),
    }
}

/// A dataset id as upstream's column type for SQLite has it.
pub(crate) fn hexadecimal(id: DatasetId) -> String {
    match id {
        DatasetId::Uuid(uuid) => format!("{uuid:032x}"),
        DatasetId::Int(int) => format!("{int:032x}"),
    }
}
