//! `Provenance`: the provenance of one quantum, handed over when asked for.

mod fields;
mod merge;

use std::sync::OnceLock;

use pyo3::IntoPyObjectExt;
use pyo3::exceptions::PyKeyError;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyList, PySet, PyString};
use quantum_butler_core::provenance::{self as core, DatastoreRecords, Extraction, Field, Key, Row, Value};
use quantum_butler_core::{Error, IdSet, Tracker as CoreTracker};

use crate::dataset_id::{dataset_id, dataset_ids, uuid_to_python};
use crate::error;
use crate::new_objects::Repeated;
use crate::records::FileRecords;
use crate::tracker::Tracker;

pub(crate) use merge::RecordMerge;

/// Reading JSON of more bytes takes long enough to release the interpreter.
const MANY_BYTES: usize = 1 << 17;
/// So does writing or comparing more ids and values.
const MANY_VALUES: usize = 1 << 13;

/// The provenance of one quantum, kept out of Python until asked for.
#[pyclass(frozen, module = "quantum_butler._core")]
pub(crate) struct Provenance {
    /// The JSON form without line breaks, where that is what there was first.
    json: Option<Py<PyString>>,
    /// Read from it when somebody asks.
    content: OnceLock<core::Provenance>,
}

#[pymethods]
impl Provenance {
    #[staticmethod]
    #[pyo3(signature = (tracker, actual_outputs, datastores, /))]
    fn extract<'py>(
        py: Python<'py>,
        tracker: &Tracker,
        actual_outputs: Option<&Bound<'py, PyAny>>,
        datastores: Vec<(String, Bound<'py, FileRecords>)>,
    ) -> PyResult<Self> {
        let json = extract_json(py, tracker, actual_outputs, datastores, Vec::new())?;
        let json = PyString::new(py, &json).unbind();
        Ok(Self { json: Some(json), content: OnceLock::new() })
    }

    #[staticmethod]
    #[pyo3(signature = (data, /))]
    fn from_json(py: Python<'_>, data: &Bound<'_, PyAny>) -> Option<Self> {
        let content = if let Ok(bytes) = data.cast_exact::<PyBytes>() {
            let bytes = bytes.as_bytes();
            read(py, bytes.len(), || core::Provenance::from_json_bytes(bytes))
        } else if let Ok(text) = data.cast_exact::<PyString>() {
            let text = text.to_str().ok()?;
            read(py, text.len(), || core::Provenance::from_json(text))
        } else if let Ok(array) = data.cast_exact::<PyByteArray>() {
            let bytes = array.to_vec();
            read(py, bytes.len(), || core::Provenance::from_json_bytes(&bytes))
        } else {
            None
        };
        content.map(Self::from)
    }

    #[staticmethod]
    #[pyo3(signature = (fields, /))]
    fn from_fields(fields: &Bound<'_, PyAny>) -> PyResult<Option<Self>> {
        Ok(fields::read(fields)?.map(Self::from))
    }

    #[pyo3(signature = (indent = None, /))]
    pub(crate) fn to_json<'py>(
        &self,
        py: Python<'py>,
        indent: Option<usize>,
    ) -> PyResult<Bound<'py, PyString>> {
        if let (Some(json), None) = (&self.json, indent) {
            return Ok(json.bind(py).clone());
        }
        let content = self.content(py)?;
        Ok(PyString::new(py, &run(py, is_large(content), || content.to_json(indent))))
    }

    #[pyo3(signature = (field, /))]
    fn ids<'py>(&self, py: Python<'py>, field: &str) -> PyResult<Bound<'py, PySet>> {
        let field = Field::from_name(field).ok_or_else(|| PyKeyError::new_err(field.to_owned()))?;
        let result = PySet::empty(py)?;
        for &id in self.content(py)?.ids(field) {
            result.add(uuid_to_python(py, id)?)?;
        }
        Ok(result)
    }

    #[pyo3(signature = (field, datasets, /))]
    fn among<'py>(
        &self,
        py: Python<'py>,
        field: &str,
        datasets: Vec<Bound<'py, PyAny>>,
    ) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let field = Field::from_name(field).ok_or_else(|| PyKeyError::new_err(field.to_owned()))?;
        let ids = datasets.iter().map(dataset_id).collect::<PyResult<Vec<_>>>()?;
        let among = self.content(py)?.among(field, &ids);
        Ok(among.into_iter().map(|position| datasets[position].clone()).collect())
    }

    fn datastore_records<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let result = PyDict::new(py);
        for datastore in self.content(py)?.records().datastores() {
            let ids = PyList::empty(py);
            for &id in datastore.dataset_ids() {
                ids.append(uuid_to_python(py, id)?)?;
            }
            result.set_item(datastore.name(), (ids, nested_dicts(py, datastore)?))?;
        }
        Ok(result)
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let py = other.py();
        let Ok(other) = other.cast::<Self>() else { return Ok(py.NotImplemented()) };
        let (ours, theirs) = (self.content(py)?, other.get().content(py)?);
        run(py, is_large(ours), || ours == theirs).into_py_any(py)
    }
}

