//! Predicted graphs: the quanta that were planned, and their datasets.

use std::path::PathBuf;
use std::sync::OnceLock;

use super::addresses::Address;
use super::file::Kind;
use super::files::Files;
use super::json::Uuid;
use super::models::{PlannedQuantum, QuantumName, ThinGraph};
use super::names::{Index, Wanted};
use crate::Result;

const KIND: Kind = Kind {
    name: "predicted",
    versions: 0..=1,
    addresses: ("quanta", 1),
    upstream: "lsst.pipe.base.quantum_graph.PredictedQuantumGraph",
};

/// The member with all blocks.
pub(super) const BLOCKS: &str = "quantum_datasets";

/// Any number of files as one graph.
#[derive(Debug)]
pub struct PredictedGraph {
    files: Files,
    quanta: OnceLock<Index>,
}

impl PredictedGraph {
    /// Opens files, of which nothing is read but headers.
    pub fn open(paths: &[PathBuf]) -> Result<Self> {
        Ok(Self { files: Files::open(paths, &KIND)?, quanta: OnceLock::new() })
    }

    /// The files.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// The text of a quantum's block, of the first file that has it.
    pub fn text(&self, id: u128) -> Result<Option<Vec<u8>>> {
        let Some((number, address)) = self.place(id)? else { return Ok(None) };
        let file = self.files.get(number);
        file.block(file.container().member(&format!("{BLOCKS}.mb"))?, address).map(Some)
    }

    /// A quantum, with the number of the first file that has it.
    pub fn quantum(&self, id: u128) -> Result<Option<(usize, PlannedQuantum)>> {
        let Some((number, address)) = self.place(id)? else { return Ok(None) };
        let file = self.files.get(number);
        let quantum = file.model(file.container().member(&format!("{BLOCKS}.mb"))?, address)?;
        Ok(Some((number, quantum)))
    }

    fn place(&self, id: u128) -> Result<Option<(usize, Address)>> {
        let rows = self.files.rows_of(id)?;
        Ok(rows.into_iter().find_map(|(number, row)| Some((number, row.address(0)?))))
    }

    /// What tasks need and write before their quanta, and what the graph itself writes, with the number of the file.
    pub fn init_quanta(&self) -> Result<Vec<(usize, PlannedQuantum)>> {
        let mut all = Vec::new();
        for (number, file) in self.files.iter() {
            let of_file: Vec<PlannedQuantum> = file.document("init_quanta")?;
            all.extend(of_file.into_iter().map(|quantum| (number, quantum)));
        }
        Ok(all)
    }

    /// Which quanta come before which others, in a file.
    pub fn order(&self, file: usize) -> Result<Vec<(u128, u128)>> {
        let file = self.files.get(file);
        if file.header.version > 0 {
            let thin: ThinGraph<Uuid> = file.document("thin_graph")?;
            return Ok(thin.edges.into_iter().map(|(before, after)| (before.0, after.0)).collect());
        }
        // In version 0 they are numbers of rows.
        let thin: ThinGraph<u64> = file.document("thin_graph")?;
        let ids = file.addresses.ids(file.container())?;
        let id = |number: u64| {
            let place = usize::try_from(number).ok();
            let id = place.and_then(|place| ids.get(place)).copied();
            id.ok_or_else(|| file.damaged(format!("the thin graph has a quantum number {number}")))
        };
        thin.edges.into_iter().map(|(before, after)| Ok((id(before)?, id(after)?))).collect()
    }

    /// Ids of quanta of a task that have some values in their data ID, in order.
    ///
    /// If all required dimensions are given, this reads the whole graph once, and little from then on.
    pub fn find_quanta(&self, task: &str, wanted: &Wanted) -> Result<Vec<u128>> {
        self.files.find::<QuantumName>(BLOCKS, Some(&self.quanta), task, wanted)
    }

    /// Ids of datasets of a type that have some values in their data ID, in order; this reads the whole graph.
    pub fn find_datasets(&self, dataset_type: &str, wanted: &Wanted) -> Result<Vec<u128>> {
        self.files.find::<PlannedQuantum>(BLOCKS, None, dataset_type, wanted)
    }
}
