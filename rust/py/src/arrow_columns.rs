//! Arrow tables on their way in and out, by Arrow's C stream interface: nothing is copied.

use std::ffi::CStr;
use std::sync::{Mutex, PoisonError};

use arrow_array::ffi_stream::{FFI_ArrowArrayStream, RecordBatchStreamReader};
use arrow_array::{RecordBatch, RecordBatchIterator, RecordBatchReader};
use arrow_schema::{ArrowError, SchemaRef};
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

/// What the interface calls a capsule with a stream in it.
const STREAM: &CStr = c"arrow_array_stream";

/// A table, for anything that reads Arrow's C stream interface.
#[pyclass(frozen, module = "quantum_butler._core")]
pub(crate) struct ArrowTable {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
}

impl ArrowTable {
    pub(crate) fn new(schema: SchemaRef, batches: Vec<RecordBatch>) -> Self {
        Self { schema, batches }
    }
}

#[pymethods]
impl ArrowTable {
    fn __len__(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// Whoever asks for another schema has to convert the table themselves, as the interface allows.
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        let _ = requested_schema;
        let batches = self.batches.clone().into_iter().map(Ok);
        let reader = RecordBatchIterator::new(batches, self.schema.clone());
        PyCapsule::new_with_value(py, FFI_ArrowArrayStream::new(Box::new(reader)), STREAM)
    }
}

/// A table that is made while it is read, and read once.
#[pyclass(frozen, module = "quantum_butler._core")]
pub(crate) struct ArrowStream(Mutex<Option<Box<dyn RecordBatchReader + Send>>>);

impl ArrowStream {
    pub(crate) fn new(batches: Box<dyn RecordBatchReader + Send>) -> Self {
        Self(Mutex::new(Some(batches)))
    }
}

#[pymethods]
impl ArrowStream {
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        let _ = requested_schema;
        let batches = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let batches = batches.ok_or_else(|| PyValueError::new_err("this stream has been read"))?;
        PyCapsule::new_with_value(py, FFI_ArrowArrayStream::new(batches), STREAM)
    }
}

/// The batches of a table of anybody's, such as a `pyarrow.Table`.
pub(crate) fn read_table(table: &Bound<'_, PyAny>) -> PyResult<Vec<RecordBatch>> {
    Ok(read_schema_and_table(table)?.1)
}

/// Such a table's schema and batches.
pub(crate) fn read_schema_and_table(table: &Bound<'_, PyAny>) -> PyResult<(SchemaRef, Vec<RecordBatch>)> {
    let py = table.py();
    let capsule = table.call_method0(intern!(py, "__arrow_c_stream__"))?.cast_into::<PyCapsule>()?;
    let stream = capsule.pointer_checked(Some(STREAM))?.cast::<FFI_ArrowArrayStream>();
    // SAFETY: a capsule of that name points to such a stream, which is ours to move from. The capsule lives
    // until after that; what it is left with is a stream that has been released.
    let stream = unsafe { FFI_ArrowArrayStream::from_raw(stream.as_ptr()) };
    // The stream may be Python underneath; it takes hold of the interpreter itself where it has to.
    py.detach(|| {
        let reader = RecordBatchStreamReader::try_new(stream)?;
        Ok((reader.schema(), reader.collect::<Result<_, _>>()?))
    })
    .map_err(|error: ArrowError| PyValueError::new_err(error.to_string()))
}
