//! Dataset ids on their way in and out.

use pyo3::exceptions::{PyAttributeError, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{IntoPyDict, PyBool, PyInt, PyType};
use quantum_butler_core::DatasetId;

use crate::slots::Slots;

/// What is needed of Python's `uuid` module.
struct Uuids {
    slots: Slots<2>,
    unknown_safety: Py<PyAny>,
    /// Whether an instance can be made by filling in its two slots.
    by_slots: bool,
}

impl Uuids {
    fn get(py: Python<'_>) -> PyResult<&Self> {
        static UUIDS: PyOnceLock<Uuids> = PyOnceLock::new();
        UUIDS.get_or_try_init(py, || {
            let module = py.import(intern!(py, "uuid"))?;
            let class = module.getattr(intern!(py, "UUID"))?.cast_into::<PyType>()?;
            let unknown = module.getattr(intern!(py, "SafeUUID"))?.getattr(intern!(py, "unknown"))?;
            let slots = Slots::new(&class, ["int", "is_safe"]);
            let mut uuids = Self { slots, unknown_safety: unknown.unbind(), by_slots: true };
            // A future Python may build the class differently; then its constructor has to do.
            let (usual, made) = (uuids.by_constructor(py, 5)?, uuids.make(py, 5)?);
            uuids.by_slots = made.eq(usual).unwrap_or(false);
            Ok(uuids)
        })
    }

    fn make<'py>(&self, py: Python<'py>, uuid: u128) -> PyResult<Bound<'py, PyAny>> {
        if self.by_slots {
            let values = [uuid.into_pyobject(py)?.into_any(), self.unknown_safety.bind(py).clone()];
            // Without its `__init__`, which takes fifteen times as long.
            if let Some(object) = self.slots.make(py, values)? {
                return Ok(object);
            }
        }
        self.by_constructor(py, uuid)
    }

    fn by_constructor<'py>(&self, py: Python<'py>, uuid: u128) -> PyResult<Bound<'py, PyAny>> {
        let keywords = [(intern!(py, "int"), uuid)].into_py_dict(py)?;
        self.slots.class(py).call((), Some(&keywords))
    }
}

/// The class `uuid.UUID`.
pub(crate) fn uuid_class(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    Ok(Uuids::get(py)?.slots.class(py))
}

/// The number of a `uuid.UUID`, and nothing else.
pub(crate) fn uuid_number(item: &Bound<'_, PyAny>) -> PyResult<Option<u128>> {
    let py = item.py();
    let uuids = Uuids::get(py)?;
    if let Some([number, _]) = uuids.slots.get(item) {
        return number.extract().map(Some);
    }
    if item.is_instance(uuids.slots.class(py))? {
        return item.getattr(intern!(py, "int"))?.extract().map(Some);
    }
    Ok(None)
}

/// The id, if this is a UUID or an integer, be it one of another library such as NumPy.
fn plain_id(item: &Bound<'_, PyAny>) -> PyResult<Option<DatasetId>> {
    if let Some(uuid) = uuid_number(item)? {
        return Ok(Some(DatasetId::Uuid(uuid)));
    }
    let is_integer =
        item.is_instance_of::<PyInt>() || item.get_type().hasattr(intern!(item.py(), "__index__"))?;
    if is_integer && !item.is_instance_of::<PyBool>() {
        return item.extract().map(|int| Some(DatasetId::Int(int)));
    }
    Ok(None)
}

/// The slot in which upstream's `DatasetRef` keeps the number of its id, of which it makes a new UUID each time
/// that it is asked. Nothing if nobody has imported the class: then nothing can be one.
fn dataset_ref_slots(py: Python<'_>) -> Option<&Slots<1>> {
    static SLOTS: PyOnceLock<Slots<1>> = PyOnceLock::new();
    let slots = SLOTS.get_or_try_init(py, || {
        let modules = py.import(intern!(py, "sys"))?.getattr(intern!(py, "modules"))?;
        let butler = modules.get_item(intern!(py, "lsst.daf.butler"))?;
        let class = butler.getattr(intern!(py, "DatasetRef"))?.cast_into::<PyType>()?;
        Ok::<_, PyErr>(Slots::new(&class, ["_id"]))
    });
    slots.ok()
}

/// The dataset that `item` is or refers to.
pub(crate) fn dataset_id(item: &Bound<'_, PyAny>) -> PyResult<DatasetId> {
    let py = item.py();
    if let Some([number]) = dataset_ref_slots(py).and_then(|slots| slots.get(item))
        && let Ok(uuid) = number.extract()
    {
        return Ok(DatasetId::Uuid(uuid));
    }
    if let Some(id) = plain_id(item)? {
        return Ok(id);
    }
    let id = if item.is_none() {
        item.clone()
    } else {
        item.getattr(intern!(py, "id")).map_err(|error| {
            if error.is_instance_of::<PyAttributeError>(py) { not_a_dataset(item) } else { error }
        })?
    };
    if id.is_none() {
        let class =
            py.import(intern!(py, "lsst.daf.butler"))?.getattr(intern!(py, "AmbiguousDatasetError"))?;
        let message = format!("dataset {} has no id", item.repr()?);
        return Err(PyErr::from_value(class.call1((message,))?));
    }
    plain_id(&id)?.ok_or_else(|| not_a_dataset(&id))
}

fn not_a_dataset(item: &Bound<'_, PyAny>) -> PyErr {
    let name = type_name(item);
    PyTypeError::new_err(format!("expected a dataset id (uuid.UUID or int) or a dataset ref, not {name}"))
}

/// Name of an object's type, for messages.
pub(crate) fn type_name(item: &Bound<'_, PyAny>) -> String {
    item.get_type().name().map_or_else(|_| "an unnamed type".to_owned(), |name| name.to_string())
}

/// The dataset that `item` is or refers to, or nothing if it is anything else.
pub(crate) fn dataset_id_if_any(item: &Bound<'_, PyAny>) -> Option<DatasetId> {
    dataset_id(item).ok()
}

/// How many items to make room for, when an object says that it has so many.
pub(crate) fn room_for(items: usize) -> usize {
    items.min(1 << 16)
}

/// The datasets of an iterable.
pub(crate) fn dataset_ids(items: &Bound<'_, PyAny>) -> PyResult<Vec<DatasetId>> {
    let mut ids = Vec::with_capacity(room_for(items.len().unwrap_or(0)));
    for item in items.try_iter()? {
        ids.push(dataset_id(&item?)?);
    }
    Ok(ids)
}

/// An id as Python has it.
pub(crate) fn id_to_python<'py>(py: Python<'py>, id: DatasetId) -> PyResult<Bound<'py, PyAny>> {
    match id {
        DatasetId::Uuid(uuid) => uuid_to_python(py, uuid),
        DatasetId::Int(int) => Ok(int.into_pyobject(py)?.into_any()),
    }
}

/// A real `uuid.UUID`.
pub(crate) fn uuid_to_python<'py>(py: Python<'py>, uuid: u128) -> PyResult<Bound<'py, PyAny>> {
    Uuids::get(py)?.make(py, uuid)
}

/// Ids as a list.
pub(crate) fn ids_to_python<'py>(
    py: Python<'py>,
    ids: impl IntoIterator<Item = DatasetId>,
) -> PyResult<Vec<Bound<'py, PyAny>>> {
    ids.into_iter().map(|id| id_to_python(py, id)).collect()
}
