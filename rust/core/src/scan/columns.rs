//! The tables that quanta are added to.

use std::sync::{Arc, LazyLock};

use arrow_array::builder::Int64Builder;
use arrow_array::{
    ArrayRef, BooleanArray, Int32Array, Int64Array, RecordBatch, TimestampMicrosecondArray, UInt8Array,
};
use arrow_schema::{DataType, Field as Column, Schema, SchemaRef, TimeUnit};

use super::content::Content;
use super::kinds::{KindColumns, Kinds};
use crate::arrow_columns::{RepeatingBuilder, TextBuilder, UuidBuilder, repeating_field, uuid_field};
use crate::log::Attempt;
use crate::provenance::Field;
use crate::record_table_schema;

/// The zone of all times.
const UTC: &str = "UTC";

/// How many bytes they may have before another quantum is added.
const MOST_TEXT: usize = 1 << 30;

static QUANTA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let count = |name: &str| Column::new(name, DataType::Int32, false);
    let mut columns = vec![
        uuid_field("quantum_id"),
        repeating_field("task_label", DataType::Int32, true),
        Column::new("data_id", DataType::Utf8, true),
    ];
    columns.extend(Field::ALL.map(|field| count(field.name())));
    columns.extend([count("edges"), count("records")]);
    columns.extend(attempt_fields());
    columns.extend([count("source"), Column::new("offset", DataType::Int64, false)]);
    Arc::new(Schema::new(columns))
});

static EDGES: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![uuid_field("dataset_id"), Column::new("roles", DataType::UInt8, false)]))
});

/// What tells one attempt at a quantum from another: when it began and ended, and whether it failed.
fn attempt_fields() -> [Column; 3] {
    let time =
        |name: &str| Column::new(name, DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())), true);
    [time("begin"), time("end"), Column::new("failed", DataType::Boolean, true)]
}

/// The schema of `Tables::quanta`: the first columns of the archive's table, then the number of the source, and
/// the offset in it.
pub fn quantum_schema() -> SchemaRef {
    QUANTA.clone()
}

/// The schema of `Tables::edges`: the dataset, and bits for its roles in the order of `Field::ALL`.
pub fn edge_schema() -> SchemaRef {
    EDGES.clone()
}

/// Quanta with their edges and records: rows of the second and third table belong to the quanta in order,
/// as many to each as it says.
#[derive(Debug)]
pub struct Tables {
    /// The quanta; see `quantum_schema`.
    pub quanta: RecordBatch,
    /// Their edges; see `edge_schema`.
    pub edges: RecordBatch,
    /// Their records, in the schema of `record_table_schema`.
    pub records: RecordBatch,
}

pub(super) struct Columns {
    quanta: Quanta,
    edge_ids: UuidBuilder,
    edge_roles: Vec<u8>,
    records: Records,
}

struct Quanta {
    ids: UuidBuilder,
    task_labels: RepeatingBuilder,
    data_ids: TextBuilder,
    /// Numbers of ids by field, of edges and of records.
    counts: [Vec<i32>; 7],
    attempts: Vec<Attempt>,
    sources: Vec<i32>,
    offsets: Vec<i64>,
}

impl Quanta {
    fn with_capacity(rows: usize, text: usize) -> Self {
        Self {
            ids: UuidBuilder::with_capacity(rows),
            task_labels: RepeatingBuilder::with_capacity(rows),
            data_ids: TextBuilder::with_text_capacity(rows, text),
            counts: std::array::from_fn(|_| Vec::with_capacity(rows)),
            attempts: Vec::with_capacity(rows),
            sources: Vec::with_capacity(rows),
            offsets: Vec::with_capacity(rows),
        }
    }
}

struct Records {
    kinds: KindColumns,
    dataset_ids: UuidBuilder,
    paths: TextBuilder,
    checksums: TextBuilder,
    file_sizes: Int64Builder,
}

impl Records {
    fn with_capacity(rows: usize, paths: usize, checksums: usize) -> Self {
        Self {
            kinds: KindColumns::with_capacity(rows),
            dataset_ids: UuidBuilder::with_capacity(rows),
            paths: TextBuilder::with_text_capacity(rows, paths),
            checksums: TextBuilder::with_text_capacity(rows, checksums),
            file_sizes: Int64Builder::with_capacity(rows),
        }
    }
}

impl Default for Columns {
    fn default() -> Self {
        Self {
            quanta: Quanta::with_capacity(0, 0),
            edge_ids: UuidBuilder::default(),
            edge_roles: Vec::new(),
            records: Records::with_capacity(0, 0, 0),
        }
    }
}

impl Columns {
    pub(super) fn quanta(&self) -> usize {
        self.quanta.sources.len()
    }

    /// About how many bytes they hold.
    pub(super) fn bytes(&self) -> usize {
        let text = self.quanta.data_ids.bytes() + self.records.paths.bytes() + self.records.checksums.bytes();
        text + 100 * self.quanta() + 17 * self.edge_ids.len() + 40 * self.records.kinds.len()
    }

