//! Provenance of many quanta into Arrow tables.

use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, FixedSizeBinaryArray, RecordBatch, TimestampMicrosecondArray, UInt32Array};
use arrow_schema::{DataType, Field, Schema};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use quantum_butler_core::arrow_columns::{UuidBuilder, uuid_field};
use quantum_butler_core::log::{Attempt, Storage, unpack as unpack_contents};
use quantum_butler_core::scan::{self as core, Candidate, LogQueue, LogReader, Place, WholeLog};
use quantum_butler_core::{Error, record_table_schema};

use crate::arrow_columns::{ArrowTable, read_table};
use crate::error;
use crate::lock::Shared;

/// Reading a log always takes long enough to release the interpreter.
const LONG: usize = usize::MAX;

/// Reads the provenance of quanta, from pieces of logs and from files of one quantum each.
#[pyclass(frozen, module = "quantum_butler._core")]
pub(crate) struct ProvenanceScanner(Shared<Reading>);

#[derive(Default)]
struct Reading {
    scanner: core::Scanner,
    log: Option<LogReader>,
    logs: LogQueue,
}

#[pymethods]
impl ProvenanceScanner {
    #[new]
    #[pyo3(signature = (*, most_rejected = None, contents = false))]
    fn new(most_rejected: Option<usize>, contents: bool) -> Self {
        let mut scanner = most_rejected.map(core::Scanner::with_most_rejected).unwrap_or_default();
        if contents {
            scanner.keep_contents();
        }
        Self(Shared::new(Reading { scanner, ..Reading::default() }))
    }

    #[pyo3(signature = (path, start, end, /, *, compressed))]
    fn open_log(
        &self,
        py: Python<'_>,
        path: PathBuf,
        start: u64,
        end: u64,
        compressed: bool,
    ) -> PyResult<u64> {
        let storage = if compressed { Storage::Frames } else { Storage::Lines };
        let open = |reading: &mut Reading| {
            let log = LogReader::open(&path, storage, start..end)?;
            let start = log.start();
            reading.scanner.start(0);
            reading.log = Some(log);
            Ok(start)
        };
        self.0.write(py, LONG, open).map_err(error::to_python)
    }

    #[pyo3(signature = (logs, /))]
    fn open_logs(&self, py: Python<'_>, logs: Vec<(u32, PathBuf, u64, bool)>) {
        let logs = logs.into_iter().map(|(source, path, bytes, compressed)| {
            let storage = if compressed { Storage::Frames } else { Storage::Lines };
            WholeLog { source, path, storage, bytes }
        });
        let queue = LogQueue::new(logs.collect());
        self.0.write(py, LONG, |reading| (reading.log, reading.logs) = (None, queue));
    }

    fn advance(&self, py: Python<'_>) -> PyResult<bool> {
        let advance = |reading: &mut Reading| match &mut reading.log {
            Some(log) => log.advance(&mut reading.scanner),
            None => Ok(reading.logs.advance(&mut reading.scanner)),
        };
        self.0.write(py, LONG, advance).map_err(error::to_python)
    }

    #[pyo3(signature = (source, /))]
    fn start(&self, py: Python<'_>, source: u32) {
        self.0.write(py, 0, |reading| reading.scanner.start(source));
    }

    #[pyo3(signature = (data, /))]
    fn feed(&self, py: Python<'_>, data: &[u8]) {
        self.0.write(py, LONG, |reading| reading.scanner.feed(data));
    }

    fn finish(&self, py: Python<'_>) {
        self.0.write(py, LONG, |reading| reading.scanner.finish());
    }

    #[pyo3(signature = (reason, /))]
    fn skip(&self, py: Python<'_>, reason: &str) {
        self.0.write(py, 0, |reading| reading.scanner.skip(reason));
    }

    #[pyo3(signature = (first_source, paths, /))]
    fn files(&self, py: Python<'_>, first_source: u32, paths: Vec<PathBuf>) -> Vec<u64> {
        let read = |reading: &mut Reading| {
            (first_source..).zip(&paths).map(|(source, path)| reading.scanner.file(source, path)).collect()
        };
        self.0.write(py, LONG, read)
    }

    #[pyo3(signature = (source, name, data, /))]
    fn document(&self, py: Python<'_>, source: u32, name: &str, data: &[u8]) {
        self.0.write(py, LONG, |reading| {
            reading.scanner.start(source);
            reading.scanner.document(name, data);
        });
    }