impl From<core::Provenance> for Provenance {
    fn from(content: core::Provenance) -> Self {
        Self { json: None, content: content.into() }
    }
}

impl Provenance {
    fn content(&self, py: Python<'_>) -> PyResult<&core::Provenance> {
        if let Some(content) = self.content.get() {
            return Ok(content);
        }
        let json = self.json.as_ref().map_or(Ok(""), |json| json.to_str(py))?;
        let content = read(py, json.len(), || core::Provenance::from_json(json));
        let content = content.ok_or_else(|| error::to_python(Error::TooManyRecords))?;
        Ok(self.content.get_or_init(|| content))
    }
}

/// The JSON form of the provenance of a quantum as it stands, in the memory of `buffer`.
pub(crate) fn extract_json<'py>(
    py: Python<'py>,
    tracker: &Tracker,
    actual_outputs: Option<&Bound<'py, PyAny>>,
    datastores: Vec<(String, Bound<'py, FileRecords>)>,
    buffer: Vec<u8>,
) -> PyResult<String> {
    let written: Option<IdSet> = match actual_outputs {
        Some(refs) => Some(dataset_ids(refs)?.into_iter().collect()),
        None => None,
    };
    let ids = tracker.0.read(py, 1, CoreTracker::len) + written.as_ref().map_or(0, IdSet::len);
    let begin = |tracker: &mut CoreTracker| {
        tracker.require_uuids()?;
        tracker.drop_contradictions();
        Extraction::in_buffer(tracker, written.as_ref(), buffer)
    };
    let mut extraction = tracker.0.write(py, ids, begin).map_err(error::to_python)?;
    for (datastore, records) in &datastores {
        records.get().extract(py, ids, datastore, &mut extraction).map_err(error::to_python)?;
    }
    Ok(extraction.finish())
}

fn is_large(content: &core::Provenance) -> bool {
    let ids: usize = Field::ALL.iter().map(|&field| content.ids(field).len()).sum();
    ids + content.records().size() > MANY_VALUES
}

fn read(
    py: Python<'_>,
    bytes: usize,
    parse: impl FnOnce() -> Option<core::Provenance> + Send,
) -> Option<core::Provenance> {
    run(py, bytes > MANY_BYTES, parse)
}

/// Runs `work`, with the interpreter released if it takes long.
fn run<T: Send>(py: Python<'_>, long: bool, work: impl FnOnce() -> T + Send) -> T {
    if long { py.detach(work) } else { work() }
}

/// The structure that upstream's `DatastoreRecordData.to_simple` makes.
fn nested_dicts<'py>(py: Python<'py>, datastore: DatastoreRecords<'_>) -> PyResult<Bound<'py, PyDict>> {
    let (mut names, mut rows_above) = (Repeated::default(), Vec::new());
    let by_class = PyDict::new(py);
    for class in datastore.classes() {
        let by_dataset = PyDict::new(py);
        for dataset in class.datasets() {
            let by_table = PyDict::new(py);
            for table in dataset.tables() {
                let rows = PyList::empty(py);
                for row in table.rows() {
                    rows.append(row_dict(py, row, &mut rows_above)?)?;
                }
                by_table.set_item(names.string(py, table.name()), rows)?;
            }
            match dataset.key() {
                Key::Text(text) => by_dataset.set_item(text, by_table)?,
                Key::Id(id) => by_dataset.set_item(format!("{id:032x}"), by_table)?,
            }
        }
        by_class.set_item(class.name(), by_dataset)?;
    }
    Ok(by_class)
}

/// Makes a row's dictionary; `above` has the strings of the rows before it, by column.
fn row_dict<'a, 'py>(
    py: Python<'py>,
    row: Row<'a>,
    above: &mut Vec<[Repeated<'a, 'py>; 2]>,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    let cells = row.cells();
    above.resize_with(above.len().max(cells.len()), Default::default);
    for ((column, value), [names, texts]) in cells.zip(above) {
        let column = names.string(py, column);
        match value {
            Value::Null => dict.set_item(column, py.None())?,
            Value::Int(number) => dict.set_item(column, number)?,
            Value::Text(text) => dict.set_item(column, texts.string(py, text))?,
        }
    }
    Ok(dict)
}
