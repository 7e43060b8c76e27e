//! Reads whatever pydantic takes for upstream's model, or says what is wrong.
//!
//! As there: ids in each of the four spellings of UUIDs, members that the model does not have are passed
//! over, and of a key that comes twice the last counts. Nesting is bounded by the JSON reader.

use std::borrow::Cow;
use std::fmt::Display;

use serde_json::{Map, Value};

use super::content::{Content, DataIdText, MOST_DIMENSIONS, Record};
use super::kinds::{Kinds, Texts};
use super::lenient_details::{connections, contents, execution, named_datasets};
use super::plain::{COLUMNS, FILE_RECORDS, component_or_none};
use crate::log::{Attempt, read_any_time};
use crate::provenance::{DATASET_IDS, DATASTORE_RECORDS, Field, RECORDS};
use crate::uuid_text;

/// How many characters of what was found a reason repeats.
const MOST_SHOWN: usize = 60;

/// The most values that are read in this way, since they take many times the memory of their text.
const MOST_VALUES: usize = 1 << 21;

pub(super) type Outcome<T> = Result<T, String>;

/// Reads one quantum into empty content; the error is the reason why it cannot be read.
///
/// The id of the quantum may be missing.
pub(super) fn read(bytes: &[u8], content: &mut Content<'_>) -> Outcome<()> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| format!("not UTF-8 from byte {} on", error.valid_up_to()))?;
    if memchr::memchr3_iter(b',', b'[', b'{', bytes).nth(MOST_VALUES).is_some() {
        return Err(format!("more than {MOST_VALUES} values, and not written as upstream's model is"));
    }
    let value: Value = serde_json::from_str(text).map_err(not_json)?;
    let Value::Object(members) = &value else {
        return Err(format!("not an object but {}", shown(&value)));
    };
    let known = |name: &'static str| members.get(name).filter(|value| !value.is_null());
    if let Some(id) = members.get("quantum_id") {
        content.quantum_id = Some(uuid(id, "quantum_id")?);
    }
    content.task_label =
        known("task_label").map(|label| text_of(label, "task_label")).transpose()?.map(owned);
    content.data_id = known("data_id").map(data_id).transpose()?;
    let time_of = |name: &'static str| known(name).map(|value| time(value, name)).transpose();
    let failed = known("failed").map(|value| {
        value.as_bool().ok_or_else(|| format!("failed: neither true nor false but {}", shown(value)))
    });
    content.attempt = Attempt { begin: time_of("begin")?, end: time_of("end")?, failed: failed.transpose()? };
    if let Some(value) = known("execution") {
        content.execution = execution(value, "execution")?;
    }
    if let Some(value) = known("earlier_attempts") {
        for one in array(value, "earlier_attempts")? {
            content.earlier.push(execution(one, "earlier_attempts")?);
        }
    }
    content.connections = known("connections").map(connections).transpose()?;
    if let Some(value) = known("datasets") {
        for group in array(value, "datasets")? {
            content.datasets.push(named_datasets(group)?);
        }
    }
    content.contents = known("contents").map(contents).transpose()?;
    for field in Field::ALL {
        let items = array(required(members, field.name(), "")?, field.name())?;
        let ids = content.ids.list(field);
        for (position, item) in items.iter().enumerate() {
            ids.push(uuid(item, &format!("{}[{position}]", field.name()))?);
        }
    }
    for (name, of_datastore) in object(required(members, DATASTORE_RECORDS, "")?, DATASTORE_RECORDS)? {
        datastore(name, of_datastore, &mut content.records, &mut content.kinds)?;
    }
    Ok(())
}

