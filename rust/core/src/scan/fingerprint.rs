//! Tells whether two quanta have the same content, whatever order they have it in.
//!
//! A fingerprint is made of what the tables keep of a quantum besides its id, and only of quanta whose ids
//! are there more than once. It is never kept itself.

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, UInt8Type};
use arrow_array::{Array, ArrayRef, FixedSizeBinaryArray, Int64Array, RecordBatch, StringArray};
use xxhash_rust::xxh3::xxh3_128;

use super::content::{DataIdText, Edge};
use super::kinds;
use super::plain;
use crate::arrow_columns::{UUID_BYTES, text_at};
use crate::{Error, Result};

/// What errors call the tables.
const TABLES: &str = "of provenance";

/// A row of the table of records.
struct Record<'a> {
    dataset_id: u128,
    path: &'a str,
    kind: kinds::Texts<'a>,
    checksum: Option<&'a str>,
    file_size: Option<i64>,
}

/// Makes one fingerprint after the other.
#[derive(Debug, Default)]
struct Fingerprinter {
    bytes: Vec<u8>,
    record: Vec<u8>,
    records: u128,
}

impl Fingerprinter {
    /// Starts with another quantum.
    fn start(&mut self, task_label: Option<&str>, data_id: Option<&DataIdText>) {
        self.bytes.clear();
        self.records = 0;
        put_text(&mut self.bytes, task_label);
        let members = data_id.map(|text| text.members().map(xxh3_128).fold(0, u128::wrapping_add));
        self.bytes.push(u8::from(members.is_some()));
        self.bytes.extend_from_slice(&members.unwrap_or(0).to_le_bytes());
    }

    /// Adds a dataset; they come in order of their ids.
    fn edge(&mut self, Edge { dataset_id, roles }: Edge) {
        self.bytes.extend_from_slice(&dataset_id.to_le_bytes());
        self.bytes.push(roles);
    }

    /// Adds a record, in any order.
    fn record(&mut self, record: &Record<'_>) {
        let kinds::Texts { datastore, formatter, storage_class, component } = record.kind;
        let bytes = &mut self.record;
        bytes.clear();
        bytes.extend_from_slice(&record.dataset_id.to_le_bytes());
        bytes.extend_from_slice(&record.file_size.unwrap_or(-1).to_le_bytes());
        for text in [datastore, record.path, formatter, storage_class] {
            put_text(bytes, Some(text));
        }
        put_text(bytes, component);
        put_text(bytes, record.checksum);
        // A sum does not depend on the order.
        self.records = self.records.wrapping_add(xxh3_128(bytes));
    }

    /// The fingerprint.
    fn finish(&mut self) -> u128 {
        self.bytes.extend_from_slice(&self.records.to_le_bytes());
        xxh3_128(&self.bytes)
    }
}

/// Appends a text so that no two lists of texts give the same bytes.
fn put_text(bytes: &mut Vec<u8>, text: Option<&str>) {
    bytes.extend_from_slice(&text.map_or(u64::MAX, |text| text.len() as u64).to_le_bytes());
    bytes.extend_from_slice(text.unwrap_or_default().as_bytes());
}

/// The fingerprints of quanta: of rows of the three tables, which belong together.
///
/// Of the edges, the columns `dataset_id` and `roles` are looked at.
pub fn fingerprints(quanta: &RecordBatch, edges: &RecordBatch, records: &RecordBatch) -> Result<Vec<u128>> {
    let labels = Texts::repeating(quanta, "task_label")?;
    let data_ids = Texts::plain(quanta, "data_id")?;
    let edge_counts = counts(quanta, "edges", edges.num_rows())?;
    let record_counts = counts(quanta, "records", records.num_rows())?;
    let mut edges = rows_of_edges(edges)?;
    let records = Records::find(records)?;
    let mut next_record = 0;
    let mut fingerprinter = Fingerprinter::default();
    let mut found = Vec::with_capacity(quanta.num_rows());
    for quantum in 0..quanta.num_rows() {
        let data_id = data_ids.get(quantum)?.map(|text| plain::data_id_of(text).ok_or(Error::NotText));
        fingerprinter.start(labels.get(quantum)?, data_id.transpose()?.as_ref());
        for edge in edges.by_ref().take(edge_counts[quantum]) {
            fingerprinter.edge(edge);
        }
        for _ in 0..record_counts[quantum] {
            fingerprinter.record(&records.row(next_record)?);
            next_record += 1;
        }
        found.push(fingerprinter.finish());
    }
    Ok(found)
}

/// How many rows of another table belong to each quantum; together all of them.
fn counts(quanta: &RecordBatch, name: &str, rows: usize) -> Result<Vec<usize>> {
    let column = column(quanta, name)?;
    let counts = column.as_primitive_opt::<Int32Type>().ok_or_else(|| wrong_type(name, column, "int32"))?;
    let counts: Vec<_> = counts.values().iter().map(|&count| usize::try_from(count).unwrap_or(0)).collect();
    match counts.iter().sum::<usize>() == rows {
        true => Ok(counts),
        false => Err(Error::RowsMissing { column: name.to_owned(), rows }),
    }
}

