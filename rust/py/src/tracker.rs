//! The bookkeeping of one quantum, and live views of its sets.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyIterator, PyList};
use quantum_butler_core::{self as core, DatasetId, Role};

use crate::dataset_id::{dataset_id, dataset_id_if_any, dataset_ids, ids_to_python, room_for};
use crate::error;
use crate::lock::{Shared, run};

/// A live view of one of a tracker's sets of dataset ids.
#[pyclass(frozen, module = "quantum_butler._core")]
pub(crate) struct IdSet {
    tracker: Shared<core::Tracker>,
    role: Role,
}

#[pymethods]
impl IdSet {
    fn __len__(&self, py: Python<'_>) -> usize {
        self.tracker.read(py, 1, |tracker| tracker.set(self.role).len())
    }

    fn __contains__(&self, item: &Bound<'_, PyAny>) -> bool {
        let Some(id) = dataset_id_if_any(item) else {
            return false;
        };
        self.tracker.read(item.py(), 1, |tracker| tracker.set(self.role).contains(id))
    }

    /// Iterates over the ids as they were when this was called.
    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        let len = self.__len__(py);
        let ids: Vec<_> = self.tracker.read(py, len, |tracker| tracker.set(self.role).iter().collect());
        PyList::new(py, ids_to_python(py, ids)?)?.try_iter()
    }

    #[pyo3(signature = (dataset, /))]
    fn add(&self, dataset: &Bound<'_, PyAny>) -> PyResult<()> {
        let id = dataset_id(dataset)?;
        self.tracker.write(dataset.py(), 1, |tracker| tracker.insert(self.role, id));
        Ok(())
    }

    #[pyo3(signature = (dataset, /))]
    fn discard(&self, dataset: &Bound<'_, PyAny>) {
        if let Some(id) = dataset_id_if_any(dataset) {
            self.tracker.write(dataset.py(), 1, |tracker| tracker.remove(self.role, id));
        }
    }
}

/// Which datasets one quantum expected, found and used.
#[pyclass(frozen, module = "quantum_butler._core")]
pub(crate) struct Tracker(pub(crate) Shared<core::Tracker>);

/// What `settle` returns: see `core::Settled`.
type Settled<'py> = (usize, Vec<Bound<'py, PyAny>>, bool, usize, Vec<Bound<'py, PyAny>>);

/// A dataset with its roles, in the order of `Role::ALL`.
type Changed<'py> = (Bound<'py, PyAny>, bool, bool, bool, bool, bool);

#[pymethods]
impl Tracker {
    #[new]
    fn new(predicted_inputs: &Bound<'_, PyAny>, predicted_outputs: &Bound<'_, PyAny>) -> PyResult<Self> {
        let (inputs, outputs) = (dataset_ids(predicted_inputs)?, dataset_ids(predicted_outputs)?);
        let tracker = run(predicted_inputs.py(), inputs.len() + outputs.len(), || {
            core::Tracker::new(inputs.into_iter().collect(), outputs.into_iter().collect())
        });
        Ok(Self(Shared::new(tracker)))
    }

    #[pyo3(signature = (role, /))]
    fn view(&self, role: &str) -> PyResult<IdSet> {
        let Some(role) = Role::ALL.into_iter().find(|known| known.name() == role) else {
            return Err(PyValueError::new_err(format!("a tracker has no set called {role:?}")));
        };
        Ok(IdSet { tracker: self.0.clone(), role })
    }

    #[pyo3(signature = (dataset, /))]
    fn is_predicted_output(&self, dataset: &Bound<'_, PyAny>) -> PyResult<bool> {
        let id = dataset_id(dataset)?;
        Ok(self.0.read(dataset.py(), 1, |tracker| tracker.set(Role::PredictedOutputs).contains(id)))
    }

    #[pyo3(signature = (dataset, /))]
    fn note_read(&self, dataset: &Bound<'_, PyAny>) -> PyResult<()> {
        self.note(dataset, core::Tracker::note_read)
    }

    #[pyo3(signature = (dataset, /))]
    fn note_read_failed(&self, dataset: &Bound<'_, PyAny>) -> PyResult<()> {
        self.note(dataset, core::Tracker::note_read_failed)
    }

    #[pyo3(signature = (dataset, /))]
    fn note_deferred(&self, dataset: &Bound<'_, PyAny>) -> PyResult<()> {
        self.note(dataset, core::Tracker::note_deferred)
    }

    #[pyo3(signature = (dataset, /))]
    fn note_unused(&self, dataset: &Bound<'_, PyAny>) -> PyResult<()> {
        self.note(dataset, core::Tracker::note_unused)
    }

