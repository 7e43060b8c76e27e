//! What takes a change back.

use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;
use quantum_butler_core as core;

use crate::lock::{Pair, Shared};

/// What takes one change back; it does so once.
#[pyclass(frozen, module = "quantum_butler._core")]
pub(crate) struct Undo(Mutex<Option<Change>>);

/// A change that can be taken back, and what it changed.
pub(crate) enum Change {
    Table(Shared<core::Table>, core::TableUndo),
    Locations(Shared<core::Locations>, core::LocationsUndo),
    Records(Pair<core::Table, core::Locations>, core::RecordsUndo),
}

impl From<Change> for Undo {
    fn from(change: Change) -> Self {
        Self(Mutex::new(Some(change)))
    }
}

#[pymethods]
impl Undo {
    fn __call__(&self, py: Python<'_>) {
        let change = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        match change {
            None => {}
            Some(Change::Table(table, undo)) => table.write(py, undo.len(), |table| table.undo(undo)),
            Some(Change::Locations(locations, undo)) => {
                locations.write(py, undo.len(), |locations| locations.undo(undo));
            }
            Some(Change::Records(both, undo)) => both.write(py, undo.len(), |table, locations| {
                core::FileRecords::undo(table, locations, undo);
            }),
        }
    }
}
