//! What the datasets of a quantum are called, written and read.
//!
//! Datasets of one type and run stand together, so that their names are there once:
//!
//! ```json
//! {"type":"raw","run":"in","storage_class":"X","dimensions":["detector"],"ids":["01a2..."],"data_ids":[[4]]}
//! ```

use std::borrow::Cow;

use super::line::{DataIdValue, write_value};
use crate::provenance::{Scanner, first, write_text};
use crate::uuid_text;

/// Keys in the order in which they are written.
const KEYS: [&str; 6] =
    ["\"type\":", "\"run\":", "\"storage_class\":", "\"dimensions\":", "\"ids\":", "\"data_ids\":"];

/// Datasets of one type in one run.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct NamedDatasets<'a> {
    /// Name of their type; of components, the parent's.
    pub dataset_type: Cow<'a, str>,
    /// Their run.
    pub run: Cow<'a, str>,
    /// The storage class of their type, if that is known.
    pub storage_class: Option<Cow<'a, str>>,
    /// The required dimensions of their data IDs.
    pub dimensions: Vec<Cow<'a, str>>,
    /// Their ids.
    pub ids: Vec<u128>,
    /// The values of the dimensions: of the first dataset, then of the next.
    pub values: Vec<DataIdValue<'a>>,
}

/// Appends all datasets of a line.
pub(super) fn write(line: &mut Vec<u8>, groups: &[NamedDatasets<'_>]) {
    line.push(b'[');
    for (number, group) in groups.iter().enumerate() {
        if number > 0 {
            line.push(b',');
        }
        line.extend_from_slice(b"{\"type\":");
        write_text(line, &group.dataset_type);
        line.extend_from_slice(b",\"run\":");
        write_text(line, &group.run);
        line.extend_from_slice(b",\"storage_class\":");
        match &group.storage_class {
            Some(name) => write_text(line, name),
            None => line.extend_from_slice(b"null"),
        }
        line.extend_from_slice(b",\"dimensions\":");
        list(line, &group.dimensions, |line, dimension| write_text(line, dimension));
        line.extend_from_slice(b",\"ids\":");
        list(line, &group.ids, |line, id| {
            line.push(b'"');
            line.extend_from_slice(&uuid_text::hyphenated(*id));
            line.push(b'"');
        });
        line.extend_from_slice(b",\"data_ids\":");
        let width = group.dimensions.len();
        let numbers: Vec<usize> = (0..group.ids.len()).collect();
        list(line, &numbers, |line, number| {
            list(line, &group.values[number * width..(number + 1) * width], write_value);
        });
        line.push(b'}');
    }
    line.push(b']');
}

/// Appends an array.
pub(super) fn list<T>(line: &mut Vec<u8>, items: &[T], mut write: impl FnMut(&mut Vec<u8>, &T)) {
    line.push(b'[');
    for (number, item) in items.iter().enumerate() {
        if number > 0 {
            line.push(b',');
        }
        write(line, item);
    }
    line.push(b']');
}

/// Reads all datasets of a line of the form that is written here; `None` for anything else.
pub(crate) fn read<'a>(scanner: &mut Scanner<'a>, groups: &mut Vec<NamedDatasets<'a>>) -> Option<()> {
    scanner.array(|scanner| {
        groups.push(read_group(scanner)?);
        Some(())
    })
}

fn read_group<'a>(scanner: &mut Scanner<'a>) -> Option<NamedDatasets<'a>> {
    let mut group = NamedDatasets::default();
    let mut seen = [const { None }; KEYS.len()];
    let mut widths = 0;
    scanner.members(&KEYS, |scanner, key| {
        first(&mut seen[key], ())?;
        match key {
            0 => group.dataset_type = scanner.string()?,
            1 => group.run = scanner.string()?,
            2 if scanner.peek()? == b'n' => scanner.null()?,
            2 => group.storage_class = Some(scanner.string()?),
            3 => scanner.array(|scanner| {
                group.dimensions.push(scanner.string()?);
                Some(())
            })?,
            4 => scanner.ids(&mut group.ids)?,
            _ => scanner.array(|scanner| {
                let before = group.values.len();
                scanner.array(|scanner| {
                    group.values.push(read_value(scanner)?);
                    Some(())
                })?;
                widths += 1;
                // The dimensions come before.
                (group.values.len() - before == group.dimensions.len()).then_some(())
            })?,
        }
        Some(())
    })?;
    (seen.iter().all(Option::is_some) && widths == group.ids.len()).then_some(group)
}

/// Reads the value of a dimension.
pub(super) fn read_value<'a>(scanner: &mut Scanner<'a>) -> Option<DataIdValue<'a>> {
    match scanner.peek()? {
        b'"' => scanner.string().map(DataIdValue::Text),
        _ => scanner.integer().map(DataIdValue::Int),
    }
}

impl NamedDatasets<'_> {
    /// The same, with texts of its own.
    pub fn into_owned(self) -> NamedDatasets<'static> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        NamedDatasets {
            dataset_type: owned(self.dataset_type),
            run: owned(self.run),
            storage_class: self.storage_class.map(owned),
            dimensions: self.dimensions.into_iter().map(owned).collect(),
            ids: self.ids,
            values: self.values.into_iter().map(DataIdValue::into_owned).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups() -> Vec<NamedDatasets<'static>> {
        let raw = NamedDatasets {
            dataset_type: "raw".into(),
            run: "in/\"a\"".into(),
            storage_class: Some("X".into()),
            dimensions: vec!["instrument".into(), "detector".into()],
            ids: vec![7, u128::MAX],
            values: vec![
                DataIdValue::Text("Cam".into()),
                DataIdValue::Int(-4),
                DataIdValue::Text("".into()),
                DataIdValue::Int(5),
            ],
        };
        let schema = NamedDatasets {
            dataset_type: "schema".into(),
            run: "out".into(),
            ids: vec![1],
            ..NamedDatasets::default()
        };
        vec![raw, schema, NamedDatasets::default()]
    }

    fn written() -> String {
        let mut line = Vec::new();
        write(&mut line, &groups());
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn names_come_back() {
        let text = written();
        let parsed: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(parsed[0]["data_ids"], serde_json::json!([["Cam", -4], ["", 5]]));
        assert_eq!(parsed[1]["data_ids"], serde_json::json!([[]]));
        let mut found = Vec::new();
        read(&mut Scanner::new(text.as_bytes()), &mut found).unwrap();
        assert_eq!(found, groups());
    }

    #[test]
    fn anything_else_is_left_to_others() {
        for (from, to) in [
            ("\"run\":\"out\"", "\"run\":null"),
            ("\"run\":\"out\"", "\"walk\":\"out\""),
            ("[\"Cam\",-4]", "[\"Cam\"]"),
            ("[\"Cam\",-4],", ""),
            ("\"type\":\"schema\",", ""),
            ("-4", "4.5"),
        ] {
            let text = written();
            assert!(text.contains(from), "{from}");
            let text = text.replacen(from, to, 1);
            assert_eq!(read(&mut Scanner::new(text.as_bytes()), &mut Vec::new()), None, "{to}");
        }
    }
}
