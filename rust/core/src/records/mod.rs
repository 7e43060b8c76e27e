//! A file datastore's records: where each dataset's files are, and how to read them.

mod arrow_export;
mod arrow_import;
mod changed;
mod locations;
mod trash;

use std::borrow::Cow;
use std::ops::Deref;

pub use arrow_export::record_table_schema;
pub use changed::RecordChanges;
pub use locations::{Locations, LocationsUndo};
pub use trash::Trash;

use hashbrown::HashSet;

use crate::parallel::map;
use crate::paths::is_plain;
use crate::table::filter::Filter;
use crate::table::value::{Kind, Value};
use crate::{DatasetId, IdSet, Mode, Result, Rows, Schema, Table, TableUndo};

/// One artifact of one dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRecord<'a> {
    /// Where it is: relative to the datastore's root, or an absolute URI.
    pub path: Cow<'a, str>,
    /// Name of the class that reads it.
    pub formatter: Cow<'a, str>,
    /// Name of the storage class.
    pub storage_class: Cow<'a, str>,
    /// The component that it holds, if the dataset was disassembled.
    pub component: Option<Cow<'a, str>>,
    /// Its checksum, if one was made.
    pub checksum: Option<Cow<'a, str>>,
    /// Its size in bytes, if that is known.
    pub file_size: Option<i64>,
}

/// What the component's column holds where there is none: it is part of the primary key.
pub(crate) const NO_COMPONENT: &str = "__NULL_STRING__";

/// Reads and writes the table and the locations of one datastore together.
#[derive(Clone, Copy, Debug)]
pub struct FileRecords {
    pub(crate) dataset_id: usize,
    pub(crate) path: usize,
    pub(crate) formatter: usize,
    pub(crate) storage_class: usize,
    pub(crate) component: usize,
    pub(crate) checksum: usize,
    pub(crate) file_size: usize,
}

/// Slots of one dataset's rows. Nearly always there is one.
#[derive(Clone, Debug)]
pub(crate) enum Slots {
    None,
    One([u32; 1]),
    Some(Vec<u32>),
}

impl Deref for Slots {
    type Target = [u32];

    fn deref(&self) -> &[u32] {
        match self {
            Self::None => &[],
            Self::One(slot) => slot,
            Self::Some(slots) => slots,
        }
    }
}

/// Records on their way in, with the datasets to be located.
#[derive(Clone, Debug)]
pub struct Batch<'a> {
    columns: FileRecords,
    /// Some may be there more than once.
    located: Vec<DatasetId>,
    rows: Rows<'a>,
}

/// What takes one change of records and locations back.
#[derive(Clone, Debug, Default)]
pub struct RecordsUndo {
    pub(crate) table: TableUndo,
    pub(crate) locations: LocationsUndo,
}

impl RecordsUndo {
    /// Number of rows and datasets to restore.
    pub fn len(&self) -> usize {
        self.table.len() + self.locations.len()
    }

    /// Whether there is nothing to restore.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl FileRecord<'_> {
    /// The same record, independent of the table that it came from.
    pub fn into_owned(self) -> FileRecord<'static> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        FileRecord {
            path: owned(self.path),
            formatter: owned(self.formatter),
            storage_class: owned(self.storage_class),
            component: self.component.map(owned),
            checksum: self.checksum.map(owned),
            file_size: self.file_size,
        }
    }
}

impl FileRecords {
    /// Finds the columns of file records in a table; it may have others.
    pub fn new(schema: &Schema) -> Result<Self> {
        let column = |name, kind: Kind| {
            let position = schema.position(name)?;
            let found = schema.kind(position);
            if found == kind { Ok(position) } else { Err(schema.wrong_type(position, kind.name())) }
        };
        Ok(Self {
            dataset_id: column("dataset_id", Kind::Guid)?,
            path: column("path", Kind::Text)?,
            formatter: column("formatter", Kind::Text)?,
            storage_class: column("storage_class", Kind::Text)?,
            component: column("component", Kind::Text)?,
            checksum: column("checksum", Kind::Text)?,
            file_size: column("file_size", Kind::Integer)?,
        })
    }

