//! Quantum graphs in files.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::RecordBatch;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use quantum_butler_core::Error;
use quantum_butler_core::graph::{self as core, BlockKind, Files, Key};

use crate::arrow_columns::ArrowTable;
use crate::dataset_id::uuid_to_python;
use crate::error::to_python;

mod gatherer;
mod values;
mod writer;

pub(crate) use gatherer::{GatheredBlocks, Gatherer};
pub(crate) use writer::{GraphWriter, train_dictionary};

use values::{DatasetTuple, InitTuple, PlannedTuple, QuantumTuple, Types};

/// A value of a data ID that is looked for.
#[derive(FromPyObject)]
enum Wanted {
    Int(i64),
    Text(String),
}

fn wanted(values: Vec<(String, Wanted)>) -> Vec<(String, Key)> {
    let key = |value| match value {
        Wanted::Int(value) => Key::Int(value),
        Wanted::Text(value) => Key::Text(value),
    };
    values.into_iter().map(|(name, value)| (name, key(value))).collect()
}

type Ids<'py> = Vec<Bound<'py, PyAny>>;

fn ids(py: Python<'_>, found: Vec<u128>) -> PyResult<Ids<'_>> {
    found.into_iter().map(|id| uuid_to_python(py, id)).collect()
}

/// Calls a core function while others may use the interpreter.
fn detached<T: Send>(py: Python<'_>, work: impl FnOnce() -> Result<T, Error> + Send) -> PyResult<T> {
    py.detach(work).map_err(to_python)
}

fn file_of(files: &Files, number: usize) -> PyResult<usize> {
    let there = (number < files.len()).then_some(number);
    there.ok_or_else(|| PyValueError::new_err("there is no file of that number"))
}

fn header<'py>(py: Python<'py>, files: &Files, number: usize) -> PyResult<Bound<'py, PyBytes>> {
    Ok(PyBytes::new(py, files.header(file_of(files, number)?).1))
}

fn member<'py>(py: Python<'py>, files: &Files, number: usize, name: &str) -> PyResult<Bound<'py, PyBytes>> {
    let number = file_of(files, number)?;
    Ok(PyBytes::new(py, &detached(py, || files.member(number, name))?))
}

fn types<'py>(py: Python<'py>, files: &Files, number: usize) -> PyResult<Types<'py>> {
    let number = file_of(files, number)?;
    let pipeline = detached(py, || files.pipeline(number))?;
    values::types(py, pipeline)
}

/// Provenance graphs as one.
#[pyclass(frozen, module = "quantum_butler._core")]
pub(crate) struct ProvenanceGraph(Arc<core::ProvenanceGraph>);

#[pymethods]
impl ProvenanceGraph {
    #[new]
    #[pyo3(signature = (paths, /))]
    fn new(py: Python<'_>, paths: Vec<PathBuf>) -> PyResult<Self> {
        Ok(Self(Arc::new(detached(py, || core::ProvenanceGraph::open(&paths))?)))
    }

