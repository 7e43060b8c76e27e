//! Records as Python has them: upstream's `StoredFileInfo`.

use std::borrow::Cow;

use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyType};
use quantum_butler_core::FileRecord;

use crate::dataset_id::type_name;
use crate::new_objects::Repeated;
use crate::slots::Slots;

/// What an instance keeps of a row.
const SLOTS: [&str; 6] = ["path", "formatter", "storage_class_name", "component", "checksum", "file_size"];

/// The class of records; its constructor takes the keyword arguments of upstream's.
pub(crate) struct FileInfoClass {
    slots: Slots<6>,
    /// Whether an instance can be made by filling in its slots, which takes a fifth of the time.
    by_slots: bool,
}

/// A record as Python has it, with its strings held fast so that rows can borrow them.
pub(crate) struct FileInfo<'py> {
    path: Bound<'py, PyString>,
    formatter: Bound<'py, PyString>,
    storage_class: Bound<'py, PyString>,
    component: Option<Bound<'py, PyString>>,
    checksum: Option<Bound<'py, PyString>>,
    file_size: Option<i64>,
}

impl<'py> FileInfo<'py> {
    /// What is in the slots of an instance.
    fn new(
        [path, formatter, storage_class, component, checksum, file_size]: [Bound<'py, PyAny>; 6],
    ) -> PyResult<Self> {
        let text = |value: Bound<'py, PyAny>| Ok::<_, PyErr>(value.cast_into::<PyString>()?);
        let optional =
            |value: Bound<'py, PyAny>| if value.is_none() { Ok(None) } else { text(value).map(Some) };
        Ok(Self {
            path: text(path)?,
            formatter: text(formatter)?,
            storage_class: text(storage_class)?,
            component: optional(component)?,
            checksum: optional(checksum)?,
            file_size: file_size.extract()?,
        })
    }

    pub(crate) fn to_core(&self) -> PyResult<FileRecord<'_>> {
        fn optional<'a>(text: &'a Option<Bound<'_, PyString>>) -> PyResult<Option<Cow<'a, str>>> {
            text.as_ref().map(|text| text.to_str().map(Cow::Borrowed)).transpose()
        }
        Ok(FileRecord {
            path: self.path.to_str()?.into(),
            formatter: self.formatter.to_str()?.into(),
            storage_class: self.storage_class.to_str()?.into(),
            component: optional(&self.component)?,
            checksum: optional(&self.checksum)?,
            file_size: self.file_size,
        })
    }
}

/// Makes the records of one batch; strings that repeat are made once.
pub(crate) struct FileInfos<'a, 'py> {
    py: Python<'py>,
    class: &'a FileInfoClass,
    formatters: Repeated<'a, 'py>,
    storage_classes: Repeated<'a, 'py>,
}

impl FileInfoClass {
    pub(crate) fn new(class: &Bound<'_, PyType>) -> PyResult<Self> {
        let py = class.py();
        let mut this = Self { slots: Slots::new(class, SLOTS), by_slots: true };
        // Another upstream may do more in the constructor.
        let example = || {
            let text = |text: &str| PyString::new(py, text).into_any();
            let size = 1_i64.into_pyobject(py)?.into_any();
            Ok::<_, PyErr>([text("a"), text("b"), text("c"), py.None().into_bound(py), text("d"), size])
        };
        let usual = this.by_constructor(py, example()?)?;
        this.by_slots = this.make(py, example()?).and_then(|made| made.eq(usual)).unwrap_or(false);
        Ok(this)
    }

    pub(crate) fn bind<'py>(&self, py: Python<'py>) -> &Bound<'py, PyType> {
        self.slots.class(py)
    }

    /// What an instance keeps.
    pub(crate) fn info<'py>(&self, info: &Bound<'py, PyAny>) -> PyResult<FileInfo<'py>> {
        if let Some(values) = self.slots.get(info) {
            return FileInfo::new(values);
        }
        let class = self.bind(info.py());
        if !info.is_instance(class)? {
            let (wanted, found) = (class.name()?, type_name(info));
            return Err(PyTypeError::new_err(format!("a record must be a {wanted}, not {found}")));
        }
        let mut values = [const { None }; 6];
        for (name, value) in SLOTS.iter().zip(&mut values) {
            *value = Some(info.getattr(*name)?);
        }
        FileInfo::new(values.map(|value| value.expect("each was filled in")))
    }

    /// Starts a batch.
    pub(crate) fn infos<'a, 'py>(&'a self, py: Python<'py>) -> FileInfos<'a, 'py> {
        FileInfos { py, class: self, formatters: Repeated::default(), storage_classes: Repeated::default() }
    }

    /// An instance that keeps these values, in the order of `SLOTS`.
    pub(crate) fn make<'py>(
        &self,
        py: Python<'py>,
        values: [Bound<'py, PyAny>; 6],
    ) -> PyResult<Bound<'py, PyAny>> {
        if self.by_slots
            && let Some(made) = self.slots.make(py, values.each_ref().map(|value| (*value).clone()))?
        {
            return Ok(made);
        }
        self.by_constructor(py, values)
    }

    fn by_constructor<'py>(
        &self,
        py: Python<'py>,
        values: [Bound<'py, PyAny>; 6],
    ) -> PyResult<Bound<'py, PyAny>> {
        let keywords = PyDict::new(py);
        for (name, value) in SLOTS.iter().zip(values) {
            keywords.set_item(name, value)?;
        }
        keywords.set_item(intern!(py, "storageClass"), py.None())?;
        self.bind(py).call((), Some(&keywords))
    }
}

impl<'a, 'py> FileInfos<'a, 'py> {
    /// The record as an instance of the class.
    pub(crate) fn make(&mut self, record: &'a FileRecord<'_>) -> PyResult<Bound<'py, PyAny>> {
        let py = self.py;
        let values = [
            PyString::new(py, &record.path).into_any(),
            self.formatters.string(py, &record.formatter).into_any(),
            self.storage_classes.string(py, &record.storage_class).into_any(),
            record.component.as_deref().into_pyobject(py)?,
            record.checksum.as_deref().into_pyobject(py)?,
            record.file_size.into_pyobject(py)?.into_any(),
        ];
        self.class.make(py, values)
    }
}