fn datastore(name: &str, value: &Value, records: &mut Vec<Record<'_>>, kinds: &mut Kinds) -> Outcome<()> {
    let place = format!("{DATASTORE_RECORDS}[{}]", quoted(name));
    let members = object(value, &place)?;
    let ids = format!("{place}.{DATASET_IDS}");
    for item in array(required(members, DATASET_IDS, &place)?, &ids)? {
        uuid(item, &ids)?;
    }
    let place = format!("{place}.{RECORDS}");
    // Which table the records of each dataset are of.
    let mut tables: Vec<(u128, &str)> = Vec::new();
    for (class, by_dataset) in object(required(members, RECORDS, &place)?, &place)? {
        for (key, by_table) in object(by_dataset, &format!("{place}[{}]", quoted(class)))? {
            let place = format!("{place}[{}][{}]", quoted(class), quoted(key));
            for (table, rows) in object(by_table, &place)? {
                let rows = array(rows, &format!("{place}[{}]", quoted(table)))?;
                let dataset_id = key_of_dataset(key)
                    .ok_or_else(|| format!("{place}: the key is not the id of a dataset"))?;
                for row in rows {
                    if !FILE_RECORDS.contains(&class.as_str()) {
                        return Err(format!("{place}: no file record but one of another class"));
                    }
                    records.push(record(name, dataset_id, row, &place, kinds)?);
                }
                if !rows.is_empty() {
                    tables.push((dataset_id, table));
                }
            }
        }
    }
    tables.sort_unstable();
    let twice = tables.iter().zip(tables.iter().skip(1)).find(|(one, other)| one.0 == other.0);
    if let Some(((id, one), (_, other))) = twice {
        let id = String::from_utf8_lossy(&uuid_text::hyphenated(*id)).into_owned();
        return Err(format!("{place}: dataset {id} has records in two places, tables {one} and {other}"));
    }
    Ok(())
}

fn record<'a>(
    datastore: &str,
    dataset_id: u128,
    row: &Value,
    place: &str,
    kinds: &mut Kinds,
) -> Outcome<Record<'a>> {
    let members = object(row, place)?;
    if let Some(other) = members.keys().find(|name| !COLUMNS.contains(&name.as_str())) {
        return Err(format!("{place}: a file record has no column {}", quoted(other)));
    }
    let place_of = |column: &str| format!("{place}.{column}");
    let text = |column: &'static str| -> Outcome<Cow<'a, str>> {
        text_of(required(members, column, place)?, &place_of(column)).map(owned)
    };
    let nullable = |column: &'static str| -> Outcome<Option<Cow<'a, str>>> {
        let value = required(members, column, place)?;
        if value.is_null() {
            Ok(None)
        } else {
            text_of(value, &place_of(column)).map(|text| Some(owned(text)))
        }
    };
    let file_size = match required(members, "file_size", place)? {
        Value::Null => None,
        value => Some(whole_number(value).ok_or_else(|| {
            format!("{}: not a whole number of 64 bits but {}", place_of("file_size"), shown(value))
        })?),
    };
    Ok(Record {
        dataset_id,
        path: text("path")?,
        kind: kinds.number(Texts {
            datastore,
            formatter: &text("formatter")?,
            storage_class: &text("storage_class")?,
            component: component_or_none(nullable("component")?.as_deref()),
        }),
        checksum: nullable("checksum")?,
        file_size: file_size.filter(|size| *size >= 0),
    })
}

fn data_id<'a>(value: &Value) -> Outcome<Cow<'a, str>> {
    let mut text = DataIdText::default();
    let members = object(value, "data_id")?;
    if members.len() > MOST_DIMENSIONS {
        return Err(format!("data_id: more than {MOST_DIMENSIONS} dimensions"));
    }
    for (dimension, value) in members {
        match (value, value.as_i64()) {
            (Value::String(name), _) => text.push_text(dimension, name),
            (_, Some(number)) => text.push_integer(dimension, number),
            (other, _) => {
                return Err(format!(
                    "data_id.{dimension}: not a text, nor a whole number of 64 bits, but {}",
                    shown(other)
                ));
            }
        };
    }
    Ok(Cow::Owned(text.finish()))
}

/// A number as a field of whole numbers takes it: also as a truth value, or with nothing after the point.
pub(super) fn whole_number(value: &Value) -> Option<i64> {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    match value {
        Value::Bool(truth) => Some(i64::from(*truth)),
        Value::Number(number) => number.as_i64().or_else(|| {
            let number = number.as_f64().filter(|number| number.fract() == 0.0)?;
            // In range, the conversion is exact.
            (-LIMIT..LIMIT).contains(&number).then_some(number as i64)
        }),
        _ => None,
    }
}

pub(super) fn time(value: &Value, place: &str) -> Outcome<i64> {
    value.as_str().and_then(read_any_time).ok_or_else(|| {
        format!("{place}: not a date, a time and a zone, as of RFC 3339, but {}", shown(value))
    })
}

pub(super) fn uuid(value: &Value, place: &str) -> Outcome<u128> {
    value
        .as_str()
        .and_then(uuid_text::parse_any)
        .ok_or_else(|| format!("{place}: not a UUID but {}", shown(value)))
}