    #[pyo3(signature = (file, /))]
    fn header<'py>(&self, py: Python<'py>, file: usize) -> PyResult<Bound<'py, PyBytes>> {
        header(py, self.0.files(), file)
    }

    #[pyo3(signature = (file, name, /))]
    fn member<'py>(&self, py: Python<'py>, file: usize, name: &str) -> PyResult<Bound<'py, PyBytes>> {
        member(py, self.0.files(), file, name)
    }

    #[pyo3(signature = (file, /))]
    fn types<'py>(&self, py: Python<'py>, file: usize) -> PyResult<Types<'py>> {
        types(py, self.0.files(), file)
    }

    #[getter]
    fn rows(&self) -> u64 {
        self.0.files().rows()
    }

    #[pyo3(signature = (id, /))]
    fn quantum<'py>(&self, py: Python<'py>, id: u128) -> PyResult<Option<QuantumTuple<'py>>> {
        let found = detached(py, || self.0.quantum(id))?;
        found.map(|(file, quantum)| values::quantum(py, self.0.files(), file, quantum)).transpose()
    }

    #[pyo3(signature = (id, /))]
    fn dataset<'py>(&self, py: Python<'py>, id: u128) -> PyResult<Option<DatasetTuple<'py>>> {
        let found = detached(py, || self.0.dataset(id))?;
        found.map(|(file, dataset)| values::dataset(py, self.0.files(), file, dataset)).transpose()
    }

    #[pyo3(signature = (id, /))]
    fn logs<'py>(&self, py: Python<'py>, id: u128) -> PyResult<Option<Bound<'py, PyBytes>>> {
        self.text(py, BlockKind::Logs, id)
    }

    #[pyo3(signature = (id, /))]
    fn metadata<'py>(&self, py: Python<'py>, id: u128) -> PyResult<Option<Bound<'py, PyBytes>>> {
        self.text(py, BlockKind::Metadata, id)
    }

    fn init_quanta<'py>(&self, py: Python<'py>) -> PyResult<Vec<InitTuple<'py>>> {
        let found = detached(py, || self.0.init_quanta())?;
        found.into_iter().map(|(file, quantum)| values::init_quantum(py, file, quantum)).collect()
    }

    #[pyo3(signature = (task, data_id, /))]
    fn find_quanta<'py>(
        &self,
        py: Python<'py>,
        task: &str,
        data_id: Vec<(String, Wanted)>,
    ) -> PyResult<Ids<'py>> {
        let data_id = wanted(data_id);
        ids(py, detached(py, || self.0.find_quanta(task, &data_id))?)
    }

    #[pyo3(signature = (dataset_type, data_id, /))]
    fn find_datasets<'py>(
        &self,
        py: Python<'py>,
        dataset_type: &str,
        data_id: Vec<(String, Wanted)>,
    ) -> PyResult<Ids<'py>> {
        let data_id = wanted(data_id);
        ids(py, detached(py, || self.0.find_datasets(dataset_type, &data_id))?)
    }

    /// Numbers of files that may become one graph.
    fn alike(&self, py: Python<'_>) -> PyResult<Vec<Vec<usize>>> {
        detached(py, || core::alike(self.0.files()))
    }

    /// Calls `progress` with how many files have been copied.
    #[pyo3(signature = (files, path, folder, command, memory, progress, /))]
    #[allow(clippy::too_many_arguments, reason = "it is called once, and each is something else")]
    fn unite(
        &self,
        py: Python<'_>,
        files: Vec<usize>,
        path: PathBuf,
        folder: PathBuf,
        command: &str,
        memory: usize,
        progress: Py<PyAny>,
    ) -> PyResult<(u64, u64, u64, u64, u64)> {
        files.iter().try_for_each(|file| file_of(self.0.files(), *file).map(drop))?;
        let mut raised = None;
        let go_on = |done: usize| {
            let told = Python::attach(|py| py.check_signals().and_then(|()| progress.call1(py, (done,))));
            raised = told.err();
            raised.is_none()
        };
        let made = py.detach(|| core::unite(&self.0, &files, &path, &folder, command, memory, go_on));
        let made = made.map_err(|error| raised.unwrap_or_else(|| to_python(error)))?;
        Ok((made.files, made.quanta, made.repeated_quanta, made.datasets, made.repeated_datasets))
    }

    #[pyo3(signature = (rows, /))]
    fn quanta(&self, py: Python<'_>, rows: usize) -> PyResult<TableBatches> {
        let graph = self.0.clone();
        let mut reader = detached(py, || core::QuantaReader::new(graph, rows))?;
        Ok(TableBatches::new(move || {
            Ok(reader.next_batch()?.map(|batch| vec![batch.quanta, batch.attempts, batch.edges]))
        }))
    }

    #[pyo3(signature = (rows, /))]
    fn datasets(&self, py: Python<'_>, rows: usize) -> PyResult<TableBatches> {
        let graph = self.0.clone();
        let mut reader = detached(py, || core::DatasetsReader::new(graph, rows))?;
        Ok(TableBatches::new(move || Ok(reader.next_batch()?.map(|batch| vec![batch]))))
    }
}

impl ProvenanceGraph {
    fn text<'py>(&self, py: Python<'py>, kind: BlockKind, id: u128) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let text = detached(py, || self.0.text(kind, id))?;
        Ok(text.map(|text| PyBytes::new(py, &text)))
    }
}

/// Predicted graphs as one.
#[pyclass(frozen, module = "quantum_butler._core")]
pub(crate) struct PredictedGraph(Arc<core::PredictedGraph>);

#[pymethods]
impl PredictedGraph {
    #[new]
    #[pyo3(signature = (paths, /))]
    fn new(py: Python<'_>, paths: Vec<PathBuf>) -> PyResult<Self> {
        Ok(Self(Arc::new(detached(py, || core::PredictedGraph::open(&paths))?)))
    }