    #[getter]
    fn position(&self, py: Python<'_>) -> u64 {
        self.0.read(py, 0, |reading| reading.scanner.position())
    }

    #[getter]
    fn content(&self, py: Python<'_>) -> u64 {
        self.0.read(py, 0, |reading| reading.scanner.content())
    }

    #[getter]
    fn has_given_up(&self, py: Python<'_>) -> bool {
        self.0.read(py, 0, |reading| reading.scanner.has_given_up())
    }

    #[getter]
    fn is_full(&self, py: Python<'_>) -> bool {
        self.0.read(py, 0, |reading| reading.scanner.is_full())
    }

    fn take(&self, py: Python<'_>) -> ([ArrowTable; 6], Vec<(u32, u64, String)>) {
        let (tables, rejected) = self.0.write(py, LONG, |reading| reading.scanner.take());
        (
            [
                ArrowTable::new(core::quantum_schema(), vec![tables.quanta]),
                ArrowTable::new(core::edge_schema(), vec![tables.edges]),
                ArrowTable::new(record_table_schema(), vec![tables.records]),
                ArrowTable::new(core::earlier_schema(), vec![tables.earlier]),
                ArrowTable::new(tables.names.schema(), vec![tables.names]),
                ArrowTable::new(core::contents_schema(), vec![tables.contents]),
            ],
            rejected
                .into_iter()
                .map(|rejected| (rejected.source, rejected.offset, rejected.reason))
                .collect(),
        )
    }
}

/// Parts a log of frames into ranges of about so many bytes.
#[pyfunction]
#[pyo3(signature = (path, size, /))]
pub(crate) fn frame_pieces(py: Python<'_>, path: PathBuf, size: u64) -> PyResult<Vec<(u64, u64)>> {
    let pieces = py.detach(|| core::frame_pieces(&path, size)).map_err(error::to_python)?;
    Ok(pieces.into_iter().map(|piece| (piece.start, piece.end)).collect())
}

/// What was packed as contents in a line, or the reason why that cannot be told.
#[pyfunction]
#[pyo3(signature = (dictionary, packed, /))]
pub(crate) fn unpack<'py>(py: Python<'py>, dictionary: i64, packed: &str) -> PyResult<Bound<'py, PyBytes>> {
    let unpacked = py.detach(|| unpack_contents(dictionary, packed.as_bytes()));
    unpacked.map(|text| PyBytes::new(py, &text)).map_err(PyValueError::new_err)
}

/// Makes the fingerprints of quanta: a column `content` with them.
#[pyfunction]
#[pyo3(signature = (quanta, edges, records, /))]
pub(crate) fn fingerprints(
    quanta: &Bound<'_, PyAny>,
    edges: &Bound<'_, PyAny>,
    records: &Bound<'_, PyAny>,
) -> PyResult<ArrowTable> {
    let py = quanta.py();
    let (quanta, edges, records) = (one_batch(quanta)?, one_batch(edges)?, one_batch(records)?);
    let column = py.detach(|| {
        let found = core::fingerprints(&quanta, &edges, &records)?;
        let mut column = UuidBuilder::with_capacity(found.len());
        found.into_iter().for_each(|fingerprint| column.push(fingerprint));
        Ok(column.finish())
    });
    let field = Field::new("content", DataType::FixedSizeBinary(16), false);
    Ok(table(vec![(field, column.map_err(error::to_python)?)]))
}

/// The rows of a table that has them in one piece.
fn one_batch(table: &Bound<'_, PyAny>) -> PyResult<RecordBatch> {
    let [batch] = <[RecordBatch; 1]>::try_from(read_table(table)?).map_err(|batches| {
        PyValueError::new_err(format!("a table in one piece is needed, not in {}", batches.len()))
    })?;
    Ok(batch)
}

/// Finds quanta that are there more than once.
#[pyclass(frozen, module = "quantum_butler._core")]
pub(crate) struct Duplicates(Shared<core::Duplicates>);

#[pymethods]
impl Duplicates {
    #[classattr]
    const PAST: u32 = Place::PAST;

    #[new]
    #[pyo3(signature = (share, shares, /))]
    fn new(share: u32, shares: u32) -> Self {
        Self(Shared::new(core::Duplicates::new(share, shares)))
    }