/// The dataset that a key names, which Python's UUID class reads.
fn key_of_dataset(key: &str) -> Option<u128> {
    let digits = key.replace("urn:", "").replace("uuid:", "");
    let digits = digits.trim_matches(['{', '}']).replace('-', "");
    uuid_text::parse_hex(&digits.to_ascii_lowercase())
}

pub(super) fn required<'v>(members: &'v Map<String, Value>, name: &str, place: &str) -> Outcome<&'v Value> {
    members.get(name).ok_or_else(|| match place {
        "" => format!("{name} is missing"),
        place => format!("{place}: {name} is missing"),
    })
}

pub(super) fn object<'v>(value: &'v Value, place: &str) -> Outcome<&'v Map<String, Value>> {
    value.as_object().ok_or_else(|| format!("{place}: not an object but {}", shown(value)))
}

pub(super) fn array<'v>(value: &'v Value, place: &str) -> Outcome<&'v Vec<Value>> {
    value.as_array().ok_or_else(|| format!("{place}: not an array but {}", shown(value)))
}

pub(super) fn text_of<'v>(value: &'v Value, place: &str) -> Outcome<&'v str> {
    value.as_str().ok_or_else(|| format!("{place}: not a text but {}", shown(value)))
}

pub(super) fn owned<'a>(text: &str) -> Cow<'a, str> {
    Cow::Owned(text.to_owned())
}

/// The beginning of a value.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Object(_) => "an object".to_owned(),
        Value::Array(_) => "an array".to_owned(),
        Value::String(text) => quoted(text),
        other => shortened(other),
    }
}

pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", shortened(text.escape_debug()))
}

fn shortened(value: impl Display) -> String {
    let whole = value.to_string();
    let mut short: String = whole.chars().take(MOST_SHOWN).collect();
    if short.len() < whole.len() {
        short.push_str("...");
    }
    short
}

fn not_json(error: serde_json::Error) -> String {
    let message = error.to_string();
    let what = message.rsplit_once(" at line ").map_or(message.as_str(), |(what, _)| what);
    let line = if error.line() > 1 { format!("line {} ", error.line()) } else { String::new() };
    format!("not JSON: {what} at {line}column {}", error.column())
}

#[cfg(test)]
mod tests {
    use super::super::plain;
    use super::*;

