//! The writer of a provenance log.

use std::path::PathBuf;
use std::sync::Mutex;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyInt, PyString};
use quantum_butler_core::log::{self as core, DataId, DataIdValue, Heading, Storage, Torn};

use crate::dataset_id::{type_name, uuid_number};
use crate::error;
use crate::lock::Shared;
use crate::provenance::{Provenance, extract_json};
use crate::records::FileRecords;
use crate::tracker::Tracker;

/// Writing may wait for the disk, and compressing takes a millisecond.
const LONG: usize = usize::MAX;

/// More than this is not kept for the next quantum.
const MOST_SCRATCH: usize = 1 << 20;

/// Appends to a log; one after `finish` is of no use.
#[pyclass(frozen, module = "quantum_butler._core")]
pub(crate) struct LogWriter {
    log: Shared<Option<core::LogWriter>>,
    torn: Option<Torn>,
    locked: bool,
    path: PathBuf,
    /// Memory that one extraction after the other is made in.
    scratch: Mutex<Vec<u8>>,
}

#[pymethods]
impl LogWriter {
    #[new]
    #[pyo3(signature = (path, /, *, compressed, sync))]
    fn new(py: Python<'_>, path: PathBuf, compressed: bool, sync: bool) -> PyResult<Self> {
        let storage = if compressed { Storage::Frames } else { Storage::Lines };
        let opened = py.detach(|| core::LogWriter::open(&path, storage, sync));
        let (log, torn) = opened.map_err(error::to_python)?;
        let locked = log.is_locked();
        Ok(Self { log: Shared::new(Some(log)), torn, locked, path, scratch: Mutex::default() })
    }

    #[getter]
    fn torn(&self) -> Option<(u64, u64)> {
        self.torn.map(|torn| (torn.offset, torn.bytes))
    }

    #[getter]
    fn locked(&self) -> bool {
        self.locked
    }

    #[pyo3(signature = (quantum_id, task_label, data_id, provenance, /))]
    fn append(
        &self,
        quantum_id: &Bound<'_, PyAny>,
        task_label: Option<&Bound<'_, PyString>>,
        data_id: Option<&Bound<'_, PyDict>>,
        provenance: &Bound<'_, Provenance>,
    ) -> PyResult<()> {
        let py = quantum_id.py();
        let provenance = provenance.get().to_json(py, None)?;
        self.append_json(quantum_id, task_label, data_id, provenance.to_str()?)
    }

    #[pyo3(signature = (quantum_id, task_label, data_id, tracker, actual_outputs, datastores, /))]
    fn append_extracted<'py>(
        &self,
        quantum_id: &Bound<'py, PyAny>,
        task_label: Option<&Bound<'py, PyString>>,
        data_id: Option<&Bound<'py, PyDict>>,
        tracker: &Tracker,
        actual_outputs: Option<&Bound<'py, PyAny>>,
        datastores: Vec<(String, Bound<'py, FileRecords>)>,
    ) -> PyResult<()> {
        // Two threads at once: one of them makes its own.
        let buffer = self.scratch.try_lock().map(|mut held| std::mem::take(&mut *held)).unwrap_or_default();
        let json = extract_json(quantum_id.py(), tracker, actual_outputs, datastores, buffer)?;
        let appended = self.append_json(quantum_id, task_label, data_id, &json);
        if json.capacity() <= MOST_SCRATCH
            && let Ok(mut held) = self.scratch.try_lock()
        {
            *held = json.into_bytes();
        }
        appended
    }

    fn flush(&self, py: Python<'_>) -> PyResult<()> {
        self.write(py, core::LogWriter::flush)
    }

    fn finish(&self, py: Python<'_>) -> PyResult<()> {
        self.log
            .write(py, LONG, |log| {
                log.as_mut().map_or(Ok(()), core::LogWriter::finish)?;
                *log = None;
                Ok(())
            })
            .map_err(error::to_python)
    }
}

impl LogWriter {
    fn append_json(
        &self,
        quantum_id: &Bound<'_, PyAny>,
        task_label: Option<&Bound<'_, PyString>>,
        data_id: Option<&Bound<'_, PyDict>>,
        provenance: &str,
    ) -> PyResult<()> {
        let Some(id) = uuid_number(quantum_id)? else {
            let found = type_name(quantum_id);
            return Err(PyTypeError::new_err(format!("the id of a quantum is a uuid.UUID, not {found}")));
        };
        let task_label = task_label.map(|label| label.to_str()).transpose()?;
        let data_id = data_id.map(to_core).transpose()?;
        let heading = Heading { quantum_id: id, task_label, data_id: data_id.as_ref() };
        self.write(quantum_id.py(), |log| log.append(heading, provenance))
    }

    fn write(
        &self,
        py: Python<'_>,
        work: impl Send + FnOnce(&mut core::LogWriter) -> quantum_butler_core::Result<()>,
    ) -> PyResult<()> {
        let written = self.log.write(py, LONG, |log| log.as_mut().map(work));
        let closed =
            || PyValueError::new_err(format!("{}: this provenance log is closed", self.path.display()));
        written.ok_or_else(closed)?.map_err(error::to_python)
    }
}

fn to_core(data_id: &Bound<'_, PyDict>) -> PyResult<DataId> {
    let item = |(dimension, value): (Bound<'_, PyAny>, Bound<'_, PyAny>)| {
        let value = if let Ok(text) = value.cast::<PyString>() {
            DataIdValue::Text(text.to_str()?.to_owned())
        } else if value.is_instance_of::<PyInt>() && !value.is_instance_of::<PyBool>() {
            DataIdValue::Int(value.extract()?)
        } else {
            let found = type_name(&value);
            return Err(PyTypeError::new_err(format!(
                "the value of {dimension} is an int or a str, not {found}"
            )));
        };
        Ok((dimension.cast_into::<PyString>()?.to_str()?.to_owned(), value))
    };
    data_id.iter().map(item).collect()
}
