//! Metadata and logs of quanta as upstream's executor writes them of a success at the first attempt, and of nothing else.

use jiter::{Jiter, JiterError, NumberAny, NumberInt, Peek};
use serde::Deserialize;

use super::json::{self, Scalar, Time, Uuid};
use super::models::{Attempt, Named, Resources};
use crate::log::{read_any_time, read_time};
use crate::uuid_text;

/// Upstream's code of a success, and all flags that it has for them.
const SUCCESSFUL: i8 = 1;
const CAVEATS: u32 = 127;

/// The version of upstream's logs.
const LOG_VERSION: i64 = 2;

/// Upstream's `TaskMetadata`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TaskMetadata {
    #[serde(default)]
    scalars: Named<Scalar>,
    #[serde(default)]
    arrays: Named<Vec<Scalar>>,
    #[serde(default)]
    metadata: Named<TaskMetadata>,
}

impl TaskMetadata {
    /// Whether upstream's model has room for it.
    fn is_valid(&self) -> bool {
        let same = |one: &Scalar, other: &Scalar| kind_of(one).is_some() && kind_of(one) == kind_of(other);
        self.scalars.values().all(|value| kind_of(value).is_some())
            && self.arrays.values().all(|values| values.iter().all(|value| same(value, &values[0])))
            && self.metadata.values().all(Self::is_valid)
    }

    fn has(&self, name: &str) -> bool {
        self.scalars.contains_key(name) || self.arrays.contains_key(name) || self.metadata.contains_key(name)
    }

    /// A value; of an array the last one.
    fn value(&self, name: &str) -> Option<&Scalar> {
        self.scalars.get(name).or_else(|| self.arrays.get(name)?.last())
    }

    fn time(&self, name: &str) -> Option<Time> {
        match self.value(name)? {
            Scalar::Text(text) => utc(text),
            _ => None,
        }
    }

    fn number(&self, name: &str) -> Option<f64> {
        match self.value(name)? {
            Scalar::Int(number) => Some(*number as f64),
            Scalar::Float(number) => Some(*number),
            _ => None,
        }
    }
}

/// A time in UTC as Python writes it, with microseconds unless there are none.
fn utc(text: &str) -> Option<Time> {
    let plain = text.strip_suffix("+00:00")?;
    let fraction = if plain.contains('.') { "" } else { ".000000" };
    Some(Time { micros: read_time(&format!("{plain}{fraction}Z"))?, text: format!("{plain}Z") })
}

/// Which type a value has in Python; `None` if metadata has none such.
fn kind_of(value: &Scalar) -> Option<u8> {
    match value {
        Scalar::Null => None,
        Scalar::Bool(_) => Some(0),
        Scalar::Int(_) | Scalar::Large(_) => Some(1),
        Scalar::Float(_) => Some(2),
        Scalar::Text(_) => Some(3),
    }
}

/// How an attempt went by its metadata, and what it has written.
pub(super) fn attempt_of(task_label: &str, text: &[u8]) -> Option<(Attempt, Vec<Uuid>)> {
    // Upstream's models have their own ways with what JSON has no name for.
    let plain = std::str::from_utf8(text).ok()?;
    if plain.contains("NaN") || plain.contains("Infinity") {
        return None;
    }
    let metadata: TaskMetadata = json::parse(text).ok()?;
    let quantum = metadata.metadata.get("quantum").filter(|_| metadata.is_valid())?;
    if metadata.has("failure") || metadata.metadata.get(task_label).is_some_and(|task| task.has("failure")) {
        return None;
    }
    let caveats = match quantum.value("caveats") {
        None => None,
        Some(Scalar::Int(flags)) => Some(u32::try_from(*flags).ok().filter(|flags| flags & !CAVEATS == 0)?),
        Some(_) => return None,
    };
    let (prep, init) = (quantum.time("prepUtc")?, quantum.time("initUtc")?);
    let (start, end) = (quantum.time("startUtc")?, quantum.time("endUtc")?);
    let seconds = |from: &Time, to: &Time| (to.micros - from.micros) as f64 / 1e6;
    let usage = Resources {
        memory: quantum.number("endMaxResidentSetSize")?,
        prep_time: seconds(&prep, &init),
        init_time: seconds(&init, &start),
        run_time: seconds(&start, &end),
        start: prep,
        run_time_cpu: quantum.number("endCpuTime")? - quantum.number("startCpuTime")?,
    };
    let id = |value: &Scalar| match value {
        Scalar::Text(text) => uuid_text::parse_any(text).map(Uuid),
        _ => None,
    };
    let written = quantum.arrays.get("outputs")?.iter().map(id).collect::<Option<Vec<_>>>()?;
    let attempt = Attempt {
        attempt: 0,
        status: SUCCESSFUL,
        caveats,
        exception: None,
        resource_usage: Some(usage),
        previous_process_quanta: Vec::new(),
    };
    Some((attempt, written))
}

