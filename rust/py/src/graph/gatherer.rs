//! Making blocks of provenance graphs from what logs have.

use std::path::PathBuf;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::PyBytes;
use quantum_butler_core::graph::{self as core, BlockKind, Logged};

use super::detached;
use crate::error;
use crate::lock::Shared;

/// Gathering takes long.
const LONG: usize = usize::MAX;

/// Makes blocks of quanta that have succeeded.
#[pyclass(frozen, module = "quantum_butler._core")]
pub(crate) struct Gatherer(Shared<core::Gatherer>);

/// Id of a quantum, number of the dictionary, and metadata and log as they were packed.
type LoggedTuple = (u128, i64, Option<PyBackedStr>, Option<PyBackedStr>);

/// Blocks as the writer takes them, and quanta that were taken.
type GatheredTuple<'py> = (Vec<(&'static str, u128, Option<u128>, Bound<'py, PyBytes>)>, Vec<u128>);

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

    #[pyo3(signature = (logged, /))]
    fn gather<'py>(&self, py: Python<'py>, logged: Vec<LoggedTuple>) -> PyResult<GatheredTuple<'py>> {
        let gather = |gatherer: &mut core::Gatherer| {
            let logged = logged.iter().map(|(quantum_id, dictionary, metadata, log)| Logged {
                quantum_id: *quantum_id,
                dictionary: *dictionary,
                contents: [metadata.as_deref(), log.as_deref()],
            });
            gatherer.gather(&logged.collect::<Vec<_>>())
        };
        let gathered = self.0.write(py, LONG, gather).map_err(error::to_python)?;
        let block = |block: core::Block| {
            let kind = match block.kind {
                BlockKind::Datasets => "dataset",
                BlockKind::Quanta => "quantum",
                BlockKind::Logs => "log",
                BlockKind::Metadata => "metadata",
            };
            (kind, block.id, block.dataset, PyBytes::new(py, &block.text))
        };
        Ok((gathered.blocks.into_iter().map(block).collect(), gathered.taken))
    }
}

/// Ids, of sixteen bytes each.
fn ids(bytes: &[u8]) -> PyResult<Vec<u128>> {
    let (ids, rest) = bytes.as_chunks::<16>();
    if !rest.is_empty() {
        return Err(PyValueError::new_err("an id has sixteen bytes"));
    }
    Ok(ids.iter().map(|id| u128::from_be_bytes(*id)).collect())
}