/// The rows of a table of edges.
fn rows_of_edges(batch: &RecordBatch) -> Result<impl Iterator<Item = Edge>> {
    let ids = uuids(batch, "dataset_id")?;
    let column = column(batch, "roles")?;
    let roles = column.as_primitive_opt::<UInt8Type>().ok_or_else(|| wrong_type("roles", column, "uint8"))?;
    let edge = |(row, &roles)| Edge { dataset_id: uuid(ids.value(row)), roles };
    Ok(roles.values().iter().enumerate().map(edge))
}

/// The columns of a table of records.
struct Records<'a> {
    datastores: Texts<'a>,
    dataset_ids: &'a FixedSizeBinaryArray,
    paths: Texts<'a>,
    formatters: Texts<'a>,
    storage_classes: Texts<'a>,
    components: Texts<'a>,
    checksums: Texts<'a>,
    sizes: &'a Int64Array,
}

impl<'a> Records<'a> {
    fn find(batch: &'a RecordBatch) -> Result<Self> {
        let sizes = column(batch, "file_size")?;
        Ok(Self {
            datastores: Texts::repeating(batch, "datastore_name")?,
            dataset_ids: uuids(batch, "dataset_id")?,
            paths: Texts::plain(batch, "path")?,
            formatters: Texts::repeating(batch, "formatter")?,
            storage_classes: Texts::repeating(batch, "storage_class")?,
            components: Texts::repeating(batch, "component")?,
            checksums: Texts::plain(batch, "checksum")?,
            sizes: sizes.as_primitive_opt().ok_or_else(|| wrong_type("file_size", sizes, "int64"))?,
        })
    }

    fn row(&self, row: usize) -> Result<Record<'a>> {
        let required = |texts: &Texts<'a>| texts.get(row)?.ok_or(Error::NotText);
        let kind = kinds::Texts {
            datastore: required(&self.datastores)?,
            formatter: required(&self.formatters)?,
            storage_class: required(&self.storage_classes)?,
            component: self.components.get(row)?,
        };
        Ok(Record {
            dataset_id: uuid(self.dataset_ids.value(row)),
            path: required(&self.paths)?,
            kind,
            checksum: self.checksums.get(row)?,
            file_size: self.sizes.is_valid(row).then(|| self.sizes.value(row)),
        })
    }
}

/// A column of strings, with the number of each row's among them if they repeat.
struct Texts<'a> {
    texts: &'a StringArray,
    numbers: Option<Vec<Option<usize>>>,
}

impl<'a> Texts<'a> {
    fn plain(batch: &'a RecordBatch, name: &str) -> Result<Self> {
        let column = column(batch, name)?;
        let texts = column.as_string_opt().ok_or_else(|| wrong_type(name, column, "string"))?;
        Ok(Self { texts, numbers: None })
    }

    fn repeating(batch: &'a RecordBatch, name: &str) -> Result<Self> {
        let column = column(batch, name)?;
        let dictionary = column.as_any_dictionary_opt();
        let texts = dictionary.and_then(|column| column.values().as_string_opt());
        let (Some(dictionary), Some(texts)) = (dictionary, texts) else {
            return Err(wrong_type(name, column, "dictionary of string"));
        };
        let numbers = match texts.is_empty() {
            true => vec![None; column.len()],
            false => {
                let keys = dictionary.normalized_keys().into_iter().enumerate();
                keys.map(|(row, key)| column.is_valid(row).then_some(key)).collect()
            }
        };
        Ok(Self { texts, numbers: Some(numbers) })
    }

    fn get(&self, row: usize) -> Result<Option<&'a str>> {
        let row = match &self.numbers {
            Some(numbers) => numbers[row],
            None => Some(row),
        };
        row.map_or(Ok(None), |row| text_at(self.texts, row))
    }
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef> {
    let missing = || Error::UnknownColumn { table: TABLES.to_owned(), column: name.to_owned() };
    batch.column_by_name(name).ok_or_else(missing)
}

fn uuids<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a FixedSizeBinaryArray> {
    let column = column(batch, name)?;
    let ids = column.as_fixed_size_binary_opt().filter(|ids| ids.value_length() == UUID_BYTES);
    ids.ok_or_else(|| wrong_type(name, column, "uuid"))
}

fn wrong_type(name: &str, column: &ArrayRef, expected: &'static str) -> Error {
    let (table, column, found) = (TABLES.to_owned(), name.to_owned(), column.data_type().to_string());
    Error::WrongType { table, column, expected, found }
}

fn uuid(bytes: &[u8]) -> u128 {
    u128::from_be_bytes(bytes.try_into().expect("the column's width was checked when it was found"))
}
