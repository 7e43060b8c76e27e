//! The tables that quanta are added to.

use std::sync::{Arc, LazyLock};

use arrow_array::builder::Int64Builder;
use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, UInt8Array,
};
use arrow_schema::{DataType, Field as Column, Schema, SchemaRef, TimeUnit};

use super::content::Content;
use super::kinds::{KindColumns, Kinds};
use super::named::NamesBuilder;
use crate::arrow_columns::{RepeatingBuilder, TextBuilder, UuidBuilder, repeating_field, uuid_field};
use crate::log::{Attempt, Contents, Execution, SECONDS, WHOLE};
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
    columns.extend(execution_fields());
    columns.extend([
        repeating_field("run", DataType::Int32, true),
        repeating_field("connections", DataType::Int32, true),
    ]);
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

/// How an attempt went: whole numbers, seconds, start, host and exception, as lines have them.
fn execution_fields() -> Vec<Column> {
    let mut fields: Vec<_> = WHOLE.map(|name| Column::new(name, DataType::Int64, true)).into();
    fields.extend(SECONDS.map(|name| Column::new(name, DataType::Float64, true)));
    fields.extend([
        Column::new("start", DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())), true),
        repeating_field("host", DataType::Int32, true),
        repeating_field("exception_type", DataType::Int32, true),
        Column::new("exception_message", DataType::Utf8, true),
    ]);
    fields
}

/// The schema of `Tables::earlier`: the quantum, and how an attempt at it went.
static EARLIER: LazyLock<SchemaRef> = LazyLock::new(|| {
    let mut columns = vec![uuid_field("quantum_id")];
    columns.extend(execution_fields());
    Arc::new(Schema::new(columns))
});

static CONTENTS: LazyLock<SchemaRef> = LazyLock::new(|| {
    let text = |name: &str| Column::new(name, DataType::Utf8, true);
    Arc::new(Schema::new(vec![
        Column::new("dictionary", DataType::Int64, true),
        text("metadata"),
        text("log"),
    ]))
});

/// Collects contents of metadata and logs.
struct ContentsColumns {
    dictionaries: Int64Builder,
    texts: [TextBuilder; 2],
}

impl Default for ContentsColumns {
    fn default() -> Self {
        let texts = std::array::from_fn(|_| TextBuilder::with_text_capacity(0, 0));
        Self { dictionaries: Int64Builder::new(), texts }
    }
}

impl ContentsColumns {
    fn push(&mut self, contents: Option<&Contents<'_>>) {
        self.dictionaries.append_option(contents.map(|contents| contents.dictionary));
        let texts = contents.map(|contents| [&contents.metadata, &contents.log]);
        for (place, column) in self.texts.iter_mut().enumerate() {
            match texts.and_then(|texts| texts[place].as_deref()) {
                Some(text) => column.push([text]).expect("`has_room` was asked"),
                None => column.push_null(),
            }
        }
    }

    fn finish(mut self) -> RecordBatch {
        let [metadata, log] = self.texts.map(TextBuilder::finish);
        batch(&CONTENTS, vec![Arc::new(self.dictionaries.finish()), metadata, log])
    }
}

/// Collects how attempts went.
#[derive(Default)]
struct Executions {
    whole: [Vec<Option<i64>>; WHOLE.len()],
    seconds: [Vec<Option<f64>>; SECONDS.len()],
    starts: Vec<Option<i64>>,
    hosts: RepeatingBuilder,
    exception_types: RepeatingBuilder,
    messages: Vec<Option<String>>,
    text: usize,
}

impl Executions {
    fn push(&mut self, execution: &Execution<'_>) {
        for (column, value) in self.whole.iter_mut().zip(execution.whole) {
            column.push(value);
        }
        for (column, value) in self.seconds.iter_mut().zip(execution.seconds) {
            column.push(value);
        }
        self.starts.push(execution.start);
        self.hosts.push(execution.host.as_deref());
        let exception = execution.exception.as_ref();
        self.exception_types.push(exception.map(|exception| &*exception.type_name));
        self.messages.push(exception.map(|exception| exception.message.clone().into_owned()));
        self.text += exception.map_or(0, |exception| exception.message.len());
    }

