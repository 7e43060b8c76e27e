//! What of a file datastore's trash can go.

use pyo3::prelude::*;
use quantum_butler_core as core;

use crate::dataset_id::ids_to_python;
use crate::lock::Pair;
use crate::removal::remove;

/// Datasets in the trash of a file datastore, and what is to become of their artifacts.
#[pyclass(frozen, module = "quantum_butler._core")]
pub(crate) struct Trash {
    pub(crate) both: Pair<core::Table, core::Locations>,
    pub(crate) columns: core::FileRecords,
    pub(crate) trash: core::Trash,
}

#[pymethods]
impl Trash {
    #[getter]
    fn artifacts(&self) -> &[String] {
        self.trash.artifacts()
    }

    #[getter]
    fn datasets<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        ids_to_python(py, self.trash.datasets().sorted())
    }

    #[getter]
    fn kept(&self) -> usize {
        self.trash.kept()
    }

    #[pyo3(signature = (root, /))]
    fn remove_files<'py>(&self, py: Python<'py>, root: &str) -> PyResult<Vec<(usize, Bound<'py, PyAny>)>> {
        remove(py, root, self.trash.artifacts())
    }

    fn empty(&self, py: Python<'_>) {
        self.both.write(py, self.trash.datasets().len(), |table, locations| {
            self.columns.empty_trash(table, locations, &self.trash);
        });
    }
}
