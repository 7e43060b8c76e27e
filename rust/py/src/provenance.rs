//! `Provenance`: the provenance of one quantum, handed over when asked for.

mod fields;

use pyo3::IntoPyObjectExt;
use pyo3::exceptions::PyKeyError;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyList, PySet, PyString};
use quantum_butler_core::Role;
use quantum_butler_core::provenance::{self as core, DatastoreRecords, Exports, Field, Key, Row, Value};

use crate::dataset_id::{dataset_ids, uuid_to_python};
use crate::error;
use crate::records::FileRecords;
use crate::tracker::Tracker;

/// Reading JSON of more bytes takes long enough to release the interpreter.
const MANY_BYTES: usize = 1 << 17;
/// So does writing or comparing more ids and values.
const MANY_VALUES: usize = 1 << 13;

/// The provenance of one quantum, kept out of Python until asked for.
#[pyclass(frozen, module = "quantum_butler._core")]
pub(crate) struct Provenance(core::Provenance);

#[pymethods]
impl Provenance {
    #[staticmethod]
    #[pyo3(signature = (tracker, actual_outputs, datastores, /))]
    fn extract<'py>(
        tracker: &Tracker,
        actual_outputs: &Bound<'py, PyAny>,
        datastores: Vec<(String, Bound<'py, FileRecords>)>,
    ) -> PyResult<Self> {
        let (py, outputs) = (actual_outputs.py(), dataset_ids(actual_outputs)?);
        let mut exports = Exports::default();
        for (datastore, records) in &datastores {
            records.get().export_to(py, datastore, &outputs, &mut exports).map_err(error::to_python)?;
        }
        let inputs = tracker.0.read(py, 1, |tracker| tracker.set(Role::PredictedInputs).len());
        let extract = |tracker: &_| core::Provenance::extract(tracker, &outputs, exports);
        tracker.0.read(py, inputs + outputs.len(), extract).map(Self).map_err(error::to_python)
    }

    #[staticmethod]
    #[pyo3(signature = (data, /))]
    fn from_json(py: Python<'_>, data: &Bound<'_, PyAny>) -> Option<Self> {
        if let Ok(bytes) = data.cast_exact::<PyBytes>() {
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
        }
    }

    #[staticmethod]
    #[pyo3(signature = (fields, /))]
    fn from_fields(fields: &Bound<'_, PyAny>) -> PyResult<Option<Self>> {
        Ok(fields::read(fields)?.map(Self))
    }

    #[pyo3(signature = (indent = None, /))]
    fn to_json<'py>(&self, py: Python<'py>, indent: Option<usize>) -> Bound<'py, PyString> {
        PyString::new(py, &run(py, self.is_large(), || self.0.to_json(indent)))
    }

    #[pyo3(signature = (field, /))]
    fn ids<'py>(&self, py: Python<'py>, field: &str) -> PyResult<Bound<'py, PySet>> {
        let field = Field::from_name(field).ok_or_else(|| PyKeyError::new_err(field.to_owned()))?;
        let result = PySet::empty(py)?;
        for &id in self.0.ids(field) {
            result.add(uuid_to_python(py, id)?)?;
        }
        Ok(result)
    }

    fn datastore_records<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let result = PyDict::new(py);
        for datastore in self.0.records().datastores() {
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
        let other = other.get();
        run(py, self.is_large(), || self.0 == other.0).into_py_any(py)
    }
}

impl Provenance {
    fn is_large(&self) -> bool {
        let ids: usize = Field::ALL.iter().map(|&field| self.0.ids(field).len()).sum();
        ids + self.0.records().size() > MANY_VALUES
    }
}

fn read(
    py: Python<'_>,
    bytes: usize,
    parse: impl FnOnce() -> Option<core::Provenance> + Send,
) -> Option<Provenance> {
    run(py, bytes > MANY_BYTES, parse).map(Provenance)
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

/// A Python string that is used again while the text stays the same.
#[derive(Default)]
struct Repeated<'a, 'py>(Option<(&'a str, Bound<'py, PyString>)>);

impl<'a, 'py> Repeated<'a, 'py> {
    fn string(&mut self, py: Python<'py>, text: &'a str) -> Bound<'py, PyString> {
        match &self.0 {
            Some((same, string)) if *same == text => string.clone(),
            _ => self.0.insert((text, PyString::new(py, text))).1.clone(),
        }
    }
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
