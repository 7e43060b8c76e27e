//! One quantum's line of a log, written and read.

use std::borrow::Cow;
use std::io::Write;

use super::contents::{self, Contents};
use super::execution::{self, Execution};
use super::names::{self, NamedDatasets};
use super::time;
use crate::provenance::{Provenance, Scanner, first, write_text};
use crate::uuid_text;

/// What a line starts with, which tells a log from other files.
pub(crate) const BEGINNING: &str = "{\"quantum_id\":\"";

/// The most dimensions that a data ID may have to be read: they are compared with one another.
const MOST_DIMENSIONS: usize = 256;

/// The value of a dimension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataIdValue<'a> {
    /// A number, as of a detector.
    Int(i64),
    /// A name, as of an instrument.
    Text(Cow<'a, str>),
}

impl DataIdValue<'_> {
    /// The same, with a text of its own.
    pub(super) fn into_owned(self) -> DataIdValue<'static> {
        match self {
            DataIdValue::Int(number) => DataIdValue::Int(number),
            DataIdValue::Text(text) => DataIdValue::Text(Cow::Owned(text.into_owned())),
        }
    }
}

/// The data ID of a quantum: dimensions and their values.
pub type DataId = Vec<(String, DataIdValue<'static>)>;

/// One try at a quantum: when it was made, in microseconds since 1970, and how it ended, as far as that is known.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Attempt {
    /// When it began.
    pub begin: Option<i64>,
    /// When it ended.
    pub end: Option<i64>,
    /// Whether an exception ended it.
    pub failed: Option<bool>,
}

/// What a line says of a quantum besides its provenance.
#[derive(Debug, Default, Clone, Copy)]
pub struct Heading<'a> {
    /// Its id.
    pub quantum_id: u128,
    /// Label of its task, if that is known.
    pub task_label: Option<&'a str>,
    /// Its data ID, if that is known.
    pub data_id: Option<&'a DataId>,
    /// Which attempt this was.
    pub attempt: Attempt,
    /// How it went, if that is known.
    pub execution: Option<&'a Execution<'a>>,
    /// Earlier attempts that it knows of, first to last.
    pub earlier: &'a [Execution<'a>],
    /// Which dataset types its task has under which connections, as the text of a JSON object; if that is known.
    pub connections: Option<&'a str>,
    /// What its outputs and overall inputs are called.
    pub datasets: &'a [NamedDatasets<'a>],
    /// What its metadata and its log have, if that is wanted.
    pub contents: Option<&'a Contents<'a>>,
}

/// Appends the line of one quantum, its line break included; its provenance is JSON without any.
pub(super) fn write_line(line: &mut Vec<u8>, heading: Heading<'_>, provenance: &str) {
    line.extend_from_slice(BEGINNING.as_bytes());
    line.extend_from_slice(&uuid_text::hyphenated(heading.quantum_id));
    line.extend_from_slice(b"\",\"task_label\":");
    match heading.task_label {
        Some(label) => write_text(line, label),
        None => line.extend_from_slice(b"null"),
    }
    line.extend_from_slice(b",\"data_id\":");
    match heading.data_id {
        Some(data_id) => write_data_id(line, data_id),
        None => line.extend_from_slice(b"null"),
    }
    let Attempt { begin, end, failed } = heading.attempt;
    for (name, moment) in [(&b",\"begin\":"[..], begin), (b",\"end\":", end)] {
        line.extend_from_slice(name);
        if !moment.is_some_and(|moment| time::write(line, moment)) {
            line.extend_from_slice(b"null");
        }
    }
    line.extend_from_slice(match failed {
        Some(true) => b",\"failed\":true",
        Some(false) => b",\"failed\":false",
        None => b",\"failed\":null",
    });
    if let Some(execution) = heading.execution {
        line.extend_from_slice(b",\"execution\":");
        execution::write(line, execution);
    }
    if !heading.earlier.is_empty() {
        line.extend_from_slice(b",\"earlier_attempts\":");
        names::list(line, heading.earlier, execution::write);
    }
    if let Some(connections) = heading.connections {
        line.extend_from_slice(b",\"connections\":");
        line.extend_from_slice(connections.as_bytes());
    }
    if !heading.datasets.is_empty() {
        line.extend_from_slice(b",\"datasets\":");
        names::write(line, heading.datasets);
    }
    if let Some(contents) = heading.contents {
        line.extend_from_slice(b",\"contents\":");
        contents::write(line, contents);
    }
    let members = line.len();
    line.extend_from_slice(provenance.as_bytes());
    // The provenance goes on with the members of the same object.
    line[members] = b',';
    line.push(b'\n');
}