    /// Tells why a quantum cannot be added, if it cannot.
    pub(super) fn has_room(&self, content: &Content<'_>) -> Result<(), &'static str> {
        if !self.records.kinds.has_room(&content.kinds, content.records.iter().map(|record| record.kind)) {
            return Err("the table of records cannot tell more than 128 datastores apart");
        }
        // Offsets into text have 31 bits, and a quantum has no more text than fits a line.
        if self.bytes() > MOST_TEXT { Err("the tables are full") } else { Ok(()) }
    }

    /// Adds a quantum, whose content is settled.
    pub(super) fn push(&mut self, quantum_id: u128, content: &Content<'_>, source: u32, offset: u64) {
        let push = |column: &mut TextBuilder, text: &str| column.push([text]).expect("`has_room` was asked");
        for edge in &content.edges {
            self.edge_ids.push(edge.dataset_id);
            self.edge_roles.push(edge.roles);
        }
        let records = &mut self.records;
        for record in &content.records {
            records.kinds.push(record.kind);
            records.dataset_ids.push(record.dataset_id);
            push(&mut records.paths, &record.path);
            match &record.checksum {
                Some(checksum) => push(&mut records.checksums, checksum),
                None => records.checksums.push_null(),
            }
            records.file_sizes.append_option(record.file_size);
        }
        let quanta = &mut self.quanta;
        quanta.ids.push(quantum_id);
        quanta.task_labels.push(content.task_label.as_deref());
        match &content.data_id {
            Some(text) => push(&mut quanta.data_ids, text),
            None => quanta.data_ids.push_null(),
        }
        let ids = Field::ALL.map(|field| content.ids.of(field).len());
        let lengths = ids.into_iter().chain([content.edges.len(), content.records.len()]);
        for (count, length) in quanta.counts.iter_mut().zip(lengths) {
            // What is parsed from less than 2^31 bytes has fewer parts.
            count.push(i32::try_from(length).unwrap_or(i32::MAX));
        }
        quanta.attempts.push(content.attempt);
        quanta.sources.push(i32::try_from(source).unwrap_or(i32::MAX));
        quanta.offsets.push(i64::try_from(offset).unwrap_or(i64::MAX));
    }

    /// What has been added since the last time, of these kinds.  The next are given as much room at once.
    pub(super) fn take(&mut self, kinds: &Kinds) -> Tables {
        let next = Quanta::with_capacity(self.quanta(), self.quanta.data_ids.bytes());
        let quanta = std::mem::replace(&mut self.quanta, next);
        let mut columns: Vec<ArrayRef> =
            vec![quanta.ids.finish(), quanta.task_labels.finish(), quanta.data_ids.finish()];
        columns.extend(quanta.counts.map(|count| Arc::new(Int32Array::from(count)) as ArrayRef));
        columns.extend(attempt_columns(&quanta.attempts));
        columns.push(Arc::new(Int32Array::from(quanta.sources)));
        columns.push(Arc::new(Int64Array::from(quanta.offsets)));
        let quanta = batch(&QUANTA, columns);

        let ids = UuidBuilder::with_capacity(self.edge_ids.len());
        let ids = std::mem::replace(&mut self.edge_ids, ids);
        let roles = Vec::with_capacity(self.edge_roles.len());
        let roles = std::mem::replace(&mut self.edge_roles, roles);
        let edges = batch(&EDGES, vec![ids.finish(), Arc::new(UInt8Array::from(roles))]);

        let old = &self.records;
        let next = Records::with_capacity(old.kinds.len(), old.paths.bytes(), old.checksums.bytes());
        let mut records = std::mem::replace(&mut self.records, next);
        let [datastores, formatters, storage_classes, components] = records.kinds.finish(kinds);
        let columns: Vec<ArrayRef> = vec![
            datastores,
            records.dataset_ids.finish(),
            records.paths.finish(),
            formatters,
            storage_classes,
            components,
            records.checksums.finish(),
            Arc::new(records.file_sizes.finish()),
        ];
        Tables { quanta, edges, records: batch(&record_table_schema(), columns) }
    }
}

fn attempt_columns(attempts: &[Attempt]) -> [ArrayRef; 3] {
    let times = |of: fn(&Attempt) -> Option<i64>| {
        Arc::new(TimestampMicrosecondArray::from_iter(attempts.iter().map(of)).with_timezone(UTC))
    };
    let failed = BooleanArray::from_iter(attempts.iter().map(|attempt| attempt.failed));
    [times(|attempt| attempt.begin), times(|attempt| attempt.end), Arc::new(failed)]
}

fn batch(schema: &SchemaRef, columns: Vec<ArrayRef>) -> RecordBatch {
    RecordBatch::try_new(schema.clone(), columns).expect("each row has a cell in each column")
}
