//! Making many Python objects at once.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyString;

/// A Python string that is used again while the text stays the same.
#[derive(Default)]
pub(crate) struct Repeated<'a, 'py>(Option<(&'a str, Bound<'py, PyString>)>);

impl<'a, 'py> Repeated<'a, 'py> {
    pub(crate) fn string(&mut self, py: Python<'py>, text: &'a str) -> Bound<'py, PyString> {
        match &self.0 {
            Some((same, string)) if *same == text => string.clone(),
            _ => self.0.insert((text, PyString::new(py, text))).1.clone(),
        }
    }
}

/// Keeps the garbage collector from looking through objects that are only just being made.
///
/// Making a million of them would start it a thousand times, and it would find nothing: all are in use. Lasts
/// no longer than code that holds on to the interpreter throughout.
pub(crate) struct CollectionPause<'py> {
    was_enabled: bool,
    _py: Python<'py>,
}

impl<'py> CollectionPause<'py> {
    pub(crate) fn new(py: Python<'py>) -> Self {
        // SAFETY: this thread is attached to the interpreter.
        Self { was_enabled: unsafe { ffi::PyGC_Disable() } != 0, _py: py }
    }
}

impl Drop for CollectionPause<'_> {
    fn drop(&mut self) {
        if self.was_enabled {
            // SAFETY: this thread is still attached to the interpreter, as `_py` tells.
            unsafe { ffi::PyGC_Enable() };
        }
    }
}
