//! The lineage index: made from the tables of an archive, and asked.

use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::UInt32Type;
use arrow_array::{
    Array, ArrayRef, BooleanArray, FixedSizeBinaryArray, RecordBatch, RecordBatchIterator, UInt32Array,
};
use arrow_schema::{Field, Schema};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use quantum_butler_core::lineage::{self as core, Counts, Direction, Plan};

use crate::arrow_columns::{ArrowStream, ArrowTable, read_schema_and_table, read_table};
use crate::dataset_id::uuid_to_python;
use crate::error;
use crate::lock::Shared;

/// Sorting goes on for long.
const LONG: usize = usize::MAX;

/// Makes the index; one after `finish` is of no use.
#[pyclass(frozen, module = "quantum_butler._core")]
pub(crate) struct LineageBuilder(Shared<Option<core::LineageBuilder>>);

#[pymethods]
impl LineageBuilder {
    #[new]
    #[pyo3(signature = (folder, memory, /))]
    fn new(folder: PathBuf, memory: usize) -> Self {
        Self(Shared::new(Some(core::LineageBuilder::new(&folder, memory))))
    }

    #[pyo3(signature = (quanta, edges, records, /))]
    fn add(
        &self,
        quanta: &Bound<'_, PyAny>,
        edges: &Bound<'_, PyAny>,
        records: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let py = quanta.py();
        let [quanta, edges, records] = [read_table(quanta)?, read_table(edges)?, read_table(records)?];
        let added = self.0.write(py, LONG, |builder| {
            let added = builder.as_mut()?.add(&quanta, &edges, &records);
            if added.is_err() {
                *builder = None;
            }
            Some(added)
        });
        added.ok_or_else(used_up)?.map_err(error::to_python)
    }

    fn finish(&self, py: Python<'_>) -> PyResult<(ArrowStream, ArrowStream)> {
        let finished = self.0.write(py, LONG, |builder| Some(builder.take()?.finish()));
        let (nodes, bytes) = finished.ok_or_else(used_up)?.map_err(error::to_python)?;
        let schema = nodes.schema();
        let nodes = ArrowStream::new(Box::new(RecordBatchIterator::new(nodes, schema)));
        let bytes = RecordBatchIterator::new(bytes, core::BytesByRole::schema());
        Ok((nodes, ArrowStream::new(Box::new(bytes))))
    }
}

fn used_up() -> PyErr {
    PyValueError::new_err("this builder has been finished, or has failed")
}

/// The index of an archive.
#[pyclass(frozen, module = "quantum_butler._core")]
pub(crate) struct LineageIndex(Arc<core::LineageIndex>);

/// Numbers of datasets in the five roles, those predicted and unused, and those predicted and missing.
type CountsTuple = (Vec<u64>, u64, u64);

/// A quantum, a dataset, and the roles of that in either index.
type ChangeTuple<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>, u8, u8);

type Ids<'py> = Vec<Bound<'py, PyAny>>;

#[pymethods]
impl LineageIndex {
    #[new]
    #[pyo3(signature = (table, /))]
    fn new(table: &Bound<'_, PyAny>) -> PyResult<Self> {
        let (schema, batches) = read_schema_and_table(table)?;
        let index = core::LineageIndex::new(&schema, &batches).map_err(error::to_python)?;
        Ok(Self(Arc::new(index)))
    }

    #[getter]
    fn datasets(&self) -> u32 {
        self.0.datasets()
    }

    #[getter]
    fn quanta(&self) -> u32 {
        self.0.quanta()
    }

    #[pyo3(signature = (id, /))]
    fn dataset(&self, py: Python<'_>, id: u128) -> PyResult<Option<u32>> {
        py.detach(|| self.0.dataset(id)).map_err(error::to_python)
    }

    #[pyo3(signature = (ids, /))]
    fn find_datasets(&self, py: Python<'_>, ids: Vec<u128>) -> PyResult<Vec<Option<u32>>> {
        py.detach(|| self.0.find_datasets(&ids)).map_err(error::to_python)
    }

    #[pyo3(signature = (id, /))]
    fn quantum(&self, py: Python<'_>, id: u128) -> Option<u32> {
        py.detach(|| self.0.quantum(id)).map(|row| row - self.0.datasets())
    }

    #[pyo3(signature = (ids, /))]
    fn find_quanta(&self, py: Python<'_>, ids: Vec<u128>) -> Vec<Option<u32>> {
        let rows = py.detach(|| self.0.find_quanta(&ids));
        rows.into_iter().map(|row| Some(row? - self.0.datasets())).collect()
    }