    #[pyo3(signature = (file, /))]
    fn header<'py>(&self, py: Python<'py>, file: usize) -> PyResult<Bound<'py, PyBytes>> {
        header(py, self.0.files(), file)
    }

    #[pyo3(signature = (file, name, /))]
    fn member<'py>(&self, py: Python<'py>, file: usize, name: &str) -> PyResult<Bound<'py, PyBytes>> {
        member(py, self.0.files(), file, name)
    }

    #[pyo3(signature = (file, /))]
    fn types<'py>(&self, py: Python<'py>, file: usize) -> PyResult<Types<'py>> {
        types(py, self.0.files(), file)
    }

    #[getter]
    fn rows(&self) -> u64 {
        self.0.files().rows()
    }

    #[pyo3(signature = (id, /))]
    fn quantum<'py>(&self, py: Python<'py>, id: u128) -> PyResult<Option<PlannedTuple<'py>>> {
        let found = detached(py, || self.0.quantum(id))?;
        found.map(|(file, quantum)| values::planned(py, self.0.files(), file, quantum, false)).transpose()
    }

    #[pyo3(signature = (id, /))]
    fn text<'py>(&self, py: Python<'py>, id: u128) -> PyResult<Option<Bound<'py, PyBytes>>> {
        Ok(detached(py, || self.0.text(id))?.map(|text| PyBytes::new(py, &text)))
    }

    fn init_quanta<'py>(&self, py: Python<'py>) -> PyResult<Vec<PlannedTuple<'py>>> {
        let found = detached(py, || self.0.init_quanta())?;
        let tuple = |(file, quantum)| values::planned(py, self.0.files(), file, quantum, true);
        found.into_iter().map(tuple).collect()
    }

    #[pyo3(signature = (file, /))]
    fn order<'py>(
        &self,
        py: Python<'py>,
        file: usize,
    ) -> PyResult<Vec<(Bound<'py, PyAny>, Bound<'py, PyAny>)>> {
        let file = file_of(self.0.files(), file)?;
        let found = detached(py, || self.0.order(file))?;
        let pair = |(before, after)| Ok((uuid_to_python(py, before)?, uuid_to_python(py, after)?));
        found.into_iter().map(pair).collect()
    }

    #[pyo3(signature = (task, data_id, /))]
    fn find_quanta<'py>(
        &self,
        py: Python<'py>,
        task: &str,
        data_id: Vec<(String, Wanted)>,
    ) -> PyResult<Ids<'py>> {
        let data_id = wanted(data_id);
        ids(py, detached(py, || self.0.find_quanta(task, &data_id))?)
    }

    #[pyo3(signature = (dataset_type, data_id, /))]
    fn find_datasets<'py>(
        &self,
        py: Python<'py>,
        dataset_type: &str,
        data_id: Vec<(String, Wanted)>,
    ) -> PyResult<Ids<'py>> {
        let data_id = wanted(data_id);
        ids(py, detached(py, || self.0.find_datasets(dataset_type, &data_id))?)
    }

    #[pyo3(signature = (rows, /))]
    fn quanta(&self, py: Python<'_>, rows: usize) -> PyResult<TableBatches> {
        let graph = self.0.clone();
        let mut reader = detached(py, || core::PlannedQuantaReader::new(graph, rows))?;
        Ok(TableBatches::new(move || Ok(reader.next_batch()?.map(|(quanta, edges)| vec![quanta, edges]))))
    }

    #[pyo3(signature = (rows, /))]
    fn datasets(&self, py: Python<'_>, rows: usize) -> PyResult<TableBatches> {
        let graph = self.0.clone();
        let mut reader = detached(py, || core::PlannedDatasetsReader::new(graph, rows))?;
        Ok(TableBatches::new(move || Ok(reader.next_batch()?.map(|batch| vec![batch]))))
    }
}

type NextTables = Box<dyn FnMut() -> Result<Option<Vec<RecordBatch>>, Error> + Send>;

/// An iterator over tables of some quanta or datasets at a time.
#[pyclass(frozen, module = "quantum_butler._core")]
pub(crate) struct TableBatches(Mutex<NextTables>);

impl TableBatches {
    fn new(next: impl FnMut() -> Result<Option<Vec<RecordBatch>>, Error> + Send + 'static) -> Self {
        Self(Mutex::new(Box::new(next)))
    }
}

#[pymethods]
impl TableBatches {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Vec<ArrowTable>>> {
        let next = detached(py, || self.0.lock().unwrap_or_else(PoisonError::into_inner)())?;
        let table = |batch: RecordBatch| ArrowTable::new(batch.schema(), vec![batch]);
        Ok(next.map(|batches| batches.into_iter().map(table).collect()))
    }
}