    #[pyo3(signature = (dataset, /))]
    fn note_written(&self, dataset: &Bound<'_, PyAny>) -> PyResult<()> {
        self.note(dataset, core::Tracker::note_written)
    }

    #[pyo3(signature = (dataset, exists, /))]
    fn note_stored(&self, dataset: &Bound<'_, PyAny>, exists: bool) -> PyResult<()> {
        let id = dataset_id(dataset)?;
        self.0.write(dataset.py(), 1, |tracker| tracker.note_existence(id, exists));
        Ok(())
    }

    #[pyo3(signature = (existence, /))]
    fn note_existence(&self, existence: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = existence.py();
        let mut noted = Vec::with_capacity(room_for(existence.len()?));
        if let Ok(existence) = existence.cast::<PyDict>() {
            for (dataset, exists) in existence {
                noted.push((dataset_id(&dataset)?, exists.is_truthy()?));
            }
        } else {
            for item in existence.call_method0(pyo3::intern!(py, "items"))?.try_iter()? {
                let (dataset, exists): (Bound<'_, PyAny>, Bound<'_, PyAny>) = item?.extract()?;
                noted.push((dataset_id(&dataset)?, exists.is_truthy()?));
            }
        }
        self.0.write(py, noted.len(), |tracker| {
            noted.into_iter().for_each(|(id, exists)| tracker.note_existence(id, exists));
        });
        Ok(())
    }

    #[pyo3(signature = (is_new, /))]
    fn watch(&self, py: Python<'_>, is_new: bool) {
        self.0.write(py, usize::MAX, |tracker| {
            tracker.changes.watch();
            if is_new {
                tracker.note_everything();
            }
        });
    }

    fn is_settled(&self, py: Python<'_>) -> bool {
        self.0.read(py, 1, |tracker| tracker.changes.is_empty())
    }

    #[pyo3(signature = (held, /))]
    fn changes<'py>(&self, held: &Bound<'py, PyAny>) -> PyResult<(Vec<Changed<'py>>, u64)> {
        let (py, held) = (held.py(), dataset_ids(held)?.into_iter().collect());
        let (changes, upto) = self.0.read(py, 1, |tracker| {
            let (ids, upto) = tracker.changes.unsettled(&held);
            (ids.into_iter().map(|(id, _)| (id, tracker.roles(id))).collect::<Vec<_>>(), upto)
        });
        let ids = ids_to_python(py, changes.iter().map(|(id, _)| *id))?;
        let roles = changes.into_iter().map(|(_, [a, b, c, d, e])| (a, b, c, d, e));
        Ok((ids.into_iter().zip(roles).map(|(id, (a, b, c, d, e))| (id, a, b, c, d, e)).collect(), upto))
    }

    #[pyo3(signature = (upto, held, /))]
    fn settle_changes(&self, upto: u64, held: &Bound<'_, PyAny>) -> PyResult<()> {
        let (py, held) = (held.py(), dataset_ids(held)?.into_iter().collect());
        self.0.write(py, 1, |tracker| tracker.changes.settle(upto, &held));
        Ok(())
    }

    #[pyo3(signature = (datasets, /))]
    fn unpredicted(&self, datasets: &Bound<'_, PyAny>) -> PyResult<Vec<usize>> {
        let ids = dataset_ids(datasets)?;
        Ok(self.0.read(datasets.py(), ids.len(), |tracker| {
            let unpredicted = ids.iter().enumerate().filter(|(_, id)| !tracker.is_predicted(**id));
            unpredicted.map(|(position, _)| position).collect()
        }))
    }

    fn require_uuids(&self, py: Python<'_>) -> PyResult<()> {
        self.0.read(py, 1, core::Tracker::require_uuids).map_err(error::to_python)
    }

    fn drop_contradictions(&self, py: Python<'_>) {
        self.0.write(py, 1, |tracker| drop(tracker.drop_contradictions()));
    }

    #[pyo3(signature = (limit, /))]
    fn settle<'py>(&self, py: Python<'py>, limit: usize) -> PyResult<Settled<'py>> {
        let predicted = self.0.read(py, 1, |tracker| tracker.set(Role::PredictedInputs).len());
        let settled = self.0.write(py, predicted, |tracker| tracker.settle(limit));
        Ok((
            settled.contradicted,
            ids_to_python(py, settled.first_contradicted)?,
            settled.incomplete,
            settled.unchecked,
            ids_to_python(py, settled.first_unchecked)?,
        ))
    }
}

impl Tracker {
    fn note(&self, dataset: &Bound<'_, PyAny>, note: fn(&mut core::Tracker, DatasetId)) -> PyResult<()> {
        let id = dataset_id(dataset)?;
        self.0.write(dataset.py(), 1, |tracker| note(tracker, id));
        Ok(())
    }
}
