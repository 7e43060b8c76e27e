//! Provenance graphs: what happened to the quanta and datasets of a run, or of many.

use std::path::PathBuf;
use std::sync::OnceLock;

use serde::de::DeserializeOwned;

use super::addresses::Row;
use super::file::Kind;
use super::files::Files;
use super::merging::{merge_datasets, merge_quanta, order_of_quanta};
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
        let mut told = self.told::<Quantum>(BlockKind::Quanta, id)?;
        if told.len() < 2 {
            return Ok(told.pop());
        }
        let order = self.in_order(&told);
        let first = order.first().map_or(0, |first| told[*first].0);
        let merged = merge_quanta(order.into_iter().map(|number| told[number].1.clone()));
        Ok(merged.map(|merged| (first, merged)))
    }

    /// A dataset, with the number of the first file that has it; what several files tell of it is put together.
    pub fn dataset(&self, id: u128) -> Result<Option<(usize, Dataset)>> {
        let told = self.told::<Dataset>(BlockKind::Datasets, id)?;
        let first = told.first().map_or(0, |(file, _)| *file);
        let merged = merge_datasets(told.into_iter().map(|(_, dataset)| dataset));
        Ok(merged.map(|merged| (first, merged)))
    }

    /// The texts of logs or metadata of a quantum, which may be named by the id of that dataset, too: one from each
    /// file that has one, in the order of the attempts that they are of.
    pub fn texts(&self, kind: BlockKind, id: u128) -> Result<Vec<Vec<u8>>> {
        let mut found = self.files.rows_of(id)?;
        found.retain(|(_, row)| row.address(kind as usize).is_some());
        if found.len() > 1 {
            let quantum = match self.dataset(id)? {
                Some((_, dataset)) => dataset.producer.map_or(id, |producer| producer.0),
                None => id,
            };
            let told = self.told::<Quantum>(BlockKind::Quanta, quantum)?;
            let order: Vec<_> = self.in_order(&told).into_iter().map(|number| told[number].0).collect();
            let place = |file: usize| order.iter().position(|other| *other == file);
            found.retain(|(file, _)| place(*file).is_some());
            found.sort_by_key(|(file, _)| place(*file));
        }
        let text = |(number, row): &(usize, Row)| {
            let file = self.files.get(*number);
            let address = row.address(kind as usize).expect("only those with one are left");
            file.block(file.container().member(&format!("{}.mb", kind.member()))?, address)
        };
        found.iter().map(text).collect()
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

    fn in_order(&self, told: &[(usize, Quantum)]) -> Vec<usize> {
        let made = |file: usize| self.files.get(file).header.timestamp.as_ref().map(|time| time.micros);
        let told: Vec<_> = told.iter().map(|(file, quantum)| (made(*file), quantum.clone())).collect();
        order_of_quanta(&told)
    }
}
