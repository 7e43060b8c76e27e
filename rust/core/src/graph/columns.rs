//! Arrow columns of graphs: ids that may be missing, data IDs, and what attempts tell.

use std::sync::Arc;

use arrow_array::builder::{
    Float64Builder, Int8Builder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder, UInt32Builder,
};
use arrow_array::{ArrayRef, FixedSizeBinaryArray, ListArray, StructArray};
use arrow_buffer::{NullBufferBuilder, OffsetBuffer};
use arrow_schema::{DataType, Field, Fields, TimeUnit};
use hashbrown::HashMap;

use super::json::{Key, Scalar, Uuid};
use super::models::{Attempt, BLOCKED};
use super::pipeline::{Dimensions, KeyKind};
use crate::arrow_columns::{RepeatingBuilder, UUID_BYTES, UuidBuilder, repeating_field, uuid_field};

/// The zone of all times.
const UTC: &str = "UTC";

/// A column of UUIDs, some of which may be missing.
pub(super) fn optional_uuid_field(name: &str) -> Field {
    uuid_field(name).with_nullable(true)
}

/// Collects UUIDs, some of which are missing.
pub(super) struct OptionalUuids {
    bytes: Vec<u8>,
    there: NullBufferBuilder,
}

impl OptionalUuids {
    pub(super) fn with_capacity(rows: usize) -> Self {
        Self { bytes: Vec::with_capacity(rows * UUID_BYTES as usize), there: NullBufferBuilder::new(rows) }
    }

    pub(super) fn push(&mut self, id: Option<Uuid>) {
        self.bytes.extend_from_slice(&id.map_or(0, |id| id.0).to_be_bytes());
        self.there.append(id.is_some());
    }

    pub(super) fn finish(mut self) -> ArrayRef {
        Arc::new(FixedSizeBinaryArray::new(UUID_BYTES, self.bytes.into(), self.there.finish()))
    }
}

/// A column of lists of UUIDs.
pub(super) fn uuid_list_field(name: &str) -> Field {
    Field::new(name, DataType::List(Arc::new(uuid_field("item"))), false)
}

/// Collects lists of UUIDs.
#[derive(Default)]
pub(super) struct UuidLists {
    ids: UuidBuilder,
    lengths: Vec<usize>,
}

impl UuidLists {
    pub(super) fn push(&mut self, ids: &[Uuid]) {
        ids.iter().for_each(|id| self.ids.push(id.0));
        self.lengths.push(ids.len());
    }

    pub(super) fn finish(self) -> ArrayRef {
        let offsets = OffsetBuffer::from_lengths(self.lengths);
        Arc::new(ListArray::new(Arc::new(uuid_field("item")), offsets, self.ids.finish(), None))
    }
}

/// The fields of a data ID: all dimensions that any has.
pub(super) fn data_id_fields(dimensions: &[(String, KeyKind)]) -> Fields {
    let field = |(name, kind): &(String, KeyKind)| match kind {
        KeyKind::Int => Field::new(name, DataType::Int64, true),
        KeyKind::Text => repeating_field(name, DataType::Int32, true),
    };
    dimensions.iter().map(field).collect()
}

enum KeyColumn {
    Int(Int64Builder),
    Text(RepeatingBuilder),
}

/// Collects data IDs as a column of structures with all dimensions that any has.
pub(super) struct DataIds {
    fields: Fields,
    columns: Vec<KeyColumn>,
    by_name: HashMap<String, usize>,
    rows: usize,
    filled: Vec<bool>,
}

impl DataIds {
    pub(super) fn new(dimensions: &[(String, KeyKind)]) -> Self {
        let column = |(_, kind): &(String, KeyKind)| match kind {
            KeyKind::Int => KeyColumn::Int(Int64Builder::new()),
            KeyKind::Text => KeyColumn::Text(RepeatingBuilder::default()),
        };
        let by_name = dimensions.iter().enumerate().map(|(place, (name, _))| (name.clone(), place)).collect();
        Self {
            fields: data_id_fields(dimensions),
            columns: dimensions.iter().map(column).collect(),
            by_name,
            rows: 0,
            filled: vec![false; dimensions.len()],
        }
    }

    /// Adds one, or says what is wrong with it.
    pub(super) fn push(&mut self, dimensions: &Dimensions, values: &[Key]) -> Result<(), String> {
        self.filled.fill(false);
        for (name, value) in dimensions.named(values)? {
            let place = *self.by_name.get(name).ok_or_else(|| format!("{name} is no dimension here"))?;
            match (&mut self.columns[place], value) {
                (KeyColumn::Int(column), Key::Int(value)) => column.append_value(*value),
                (KeyColumn::Text(column), Key::Text(value)) => column.push(Some(value)),
                _ => return Err(format!("{value:?} is no value of {name}")),
            }
            self.filled[place] = true;
        }
        for (column, _) in self.columns.iter_mut().zip(&self.filled).filter(|(_, filled)| !**filled) {
            match column {
                KeyColumn::Int(column) => column.append_null(),
                KeyColumn::Text(column) => column.push(None),
            }
        }
        self.rows += 1;
        Ok(())
    }