    #[pyo3(signature = (part, first_row, quanta, /))]
    fn add(&self, py: Python<'_>, part: u32, first_row: u32, quanta: &Bound<'_, PyAny>) -> PyResult<()> {
        let batches = read_table(quanta)?;
        let add = |duplicates: &mut core::Duplicates| {
            let mut row = first_row;
            for batch in &batches {
                row = duplicates.add(part, row, uuids(batch, "quantum_id")?.iter().map(number))?;
            }
            Ok(())
        };
        self.0.write(py, LONG, add).map_err(error::to_python)
    }

    fn places(&self, py: Python<'_>) -> ArrowTable {
        table(place_columns(["part", "row"], &self.0.write(py, LONG, core::Duplicates::places)))
    }

    #[pyo3(signature = (attempts, /))]
    fn finish(&self, py: Python<'_>, attempts: Vec<Bound<'_, PyAny>>) -> PyResult<(ArrowTable, ArrowTable)> {
        let mut batches = Vec::new();
        for table in &attempts {
            batches.extend(read_table(table)?);
        }
        let finish = |duplicates: &mut core::Duplicates| {
            let mut found = Vec::new();
            for batch in &batches {
                found.extend(candidates(batch)?);
            }
            std::mem::replace(duplicates, core::Duplicates::new(0, 1)).finish(&found)
        };
        let found = self.0.write(py, LONG, finish).map_err(error::to_python)?;
        let mut ids = UuidBuilder::with_capacity(found.replaced.len());
        found.replaced.iter().for_each(|replaced| ids.push(replaced.quantum_id));
        let mut replaced = vec![(uuid_field("quantum_id"), ids.finish())];
        let (dropped, kept): (Vec<_>, Vec<_>) =
            found.replaced.iter().map(|one| (one.place, one.kept)).unzip();
        replaced.extend(place_columns(["part", "row"], &dropped));
        replaced.extend(place_columns(["kept_part", "kept_row"], &kept));
        let numbers = UInt32Array::from_iter_values(found.replaced.iter().map(|one| one.number));
        replaced.push((Field::new("number", DataType::UInt32, false), Arc::new(numbers)));
        Ok((table(place_columns(["part", "row"], &found.repeated)), table(replaced)))
    }
}

/// The attempts in rows with the columns `content`, `begin`, `end` and `failed`.
fn candidates(batch: &RecordBatch) -> quantum_butler_core::Result<impl Iterator<Item = Candidate>> {
    let missing =
        |name: &str| Error::UnknownColumn { table: "of attempts".to_owned(), column: name.to_owned() };
    let times = |name: &str| {
        let column = batch.column_by_name(name).and_then(|column| column.as_primitive_opt());
        column.ok_or_else(|| missing(name))
    };
    let (begin, end): (&TimestampMicrosecondArray, _) = (times("begin")?, times("end")?);
    let failed = batch.column_by_name("failed").and_then(|column| column.as_boolean_opt());
    let failed = failed.ok_or_else(|| missing("failed"))?;
    let rows = uuids(batch, "content")?.iter().zip(begin).zip(end).zip(failed);
    Ok(rows.map(|(((content, begin), end), failed)| {
        let attempt = Attempt { begin, end, failed };
        Candidate { attempt, content: number(content) }
    }))
}

fn place_columns([part, row]: [&str; 2], places: &[Place]) -> Vec<(Field, ArrayRef)> {
    let column = |name: &str, values: UInt32Array| -> (Field, ArrayRef) {
        (Field::new(name, DataType::UInt32, false), Arc::new(values))
    };
    let parts = UInt32Array::from_iter_values(places.iter().map(|place| place.part));
    let rows = UInt32Array::from_iter_values(places.iter().map(|place| place.row));
    vec![column(part, parts), column(row, rows)]
}

fn table(columns: Vec<(Field, ArrayRef)>) -> ArrowTable {
    let (fields, columns): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(schema.clone(), columns).expect("all columns have a row for each");
    ArrowTable::new(schema, vec![batch])
}

fn uuids<'b>(batch: &'b RecordBatch, name: &str) -> quantum_butler_core::Result<&'b FixedSizeBinaryArray> {
    let missing = || Error::UnknownColumn { table: "of quanta".to_owned(), column: name.to_owned() };
    let column = batch.column_by_name(name).and_then(|column| column.as_fixed_size_binary_opt());
    column.filter(|column| column.value_length() == 16).ok_or_else(missing)
}

fn number(bytes: Option<&[u8]>) -> u128 {
    bytes.and_then(|bytes| bytes.try_into().ok()).map_or(0, u128::from_be_bytes)
}
