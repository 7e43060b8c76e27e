//! The writer of a provenance log.

use std::fmt::Arguments;
use std::path::PathBuf;
use std::sync::Mutex;

use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBool, PyBytes, PyDict, PyString};
use quantum_butler_core::log::{
    self as core, Attempt, Contents, DataId, DataIdValue, Heading, Storage, Torn,
};

use crate::dataset_id::{type_name, uuid_number};
use crate::error;
use crate::lock::Shared;
use crate::log_execution::{ExecutionTuple, execution_of};
use crate::log_names::{Refs, named_datasets};
use crate::provenance::{Provenance, extract_json};
use crate::records::FileRecords;
use crate::tracker::Tracker;

/// When an attempt began and ended, in microseconds since 1970, and whether it failed.
type AttemptTuple = (Option<i64>, Option<i64>, Option<bool>);

/// Id of a quantum, label of its task, its data ID, the attempt, and what is known besides.
type HeadingTuple<'py> = (
    Bound<'py, PyAny>,
    Option<Bound<'py, PyAny>>,
    Option<Bound<'py, PyDict>>,
    AttemptTuple,
    Option<Details<'py>>,
);

/// The attempt, earlier ones, the connections of the task, what datasets are called, and what was put of metadata
/// and log.
type Details<'py> = (
    Option<ExecutionTuple<'py>>,
    Vec<ExecutionTuple<'py>>,
    Option<String>,
    Option<Refs<'py>>,
    (Option<PyBackedBytes>, Option<PyBackedBytes>),
);

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
    /// Whether values that a line cannot have are written as their texts.
    lenient: bool,
    /// Memory that one extraction after the other is made in.
    scratch: Mutex<Vec<u8>>,
}

#[pymethods]
impl LogWriter {
    #[new]
    #[pyo3(signature = (path, /, *, compressed, sync, lenient = false))]
    fn new(py: Python<'_>, path: PathBuf, compressed: bool, sync: bool, lenient: bool) -> PyResult<Self> {
        let storage = if compressed { Storage::Frames } else { Storage::Lines };
        let opened = py.detach(|| core::LogWriter::open(&path, storage, sync));
        let (log, torn) = opened.map_err(error::to_python)?;
        let locked = log.is_locked();
        Ok(Self { log: Shared::new(Some(log)), torn, locked, path, lenient, scratch: Mutex::default() })
    }

    #[getter]
    fn torn(&self) -> Option<(u64, u64)> {
        self.torn.map(|torn| (torn.offset, torn.bytes))
    }

    #[getter]
    fn locked(&self) -> bool {
        self.locked
    }

    #[pyo3(signature = (heading, provenance, /))]
    fn append(&self, heading: HeadingTuple<'_>, provenance: &Bound<'_, Provenance>) -> PyResult<()> {
        let py = provenance.py();
        let provenance = provenance.get().to_json(py, None)?;
        self.append_json(&heading, provenance.to_str()?)
    }

    #[pyo3(signature = (heading, tracker, actual_outputs, datastores, /))]
    fn append_extracted<'py>(
        &self,
        heading: HeadingTuple<'py>,
        tracker: &Tracker,
        actual_outputs: Option<&Bound<'py, PyAny>>,
        datastores: Vec<(String, Bound<'py, FileRecords>)>,
    ) -> PyResult<()> {
        // Two threads at once: one of them makes its own.
        let buffer = self.scratch.try_lock().map(|mut held| std::mem::take(&mut *held)).unwrap_or_default();
        let json = extract_json(heading.0.py(), tracker, actual_outputs, datastores, buffer)?;
        let appended = self.append_json(&heading, &json);
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

    fn take_pending<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let mut pending = Vec::new();
        self.write(py, |log| {
            pending = log.take_pending()?;
            Ok(())
        })?;
        Ok(PyBytes::new(py, &pending))
    }

    #[pyo3(signature = (lines, /))]
    fn add_pending(&self, py: Python<'_>, lines: &[u8]) -> PyResult<()> {
        self.write(py, |log| log.add_pending(lines))
    }

