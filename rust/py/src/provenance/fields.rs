//! Provenance from the fields of upstream's model.
//!
//! Values must be of exactly the types that the model holds once validated.  For
//! any other the answer is `None`, and pydantic is asked.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFrozenSet, PyInt, PyList, PySet, PyString};
use quantum_butler_core::provenance::{Field, Key, Provenance, Records, RecordsBuilder, Value};

use crate::dataset_id::{room_for, uuid_class};

/// What was read, nothing if it is not of the exact types, or what Python raised.
type Checked<T> = PyResult<Option<T>>;

/// Unwraps what was checked, or gives `None` to the caller.
macro_rules! plain {
    ($value:expr) => {
        match $value {
            Some(value) => value,
            None => return Ok(None),
        }
    };
}

/// Reads the six fields.
pub(super) fn read(fields: &Bound<'_, PyAny>) -> Checked<Provenance> {
    let py = fields.py();
    let fields = plain!(fields.cast_exact::<PyDict>().ok());
    if fields.len() != Field::ALL.len() + 1 {
        return Ok(None);
    }
    let mut ids: [Vec<u128>; 5] = Default::default();
    for (field, ids) in Field::ALL.into_iter().zip(&mut ids) {
        let set = plain!(fields.get_item(field.name())?);
        if !set.is_exact_instance_of::<PySet>() && !set.is_exact_instance_of::<PyFrozenSet>() {
            return Ok(None);
        }
        *ids = plain!(read_ids(&set)?);
    }
    let records = plain!(fields.get_item(intern!(py, "datastore_records"))?);
    let records = plain!(read_records(&records)?);
    Ok(Some(Provenance::new(ids, records)))
}

fn read_ids(iterable: &Bound<'_, PyAny>) -> Checked<Vec<u128>> {
    let py = iterable.py();
    let class = uuid_class(py)?;
    let mut ids = Vec::with_capacity(room_for(iterable.len()?));
    for id in iterable.try_iter()? {
        let id = id?;
        if !id.get_type().is(class) {
            return Ok(None);
        }
        ids.push(id.getattr(intern!(py, "int"))?.extract()?);
    }
    Ok(Some(ids))
}

fn read_records(datastores: &Bound<'_, PyAny>) -> Checked<Records> {
    let py = datastores.py();
    let mut builder = RecordsBuilder::default();
    for (name, datastore) in plain!(items(datastores)) {
        let dataset_ids = plain!(datastore.getattr_opt(intern!(py, "dataset_ids"))?);
        if !dataset_ids.is_exact_instance_of::<PyList>() {
            return Ok(None);
        }
        builder.datastore(plain!(text(&name)));
        builder.dataset_ids(&plain!(read_ids(&dataset_ids)?));
        let classes = plain!(datastore.getattr_opt(intern!(py, "records"))?);
        plain!(add_classes(&classes, &mut builder));
    }
    Ok(builder.finish())
}

fn add_classes(classes: &Bound<'_, PyAny>, builder: &mut RecordsBuilder) -> Option<()> {
    for (class, datasets) in items(classes)? {
        builder.class(text(&class)?);
        for (key, tables) in items(&datasets)? {
            builder.dataset(Key::from_text(text(&key)?));
            for (table, rows) in items(&tables)? {
                builder.table(text(&table)?);
                for row in rows.cast_exact::<PyList>().ok()? {
                    builder.row();
                    for (column, value) in items(&row)? {
                        builder.cell(text(&column)?, cell(&value)?);
                    }
                    builder.end_row();
                }
            }
        }
    }
    Some(())
}

/// Pairs of a dictionary, copied first: whatever the reading of a value does
/// to the dictionary, the loop over it goes on.
fn items<'py>(
    dict: &Bound<'py, PyAny>,
) -> Option<impl Iterator<Item = (Bound<'py, PyAny>, Bound<'py, PyAny>)> + use<'py>> {
    let items = dict.cast_exact::<PyDict>().ok()?.items();
    Some(items.into_iter().map(|pair| pair.extract().expect("an item of a dictionary is a pair")))
}

fn text<'a>(value: &'a Bound<'_, PyAny>) -> Option<&'a str> {
    value.cast_exact::<PyString>().ok()?.to_str().ok()
}

fn cell<'a>(value: &'a Bound<'_, PyAny>) -> Option<Value<'a>> {
    if value.is_none() {
        Some(Value::Null)
    } else if value.is_exact_instance_of::<PyInt>() {
        value.extract().ok().map(Value::Int)
    } else {
        text(value).map(Value::Text)
    }
}