    /// Starts a batch with room for `capacity` records.
    pub fn batch<'a>(self, schema: &Schema, capacity: usize) -> Batch<'a> {
        let (located, rows) = (Vec::with_capacity(capacity), Rows::with_capacity(schema, capacity));
        Batch { columns: self, located, rows }
    }

    /// Locates the datasets of a batch and adds its records, all or nothing.
    ///
    /// With `Mode::Insert` a dataset that is located already is an error.
    pub fn add(
        table: &mut Table,
        locations: &mut Locations,
        batch: &Batch<'_>,
        mode: Mode,
    ) -> Result<RecordsUndo> {
        let located = match mode {
            Mode::Insert => match locations.insert(batch.located.iter().copied()) {
                Ok(located) => located,
                // Perhaps just because a dataset has several records.
                Err(_) => locations.insert(batch.located.iter().copied().collect::<IdSet>().iter())?,
            },
            Mode::Ensure | Mode::Replace => locations.ensure(batch.located.iter().copied()),
        };
        match table.put(&batch.rows, mode) {
            Ok(table) => Ok(RecordsUndo { table, locations: located }),
            Err(error) => {
                locations.undo(located);
                Err(error)
            }
        }
    }

    /// Takes a change back.
    pub fn undo(table: &mut Table, locations: &mut Locations, undo: RecordsUndo) {
        table.undo(undo.table);
        locations.undo(undo.locations);
    }

    /// The records of one dataset, ordered by component.
    pub fn get(self, table: &Table, id: DatasetId) -> Vec<FileRecord<'_>> {
        self.slots(table, id).iter().map(|slot| self.record(table, *slot)).collect()
    }

    /// Whether a dataset has records.
    pub fn knows(self, table: &Table, id: DatasetId) -> bool {
        !self.slots(table, id).is_empty()
    }

    /// The records of those datasets that have any, in order of their ids.
    pub fn get_many(
        self,
        table: &Table,
        ids: impl IntoIterator<Item = DatasetId>,
    ) -> Vec<(u128, Vec<FileRecord<'_>>)> {
        let records = in_order(ids).into_iter().map(|uuid| (uuid, self.get(table, DatasetId::Uuid(uuid))));
        records.filter(|(_, records)| !records.is_empty()).collect()
    }

    /// The same for those datasets that are located, which leaves out what is in the trash.
    pub fn export<'t>(
        self,
        table: &'t Table,
        locations: &Locations,
        ids: impl IntoIterator<Item = DatasetId>,
    ) -> Vec<(u128, Vec<FileRecord<'t>>)> {
        self.get_many(table, ids.into_iter().filter(|id| locations.present().contains(*id)))
    }

    /// The rows of those datasets that are located, in order of their ids and components.
    pub(crate) fn located_rows(
        self,
        table: &Table,
        locations: &Locations,
        ids: impl IntoIterator<Item = DatasetId>,
    ) -> Vec<u32> {
        let ids = in_order(ids.into_iter().filter(|id| locations.present().contains(*id)));
        ids.into_iter().flat_map(|uuid| self.slots(table, DatasetId::Uuid(uuid)).to_vec()).collect()
    }

    /// The paths of a dataset's artifacts, if it has any and all are plain relative paths.
    ///
    /// Anything that is a URI, or that upstream's path class would rewrite, is none of our business.
    pub fn plain_paths(self, table: &Table, id: DatasetId) -> Option<Vec<String>> {
        let slots = self.slots(table, id);
        let path = |slot: &u32| table.column(self.path).text(*slot as usize).filter(|path| is_plain(path));
        let paths = slots.iter().map(|slot| path(slot).map(Cow::into_owned));
        paths.collect::<Option<Vec<_>>>().filter(|paths| !paths.is_empty())
    }

    /// The same for many datasets, where a path that two of them share is not plain either.
    ///
    /// Upstream answers for only one of several datasets in one artifact; let it.
    pub fn unshared_paths(self, table: &Table, ids: &[DatasetId]) -> Vec<Option<Vec<String>>> {
        let mut paths = map(ids, |id| self.plain_paths(table, *id));
        let shared = shared_paths(&paths);
        if !shared.is_empty() {
            for dataset in &mut paths {
                if dataset.iter().flatten().any(|path| shared.contains(path)) {
                    *dataset = None;
                }
            }
        }
        paths
    }

    /// Slots of a dataset's rows, ordered by component.
    pub(crate) fn slots(self, table: &Table, id: DatasetId) -> Slots {
        let Some(uuid) = id.as_uuid() else {
            return Slots::None;
        };
        let uuid = Value::Guid(uuid);
        let Some(mut slots) = table.with_value(self.dataset_id, &uuid) else {
            let filter = [(self.dataset_id, Filter::Equals(uuid))];
            let slots = table.select(&filter);
            return Slots::Some(slots.expect("the column holds UUIDs, as was checked when it was found"));
        };
        let Some(first) = slots.next() else {
            return Slots::None;
        };
        let Some(second) = slots.next() else {
            return Slots::One([first]);
        };
        let mut slots: Vec<_> = [first, second].into_iter().chain(slots).collect();
        let components = table.column(self.component);
        slots.sort_by(|a, b| components.compare(*a as usize, *b as usize));
        Slots::Some(slots)
    }

    pub(crate) fn record(self, table: &Table, row: u32) -> FileRecord<'_> {
        let text = |column: usize| table.column(column).text(row as usize);
        let component = text(self.component).filter(|name| !name.is_empty() && name != NO_COMPONENT);
        let file_size = match table.cell(row, self.file_size) {
            Value::Integer(size) => Some(size),
            _ => None,
        };
        FileRecord {
            path: text(self.path).unwrap_or_default(),
            formatter: text(self.formatter).unwrap_or_default(),
            storage_class: text(self.storage_class).unwrap_or_default(),
            component,
            checksum: text(self.checksum),
            file_size,
        }
    }
}

