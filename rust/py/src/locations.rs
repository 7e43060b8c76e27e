//! Which datasets one datastore holds, and which are in its trash.

use pyo3::prelude::*;
use pyo3::types::PySet;
use quantum_butler_core as core;

use crate::dataset_id::{dataset_id_if_any, dataset_ids, ids_to_python};
use crate::error;
use crate::lock::Shared;
use crate::undo::{Change, Undo};

/// The datasets that one datastore holds, and those in its trash.
#[pyclass(frozen, module = "quantum_butler._core")]
pub(crate) struct Locations {
    pub(crate) locations: Shared<core::Locations>,
    pub(crate) datastore: String,
}

#[pymethods]
impl Locations {
    #[new]
    fn new(datastore: String) -> Self {
        Self { locations: Shared::new(core::Locations::new(datastore.clone())), datastore }
    }

    #[getter]
    fn datastore(&self) -> &str {
        &self.datastore
    }

    #[pyo3(signature = (datasets, /))]
    fn insert(&self, datasets: &Bound<'_, PyAny>) -> PyResult<Undo> {
        let ids = dataset_ids(datasets)?;
        let undo = self.locations.write(datasets.py(), ids.len(), |locations| locations.insert(ids));
        Ok(self.undo(undo.map_err(error::to_python)?))
    }

    #[pyo3(signature = (datasets, /))]
    fn ensure(&self, datasets: &Bound<'_, PyAny>) -> PyResult<Undo> {
        let ids = dataset_ids(datasets)?;
        Ok(self.undo(self.locations.write(datasets.py(), ids.len(), |locations| locations.ensure(ids))))
    }

    #[pyo3(signature = (datasets, /))]
    fn forget(&self, datasets: &Bound<'_, PyAny>) -> PyResult<()> {
        let ids = dataset_ids(datasets)?;
        self.locations.write(datasets.py(), ids.len(), |locations| locations.forget(ids));
        Ok(())
    }

    #[pyo3(signature = (datasets, /))]
    fn move_to_trash(&self, datasets: &Bound<'_, PyAny>) -> PyResult<Undo> {
        let ids = dataset_ids(datasets)?;
        let moved = self.locations.write(datasets.py(), ids.len(), |locations| locations.move_to_trash(ids));
        Ok(self.undo(moved.map_err(error::to_python)?))
    }

    #[pyo3(signature = (datasets, /))]
    fn check<'py>(&self, datasets: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PySet>> {
        let (py, mut ids) = (datasets.py(), dataset_ids(datasets)?);
        let ids = self.locations.read(py, ids.len(), |locations| {
            ids.retain(|id| locations.present().contains(*id));
            ids
        });
        PySet::new(py, ids_to_python(py, ids)?)
    }

    fn present<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let ids = self.locations.read(py, usize::MAX, |locations| locations.present().sorted());
        ids_to_python(py, ids)
    }

    #[pyo3(signature = (selected=None, /))]
    fn trashed<'py>(
        &self,
        py: Python<'py>,
        selected: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let selected = selected.map(dataset_ids).transpose()?;
        let ids = self.locations.read(py, usize::MAX, |locations| {
            let selected = selected.map(|ids| ids.into_iter().collect());
            locations.trashed(selected.as_ref())
        });
        ids_to_python(py, ids)
    }

    #[pyo3(signature = (datasets, /))]
    fn drop_from_trash(&self, datasets: &Bound<'_, PyAny>) -> PyResult<()> {
        let ids = dataset_ids(datasets)?;
        self.locations.write(datasets.py(), ids.len(), |locations| locations.drop_from_trash(ids));
        Ok(())
    }

    fn memory(&self, py: Python<'_>) -> usize {
        self.locations.read(py, 1, core::Locations::memory)
    }

    fn __contains__(&self, dataset: &Bound<'_, PyAny>) -> bool {
        let Some(id) = dataset_id_if_any(dataset) else {
            return false;
        };
        self.locations.read(dataset.py(), 1, |locations| locations.present().contains(id))
    }

    fn __len__(&self, py: Python<'_>) -> usize {
        self.locations.read(py, 1, |locations| locations.present().len())
    }
}

impl Locations {
    fn undo(&self, undo: core::LocationsUndo) -> Undo {
        Change::Locations(self.locations.clone(), undo).into()
    }
}
