//! One opaque table.

use std::sync::Arc;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFrozenSet, PyList, PyMapping, PySet, PyString, PyTuple};
use quantum_butler_core::{self as core, ColumnSpec, Filter, Kind, Mode, Rows, Schema, Value};

use crate::dataset_id::type_name;
use crate::error;
use crate::lock::Shared;
use crate::undo::{Change, Undo};
use crate::value;

/// One opaque table.
#[pyclass(frozen, module = "quantum_butler._core")]
pub(crate) struct Table {
    pub(crate) table: Shared<core::Table>,
    pub(crate) schema: Arc<Schema>,
    /// Names of the columns, ready to be keys of dictionaries.
    pub(crate) names: Arc<[Py<PyString>]>,
}

#[pymethods]
impl Table {
    #[new]
    #[pyo3(
        signature = (name, columns, primary_key, unique=Vec::new(), indexes=Vec::new(), lengths=Vec::new()),
        text_signature = "(name, columns, primary_key, unique=(), indexes=(), lengths=())"
    )]
    fn new(
        py: Python<'_>,
        name: &str,
        columns: Vec<(String, String, bool)>,
        primary_key: Vec<String>,
        unique: Vec<Vec<String>>,
        indexes: Vec<Vec<String>>,
        lengths: Vec<(String, usize)>,
    ) -> PyResult<Self> {
        let names = columns.iter().map(|(name, _, _)| PyString::intern(py, name).unbind()).collect();
        let columns = columns.into_iter().map(|(name, kind, nullable)| match Kind::from_name(&kind) {
            Some(kind) => Ok(ColumnSpec { name, kind, nullable }),
            None => Err(PyValueError::new_err(format!("column {name} cannot be of kind {kind:?}"))),
        });
        let schema = Schema::new(name, columns.collect::<PyResult<_>>()?).with_primary_key(&primary_key);
        let schema = unique.iter().fold(schema, |schema, names| schema?.with_unique(names));
        let schema = indexes.iter().fold(schema, |schema, names| schema?.with_index(names));
        let schema = lengths.iter().fold(schema, |schema, (name, most)| schema?.with_length(name, *most));
        let table = core::Table::new(schema.map_err(error::to_python)?);
        let schema = table.schema().clone();
        Ok(Self { table: Shared::new(table), schema, names })
    }

    #[getter]
    fn name(&self) -> &str {
        self.schema.name()
    }

    #[getter]
    fn columns(&self, py: Python<'_>) -> Vec<Py<PyString>> {
        self.names.iter().map(|name| name.clone_ref(py)).collect()
    }

    fn __len__(&self, py: Python<'_>) -> usize {
        self.table.read(py, 1, core::Table::len)
    }

    #[pyo3(signature = (rows, /))]
    fn insert(&self, rows: &Bound<'_, PyAny>) -> PyResult<Undo> {
        self.put(rows, Mode::Insert)
    }

    #[pyo3(signature = (rows, /))]
    fn ensure(&self, rows: &Bound<'_, PyAny>) -> PyResult<Undo> {
        self.put(rows, Mode::Ensure)
    }

    #[pyo3(signature = (rows, /))]
    fn replace(&self, rows: &Bound<'_, PyAny>) -> PyResult<Undo> {
        self.put(rows, Mode::Replace)
    }

    #[pyo3(signature = (r#where, /))]
    fn fetch<'py>(&self, r#where: &Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let py = r#where.py();
        let rows = self.rows(r#where)?;
        rows.iter()
            .map(|row| {
                let result = PyDict::new(py);
                for (name, value) in self.names.iter().zip(row) {
                    result.set_item(name, value::to_python(py, value)?)?;
                }
                Ok(result)
            })
            .collect()
    }

    #[pyo3(signature = (columns, rows, /))]
    fn delete(&self, columns: Vec<Bound<'_, PyAny>>, rows: &Bound<'_, PyAny>) -> PyResult<usize> {
        let py = rows.py();
        let positions: Vec<_> = columns.iter().map(|name| self.position(name)).collect::<PyResult<_>>()?;
        let mut cells = Vec::new();
        for row in rows.try_iter()? {
            let row = self.dict(&row?)?;
            if row.len() != positions.len() {
                self.names_are_columns(&row)?;
                return Err(PyValueError::new_err("a row to delete must have just the columns to match"));
            }
            for column in &columns {
                let Some(cell) = row.get_item(column)? else {
                    self.names_are_columns(&row)?;
                    return Err(PyValueError::new_err("a row to delete must have just the columns to match"));
                };
                cells.push(cell);
            }
        }
        let mut keys = Vec::with_capacity(cells.len() / positions.len().max(1));
        for row in cells.chunks(positions.len().max(1)) {
            let key =
                positions.iter().zip(row).map(|(column, cell)| value::to_core(&self.schema, *column, cell));
            keys.push(key.collect::<PyResult<Vec<_>>>()?);
        }
        let by_key = positions.iter().any(|column| self.leads_primary_key(*column));
        let items = if by_key { keys.len() } else { usize::MAX };
        self.table.write(py, items, |table| table.delete(&positions, keys)).map_err(error::to_python)
    }

    fn memory(&self, py: Python<'_>) -> usize {
        self.table.read(py, 1, core::Table::memory)
    }
}