impl<'a> Batch<'a> {
    /// Number of records and datasets.
    pub fn len(&self) -> usize {
        self.rows.len() + self.located.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Locates a dataset, whether or not it has records.
    pub fn locate(&mut self, id: DatasetId) {
        self.located.push(id);
    }

    /// Adds a record of a dataset, and locates it. An integer id has no place in such a table.
    pub fn record(&mut self, schema: &Schema, id: DatasetId, record: FileRecord<'a>) -> Result<()> {
        let Self { columns, located, rows } = self;
        let Some(uuid) = id.as_uuid() else {
            return Err(schema.wrong_type(columns.dataset_id, Kind::Integer.name()));
        };
        if located.last() != Some(&id) {
            located.push(id);
        }
        let optional = |text: Option<Cow<'a, str>>| text.map_or(Value::Null, Value::Text);
        let row = rows.add();
        row[columns.dataset_id] = Value::Guid(uuid);
        row[columns.path] = Value::Text(record.path);
        row[columns.formatter] = Value::Text(record.formatter);
        row[columns.storage_class] = Value::Text(record.storage_class);
        row[columns.component] = record.component.map_or(Value::text(NO_COMPONENT), Value::Text);
        row[columns.checksum] = optional(record.checksum);
        row[columns.file_size] = record.file_size.map_or(Value::Null, Value::Integer);
        Ok(())
    }
}

/// Those of the ids that are UUIDs, each once.
fn in_order(ids: impl IntoIterator<Item = DatasetId>) -> Vec<u128> {
    let mut uuids: Vec<_> = ids.into_iter().filter_map(DatasetId::as_uuid).collect();
    uuids.sort_unstable();
    uuids.dedup();
    uuids
}

fn shared_paths(paths: &[Option<Vec<String>>]) -> HashSet<String> {
    let mut seen = HashSet::with_capacity(paths.len());
    let repeated = paths.iter().flatten().flatten().filter(|path| !seen.insert(path.as_str()));
    repeated.cloned().collect()
}