/// Text of records, and quanta.
pub(super) type Records<'a> = (&'a [u8], Vec<Uuid>);

/// The text of the records of a log that tells of no failure, and the quanta that its process had run before.
pub(super) fn records_of(log: &[u8]) -> std::result::Result<Option<Records<'_>>, JiterError> {
    let mut reader = Jiter::new(log).with_allow_inf_nan();
    let (mut records, mut version, mut previous) = (None, None, Vec::new());
    let mut key = reader.next_object()?.map(str::to_owned);
    while let Some(name) = key {
        let peek = reader.peek()?;
        match name.as_str() {
            "extended" if peek == Peek::True => reader.known_skip(peek)?,
            "version" => match reader.known_number(peek)? {
                NumberAny::Int(NumberInt::Int(number)) => version = Some(number),
                _ => return Ok(None),
            },
            "records" if peek == Peek::Array && records.is_none() => {
                let start = reader.current_index();
                let mut item = reader.known_array()?;
                while let Some(peek) = item {
                    if peek != Peek::Object || !is_record(&mut reader)? {
                        return Ok(None);
                    }
                    item = reader.array_step()?;
                }
                records = Some(start..reader.current_index());
            }
            "previous_process_quanta" if peek == Peek::Array => {
                let mut item = reader.known_array()?;
                while item.is_some() {
                    let Some(id) = uuid_text::parse_any(reader.next_str()?) else { return Ok(None) };
                    previous.push(Uuid(id));
                    item = reader.array_step()?;
                }
            }
            "exception" | "metadata" if peek == Peek::Null => reader.known_skip(peek)?,
            "logs" | "previous_attempts" if peek == Peek::Array => {
                if reader.known_array()?.is_some() {
                    return Ok(None);
                }
            }
            _ => return Ok(None),
        }
        key = reader.next_key()?.map(str::to_owned);
    }
    reader.finish()?;
    // Upstream leaves out an empty list.
    let records = records.map_or(&b"[]"[..], |records| &log[records]);
    Ok((version == Some(LOG_VERSION)).then_some((records, previous)))
}

/// Whether an object is a record of a log as upstream writes it.
fn is_record(reader: &mut Jiter<'_>) -> std::result::Result<bool, JiterError> {
    let mut seen = 0_u16;
    let mut key = reader.known_object()?.map(field_of);
    while let Some(field) = key {
        let Some((number, kind)) = field.filter(|(number, _)| seen & (1 << number) == 0) else {
            return Ok(false);
        };
        seen |= 1 << number;
        let peek = reader.peek()?;
        match (kind, peek) {
            (Field::Text | Field::Perhaps, Peek::String) => {
                reader.known_str()?;
            }
            (Field::Perhaps, Peek::Null) => reader.known_null()?,
            (Field::Time, Peek::String) if read_any_time(reader.known_str()?).is_some() => {}
            (Field::Number, _) if peek.is_num() => match reader.known_int(peek)? {
                NumberInt::Int(_) => {}
                NumberInt::BigInt(_) => return Ok(false),
            },
            (Field::Texts, Peek::Object) => {
                let mut name = reader.known_object()?.is_some();
                while name {
                    if reader.peek()? != Peek::String {
                        return Ok(false);
                    }
                    reader.known_str()?;
                    name = reader.next_key()?.is_some();
                }
            }
            _ => return Ok(false),
        }
        key = reader.next_key()?.map(field_of);
    }
    // Upstream leaves out what is null.
    let needed = FIELDS.iter().enumerate().filter(|(_, (_, kind))| !matches!(kind, Field::Perhaps));
    Ok(needed.into_iter().all(|(number, _)| seen & (1 << number) != 0))
}

/// What a field of a record has.
#[derive(Debug, Clone, Copy)]
enum Field {
    Text,
    Perhaps,
    Time,
    Number,
    Texts,
}

/// The fields of a record, in upstream's order.
const FIELDS: [(&str, Field); 13] = [
    ("name", Field::Text),
    ("asctime", Field::Time),
    ("message", Field::Text),
    ("levelno", Field::Number),
    ("levelname", Field::Text),
    ("filename", Field::Text),
    ("pathname", Field::Text),
    ("lineno", Field::Number),
    ("funcName", Field::Perhaps),
    ("process", Field::Number),
    ("processName", Field::Text),
    ("exc_info", Field::Perhaps),
    ("MDC", Field::Texts),
];

