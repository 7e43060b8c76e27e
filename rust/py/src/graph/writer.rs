//! Writing provenance graphs.

use std::path::PathBuf;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use quantum_butler_core::graph as core;
use quantum_butler_core::graph::{Block, BlockKind};

use super::gatherer::GatheredBlocks;
use crate::error;
use crate::lock::Shared;

/// Writing goes on for long.
const LONG: usize = usize::MAX;

/// Writes a provenance graph; one after `finish`, or an error, is of no use.
#[pyclass(frozen, module = "quantum_butler._core")]
pub(crate) struct GraphWriter(Shared<Option<core::GraphWriter>>);

/// A kind, the id of a quantum or a dataset, the dataset that a log or metadata is of, and JSON.
type BlockTuple = (String, u128, Option<u128>, Vec<u8>);

fn block((kind, id, dataset, text): BlockTuple) -> PyResult<Block> {
    let kind = match kind.as_str() {
        "dataset" => BlockKind::Datasets,
        "quantum" => BlockKind::Quanta,
        "log" => BlockKind::Logs,
        "metadata" => BlockKind::Metadata,
        other => return Err(PyValueError::new_err(format!("there are no blocks of kind {other:?}"))),
    };
    Ok(Block { kind, id, dataset, text })
}

#[pymethods]
impl GraphWriter {
    #[new]
    #[pyo3(signature = (path, folder, dictionary, level, memory, /))]
    fn new(path: PathBuf, folder: PathBuf, dictionary: Vec<u8>, level: i32, memory: usize) -> PyResult<Self> {
        let writer = core::GraphWriter::new(&path, &folder, dictionary, level, memory);
        Ok(Self(Shared::new(Some(writer.map_err(error::to_python)?))))
    }

    #[staticmethod]
    #[pyo3(signature = (path, folder, bytes, samples, level, memory, /))]
    fn training(
        path: PathBuf,
        folder: PathBuf,
        bytes: usize,
        samples: usize,
        level: i32,
        memory: usize,
    ) -> PyResult<Self> {
        let training = core::Training { bytes, samples };
        let writer = core::GraphWriter::with_training(&path, &folder, training, level, memory);
        Ok(Self(Shared::new(Some(writer.map_err(error::to_python)?))))
    }

    fn datasets(&self, py: Python<'_>) -> PyResult<usize> {
        let datasets = self.0.read(py, LONG, |writer| Some(writer.as_ref()?.datasets()));
        datasets.ok_or_else(used_up)
    }

    #[pyo3(signature = (ids, /))]
    fn without(&self, py: Python<'_>, ids: Vec<u128>) -> PyResult<Vec<u128>> {
        let is_new =
            |writer: &core::GraphWriter| ids.iter().copied().filter(|id| !writer.has_dataset(*id)).collect();
        self.0.read(py, LONG, |writer| writer.as_ref().map(is_new)).ok_or_else(used_up)
    }

    #[pyo3(signature = (blocks, /))]
    fn add(&self, py: Python<'_>, blocks: Vec<BlockTuple>) -> PyResult<()> {
        let blocks = blocks.into_iter().map(block).collect::<PyResult<Vec<_>>>()?;
        self.add_blocks(py, &blocks)
    }

    #[pyo3(signature = (gathered, /))]
    fn add_gathered(&self, py: Python<'_>, gathered: &Bound<'_, GatheredBlocks>) -> PyResult<()> {
        self.add_blocks(py, &gathered.get().0.blocks)
    }

    #[pyo3(signature = (header, members, /))]
    fn finish(&self, py: Python<'_>, header: &[u8], members: Vec<(String, Vec<u8>)>) -> PyResult<()> {
        let members: Vec<_> = members.iter().map(|(name, text)| (name.as_str(), text.as_slice())).collect();
        let finished = self.0.write(py, LONG, |writer| Some(writer.take()?.finish(header, &members)));
        finished.ok_or_else(used_up)?.map_err(error::to_python)
    }
}

impl GraphWriter {
    fn add_blocks(&self, py: Python<'_>, blocks: &[Block]) -> PyResult<()> {
        let added = self.0.write(py, LONG, |writer| {
            let added = writer.as_mut()?.add(blocks);
            if added.is_err() {
                *writer = None;
            }
            Some(added)
        });
        added.ok_or_else(used_up)?.map_err(error::to_python)
    }
}

fn used_up() -> PyErr {
    PyValueError::new_err("this writer has been finished, or has failed")
}

/// A dictionary for blocks like these, or an empty one if they are too few.
#[pyfunction]
#[pyo3(signature = (samples, size, /))]
pub(crate) fn train_dictionary<'py>(
    py: Python<'py>,
    samples: Vec<Vec<u8>>,
    size: usize,
) -> Bound<'py, PyBytes> {
    let dictionary = py.detach(|| core::train_dictionary(&samples, size));
    PyBytes::new(py, &dictionary)
}
