//! Provenance graphs: what happened to the quanta and datasets of a run, or of many.

use std::path::PathBuf;
use std::sync::OnceLock;

use serde::de::DeserializeOwned;

use super::addresses::Address;
use super::file::Kind;
use super::files::Files;
use super::merging::{Told, merge_datasets, merge_quanta, merge_texts, order_of_attempts};
use super::models::{Dataset, DatasetName, InitQuantum, Quantum, QuantumName};
use super::names::{Index, Wanted};
use crate::Result;

const KIND: Kind = Kind {
    name: "provenance",
    versions: 1..=1,
    addresses: ("nodes", 4),
    upstream: "lsst.pipe.base.quantum_graph.ProvenanceQuantumGraph",
};

/// Kinds of blocks, in the order of their addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockKind {
    /// Datasets.
    Datasets,
    /// Quanta.
    Quanta,
    /// Logs of quanta.
    Logs,
    /// Metadata of quanta.
    Metadata,
}

impl BlockKind {
    /// The name of the member, without its ending.
    pub(super) fn member(self) -> &'static str {
        ["datasets", "quanta", "logs", "metadata"][self as usize]
    }
}

/// Any number of files as one graph.
#[derive(Debug)]
pub struct ProvenanceGraph {
    files: Files,
    quanta: OnceLock<Index>,
    datasets: OnceLock<Index>,
}

impl ProvenanceGraph {
    /// Opens files, of which nothing is read but headers.
    pub fn open(paths: &[PathBuf]) -> Result<Self> {
        let files = Files::open(paths, &KIND)?;
        Ok(Self { files, quanta: OnceLock::new(), datasets: OnceLock::new() })
    }

    /// The files.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// A quantum, with the number of the first file that has it; what several files tell of it is put together.
    pub fn quantum(&self, id: u128) -> Result<Option<(usize, Quantum)>> {
        let (files, told) = self.quanta_of(id)?;
        let merged = match told.as_slice() {
            [(_, quantum)] => Some(quantum.clone()),
            _ => merge_quanta(&told, &order_of_attempts(&told)),
        };
        Ok(files.first().copied().zip(merged))
    }

    /// A dataset, with the number of the first file that has it; what several files tell of it is put together.
    pub fn dataset(&self, id: u128) -> Result<Option<(usize, Dataset)>> {
        let told = self.told::<Dataset>(BlockKind::Datasets, id)?;
        let first = told.first().map_or(0, |(file, _)| *file);
        let merged = merge_datasets(told.into_iter().map(|(_, dataset)| dataset));
        Ok(merged.map(|merged| (first, merged)))
    }

    /// The logs or the metadata of the attempts at a quantum, which may be named by the id of that dataset, too.
    pub fn text(&self, kind: BlockKind, id: u128) -> Result<Option<Vec<u8>>> {
        let rows = self.files.rows_of(id)?;
        let found: Vec<_> =
            rows.into_iter().filter_map(|(file, row)| Some((file, row.address(kind as usize)?))).collect();
        let text = |(number, address): (usize, Address)| {
            let file = self.files.get(number);
            file.block(file.container().member(&format!("{}.mb", kind.member()))?, address)
        };
        if found.is_empty() || self.files.len() == 1 {
            return found.first().copied().map(text).transpose();
        }
        let quantum = match self.dataset(id)? {
            Some((_, dataset)) => dataset.producer.map_or(id, |producer| producer.0),
            None => id,
        };
        let (files, told) = self.quanta_of(quantum)?;
        let of_file =
            |file: &usize| found.iter().find(|(other, _)| other == file).copied().map(text).transpose();
        let texts = files.iter().map(of_file).collect::<Result<Vec<_>>>()?;
        let merged = merge_texts(&texts, &order_of_attempts(&told));
        merged.map_err(|what| self.files.damaged(found[0].0, &what))
    }

    /// What tasks need and write before their quanta, with the number of the file.
    pub fn init_quanta(&self) -> Result<Vec<(usize, InitQuantum)>> {
        let mut all = Vec::new();
        for (number, file) in self.files.iter() {
            let of_file: Vec<InitQuantum> = file.document("init_quanta")?;
            all.extend(of_file.into_iter().map(|quantum| (number, quantum)));
        }
        Ok(all)
    }

    /// Ids of quanta of a task that have some values in their data ID.
    ///
    /// If all required dimensions are given, this reads the whole graph once, and little from then on.
    pub fn find_quanta(&self, task: &str, wanted: &Wanted) -> Result<Vec<u128>> {
        self.files.find::<QuantumName>(BlockKind::Quanta.member(), Some(&self.quanta), task, wanted)
    }

    /// Ids of datasets of a type that have some values in their data ID.
    pub fn find_datasets(&self, dataset_type: &str, wanted: &Wanted) -> Result<Vec<u128>> {
        let member = BlockKind::Datasets.member();
        self.files.find::<DatasetName>(member, Some(&self.datasets), dataset_type, wanted)
    }

    fn told<T: DeserializeOwned>(&self, kind: BlockKind, id: u128) -> Result<Vec<(usize, T)>> {
        let mut told = Vec::new();
        for (number, row) in self.files.rows_of(id)? {
            let file = self.files.get(number);
            if let Some(address) = row.address(kind as usize) {
                let member = file.container().member(&format!("{}.mb", kind.member()))?;
                told.push((number, file.model(member, address)?));
            }
        }
        Ok(told)
    }

    /// What files tell of a quantum, and which these are.
    fn quanta_of(&self, id: u128) -> Result<(Vec<usize>, Vec<Told<Quantum>>)> {
        let told = self.told::<Quantum>(BlockKind::Quanta, id)?;
        let made = |file: usize| self.files.header(file).0.timestamp.as_ref().map(|time| time.micros);
        Ok(told.into_iter().map(|(file, quantum)| (file, (made(file), quantum))).unzip())
    }
}