fn field_of(name: &str) -> Option<(usize, Field)> {
    FIELDS.iter().position(|(known, _)| *known == name).map(|number| (number, FIELDS[number].1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const METADATA_TEXT: &str = r#"{"scalars":{},"arrays":{},"metadata":{"one":{"scalars":{"x":0.5},"arrays":{},
"metadata":{}},"quantum":{"scalars":{"caveats":2},"arrays":{"prepUtc":["2026-11-30T09:14:39.500000+00:00"],
"initUtc":["2026-11-30T09:14:40+00:00"],"startUtc":["2026-11-30T09:14:42.250000+00:00"],
"endUtc":["2026-11-30T09:15:42.250001+00:00"],"startCpuTime":[1.5],"endCpuTime":[4.0],
"endMaxResidentSetSize":[1024],"outputs":["00000000-0000-0000-0000-000000000007"]},"metadata":{}}}}"#;
    const LOG_TEXT: &str = r#"{"extended":true,"version":2,"records":[{"name":"a","asctime":"2026-11-30T09:14:39Z",
"message":"b \u00e9","levelno":20,"levelname":"INFO","filename":"c","pathname":"d","lineno":7,"funcName":null,
"process":1,"processName":"e","exc_info":null,"MDC":{"LABEL":"f"}}],"exception":null,
"previous_process_quanta":["00000000-0000-0000-0000-000000000009"],"logs":[],"previous_attempts":[]}"#;

    #[test]
    fn a_success_is_told() {
        let (attempt, written) = attempt_of("one", METADATA_TEXT.as_bytes()).unwrap();
        assert_eq!((attempt.status, attempt.caveats, written), (1, Some(2), vec![Uuid(7)]));
        let usage = attempt.resource_usage.unwrap();
        assert_eq!((usage.prep_time, usage.init_time, usage.run_time), (0.5, 2.25, 60.000_001));
        assert_eq!((usage.run_time_cpu, usage.memory), (2.5, 1024.0));
        assert_eq!(usage.start.text, "2026-11-30T09:14:39.500000Z");
        let (records, previous) = records_of(LOG_TEXT.as_bytes()).unwrap().unwrap();
        assert!(records.starts_with(b"[{\"name\"") && records.ends_with(b"}}]"));
        assert_eq!(previous, vec![Uuid(9)]);
        let without = LOG_TEXT.replacen("\"funcName\":null,", "", 1).replacen("\"exc_info\":null,", "", 1);
        assert!(matches!(records_of(without.as_bytes()), Ok(Some(_))));
        let none =
            LOG_TEXT.replacen(&format!("\"records\":{},", std::str::from_utf8(records).unwrap()), "", 1);
        assert_eq!(records_of(none.as_bytes()).unwrap().unwrap().0, b"[]");
    }

    #[test]
    fn anything_else_is_left_to_others() {
        for (from, to) in [
            ("\"x\":0.5", "\"x\":null"),
            ("\"x\":0.5", "\"x\":NaN"),
            ("\"x\":0.5", "\"failure\":1"),
            ("[1.5]", "[1.5,1]"),
            ("[1.5]", "[\"1.5\"]"),
            ("\"caveats\":2", "\"caveats\":128"),
            ("\"caveats\":2", "\"caveats\":2.0"),
            ("\"outputs\":", "\"others\":"),
            ("0000-000000000007", "0000-00000000000"),
            ("\"initUtc\":", "\"others\":"),
            ("40+00:00", "40"),
            ("40+00:00", "60+00:00"),
            ("\"quantum\":", "\"other\":"),
            ("\"scalars\":{},", "\"scalars\":{},\"more\":1,"),
            ("[4.0]", "[Infinity]"),
        ] {
            assert!(METADATA_TEXT.contains(from), "{from}");
            let changed = METADATA_TEXT.replacen(from, to, 1);
            assert!(attempt_of("one", changed.as_bytes()).is_none(), "{to}");
        }
        for (from, to) in [
            ("\"exception\":null", "\"exception\":{}"),
            ("\"previous_attempts\":[]", "\"previous_attempts\":[{}]"),
            ("\"logs\":[]", "\"logs\":[{}]"),
            ("\"version\":2", "\"version\":3"),
            ("\"extended\":true", "\"extended\":false"),
            ("\"extended\"", "\"more\":1,\"extended\""),
            ("\"records\":[", "\"others\":["),
            ("\"name\":\"a\"", "\"name\":null"),
            ("\"name\":\"a\",", ""),
            ("\"name\":\"a\",", "\"name\":\"a\",\"name\":\"a\","),
            ("\"name\":\"a\",", "\"name\":\"a\",\"more\":1,"),
            ("39Z", "39"),
            ("\"levelno\":20", "\"levelno\":2e1"),
            ("\"lineno\":7", "\"lineno\":70000000000000000000"),
            ("\"funcName\":null", "\"funcName\":1"),
            ("\"LABEL\":\"f\"", "\"LABEL\":1"),
            ("\"MDC\":{", "\"MDC\":[{"),
            ("]}", "]"),
        ] {
            assert!(LOG_TEXT.contains(from), "{from}");
            let changed = LOG_TEXT.replacen(from, to, 1);
            assert!(!matches!(records_of(changed.as_bytes()), Ok(Some(_))), "{to}");
        }
    }
}