    const ID: &str = "01234567-89ab-cdef-0123-456789abcdef";
    const CLASS: &str = FILE_RECORDS[0];
    const ROW: &str = r#"{"formatter":"f.F","path":"a/b.json","storage_class":"S","component":"__NULL_STRING__",
        "checksum":null,"file_size":-1}"#;

    fn whole() -> String {
        format!(
            r#"{{"quantum_id":"{ID}","task_label":"isr","data_id":{{"detector":1,"band":"r"}},
            "begin":"2026-09-30T02:56:43.120000Z","end":"2026-09-30T02:56:44.000000Z","failed":true,
            "execution":{{"status":4,"caveats":8,"memory":1024,"run_time":1.5,"host":"h",
            "exception":{{"type":"a.B","message":"no\\nway"}}}},"earlier_attempts":[{{"attempt":0}}],
            "connections":{{"inputs":{{"raw":"raw"}},"outputs":{{}}}},
            "datasets":[{{"type":"raw","run":"in","storage_class":"X","dimensions":["detector"],
            "ids":["{ID}"],"data_ids":[[4]]}}],
            "contents":{{"dictionary":1,"metadata":"Zg==","log":null}},
            "predicted_inputs":["{ID}"],"available_inputs":[],"actual_inputs":[],"predicted_outputs":[],
            "actual_outputs":[],"datastore_records":{{"d":{{"dataset_ids":["{ID}"],
            "records":{{"{CLASS}":{{"{key}":{{"t":[{ROW}]}}}}}}}}}}}}"#,
            key = ID.replace('-', "")
        )
    }

    fn lenient(text: &str) -> Outcome<Content<'static>> {
        let mut content = Content::default();
        read(text.as_bytes(), &mut content).map(|()| content)
    }

    #[test]
    fn both_readers_read_the_same() {
        let whole = whole();
        let columns: Vec<&str> = ROW[1..ROW.len() - 1].split(',').map(str::trim).collect();
        let turned = columns.iter().rev().copied().collect::<Vec<_>>().join(",");
        for text in [
            whole.clone(),
            whole.replace("\"isr\"", "null"),
            whole.replace("\"task_label\":\"isr\",", ""),
            whole.replace("\"2026-09-30T02:56:44.000000Z\"", "null").replace("true", "false"),
            whole.replace("\"begin\":\"2026-09-30T02:56:43.120000Z\",", "").replace("true", "null"),
            whole.replace(",\"failed\":true", "").replace("2026", "1969"),
            whole.replace(r#"{"detector":1,"band":"r"}"#, "{}"),
            whole.replace("4,\"caveats\":8", "null").replace("\"h\"", "null").replace("\"X\"", "null"),
            whole.replace("[\"detector\"]", "[]").replace("[[4]]", "[[]]"),
            whole.replace("[[4]]", "[[\"x\\u0041\"]]"),
            whole.replace("__NULL_STRING__", "wcs").replace("-1", "7").replace("null", "\"abc\""),
            whole.replace("-1", "null").replace(CLASS, FILE_RECORDS[1]),
            whole.replace(ROW, &format!("{ROW},{ROW}")),
            whole.replace(ROW, &format!("{{{turned}}}")),
        ] {
            let mut content = Content::default();
            plain::read(text.as_bytes(), &mut content).unwrap();
            assert_eq!(content.facts(), lenient(&text).unwrap().facts(), "{text}");
        }
    }

    #[test]
    fn what_pydantic_takes_is_read_alike() {
        let whole = whole();
        let plain = lenient(&whole).unwrap();
        let simple = ID.replace('-', "");
        let row_first = format!(r#""t":[],"t":[{ROW}]"#);
        for (from, to) in [
            (format!("[\"{ID}\"]"), format!("[\"{simple}\"]")),
            (format!("[\"{ID}\"]"), format!("[\"{}\"]", ID.to_uppercase())),
            (format!("[\"{ID}\"]"), format!("[\"{{{ID}}}\"]")),
            (format!("[\"{ID}\"]"), format!("[\"urn:uuid:{ID}\"]")),
            ("\"actual_inputs\":[]".into(), "\"actual_inputs\":[1],\"actual_inputs\":[]".into()),
            ("\"actual_inputs\":[]".into(), "\"extra\":[{}],\"actual_inputs\":[]".into()),
            ("\"dataset_ids\"".into(), "\"extra\":1.5,\"dataset_ids\"".into()),
            (format!("\"{simple}\":"), format!("\"{}\":", ID.to_uppercase())),
            (format!("\"t\":[{ROW}]"), row_first),
            (format!("\"{CLASS}\":"), format!("\"other\":{{\"{simple}\":{{\"u\":[]}}}},\"{CLASS}\":")),
            ("-1".into(), "-1.0".into()),
            ("-1".into(), "-1e2".into()),
            (".120000Z".into(), ".12Z".into()),
            ("T02:56:43.120000Z".into(), "T04:56:43.1200004+02:00".into()),
        ] {
            assert!(whole.contains(&from), "{from}");
            let changed = whole.replacen(&from, &to, 2);
            assert!(
                plain::read(changed.as_bytes(), &mut Content::default()).is_none() || to.contains("ABCDEF"),
                "{to}"
            );
            assert_eq!(lenient(&changed).unwrap().facts(), plain.facts(), "{to}");
        }
        assert_eq!(lenient(&whole.replace("-1", "true")).unwrap().records[0].file_size, Some(1));
    }

    #[test]
    fn every_refusal_says_where_and_why() {
        let whole = whole();
        let simple = ID.replace('-', "");
        let two = format!(r#""{simple}":{{"t":[{ROW}],"u":[{ROW}]}}"#);
        for (from, to, reason) in [
            ("\"predicted_inputs\":", "predicted_inputs:", "not JSON: key must be a string at line 9"),
            ("\"quantum_id\":\"", "\"quantum_id\":\"x", "quantum_id: not a UUID but \"x01234567"),
            ("\"isr\"", "7", "task_label: not a text but 7"),
            ("\"status\":4", "\"status\":4.5", "execution.status: not a whole number of 64 bits but 4.5"),
            ("\"run_time\":1.5", "\"run_time\":\"\"", "execution.run_time: not a number but \"\""),
            ("\"host\":\"h\"", "\"host\":1", "execution.host: not a text but 1"),
            ("\"type\":\"a.B\",", "", "execution.exception: type is missing"),
            ("[{\"attempt\":0}]", "[0]", "earlier_attempts: not an object but 0"),
            ("\"raw\":\"raw\"", "\"raw\":1", "connections[\"inputs\"][\"raw\"]: not a text but 1"),
            (
                "\"dictionary\":1",
                "\"dictionary\":null",
                "contents.dictionary: not a whole number of 64 bits but null",
            ),
            ("\"Zg==\"", "7", "contents.metadata: not a text but 7"),
            ("[[4]]", "[[]]", "datasets.data_ids: not as many values as there are dimensions"),
            ("[[4]]", "[[4],[5]]", "datasets.data_ids: not as many as there are ids"),
            ("[[4]]", "[[4.5]]", "datasets.data_ids: not a text, nor a whole number"),
            ("\"run\":\"in\",", "", "datasets: run is missing"),
            ("\"failed\":true", "\"failed\":1", "failed: neither true nor false but 1"),
            (
                "\"2026-09-30T02:56:44.000000Z\"",
                "1.5",
                "end: not a date, a time and a zone, as of RFC 3339, but 1.5",
            ),
            (".120000Z", "", "begin: not a date, a time and a zone, as of RFC 3339, but \"2026-"),
            (r#"{"detector":1,"band":"r"}"#, "[]", "data_id: not an object but an array"),
            (r#""detector":1"#, r#""detector":1.5"#, "data_id.detector: not a text, nor a whole number"),
            ("\"actual_inputs\":[],", "", "actual_inputs is missing"),
            ("\"actual_inputs\":[]", "\"actual_inputs\":null", "actual_inputs: not an array but null"),
            ("\"actual_inputs\":[]", "\"actual_inputs\":[7]", "actual_inputs[0]: not a UUID but 7"),
            ("\"records\":", "\"record\":", "records is missing"),
            ("\"dataset_ids\":[", "\"dataset_ids\":[\"\",", ".dataset_ids: not a UUID but \"\""),
            (CLASS, "a.B", "[\"a.B\"][\"0123456789abcdef0123456789abcdef\"]: no file record"),
            (&simple, "0123", "[\"0123\"]: the key is not the id of a dataset"),
            ("\"path\":\"a/b.json\",", "", ": path is missing"),
            ("\"path\":\"a/b.json\"", "\"path\":null", ".path: not a text but null"),
            ("\"path\":", "\"more\":1,\"path\":", ": a file record has no column \"more\""),
            ("-1", "1.5", ".file_size: not a whole number of 64 bits but 1.5"),
            ("-1", "9223372036854775808", ".file_size: not a whole number of 64 bits but 922"),
            ("-1", "\"1\"", ".file_size: not a whole number of 64 bits but \"1\""),
            (&format!("\"{simple}\":{{\"t\":[{ROW}]}}"), &two, "has records in two places, tables t and u"),
        ] {
            assert!(whole.contains(from), "{from}");
            let changed = whole.replacen(from, to, 1);
            assert!(plain::read(changed.as_bytes(), &mut Content::default()).is_none(), "{to}");
            let found = lenient(&changed).map(|_| ()).unwrap_err();
            assert!(found.contains(reason), "{found:?} is not about {reason:?}");
        }
        assert_eq!(lenient("[1]").map(|_| ()).unwrap_err(), "not an object but an array");
        let dimensions = (0..=MOST_DIMENSIONS).map(|n| format!("\"d{n}\":1")).collect::<Vec<_>>().join(",");
        let many = whole.replace(r#""detector":1,"band":"r""#, &dimensions);
        assert!(plain::read(many.as_bytes(), &mut Content::default()).is_none());
        assert_eq!(lenient(&many).map(|_| ()).unwrap_err(), "data_id: more than 256 dimensions");
        let values = format!("[{}0]", "0,".repeat(MOST_VALUES));
        assert!(lenient(&values).map(|_| ()).unwrap_err().starts_with("more than 2097152 values"));
        let deep = "[".repeat(100_000);
        assert!(lenient(&deep).map(|_| ()).unwrap_err().contains("recursion limit"));
        let long = format!("\"{}\"", "x".repeat(1 << 20));
        assert!(lenient(&long).map(|_| ()).unwrap_err().len() < 100);
        let mut bytes = whole.into_bytes();
        bytes[20] = 0xff;
        assert_eq!(read(&bytes, &mut Content::default()).unwrap_err(), "not UTF-8 from byte 20 on");
    }
}
