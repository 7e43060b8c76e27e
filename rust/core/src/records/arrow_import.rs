//! File records that come in as an Arrow table.

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{
    Array, ArrayRef, DictionaryArray, FixedSizeBinaryArray, Int64Array, RecordBatch, StringArray,
};

use crate::arrow_columns::{UUID_BYTES, text_at};
use crate::records::NO_COMPONENT;
use crate::table::TableUndo;
use crate::table::value::Value;
use crate::{DatasetId, Error, FileRecords, Locations, Mode, RecordsUndo, Result, Rows, Schema, Table};

/// Rows that are put into the table at once: few enough to stay in the processor's cache.
const AT_ONCE: usize = 2048;

/// A file of unknown size, as the records have it.
const UNKNOWN_SIZE: i64 = -1;

impl FileRecords {
    /// Locates datasets and adds a record of each, all or nothing.
    ///
    /// The batches have the columns of upstream's `StoredFileInfoTable`, and may have others. A dataset that is
    /// located already, or comes twice, is an error.
    pub fn import_table(
        self,
        table: &mut Table,
        locations: &mut Locations,
        batches: &[RecordBatch],
    ) -> Result<RecordsUndo> {
        let schema = table.schema().clone();
        let batches = batches.iter().map(|batch| Columns::find(&schema, batch));
        let batches = batches.collect::<Result<Vec<_>>>()?;
        let ids = batches.iter().flat_map(|columns| columns.dataset_ids.iter().flatten());
        let mut undo = RecordsUndo {
            table: TableUndo::default(),
            locations: locations.insert(ids.map(|bytes| DatasetId::Uuid(uuid(bytes))))?,
        };
        match self.put_all(table, &batches) {
            Ok(rows) => {
                undo.table = rows;
                Ok(undo)
            }
            Err(error) => {
                locations.undo(undo.locations);
                Err(error)
            }
        }
    }

    fn put_all(self, table: &mut Table, batches: &[Columns<'_>]) -> Result<TableUndo> {
        let schema = table.schema().clone();
        table.reserve(batches.iter().map(Columns::len).sum());
        let mut undo = table.put(&Rows::with_capacity(&schema, 0), Mode::Insert)?;
        for columns in batches {
            for start in (0..columns.len()).step_by(AT_ONCE) {
                let rows = start..columns.len().min(start + AT_ONCE);
                let put =
                    self.rows_of(&schema, columns, rows).and_then(|rows| table.put(&rows, Mode::Insert));
                match put {
                    Ok(next) => undo.append(next),
                    Err(error) => {
                        table.undo(undo);
                        return Err(error);
                    }
                }
            }
        }
        Ok(undo)
    }

    fn rows_of<'a>(
        self,
        schema: &Schema,
        columns: &Columns<'a>,
        range: std::ops::Range<usize>,
    ) -> Result<Rows<'a>> {
        let mut rows = Rows::with_capacity(schema, range.len());
        for row in range {
            let text = |texts: &Texts<'a>| Ok(texts.get(row)?.map_or(Value::Null, Value::text));
            let cells = rows.add();
            if columns.dataset_ids.is_valid(row) {
                cells[self.dataset_id] = Value::Guid(uuid(columns.dataset_ids.value(row)));
            }
            cells[self.path] = text(&columns.path)?;
            cells[self.formatter] = text(&columns.formatter)?;
            cells[self.storage_class] = text(&columns.storage_class)?;
            cells[self.component] = match columns.component.is_null(row) {
                true => Value::text(NO_COMPONENT),
                false => text(&columns.component)?,
            };
            cells[self.checksum] = text(&columns.checksum)?;
            let size = columns.file_size.is_valid(row).then(|| columns.file_size.value(row));
            cells[self.file_size] = Value::Integer(size.unwrap_or(UNKNOWN_SIZE));
        }
        Ok(rows)
    }
}

fn uuid(bytes: &[u8]) -> u128 {
    u128::from_be_bytes(bytes.try_into().expect("the column's width was checked when it was found"))
}

/// The columns of one batch that records are made of.
struct Columns<'a> {
    dataset_ids: &'a FixedSizeBinaryArray,
    path: Texts<'a>,
    formatter: Texts<'a>,
    storage_class: Texts<'a>,
    component: Texts<'a>,
    checksum: Texts<'a>,
    file_size: &'a Int64Array,
}

impl<'a> Columns<'a> {
    fn find(schema: &Schema, batch: &'a RecordBatch) -> Result<Self> {
        let column = |name: &str| -> Result<(usize, &'a ArrayRef)> {
            let position = schema.position(name)?;
            let column = batch.column_by_name(name).ok_or_else(|| Error::UnknownColumn {
                table: "to be imported".to_owned(),
                column: name.to_owned(),
            })?;
            Ok((position, column))
        };
        let wrong = |(position, column): (usize, &ArrayRef)| {
            schema.wrong_type(position, column.data_type().to_string())
        };
        let texts = |name| column(name).and_then(|found| Texts::new(found.1).ok_or_else(|| wrong(found)));
        let (dataset_id, file_size) = (column("dataset_id")?, column("file_size")?);
        Ok(Self {
            dataset_ids: dataset_id
                .1
                .as_fixed_size_binary_opt()
                .filter(|ids| ids.value_length() == UUID_BYTES)
                .ok_or_else(|| wrong(dataset_id))?,
            path: texts("path")?,
            formatter: texts("formatter")?,
            storage_class: texts("storage_class")?,
            component: texts("component")?,
            checksum: texts("checksum")?,
            file_size: file_size.1.as_primitive_opt::<Int64Type>().ok_or_else(|| wrong(file_size))?,
        })
    }

    fn len(&self) -> usize {
        self.file_size.len()
    }
}

/// A column of strings.
enum Texts<'a> {
    Plain(&'a StringArray),
    Repeating(&'a DictionaryArray<Int32Type>, &'a StringArray),
}

impl<'a> Texts<'a> {
    fn new(column: &'a ArrayRef) -> Option<Self> {
        if let Some(texts) = column.as_string_opt::<i32>() {
            return Some(Self::Plain(texts));
        }
        let repeating = column.as_dictionary_opt::<Int32Type>()?;
        Some(Self::Repeating(repeating, repeating.values().as_string_opt::<i32>()?))
    }

    /// Whether the column itself has a null; that of a dictionary's value is another one.
    fn is_null(&self, row: usize) -> bool {
        match self {
            Self::Plain(texts) => texts.is_null(row),
            Self::Repeating(numbers, _) => numbers.is_null(row),
        }
    }

    fn get(&self, row: usize) -> Result<Option<&'a str>> {
        if self.is_null(row) {
            return Ok(None);
        }
        let (texts, row) = match self {
            Self::Plain(texts) => (texts, row),
            Self::Repeating(numbers, texts) => {
                let number = usize::try_from(numbers.keys().value(row)).ok();
                (texts, number.filter(|number| *number < texts.len()).ok_or(Error::NotText)?)
            }
        };
        text_at(texts, row)
    }
}
