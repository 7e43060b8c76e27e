//! File records as an Arrow table, in the schema of upstream's `DatastoreRecordTable`.
//!
//! The table differs from the records in two details: a component that is missing is null and not a name
//! that stands for none, and a file whose size is unknown has null and not a negative number.

use std::sync::{Arc, LazyLock};

use arrow_array::builder::Int64Builder;
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, SchemaRef};

use crate::arrow_columns::{
    RepeatingBuilder, TextBuilder, UuidBuilder, constant_column, repeating_field, uuid_field,
};
use crate::records::NO_COMPONENT;
use crate::table::value::Value;
use crate::{DatasetId, FileRecords, Locations, Result, Table};

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(arrow_schema::Schema::new(vec![
        repeating_field("datastore_name", DataType::Int8, true),
        uuid_field("dataset_id"),
        Field::new("path", DataType::Utf8, false),
        repeating_field("formatter", DataType::Int32, false),
        repeating_field("storage_class", DataType::Int32, false),
        repeating_field("component", DataType::Int32, true),
        Field::new("checksum", DataType::Utf8, true),
        Field::new("file_size", DataType::Int64, true),
    ]))
});

/// Rows of one batch.
const BATCH: usize = 1 << 17;

/// A batch ends after so many bytes of text, well before its offsets overflow.
const BATCH_TEXT: usize = 1 << 30;

/// The schema of the batches that `FileRecords::export_table` gives.
pub fn record_table_schema() -> SchemaRef {
    SCHEMA.clone()
}

impl FileRecords {
    /// The records of those datasets that are located, in order of their ids and components.
    pub fn export_table(
        self,
        table: &Table,
        locations: &Locations,
        ids: impl IntoIterator<Item = DatasetId>,
    ) -> Result<Vec<RecordBatch>> {
        let rows = self.located_rows(table, locations, ids);
        let mut batches = Vec::new();
        let mut rest = rows.as_slice();
        while !rest.is_empty() {
            let mut batch = Builder::new(rest.len().min(BATCH));
            let mut taken = 0;
            while taken < rest.len() && taken < BATCH && batch.text_bytes() < BATCH_TEXT {
                batch.push(self, table, rest[taken])?;
                taken += 1;
            }
            batches.push(batch.finish(locations.datastore(), taken));
            rest = &rest[taken..];
        }
        Ok(batches)
    }
}

/// The columns of one batch.
struct Builder {
    dataset_ids: UuidBuilder,
    paths: TextBuilder,
    formatters: RepeatingBuilder,
    storage_classes: RepeatingBuilder,
    components: RepeatingBuilder,
    checksums: TextBuilder,
    file_sizes: Int64Builder,
}

impl Builder {
    fn new(rows: usize) -> Self {
        Self {
            dataset_ids: UuidBuilder::with_capacity(rows),
            paths: TextBuilder::with_capacity(rows),
            formatters: RepeatingBuilder::default(),
            storage_classes: RepeatingBuilder::default(),
            components: RepeatingBuilder::default(),
            checksums: TextBuilder::with_capacity(rows),
            file_sizes: Int64Builder::with_capacity(rows),
        }
    }

    fn text_bytes(&self) -> usize {
        self.paths.bytes().max(self.checksums.bytes())
    }

    fn push(&mut self, columns: FileRecords, table: &Table, row: u32) -> Result<()> {
        let text = |column: usize| table.column(column).text(row as usize);
        if let Value::Guid(uuid) = table.cell(row, columns.dataset_id) {
            self.dataset_ids.push(uuid);
        }
        for (column, texts) in [(columns.path, &mut self.paths), (columns.checksum, &mut self.checksums)] {
            match table.column(column).text_pieces(row as usize) {
                Some(pieces) => texts.push(pieces)?,
                None => texts.push_null(),
            }
        }
        self.formatters.push(text(columns.formatter).as_deref());
        self.storage_classes.push(text(columns.storage_class).as_deref());
        self.components.push(text(columns.component).as_deref().filter(|name| *name != NO_COMPONENT));
        let file_size = match table.cell(row, columns.file_size) {
            Value::Integer(size) if size >= 0 => Some(size),
            _ => None,
        };
        self.file_sizes.append_option(file_size);
        Ok(())
    }

    fn finish(mut self, datastore: &str, rows: usize) -> RecordBatch {
        let columns: Vec<ArrayRef> = vec![
            constant_column(datastore, rows),
            self.dataset_ids.finish(),
            self.paths.finish(),
            self.formatters.finish(),
            self.storage_classes.finish(),
            self.components.finish(),
            self.checksums.finish(),
            Arc::new(self.file_sizes.finish()),
        ];
        RecordBatch::try_new(record_table_schema(), columns).expect("each row has a cell in each column")
    }
}