/// What a column is asked to hold.
enum Wanted<'py> {
    Value(Bound<'py, PyAny>),
    OneOf(Vec<Bound<'py, PyAny>>),
}

impl<'py> Wanted<'py> {
    fn new(wanted: Bound<'py, PyAny>) -> PyResult<Self> {
        let is_list = wanted.is_instance_of::<PyList>()
            || wanted.is_instance_of::<PyTuple>()
            || wanted.is_instance_of::<PySet>()
            || wanted.is_instance_of::<PyFrozenSet>();
        Ok(if is_list {
            Self::OneOf(wanted.try_iter()?.collect::<PyResult<_>>()?)
        } else {
            Self::Value(wanted)
        })
    }

    fn filter(&self, schema: &Schema, column: usize) -> PyResult<Filter<'_>> {
        match self {
            Self::Value(wanted) => Ok(Filter::scalar(value::to_core(schema, column, wanted)?)),
            Self::OneOf(wanted) => {
                let values = wanted.iter().map(|wanted| value::to_core(schema, column, wanted));
                Ok(Filter::one_of(values.collect::<PyResult<Vec<_>>>()?))
            }
        }
    }
}

impl Table {
    /// Whether rows are quickly found by a column; otherwise every row may have to be looked at.
    fn leads_primary_key(&self, column: usize) -> bool {
        self.schema.primary_key().first() == Some(&column)
    }

    /// The rows that meet all conditions of a mapping.
    fn rows(&self, conditions: &Bound<'_, PyAny>) -> PyResult<Vec<Vec<Value<'static>>>> {
        let mut wanted = Vec::new();
        for (name, value) in &self.dict(conditions)? {
            let column = self.position(&name)?;
            wanted.push((column, Wanted::new(value)?));
        }
        let mut filters = Vec::with_capacity(wanted.len());
        for (column, wanted) in &wanted {
            filters.push((*column, wanted.filter(&self.schema, *column)?));
        }
        let keys = wanted.iter().find_map(|(column, wanted)| match wanted {
            Wanted::Value(_) if self.leads_primary_key(*column) => Some(1),
            Wanted::OneOf(keys) if self.leads_primary_key(*column) => Some(keys.len()),
            _ => None,
        });
        let items = keys.unwrap_or(usize::MAX);
        self.table.read(conditions.py(), items, |table| table.fetch(&filters)).map_err(error::to_python)
    }

    fn put(&self, rows: &Bound<'_, PyAny>, mode: Mode) -> PyResult<Undo> {
        let py = rows.py();
        // Gathered first, so that the rows can borrow from objects that nobody takes away.
        let mut cells = Vec::new();
        for row in rows.try_iter()? {
            let row = self.dict(&row?)?;
            let mut used = 0;
            for name in self.names.iter() {
                let cell = row.get_item(name)?;
                used += usize::from(cell.is_some());
                cells.push(cell);
            }
            if used < row.len() {
                self.names_are_columns(&row)?;
            }
        }
        let width = self.names.len().max(1);
        let mut rows = Rows::with_capacity(&self.schema, cells.len() / width);
        for row in cells.chunks(width) {
            for (column, (cell, value)) in row.iter().zip(rows.add()).enumerate() {
                if let Some(cell) = cell {
                    *value = value::to_core(&self.schema, column, cell)?;
                }
            }
        }
        let undo =
            self.table.write(py, rows.len(), |table| table.put(&rows, mode)).map_err(error::to_python)?;
        Ok(Change::Table(self.table.clone(), undo).into())
    }

    /// A row as a dictionary, whatever mapping it is.
    fn dict<'py>(&self, row: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
        if let Ok(row) = row.cast::<PyDict>() {
            return Ok(row.clone());
        }
        let Ok(mapping) = row.cast::<PyMapping>() else {
            let (name, found) = (self.schema.name(), type_name(row));
            return Err(PyTypeError::new_err(format!("a row of table {name} is a mapping, not {found}")));
        };
        let row = PyDict::new(row.py());
        row.update(mapping)?;
        Ok(row)
    }

    fn names_are_columns(&self, row: &Bound<'_, PyDict>) -> PyResult<()> {
        row.keys().iter().try_for_each(|name| self.position(&name).map(drop))
    }

    fn position(&self, name: &Bound<'_, PyAny>) -> PyResult<usize> {
        let Ok(text) = name.cast::<PyString>() else {
            let found = type_name(name);
            return Err(PyTypeError::new_err(format!("the name of a column is a str, not {found}")));
        };
        self.schema.position(text.to_str()?).map_err(error::to_python)
    }
}
