//! Whether a dictionary still has the very same objects in it.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::critical_section::with_critical_section;
use pyo3::types::PyDict;

/// What was in a dictionary at one moment.
#[pyclass(frozen, module = "quantum_butler._core")]
pub(crate) struct Contents {
    dict: Py<PyDict>,
    /// Keys and values, in order. Held, so that no other object comes to be at the same address.
    items: Vec<(Py<PyAny>, Py<PyAny>)>,
}

#[pymethods]
impl Contents {
    #[new]
    #[pyo3(signature = (dict, /))]
    fn new(dict: &Bound<'_, PyDict>) -> Self {
        let items = dict.iter().map(|(key, value)| (key.unbind(), value.unbind())).collect();
        Self { dict: dict.clone().unbind(), items }
    }

    #[pyo3(signature = (dict, /))]
    fn are_in(&self, dict: &Bound<'_, PyDict>) -> bool {
        dict.is(&self.dict) && with_critical_section(dict, || self.are_in_locked(dict))
    }
}

impl Contents {
    /// Looks at addresses only: the objects themselves are scattered all over the memory.
    fn are_in_locked(&self, dict: &Bound<'_, PyDict>) -> bool {
        let (mut position, mut key, mut value) = (0, std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: the dictionary is alive and nobody changes it meanwhile; what it lends is not looked into.
        let mut next =
            || match unsafe { ffi::PyDict_Next(dict.as_ptr(), &mut position, &mut key, &mut value) } {
                0 => None,
                _ => Some((key, value)),
            };
        let same = self.items.iter().all(|(key, value)| next() == Some((key.as_ptr(), value.as_ptr())));
        same && next().is_none()
    }
}