    fn abandon(&self, py: Python<'_>) {
        self.log.write(py, LONG, |log| *log = None);
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
    fn append_json(&self, heading: &HeadingTuple<'_>, provenance: &str) -> PyResult<()> {
        let (quantum_id, task_label, data_id, (begin, end, failed), details) = heading;
        let Some(id) = uuid_number(quantum_id)? else {
            let found = type_name(quantum_id);
            return Err(PyTypeError::new_err(format!("the id of a quantum is a uuid.UUID, not {found}")));
        };
        let task_label = match task_label {
            Some(label) => match self.value(format_args!("the label of a task"), label)? {
                DataIdValue::Text(text) => Some(text.into_owned()),
                DataIdValue::Int(number) if self.lenient => Some(number.to_string()),
                DataIdValue::Int(_) => {
                    let found = type_name(label);
                    return Err(PyTypeError::new_err(format!("the label of a task is a str, not {found}")));
                }
            },
            None => None,
        };
        let data_id = data_id.as_ref().map(|data_id| self.data_id(data_id)).transpose()?;
        let mut heading = Heading {
            quantum_id: id,
            task_label: task_label.as_deref(),
            data_id: data_id.as_ref(),
            attempt: Attempt { begin: *begin, end: *end, failed: *failed },
            ..Heading::default()
        };
        let (attempt, earlier, datasets, contents): (_, Vec<_>, _, _);
        if let Some((execution, earlier_attempts, connections, refs, (metadata, log))) = details {
            let py = quantum_id.py();
            attempt = execution.as_ref().map(|one| execution_of(py, one)).transpose()?;
            earlier =
                earlier_attempts.iter().map(|one| execution_of(py, one)).collect::<PyResult<Vec<_>>>()?;
            let value =
                |dimension: &str, value: &_| self.value(format_args!("the value of {dimension}"), value);
            datasets = refs.as_ref().map(|refs| named_datasets(refs, value)).transpose()?.unwrap_or_default();
            contents = py.detach(|| Contents::pack(metadata.as_deref(), log.as_deref()));
            heading.contents = contents.as_ref();
            heading.execution = attempt.as_ref();
            heading.earlier = &earlier;
            heading.connections = connections.as_deref();
            heading.datasets = &datasets;
        }
        self.write(quantum_id.py(), |log| log.append(heading, provenance))
    }

    fn data_id(&self, data_id: &Bound<'_, PyDict>) -> PyResult<DataId> {
        let item = |(dimension, value): (Bound<'_, PyAny>, Bound<'_, PyAny>)| {
            let name = match self.value(format_args!("a dimension"), &dimension)? {
                DataIdValue::Text(name) => name.into_owned(),
                DataIdValue::Int(number) if self.lenient => number.to_string(),
                DataIdValue::Int(_) => {
                    let found = type_name(&dimension);
                    return Err(PyTypeError::new_err(format!("a dimension is a str, not {found}")));
                }
            };
            let value = self.value(format_args!("the value of {name}"), &value)?;
            Ok((name, value))
        };
        data_id.iter().map(item).collect()
    }

    /// What a line has for a value: texts as they are, and what Python takes as a whole number, but for truth
    /// values, if it has 64 bits.  Of anything else, a lenient log has its text, and another log refuses it.
    fn value(&self, what: Arguments<'_>, value: &Bound<'_, PyAny>) -> PyResult<DataIdValue<'static>> {
        let refused = match plain_value(what, value) {
            Ok(value) => return Ok(value),
            Err(refused) if !self.lenient => return Err(refused),
            Err(refused) => refused,
        };
        let text = value.str().map(|text| text.to_string_lossy().into_owned());
        Ok(DataIdValue::Text(text.unwrap_or_else(|_| refused.to_string()).into()))
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

fn plain_value(what: Arguments<'_>, value: &Bound<'_, PyAny>) -> PyResult<DataIdValue<'static>> {
    if let Ok(text) = value.cast::<PyString>() {
        return Ok(DataIdValue::Text(text.to_str()?.to_owned().into()));
    }
    let refused = || PyTypeError::new_err(format!("{what} is an int or a str, not {}", type_name(value)));
    if value.is_instance_of::<PyBool>() {
        return Err(refused());
    }
    match value.extract() {
        Ok(number) => Ok(DataIdValue::Int(number)),
        Err(error) if error.is_instance_of::<PyOverflowError>(value.py()) => {
            Err(PyValueError::new_err(format!("{what} has more than 64 bits: {value}")))
        }
        Err(_) => Err(refused()),
    }
}
