//! Reads what lines tell besides provenance, in whatever way it is written: how attempts went, and names.

use std::borrow::Cow;

use serde_json::Value;

use super::lenient::{
    Outcome, array, object, owned, quoted, required, shown, text_of, time, uuid, whole_number,
};
use crate::log::{Contents, DataIdValue, Exception, Execution, NamedDatasets, SECONDS, WHOLE};

pub(super) fn execution<'a>(value: &Value, place: &str) -> Outcome<Execution<'a>> {
    let members = object(value, place)?;
    let known = |name: &str| members.get(name).filter(|value| !value.is_null());
    let mut found = Execution::default();
    for (place_of, name) in found.whole.iter_mut().zip(WHOLE) {
        let number = |value: &Value| {
            whole_number(value)
                .ok_or_else(|| format!("{place}.{name}: not a whole number of 64 bits but {}", shown(value)))
        };
        *place_of = known(name).map(number).transpose()?;
    }
    for (place_of, name) in found.seconds.iter_mut().zip(SECONDS) {
        let number = |value: &Value| {
            value.as_f64().ok_or_else(|| format!("{place}.{name}: not a number but {}", shown(value)))
        };
        *place_of = known(name).map(number).transpose()?;
    }
    found.start = known("start").map(|value| time(value, &format!("{place}.start"))).transpose()?;
    let text = |value: &Value, name: &str| text_of(value, &format!("{place}.{name}")).map(owned);
    found.host = known("host").map(|value| text(value, "host")).transpose()?;
    if let Some(exception) = known("exception") {
        let place = format!("{place}.exception");
        let members = object(exception, &place)?;
        found.exception = Some(Exception {
            type_name: text(required(members, "type", &place)?, "exception.type")?,
            message: text(required(members, "message", &place)?, "exception.message")?,
        });
    }
    Ok(found)
}

/// The text as a line is written, whatever its spaces were.
pub(super) fn connections<'a>(value: &Value) -> Outcome<Cow<'a, str>> {
    for (kind, of_kind) in object(value, "connections")? {
        for (name, dataset_type) in object(of_kind, &format!("connections[{}]", quoted(kind)))? {
            text_of(dataset_type, &format!("connections[{}][{}]", quoted(kind), quoted(name)))?;
        }
    }
    Ok(Cow::Owned(value.to_string()))
}

pub(super) fn contents<'a>(value: &Value) -> Outcome<Contents<'a>> {
    let members = object(value, "contents")?;
    let number = required(members, "dictionary", "contents")?;
    let dictionary = whole_number(number)
        .ok_or_else(|| format!("contents.dictionary: not a whole number of 64 bits but {}", shown(number)))?;
    let text = |name: &str| {
        let known = members.get(name).filter(|value| !value.is_null());
        known.map(|value| text_of(value, &format!("contents.{name}")).map(owned)).transpose()
    };
    Ok(Contents { dictionary, metadata: text("metadata")?, log: text("log")? })
}

pub(super) fn named_datasets<'a>(value: &Value) -> Outcome<NamedDatasets<'a>> {
    let members = object(value, "datasets")?;
    let text = |name: &str| text_of(required(members, name, "datasets")?, &format!("datasets.{name}"));
    let list = |name: &str| array(required(members, name, "datasets")?, &format!("datasets.{name}"));
    let storage_class = members.get("storage_class").filter(|value| !value.is_null());
    let mut found = NamedDatasets {
        dataset_type: owned(text("type")?),
        run: owned(text("run")?),
        storage_class: storage_class
            .map(|value| text_of(value, "datasets.storage_class"))
            .transpose()?
            .map(owned),
        ..NamedDatasets::default()
    };
    for dimension in list("dimensions")? {
        found.dimensions.push(owned(text_of(dimension, "datasets.dimensions")?));
    }
    for id in list("ids")? {
        found.ids.push(uuid(id, "datasets.ids")?);
    }
    let data_ids = list("data_ids")?;
    for data_id in data_ids {
        let values = array(data_id, "datasets.data_ids")?;
        if values.len() != found.dimensions.len() {
            return Err("datasets.data_ids: not as many values as there are dimensions".to_owned());
        }
        for value in values {
            found.values.push(match (value, value.as_i64()) {
                (Value::String(name), _) => DataIdValue::Text(owned(name)),
                (_, Some(number)) => DataIdValue::Int(number),
                (other, _) => {
                    return Err(format!(
                        "datasets.data_ids: not a text, nor a whole number of 64 bits, but {}",
                        shown(other)
                    ));
                }
            });
        }
    }
    if data_ids.len() != found.ids.len() {
        return Err("datasets.data_ids: not as many as there are ids".to_owned());
    }
    Ok(found)
}
