//! The slots of Python's objects, read and filled in where they lie.
//!
//! Asking an object for an attribute by name costs ten times as much as the value that a slot holds. Ids and
//! records come by the thousand, and as instances of three classes: `uuid.UUID`, `DatasetRef` and
//! `StoredFileInfo`.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyTuple, PyType};

/// Some slots of one class.
pub(crate) struct Slots<const N: usize> {
    class: Py<PyType>,
    /// Where they lie in an instance; `None` if they are not what slots usually are.
    offsets: Option<[usize; N]>,
}

impl<const N: usize> Slots<N> {
    pub(crate) fn new(class: &Bound<'_, PyType>, names: [&str; N]) -> Self {
        let mut offsets = [0; N];
        let found = names.iter().zip(&mut offsets).try_for_each(|(name, offset)| {
            *offset = offset_of(class, name)?;
            Some(())
        });
        Self { class: class.clone().unbind(), offsets: found.map(|()| offsets) }
    }

    pub(crate) fn class<'py>(&self, py: Python<'py>) -> &Bound<'py, PyType> {
        self.class.bind(py)
    }

    /// What is in the slots of an instance of just this class, if each holds something.
    pub(crate) fn get<'py>(&self, object: &Bound<'py, PyAny>) -> Option<[Bound<'py, PyAny>; N]> {
        let py = object.py();
        let offsets =
            self.offsets.as_ref().filter(|_| object.get_type_ptr() == self.class.as_ptr().cast())?;
        let mut values = [const { None }; N];
        for (offset, value) in offsets.iter().zip(&mut values) {
            // SAFETY: the object is of the class whose descriptor told where it keeps a reference or null,
            // and the interpreter lock keeps others from changing it before we own a reference.
            *value = Some(unsafe {
                Bound::from_borrowed_ptr_or_opt(py, *object.as_ptr().byte_add(*offset).cast::<*mut _>())
            }?);
        }
        Some(values.map(|value| value.expect("each was filled in")))
    }

    /// A new instance with these values in its slots, made without its `__init__`; if that cannot be,
    /// nothing.
    pub(crate) fn make<'py>(
        &self,
        py: Python<'py>,
        values: [Bound<'py, PyAny>; N],
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let class = self.class.as_ptr().cast::<ffi::PyTypeObject>();
        // SAFETY: a class is alive as long as there is a reference to it, and a slot of it is null or a
        // function of this signature.
        let (Some(offsets), Some(new)) = (&self.offsets, unsafe { (*class).tp_new }) else {
            return Ok(None);
        };
        let nothing = PyTuple::empty(py);
        // SAFETY: this is how `class.__new__(class)` is called.
        let object =
            unsafe { Bound::from_owned_ptr_or_err(py, new(class, nothing.as_ptr(), std::ptr::null_mut())) }?;
        if object.get_type_ptr() != class {
            return Ok(None);
        }
        for (offset, value) in offsets.iter().zip(values) {
            // SAFETY: as in `get`; nobody else has seen the object yet. What was in the slot, if anything,
            // is let go once it has been replaced.
            unsafe {
                let slot = object.as_ptr().byte_add(*offset).cast::<*mut ffi::PyObject>();
                drop(Bound::from_owned_ptr_or_opt(py, std::mem::replace(&mut *slot, value.into_ptr())));
            }
        }
        Ok(Some(object))
    }
}

/// Where instances of a class keep the attribute of that name, if the class itself has a slot for it.
fn offset_of(class: &Bound<'_, PyType>, name: &str) -> Option<usize> {
    // Without a lock around the interpreter others may change an object while we look.
    let system = class.py().import("sys").ok()?;
    if system.getattr("_is_gil_enabled").is_ok_and(|has_lock| !has_lock.call0().is_ok_and(is_true)) {
        return None;
    }
    let descriptor = class.getattr("__dict__").and_then(|names| names.get_item(name)).ok()?;
    let member_type = &raw mut ffi::PyMemberDescr_Type;
    if descriptor.get_type_ptr() != member_type {
        return None;
    }
    // SAFETY: an object of just this type is laid out so, and its definition lives as long as it does.
    let (kind, offset) = unsafe {
        let member = (*descriptor.as_ptr().cast::<ffi::PyMemberDescrObject>()).d_member;
        ((*member).type_code, (*member).offset)
    };
    usize::try_from(offset).ok().filter(|_| kind == ffi::Py_T_OBJECT_EX)
}

fn is_true(object: Bound<'_, PyAny>) -> bool {
    object.is_truthy().unwrap_or(false)
}