    #[pyo3(signature = (rows, /))]
    fn dataset_ids<'py>(&self, py: Python<'py>, rows: Vec<u32>) -> PyResult<Ids<'py>> {
        let row = |row: u32| self.checked(row, 0, self.0.datasets());
        rows.into_iter().map(|number| uuid_to_python(py, self.0.id(row(number)?))).collect()
    }

    #[pyo3(signature = (numbers, /))]
    fn quantum_ids<'py>(&self, py: Python<'py>, numbers: Vec<u32>) -> PyResult<Ids<'py>> {
        let row = |number: u32| self.checked(number, self.0.datasets(), self.0.quanta());
        numbers.into_iter().map(|number| uuid_to_python(py, self.0.id(row(number)?))).collect()
    }

    /// Numbers of the quanta that have the dataset in one of these roles.
    #[pyo3(signature = (row, roles, /))]
    fn quanta_of(&self, row: u32, roles: u8) -> PyResult<Vec<u32>> {
        let row = self.checked(row, 0, self.0.datasets())?;
        let found = self.0.neighbours(row).map_err(error::to_python)?;
        Ok(found.in_roles(roles).map(|row| row - self.0.datasets()).collect())
    }

    /// Number of the first quantum that wrote each dataset, or was to write it.
    #[pyo3(signature = (rows, /))]
    fn writers(&self, py: Python<'_>, rows: Vec<u32>) -> PyResult<Vec<Option<u32>>> {
        for row in &rows {
            self.checked(*row, 0, self.0.datasets())?;
        }
        let writers = || rows.iter().map(|row| self.0.writer(*row)).collect::<Result<Vec<_>, _>>();
        let writers = py.detach(writers).map_err(error::to_python)?;
        Ok(writers.into_iter().map(|writer| Some(writer? - self.0.datasets())).collect())
    }

    /// Whether each dataset was written.
    #[pyo3(signature = (rows, /))]
    fn written(&self, py: Python<'_>, rows: Vec<u32>) -> PyResult<Vec<bool>> {
        for row in &rows {
            self.checked(*row, 0, self.0.datasets())?;
        }
        let written = || rows.iter().map(|row| self.0.is_written(*row)).collect::<Result<Vec<_>, _>>();
        py.detach(written).map_err(error::to_python)
    }

    /// Of the datasets in some rows, who has written each or was to, and whether it is written.
    #[pyo3(signature = (start, stop, /))]
    fn producers(&self, py: Python<'_>, start: u32, stop: u32) -> PyResult<ArrowTable> {
        if start < stop {
            self.checked(stop - 1, 0, self.0.datasets())?;
        }
        let producers = py.detach(|| self.0.producers(start..stop)).map_err(error::to_python)?;
        let ids = producers.iter().map(|one| one.map(|(id, _)| id.to_be_bytes()));
        let ids = FixedSizeBinaryArray::try_from_sparse_iter_with_size(ids, 16);
        let ids = ids.map_err(|error| PyValueError::new_err(error.to_string()))?;
        let written: BooleanArray = producers.iter().map(|one| one.map(|(_, written)| written)).collect();
        Ok(table_of([("producer", Arc::new(ids)), ("produced", Arc::new(written))]))
    }

    /// Row and roles of each dataset that the quantum has.
    #[pyo3(signature = (number, /))]
    fn datasets_of(&self, number: u32) -> PyResult<Vec<(u32, u8)>> {
        let row = self.checked(number, self.0.datasets(), self.0.quanta())?;
        let found = self.0.neighbours(row).map_err(error::to_python)?;
        Ok(found.rows.iter().copied().zip(found.roles.iter().copied()).collect())
    }

    #[pyo3(signature = (rows, /, *, up, actual, depth))]
    fn closure(
        &self,
        py: Python<'_>,
        rows: Vec<u32>,
        up: bool,
        actual: bool,
        depth: Option<u32>,
    ) -> PyResult<Closure> {
        for row in &rows {
            self.checked(*row, 0, self.0.datasets())?;
        }
        let plan = Plan { direction: if up { Direction::Up } else { Direction::Down }, actual, depth };
        let part = py.detach(|| self.0.closure(&rows, plan)).map_err(error::to_python)?;
        Ok(Closure { index: self.0.clone(), part, plan })
    }

    #[pyo3(signature = (task_of, tasks, /))]
    fn census(&self, task_of: &Bound<'_, PyAny>, tasks: u32) -> PyResult<(Vec<CountsTuple>, CountsTuple)> {
        let py = task_of.py();
        let mut numbers = Vec::new();
        for batch in read_table(task_of)? {
            let column = batch.column(0).as_primitive_opt::<UInt32Type>();
            let column = column.filter(|column| column.null_count() == 0);
            let column = column.ok_or_else(|| PyValueError::new_err("numbers of tasks are uint32"))?;
            numbers.extend_from_slice(column.values());
        }
        let census = py.detach(|| self.0.census(&numbers, tasks)).map_err(error::to_python)?;
        let tuple = |counts: Counts| (counts.datasets.to_vec(), counts.unused, counts.missing);
        Ok((census.tasks.into_iter().map(tuple).collect(), tuple(census.total)))
    }

    /// Quanta and datasets of the left and of the right only, and what differs in quanta of both.
    #[pyo3(signature = (other, /))]
    fn difference<'py>(
        &self,
        other: &Bound<'py, Self>,
    ) -> PyResult<([Ids<'py>; 2], [Ids<'py>; 2], Vec<ChangeTuple<'py>>)> {
        let (py, right) = (other.py(), other.get());
        let found = py.detach(|| self.0.difference(&right.0)).map_err(error::to_python)?;
        let ids = |ids: &Vec<u128>| ids.iter().map(|id| uuid_to_python(py, *id)).collect::<PyResult<_>>();
        let change = |change: core::Change| {
            let [left, right] = change.roles;
            Ok((uuid_to_python(py, change.quantum)?, uuid_to_python(py, change.dataset)?, left, right))
        };
        Ok((
            [ids(&found.quanta[0])?, ids(&found.quanta[1])?],
            [ids(&found.datasets[0])?, ids(&found.datasets[1])?],
            found.changes.into_iter().map(change).collect::<PyResult<_>>()?,
        ))
    }
}

