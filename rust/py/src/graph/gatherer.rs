//! Making blocks of provenance graphs from what logs and files have.

use std::path::PathBuf;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use quantum_butler_core::graph::{self as core, BlockKind, Left, Place, PlannedDataset};

use super::detached;
use super::values::key;
use crate::arrow_columns::read_table;
use crate::error;
use crate::lock::Shared;

/// Gathering takes long.
const LONG: usize = usize::MAX;

/// Makes blocks of quanta that have succeeded.
#[pyclass(frozen, module = "quantum_butler._core")]
pub(crate) struct Gatherer(Shared<core::Gatherer>);

/// Id of a quantum, and the files of its metadata and its log.
type StoredTuple = (u128, PathBuf, PathBuf);

/// Id of a dataset, its type, its run, and values of its data ID.
type DatasetTuple<'py> = (u128, String, String, Bound<'py, PyList>);

/// Id of a quantum, and its metadata and its log.
type PlannedTuple<'py> = (u128, DatasetTuple<'py>, DatasetTuple<'py>);

/// A block as the writer takes it.
type BlockTuple<'py> = (&'static str, u128, Option<u128>, Bound<'py, PyBytes>);

#[pymethods]
impl Gatherer {
    #[new]
    #[pyo3(signature = (path, datasets, quanta, outputs, /))]
    fn new(py: Python<'_>, path: PathBuf, datasets: &[u8], quanta: &[u8], outputs: &[u8]) -> PyResult<Self> {
        let graph = detached(py, || core::PredictedGraph::open(&[path]))?;
        let (datasets, quanta) = (ids(datasets)?, ids(quanta)?);
        if datasets.len() != quanta.len() {
            return Err(PyValueError::new_err("each edge has a dataset and a quantum"));
        }
        let outputs = ids(outputs)?.into_iter();
        Ok(Self(Shared::new(core::Gatherer::new(graph, datasets, quanta, outputs))))
    }

    #[pyo3(signature = (datasets, /))]
    fn lose(&self, py: Python<'_>, datasets: Vec<u128>) {
        self.0.write(py, datasets.len(), |gatherer| gatherer.lose(datasets.into_iter()));
    }

    #[pyo3(signature = (quanta, /))]
    fn plans<'py>(&self, py: Python<'py>, quanta: Vec<u128>) -> PyResult<Vec<PlannedTuple<'py>>> {
        let plans = self.0.write(py, LONG, |gatherer| gatherer.plans(&quanta)).map_err(error::to_python)?;
        let tuple = |plan: &core::Planned| {
            let [metadata, log] = &plan.datasets;
            Ok((plan.quantum_id, dataset(py, metadata)?, dataset(py, log)?))
        };
        plans.iter().map(tuple).collect()
    }

    #[pyo3(signature = (quanta, contents, /))]
    fn gather(&self, py: Python<'_>, quanta: &[u8], contents: &Bound<'_, PyAny>) -> PyResult<GatheredBlocks> {
        let (quanta, contents) = (ids(quanta)?, read_table(contents)?);
        let gathered = self.0.write(py, LONG, |gatherer| gatherer.gather(&core::logged(&quanta, &contents)?));
        gathered.map(GatheredBlocks).map_err(error::to_python)
    }

    #[pyo3(signature = (stored, /))]
    fn gather_files(&self, py: Python<'_>, stored: Vec<StoredTuple>) -> PyResult<GatheredBlocks> {
        let left = stored.iter().map(|(quantum_id, metadata, log)| Left {
            quantum_id: *quantum_id,
            place: Place::Files([metadata, log]),
        });
        let left = left.collect::<Vec<_>>();
        let gathered = self.0.write(py, LONG, |gatherer| gatherer.gather(&left));
        gathered.map(GatheredBlocks).map_err(error::to_python)
    }
}

/// What has been made of some quanta.
#[pyclass(frozen, module = "quantum_butler._core")]
pub(crate) struct GatheredBlocks(pub(super) core::Gathered);

#[pymethods]
impl GatheredBlocks {
    fn quanta(&self) -> Vec<u128> {
        self.0.taken.clone()
    }

    fn written<'py>(&self, py: Python<'py>) -> PyResult<Vec<DatasetTuple<'py>>> {
        self.0.written.iter().map(|one| dataset(py, one)).collect()
    }

    fn blocks<'py>(&self, py: Python<'py>) -> Vec<BlockTuple<'py>> {
        let block = |block: &core::Block| {
            let kind = match block.kind {
                BlockKind::Datasets => "dataset",
                BlockKind::Quanta => "quantum",
                BlockKind::Logs => "log",
                BlockKind::Metadata => "metadata",
            };
            (kind, block.id, block.dataset, PyBytes::new(py, &block.text))
        };
        self.0.blocks.iter().map(block).collect()
    }

    fn __len__(&self) -> usize {
        self.0.taken.len()
    }
}

fn dataset<'py>(py: Python<'py>, dataset: &PlannedDataset) -> PyResult<DatasetTuple<'py>> {
    let values = PyList::empty(py);
    for value in &dataset.data_coordinate {
        values.append(key(py, value)?)?;
    }
    Ok((dataset.dataset_id.0, dataset.dataset_type_name.clone(), dataset.run.clone(), values))
}

/// Ids, of sixteen bytes each.
fn ids(bytes: &[u8]) -> PyResult<Vec<u128>> {
    let (ids, rest) = bytes.as_chunks::<16>();
    if !rest.is_empty() {
        return Err(PyValueError::new_err("an id has sixteen bytes"));
    }
    Ok(ids.iter().map(|id| u128::from_be_bytes(*id)).collect())
}