fn write_data_id(line: &mut Vec<u8>, data_id: &DataId) {
    line.push(b'{');
    for (position, (dimension, value)) in data_id.iter().enumerate() {
        if position > 0 {
            line.push(b',');
        }
        write_text(line, dimension);
        line.push(b':');
        write_value(line, value);
    }
    line.push(b'}');
}

/// Appends the value of a dimension.
pub(super) fn write_value(line: &mut Vec<u8>, value: &DataIdValue<'_>) {
    match value {
        DataIdValue::Int(number) => write!(line, "{number}").expect("memory can be written to"),
        DataIdValue::Text(text) => write_text(line, text),
    }
}

/// One quantum as a log has it.
#[derive(Debug, Clone, PartialEq)]
pub struct LoggedQuantum {
    /// Its id.
    pub quantum_id: u128,
    /// Label of its task, if that is known.
    pub task_label: Option<String>,
    /// Its data ID, if that is known.
    pub data_id: Option<DataId>,
    /// Which attempt this was; lines of earlier releases do not tell.
    pub attempt: Attempt,
    /// How it went.
    pub execution: Option<Execution<'static>>,
    /// Earlier attempts that it knows of.
    pub earlier: Vec<Execution<'static>>,
    /// Which dataset types its task has under which connections, as the text of a JSON object.
    pub connections: Option<String>,
    /// What its datasets are called.
    pub datasets: Vec<NamedDatasets<'static>>,
    /// What its metadata and its log have.
    pub contents: Option<Contents<'static>>,
    /// What it expected, found, used and wrote.
    pub provenance: Provenance,
}

impl LoggedQuantum {
    /// Reads a line of the form that is written here, in any order of keys and with any white space;
    /// `None` for anything else.
    pub fn from_line(line: &str) -> Option<Self> {
        let (mut quantum_id, mut task_label, mut data_id) = (None, None, None);
        let (mut begin, mut end, mut failed) = (None, None, None);
        let (mut execution, mut connections) = (None, None);
        let (mut earlier, mut datasets, mut contents) = (None, None, None);
        let provenance = Provenance::with_other_members(line, |scanner, key| match key {
            "quantum_id" => first(&mut quantum_id, scanner.id()?),
            "task_label" => first(&mut task_label, nullable(scanner, text)?),
            "data_id" => first(&mut data_id, nullable(scanner, read_data_id)?),
            "begin" => first(&mut begin, nullable(scanner, read_time)?),
            "end" => first(&mut end, nullable(scanner, read_time)?),
            "failed" => first(&mut failed, nullable(scanner, |scanner| scanner.boolean())?),
            "execution" => first(&mut execution, nullable(scanner, read_execution)?),
            "earlier_attempts" => {
                let mut attempts = Vec::new();
                scanner.array(|scanner| {
                    attempts.push(read_execution(scanner)?);
                    Some(())
                })?;
                first(&mut earlier, attempts)
            }
            "connections" => first(&mut connections, nullable(scanner, read_connections)?),
            "datasets" => {
                let mut groups = Vec::new();
                names::read(scanner, &mut groups)?;
                first(&mut datasets, groups.into_iter().map(NamedDatasets::into_owned).collect())
            }
            "contents" => first(&mut contents, nullable(scanner, read_contents)?),
            _ => None,
        })?;
        let attempt = Attempt { begin: begin.flatten(), end: end.flatten(), failed: failed.flatten() };
        Some(Self {
            quantum_id: quantum_id?,
            task_label: task_label?,
            data_id: data_id?,
            attempt,
            execution: execution.flatten(),
            earlier: earlier.unwrap_or_default(),
            connections: connections.flatten(),
            datasets: datasets.unwrap_or_default(),
            contents: contents.flatten(),
            provenance,
        })
    }