impl LineageIndex {
    /// The row of one of `count` nodes from `first` on.
    fn checked(&self, number: u32, first: u32, count: u32) -> PyResult<u32> {
        let row = (number < count).then(|| first + number);
        row.ok_or_else(|| PyValueError::new_err(format!("{number} is not a row of the index")))
    }
}

/// A part of the graph, kept out of Python until asked for.
#[pyclass(frozen, module = "quantum_butler._core")]
pub(crate) struct Closure {
    index: Arc<core::LineageIndex>,
    part: core::Closure,
    plan: Plan,
}

#[pymethods]
impl Closure {
    /// Ids and distances of its datasets.
    fn datasets<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.distances(py, &self.part.datasets)
    }

    /// Ids and distances of its quanta.
    fn quanta<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.distances(py, &self.part.quanta)
    }

    /// The rows of its datasets.
    fn dataset_rows(&self) -> Vec<u32> {
        self.part.datasets.iter().map(|(row, _)| *row).collect()
    }

    /// The numbers of its quanta.
    fn quantum_numbers(&self) -> Vec<u32> {
        self.part.quanta.iter().map(|(row, _)| row - self.index.datasets()).collect()
    }

    /// Places of a quantum and of a dataset in those lists, and whether the quantum wrote the dataset.
    fn edges(&self, py: Python<'_>) -> PyResult<Vec<(u32, u32, bool)>> {
        let edges = py.detach(|| self.index.edges(&self.part, self.plan)).map_err(error::to_python)?;
        Ok(edges.into_iter().map(|edge| (edge.quantum, edge.dataset, edge.output)).collect())
    }
}

impl Closure {
    fn distances<'py>(&self, py: Python<'py>, rows: &[(u32, u32)]) -> PyResult<Bound<'py, PyDict>> {
        let distances = PyDict::new(py);
        for (row, distance) in rows {
            distances.set_item(uuid_to_python(py, self.index.id(*row))?, *distance)?;
        }
        Ok(distances)
    }
}

/// The row of each wanted id among others, each of which is there once, or the greatest number.
#[pyfunction]
#[pyo3(signature = (ids, wanted, /))]
pub(crate) fn rows_of_ids(ids: &Bound<'_, PyAny>, wanted: &Bound<'_, PyAny>) -> PyResult<ArrowTable> {
    numbers_of(ids, wanted, core::rows_of_ids)
}

/// How many of some ascending ids are not greater, for each wanted one.
#[pyfunction]
#[pyo3(signature = (bounds, wanted, /))]
pub(crate) fn ranges_of_ids(bounds: &Bound<'_, PyAny>, wanted: &Bound<'_, PyAny>) -> PyResult<ArrowTable> {
    numbers_of(bounds, wanted, core::ranges_of_ids)
}

/// A number for each wanted id; both tables have ids as their only column.
fn numbers_of(
    ids: &Bound<'_, PyAny>,
    wanted: &Bound<'_, PyAny>,
    of: impl Send + FnOnce(&[[u8; 16]], &[[u8; 16]]) -> Vec<u32>,
) -> PyResult<ArrowTable> {
    let py = ids.py();
    let [ids, wanted] = [id_values(&read_table(ids)?)?, id_values(&read_table(wanted)?)?];
    let numbers = py.detach(|| of(&ids, &wanted));
    Ok(table_of([("row", Arc::new(UInt32Array::from(numbers)))]))
}

fn id_values(batches: &[RecordBatch]) -> PyResult<Vec<[u8; 16]>> {
    let mut ids = Vec::new();
    for batch in batches {
        let column = batch.columns().first().and_then(|column| column.as_fixed_size_binary_opt());
        let column = column.filter(|column| column.value_length() == 16 && column.null_count() == 0);
        let column = column.ok_or_else(|| PyValueError::new_err("the only column has ids"))?;
        ids.extend_from_slice(column.value_data().as_chunks().0);
    }
    Ok(ids)
}

/// A table of columns of one length, which may be null.
fn table_of<const COUNT: usize>(columns: [(&str, ArrayRef); COUNT]) -> ArrowTable {
    let field = |(name, column): &(&str, ArrayRef)| Field::new(*name, column.data_type().clone(), true);
    let schema = Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()));
    let batch = RecordBatch::try_new(schema.clone(), columns.map(|(_, column)| column).to_vec());
    ArrowTable::new(schema, batch.into_iter().collect())
}