    pub(super) fn finish(self) -> ArrayRef {
        if self.columns.is_empty() {
            return Arc::new(StructArray::new_empty_fields(self.rows, None));
        }
        let columns = self.columns.into_iter().map(|column| match column {
            KeyColumn::Int(mut column) => Arc::new(column.finish()),
            KeyColumn::Text(column) => column.finish(),
        });
        Arc::new(StructArray::new(self.fields, columns.collect(), None))
    }
}

/// The fields of what an attempt tells.
pub(super) fn attempt_fields() -> Vec<Field> {
    let seconds = |name| Field::new(name, DataType::Float64, true);
    vec![
        Field::new("status", DataType::Int8, false),
        Field::new("caveats", DataType::UInt32, true),
        repeating_field("exception_type", DataType::Int32, true),
        Field::new("exception_message", DataType::Utf8, true),
        Field::new("exception_metadata", DataType::Utf8, true),
        Field::new("memory", DataType::Float64, true),
        Field::new("start", DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())), true),
        seconds("prep_time"),
        seconds("init_time"),
        seconds("run_time"),
        seconds("run_time_cpu"),
    ]
}

/// Collects what attempts tell.
#[derive(Default)]
pub(super) struct Attempts {
    status: Int8Builder,
    caveats: UInt32Builder,
    exception: RepeatingBuilder,
    message: StringBuilder,
    metadata: StringBuilder,
    memory: Float64Builder,
    start: TimestampMicrosecondBuilder,
    seconds: [Float64Builder; 4],
}

impl Attempts {
    /// Adds one, or a row for a quantum without any.
    pub(super) fn push(&mut self, attempt: Option<&Attempt>) {
        self.status.append_value(attempt.map_or(BLOCKED, |attempt| attempt.status));
        self.caveats.append_option(attempt.and_then(|attempt| attempt.caveats));
        let exception = attempt.and_then(|attempt| attempt.exception.as_ref());
        self.exception.push(exception.map(|exception| exception.type_name.as_str()));
        self.message.append_option(exception.map(|exception| exception.message.as_str()));
        self.metadata.append_option(exception.map(|exception| text_of(&exception.metadata)));
        let usage = attempt.and_then(|attempt| attempt.resource_usage.as_ref());
        self.memory.append_option(usage.map(|usage| usage.memory));
        self.start.append_option(usage.map(|usage| usage.start.micros));
        let seconds = usage.map(|u| [u.prep_time, u.init_time, u.run_time, u.run_time_cpu]);
        for (number, column) in self.seconds.iter_mut().enumerate() {
            column.append_option(seconds.map(|seconds| seconds[number]));
        }
    }

    /// Bytes of text so far.
    pub(super) fn text(&self) -> usize {
        self.message.values_slice().len().max(self.metadata.values_slice().len())
    }

    pub(super) fn finish(mut self) -> Vec<ArrayRef> {
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(self.status.finish()),
            Arc::new(self.caveats.finish()),
            self.exception.finish(),
            Arc::new(self.message.finish()),
            Arc::new(self.metadata.finish()),
            Arc::new(self.memory.finish()),
            Arc::new(self.start.finish().with_timezone(UTC)),
        ];
        columns.extend(self.seconds.iter_mut().map(|column| Arc::new(column.finish()) as ArrayRef));
        columns
    }
}

/// An exception's metadata as JSON, with upstream's names for numbers that are not finite.
fn text_of(metadata: &indexmap::IndexMap<String, Scalar>) -> String {
    let mut text = String::from("{");
    for (name, value) in metadata {
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(&quoted(name));
        text.push(':');
        match value {
            Scalar::Null => text.push_str("null"),
            Scalar::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
            Scalar::Int(value) => text.push_str(&value.to_string()),
            Scalar::Large(digits) => text.push_str(digits),
            Scalar::Float(value) if value.is_nan() => text.push_str("NaN"),
            Scalar::Float(value) if value.is_infinite() => {
                text.push_str(if *value > 0.0 { "Infinity" } else { "-Infinity" });
            }
            Scalar::Float(value) => text.push_str(&serde_json::Value::from(*value).to_string()),
            Scalar::Text(value) => text.push_str(&quoted(value)),
        }
    }
    text.push('}');
    text
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