    fn finish(self) -> Vec<ArrayRef> {
        let mut columns: Vec<ArrayRef> = Vec::new();
        columns.extend(self.whole.map(|column| Arc::new(Int64Array::from(column)) as ArrayRef));
        columns.extend(self.seconds.map(|column| Arc::new(Float64Array::from(column)) as ArrayRef));
        columns.push(Arc::new(TimestampMicrosecondArray::from(self.starts).with_timezone(UTC)));
        columns.extend([self.hosts.finish(), self.exception_types.finish()]);
        columns.push(Arc::new(StringArray::from(self.messages)));
        columns
    }
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
    /// What datasets are called; see `NamesBuilder`.
    pub names: RecordBatch,
    /// Earlier attempts that lines tell of; see `earlier_schema`.
    pub earlier: RecordBatch,
    /// Contents of metadata and logs, a row for each quantum, if they are wanted; see `contents_schema`.
    pub contents: RecordBatch,
}

/// The schema of `Tables::contents`: what was packed, as lines have it.
pub fn contents_schema() -> SchemaRef {
    CONTENTS.clone()
}

/// The schema of `Tables::earlier`.
pub fn earlier_schema() -> SchemaRef {
    EARLIER.clone()
}

pub(super) struct Columns {
    quanta: Quanta,
    edge_ids: UuidBuilder,
    edge_roles: Vec<u8>,
    records: Records,
    names: NamesBuilder,
    earlier_ids: UuidBuilder,
    earlier: Executions,
    /// Contents, if they are wanted.
    contents: Option<ContentsColumns>,
}

struct Quanta {
    ids: UuidBuilder,
    task_labels: RepeatingBuilder,
    data_ids: TextBuilder,
    /// Numbers of ids by field, of edges and of records.
    counts: [Vec<i32>; 7],
    attempts: Vec<Attempt>,
    executions: Executions,
    runs: RepeatingBuilder,
    connections: RepeatingBuilder,
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
            executions: Executions::default(),
            runs: RepeatingBuilder::with_capacity(rows),
            connections: RepeatingBuilder::with_capacity(rows),
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
            names: NamesBuilder::default(),
            earlier_ids: UuidBuilder::default(),
            earlier: Executions::default(),
            contents: None,
        }
    }
}

impl Columns {
    /// Keeps contents of metadata and logs from now on.
    pub(super) fn keep_contents(&mut self) {
        self.contents.get_or_insert_default();
    }

    pub(super) fn quanta(&self) -> usize {
        self.quanta.sources.len()
    }

    /// About how many bytes they hold.
    pub(super) fn bytes(&self) -> usize {
        let text = self.quanta.data_ids.bytes() + self.records.paths.bytes() + self.records.checksums.bytes();
        let text = text + self.quanta.executions.text + self.earlier.text + self.names.bytes();
        let contents = self.contents.iter().flat_map(|contents| &contents.texts).map(TextBuilder::bytes);
        let text = text + contents.sum::<usize>();
        text + 300 * self.quanta() + 17 * self.edge_ids.len() + 40 * self.records.kinds.len()
    }

    /// Tells why a quantum cannot be added, if it cannot.
    pub(super) fn has_room(&self, content: &Content<'_>) -> Result<(), &'static str> {
        if !self.records.kinds.has_room(&content.kinds, content.records.iter().map(|record| record.kind)) {
            return Err("the table of records cannot tell more than 128 datastores apart");
        }
        // Offsets into text have 31 bits, and a quantum has no more text than fits a line.
        let contents = content.contents.as_ref().map_or(0, Contents::bytes);
        if self.bytes() + contents > MOST_TEXT { Err("the tables are full") } else { Ok(()) }
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
        quanta.executions.push(&content.execution);
        quanta.runs.push(content.run());
        quanta.connections.push(content.connections.as_deref());
        content.datasets.iter().for_each(|group| self.names.push(group));
        for execution in &content.earlier {
            self.earlier_ids.push(quantum_id);
            self.earlier.push(execution);
        }
        if let Some(contents) = &mut self.contents {
            contents.push(content.contents.as_ref());
        }
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
        columns.extend(quanta.executions.finish());
        columns.extend([quanta.runs.finish(), quanta.connections.finish()]);
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
        let records = batch(&record_table_schema(), columns);
        let names = std::mem::take(&mut self.names).finish();
        let mut columns = vec![std::mem::take(&mut self.earlier_ids).finish()];
        columns.extend(std::mem::take(&mut self.earlier).finish());
        let earlier = batch(&EARLIER, columns);
        let contents = self.contents.as_mut().map(std::mem::take).unwrap_or_default().finish();
        Tables { quanta, edges, records, names, earlier, contents }
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
