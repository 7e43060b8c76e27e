//! Provenance to JSON, byte for byte as pydantic writes upstream's model when
//! its sets happen to be sorted.

use super::records::{Key, Row, Value};
use super::{DATASET_IDS, DATASTORE_RECORDS, Field, Provenance, RECORDS, plain_text};
use crate::uuid_text;

impl Provenance {
    /// The JSON form, with line breaks and that many spaces per level when
    /// `indent` is given.
    pub fn to_json(&self, indent: Option<usize>) -> String {
        let mut writer = Writer { indent, ..Writer::with_capacity(self.json_length()) };
        writer.provenance(self);
        writer.finish()
    }

    /// About how long the form without line breaks is; mostly a little more.
    fn json_length(&self) -> usize {
        const ID: usize = 39;
        let all = self.records();
        let ids =
            Field::ALL.iter().map(|&field| self.ids(field).len()).sum::<usize>() + all.dataset_ids.len();
        256 + ID * (ids + all.datasets.len()) + 32 * (all.tables.len() + all.cells.len()) + 2 * all.text.len()
    }
}

/// Writes JSON, minding commas and line breaks.
#[derive(Debug)]
pub(super) struct Writer {
    out: Vec<u8>,
    indent: Option<usize>,
    depth: usize,
    /// Whether nothing follows the newest opening bracket yet.
    empty: bool,
}

impl Writer {
    /// A writer of the form without line breaks, with room for so many bytes.
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self::in_buffer(Vec::with_capacity(bytes))
    }

    /// The same in a buffer, which is empty.
    pub(super) fn in_buffer(out: Vec<u8>) -> Self {
        Self { out, indent: None, depth: 0, empty: true }
    }

    /// What was written.
    pub(super) fn finish(self) -> String {
        String::from_utf8(self.out).expect("made of whole strings and ASCII")
    }

    fn provenance(&mut self, provenance: &Provenance) {
        self.open(b'{');
        for field in Field::ALL {
            self.key(field.name());
            self.ids(provenance.ids(field));
        }
        self.key(DATASTORE_RECORDS);
        self.open(b'{');
        for datastore in provenance.records().datastores() {
            self.key(datastore.name());
            self.open(b'{');
            self.key(DATASET_IDS);
            self.ids(datastore.dataset_ids());
            self.key(RECORDS);
            self.open(b'{');
            for class in datastore.classes() {
                self.key(class.name());
                self.open(b'{');
                for dataset in class.datasets() {
                    match dataset.key() {
                        Key::Text(text) => self.key(text),
                        Key::Id(id) => self.id_key(id),
                    }
                    self.open(b'{');
                    for table in dataset.tables() {
                        self.key(table.name());
                        self.open(b'[');
                        for row in table.rows() {
                            self.row(row);
                        }
                        self.close(b']');
                    }
                    self.close(b'}');
                }
                self.close(b'}');
            }
            self.close(b'}');
            self.close(b'}');
        }
        self.close(b'}');
        self.close(b'}');
    }

    fn row(&mut self, row: Row<'_>) {
        self.next_item();
        self.open(b'{');
        for (column, value) in row.cells() {
            self.key(column);
            match value {
                Value::Null => self.out.extend_from_slice(b"null"),
                Value::Int(number) => self.integer(number),
                Value::Text(text) => self.string(text),
            }
        }
        self.close(b'}');
    }

    pub(super) fn ids(&mut self, ids: &[u128]) {
        self.open(b'[');
        self.out.reserve(39 * ids.len());
        for &id in ids {
            self.next_item();
            let mut quoted = [b'"'; 38];
            quoted[1..37].copy_from_slice(&uuid_text::hyphenated(id));
            self.out.extend_from_slice(&quoted);
        }
        self.close(b']');
    }

    pub(super) fn open(&mut self, bracket: u8) {
        self.out.push(bracket);
        self.depth += 1;
        self.empty = true;
    }

    pub(super) fn close(&mut self, bracket: u8) {
        self.depth -= 1;
        if !self.empty {
            self.line_break();
        }
        self.out.push(bracket);
        self.empty = false;
    }

    /// What stands before an item of an array or a key of an object.
    fn next_item(&mut self) {
        if !self.empty {
            self.out.push(b',');
        }
        self.line_break();
        self.empty = false;
    }

    #[inline]
    fn line_break(&mut self) {
        if let Some(indent) = self.indent {
            self.out.push(b'\n');
            self.out.resize(self.out.len() + indent * self.depth, b' ');
        }
    }

    pub(super) fn key(&mut self, name: &str) {
        self.next_item();
        self.string(name);
        self.colon();
    }

    /// An id as a key, which needs no escapes.
    pub(super) fn id_key(&mut self, id: u128) {
        self.next_item();
        self.out.push(b'"');
        self.out.extend_from_slice(&uuid_text::hex(id));
        self.out.push(b'"');
        self.colon();
    }

    /// Pieces of JSON that stand on one line.
    pub(super) fn raw(&mut self, pieces: &[&[u8]]) {
        pieces.iter().for_each(|piece| self.out.extend_from_slice(piece));
    }

    fn colon(&mut self) {
        self.out.extend_from_slice(if self.indent.is_some() { b": " } else { b":" });
    }

    pub(super) fn integer(&mut self, number: i64) {
        let mut digits = [0; 20];
        let mut at = digits.len();
        let mut rest = number.unsigned_abs();
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        if number < 0 {
            at -= 1;
            digits[at] = b'-';
        }
        self.out.extend_from_slice(&digits[at..]);
    }

    pub(super) fn string(&mut self, text: &str) {
        write_text(&mut self.out, text);
    }

    /// A string that is kept in parts.
    pub(super) fn string_of<'a>(&mut self, parts: impl IntoIterator<Item = &'a str>) {
        self.out.push(b'"');
        for part in parts {
            write_part(&mut self.out, part);
        }
        self.out.push(b'"');
    }
}

/// Appends a text as a JSON string.
pub(crate) fn write_text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    write_part(out, text);
    out.push(b'"');
}

fn write_part(out: &mut Vec<u8>, text: &str) {
    let mut rest = text.as_bytes();
    loop {
        let (plain, special) = rest.split_at(plain_text::length(rest));
        out.extend_from_slice(plain);
        let [first, after @ ..] = special else { break };
        write_escape(out, *first);
        rest = after;
    }
}

fn write_escape(out: &mut Vec<u8>, byte: u8) {
    let short = match byte {
        b'"' | b'\\' => byte,
        0x08 => b'b',
        0x09 => b't',
        0x0a => b'n',
        0x0c => b'f',
        0x0d => b'r',
        _ => {
            out.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}
