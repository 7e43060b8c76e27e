//! Two runs side by side: names of both, and inputs that only one of them has.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::UInt32Type;
use arrow_array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow_schema::{DataType, Field, Schema};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use quantum_butler_core::matching::{self as core, Lists, LoneInput, QuantumPair};

use crate::arrow_columns::{ArrowTable, read_table};
use crate::error;
use crate::lock::{Pair, Shared};

/// Many rows take long.
const LONG: usize = usize::MAX;

/// The names of the rows of a table, as numbers.
#[pyclass(frozen, module = "quantum_butler._core")]
pub(crate) struct Names(Shared<core::Names>);

#[pymethods]
impl Names {
    #[new]
    fn new() -> Self {
        Self(Shared::new(core::Names::default()))
    }

    #[pyo3(signature = (table, texts, /))]
    fn add(&self, table: &Bound<'_, PyAny>, texts: Vec<String>) -> PyResult<()> {
        let batches = read_table(table)?;
        let add = |names: &mut core::Names| batches.iter().try_for_each(|batch| names.add(batch, &texts));
        self.0.write(table.py(), LONG, add).map_err(error::to_python)
    }
}

/// Of each row, left and right, the row of the other side with the same name, or the greatest number.
#[pyfunction]
#[pyo3(signature = (left, right, /))]
pub(crate) fn partners(
    py: Python<'_>,
    left: &Bound<'_, Names>,
    right: &Bound<'_, Names>,
) -> (ArrowTable, ArrowTable) {
    let sides = Pair(left.get().0.clone(), right.get().0.clone());
    let [of_left, of_right] = sides.read(py, LONG, core::partners);
    (numbers([("row", of_left)]), numbers([("row", of_right)]))
}

/// Inputs of quanta on one side only: which of the quanta, and the row of the dataset.
#[pyfunction]
#[pyo3(signature = (left, right, quanta, of_left, of_right, /))]
pub(crate) fn lone_inputs(
    left: &Bound<'_, PyAny>,
    right: &Bound<'_, PyAny>,
    quanta: &Bound<'_, PyAny>,
    of_left: &Bound<'_, PyAny>,
    of_right: &Bound<'_, PyAny>,
) -> PyResult<(ArrowTable, ArrowTable)> {
    let py = quanta.py();
    let [left, right] = [read_table(left)?, read_table(right)?];
    let quanta = pairs(&read_table(quanta)?)?;
    let [of_left, of_right] = [rows(&read_table(of_left)?)?, rows(&read_table(of_right)?)?];
    let found = py.detach(|| {
        let [left, right] = [Lists::new(&left)?, Lists::new(&right)?];
        core::lone_inputs([&left, &right], &quanta, [&of_left, &of_right])
    });
    let table = |inputs: &[LoneInput]| {
        let pairs = inputs.iter().map(|one| one.pair).collect();
        numbers([("pair", pairs), ("dataset", inputs.iter().map(|one| one.dataset).collect())])
    };
    let [left, right] = found.map_err(error::to_python)?;
    Ok((table(&left), table(&right)))
}

fn pairs(batches: &[RecordBatch]) -> PyResult<Vec<QuantumPair>> {
    let mut pairs = Vec::new();
    for batch in batches {
        let (one, other) = (row_column(batch, 0)?, row_column(batch, 1)?);
        let actual = batch.columns().get(2).and_then(|column| column.as_boolean_opt());
        let actual = actual.filter(|column| column.null_count() == 0);
        let actual = actual.ok_or_else(|| PyValueError::new_err("the third column has truth values"))?;
        let rows = one.values().iter().zip(other.values()).zip(actual.values());
        pairs.extend(rows.map(|((one, other), is_actual)| QuantumPair { rows: [*one, *other], is_actual }));
    }
    Ok(pairs)
}

fn rows(batches: &[RecordBatch]) -> PyResult<Vec<u32>> {
    let mut rows = Vec::new();
    for batch in batches {
        rows.extend_from_slice(row_column(batch, 0)?.values());
    }
    Ok(rows)
}

fn row_column(batch: &RecordBatch, place: usize) -> PyResult<&UInt32Array> {
    let column = batch.columns().get(place).and_then(|column| column.as_primitive_opt::<UInt32Type>());
    let column = column.filter(|column| column.null_count() == 0);
    column.ok_or_else(|| PyValueError::new_err("rows are uint32"))
}

/// A table of columns of numbers.
fn numbers<const COUNT: usize>(columns: [(&str, Vec<u32>); COUNT]) -> ArrowTable {
    let fields = columns.iter().map(|(name, _)| Field::new(*name, DataType::UInt32, false));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let arrays = columns.map(|(_, values)| Arc::new(UInt32Array::from(values)) as ArrayRef);
    let batch = RecordBatch::try_new(schema.clone(), arrays.to_vec());
    ArrowTable::new(schema, batch.into_iter().collect())
}