    /// What its line says besides the provenance.
    pub fn heading(&self) -> Heading<'_> {
        Heading {
            quantum_id: self.quantum_id,
            task_label: self.task_label.as_deref(),
            data_id: self.data_id.as_ref(),
            attempt: self.attempt,
            execution: self.execution.as_ref(),
            earlier: &self.earlier,
            connections: self.connections.as_deref(),
            datasets: &self.datasets,
            contents: self.contents.as_ref(),
        }
    }
}

fn nullable<T>(
    scanner: &mut Scanner<'_>,
    read: impl FnOnce(&mut Scanner<'_>) -> Option<T>,
) -> Option<Option<T>> {
    if scanner.peek()? == b'n' { scanner.null().map(|()| None) } else { read(scanner).map(Some) }
}

fn text(scanner: &mut Scanner<'_>) -> Option<String> {
    scanner.string().map(std::borrow::Cow::into_owned)
}

fn read_execution(scanner: &mut Scanner<'_>) -> Option<Execution<'static>> {
    execution::read(scanner).map(Execution::into_owned)
}

fn read_contents(scanner: &mut Scanner<'_>) -> Option<Contents<'static>> {
    contents::read(scanner).map(Contents::into_owned)
}

fn read_connections(scanner: &mut Scanner<'_>) -> Option<String> {
    connections_text(scanner).map(str::to_owned)
}

/// Reads which dataset types a task has under which connections: objects of texts in an object.
pub(crate) fn connections_text<'a>(scanner: &mut Scanner<'a>) -> Option<&'a str> {
    let start = scanner.at();
    scanner.object(|scanner, _kind| scanner.object(|scanner, _connection| scanner.string().map(drop)))?;
    std::str::from_utf8(scanner.since(start)).ok()
}

fn read_time(scanner: &mut Scanner<'_>) -> Option<i64> {
    time::read(&scanner.string()?)
}

fn read_data_id(scanner: &mut Scanner<'_>) -> Option<DataId> {
    let mut data_id = DataId::new();
    scanner.object(|scanner, dimension| {
        let value = names::read_value(scanner)?.into_owned();
        // So few that comparing them all is quickest.
        let repeated = data_id.iter().any(|(earlier, _)| *earlier == dimension);
        data_id.push((dimension.into_owned(), value));
        (!repeated && data_id.len() <= MOST_DIMENSIONS).then_some(())
    })?;
    Some(data_id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provenance::Records;

    const KNOWN: Attempt = Attempt { begin: Some(1_796_007_403_123_456), end: Some(-1), failed: Some(false) };

    fn line(task_label: Option<&str>, data_id: Option<&DataId>) -> String {
        line_of(Attempt::default(), task_label, data_id)
    }

    fn line_of(attempt: Attempt, task_label: Option<&str>, data_id: Option<&DataId>) -> String {
        let mut line = b"before\n".to_vec();
        let provenance = Provenance::new([vec![1], vec![], vec![], vec![], vec![]], Records::default());
        let heading = Heading { quantum_id: 10, task_label, data_id, attempt, ..Heading::default() };
        write_line(&mut line, heading, &provenance.to_json(None));
        String::from_utf8(line).unwrap().split_off("before\n".len())
    }

    #[test]
    fn a_line_is_one_object_with_heading_and_provenance() {
        let data_id = vec![
            ("instrument".to_owned(), DataIdValue::Text("Cam\"1\n".into())),
            ("detector".to_owned(), DataIdValue::Int(-7)),
        ];
        let text = line(Some("isr:\u{e9}"), Some(&data_id));
        assert_eq!(text.matches('\n').count(), 1);
        let parsed: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(parsed["quantum_id"], "00000000-0000-0000-0000-00000000000a");
        assert_eq!(parsed["task_label"], "isr:\u{e9}");
        assert_eq!(parsed["data_id"], serde_json::json!({"instrument": "Cam\"1\n", "detector": -7}));
        assert_eq!(parsed["predicted_inputs"][0], "00000000-0000-0000-0000-000000000001");
        assert_eq!(parsed["datastore_records"], serde_json::json!({}));
        assert_eq!(parsed.as_object().unwrap().len(), 12);
    }

    #[test]
    fn what_is_not_known_is_null() {
        let text = line(None, None);
        assert!(text.contains("\"task_label\":null,\"data_id\":null,\"begin\":null,\"end\":null,"), "{text}");
        assert!(text.contains(",\"failed\":null,\"predicted_inputs\":["), "{text}");
        let beyond = Attempt { begin: Some(i64::MAX), ..KNOWN };
        assert!(line_of(beyond, None, None).contains("\"begin\":null,\"end\":\"1969-"));
        assert!(line(None, Some(&vec![])).contains("\"data_id\":{},"));
    }

    #[test]
    fn a_line_comes_back() {
        let data_id = vec![
            ("a\n".to_owned(), DataIdValue::Text("\"".into())),
            ("b".to_owned(), DataIdValue::Int(i64::MIN)),
        ];
        for task_label in [None, Some(""), Some("isr:\u{e9}\u{0}")] {
            for data_id in [None, Some(&vec![]), Some(&data_id)] {
                for attempt in [Attempt::default(), KNOWN, Attempt { end: None, failed: Some(true), ..KNOWN }]
                {
                    let text = line_of(attempt, task_label, data_id);
                    let read = LoggedQuantum::from_line(&text).unwrap();
                    assert_eq!((read.quantum_id, read.task_label.as_deref()), (10, task_label));
                    assert_eq!((read.data_id.as_ref(), read.attempt), (data_id, attempt));
                    let mut again = Vec::new();
                    write_line(&mut again, read.heading(), &read.provenance.to_json(None));
                    assert_eq!(String::from_utf8(again).unwrap(), text);
                }
            }
        }
    }

    #[test]
    fn a_line_says_which_attempt_it_was() {
        let text = line_of(KNOWN, None, None);
        let told =
            r#","begin":"2026-11-30T02:56:43.123456Z","end":"1969-12-31T23:59:59.999999Z","failed":false,"#;
        assert!(text.contains(told), "{text}");
        // What earlier releases have written.
        let earlier = text.replace(told, ",");
        assert_eq!(LoggedQuantum::from_line(&earlier).unwrap().attempt, Attempt::default());
        for other in ["\"failed\":7,", "\"begin\":\"now\",", "\"end\":1.5,", "\"end\":null,\"end\":null,"] {
            assert_eq!(
                LoggedQuantum::from_line(&earlier.replace("\"predicted_i", &format!("{other}\"predicted_i"))),
                None
            );
        }
    }

    #[test]
    fn other_lines_are_not_taken_for_ours() {
        let text = line(Some("isr"), Some(&vec![("detector".to_owned(), DataIdValue::Int(1))]));
        assert!(LoggedQuantum::from_line(&text).is_some());
        let changes = [
            ("\"quantum_id\":", "\"quantum\":"),
            ("\"task_label\":\"isr\",", ""),
            ("\"task_label\":\"isr\",", "\"task_label\":7,"),
            ("\"task_label\":\"isr\",", "\"task_label\":\"isr\",\"task_label\":null,"),
            ("{\"detector\":1}", "[]"),
            ("{\"detector\":1}", "{\"detector\":1.5}"),
            ("{\"detector\":1}", "{\"detector\":null}"),
            ("{\"detector\":1}", "{\"detector\":1,\"detector\":1}"),
            ("0000000a\"", "0000000\""),
            ("\"actual_inputs\":[],", ""),
            ("\"actual_inputs\":[],", "\"other\":[],\"actual_inputs\":[],"),
        ];
        for (from, to) in changes {
            assert!(text.contains(from), "{from}");
            assert_eq!(LoggedQuantum::from_line(&text.replacen(from, to, 1)), None, "{to}");
        }
        for end in 0..text.len() - 1 {
            assert_eq!(LoggedQuantum::from_line(&text[..end]), None, "{end}");
        }
    }
}
