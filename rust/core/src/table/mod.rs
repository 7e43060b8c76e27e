//! One opaque table: typed columns, rows that come and go, and the indexes that find them.

mod arena;
mod cells;
pub(crate) mod column;
pub(crate) mod filter;
mod index;
mod interner;
pub(crate) mod schema;
pub(crate) mod text;
pub(crate) mod value;

use std::sync::Arc;

use crate::table::cells::{Bits, resize};
use crate::table::column::Column;
use crate::table::filter::Filter;
use crate::table::index::Index;
use crate::table::schema::{Rows, Schema};
use crate::table::value::{Kind, Value};
use crate::{Changes, DatasetId, Error, Result};

/// A table in memory.
///
/// A row lives in a slot, which is used again after the row is gone.
#[derive(Clone, Debug)]
pub struct Table {
    schema: Arc<Schema>,
    cells: Vec<Column>,
    live: Bits,
    /// Slots that hold a row, slots ever used, and those of the latter that are free.
    len: usize,
    slots: u32,
    free: Vec<u32>,
    /// When each slot's row was inserted, as a count of insertions. Empty, and then equal to the slot, until
    /// a slot is used again.
    sequences: Vec<u64>,
    next_sequence: u64,
    indexes: Vec<Index>,
    /// Datasets whose rows have changed, by the column that has their ids.
    pub changes: Changes,
    watched: usize,
}

/// What takes one change of a table back.
#[derive(Clone, Debug, Default)]
pub struct TableUndo {
    first_sequence: u64,
    /// Slots of rows that were inserted, with consecutive sequence numbers.
    inserted: Vec<u32>,
    replaced: Vec<Replaced>,
}

impl TableUndo {
    /// Number of rows to restore.
    pub fn len(&self) -> usize {
        self.inserted.len() + self.replaced.len()
    }

    /// Whether there is nothing to restore.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Joins what takes the very next change of the same table back, which only inserted.
    pub(crate) fn append(&mut self, next: Self) {
        debug_assert_eq!(next.first_sequence, self.first_sequence + self.inserted.len() as u64);
        debug_assert!(next.replaced.is_empty());
        self.inserted.extend(next.inserted);
    }
}

#[derive(Clone, Debug)]
struct Replaced {
    slot: u32,
    sequence: u64,
    row: Vec<Value<'static>>,
}

/// What to do with a row whose key is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It is an error.
    Insert,
    /// Keep the old row.
    Ensure,
    /// Overwrite the row that has the same primary key.
    Replace,
}

impl Table {
    /// An empty table.
    pub fn new(schema: Schema) -> Self {
        let mut indexes: Vec<Index> = Vec::new();
        let mut add_unique = |columns: &[usize], distinct: &[usize]| {
            let wanted = || columns.iter().chain(distinct).copied();
            let is_known = |index: &Index| index.unique_columns().is_some_and(|known| known.eq(wanted()));
            if !columns.is_empty() && !indexes.iter().any(is_known) {
                indexes.push(Index::unique(columns.to_vec(), distinct.to_vec()));
            }
        };
        let key = schema.primary_key();
        let leader = &key[..key.len().min(1)];
        // The primary key comes first: look-ups take the first index that fits. Of one dataset there are few
        // rows, so its id alone finds them; of anything else there may be many.
        if leader.iter().all(|column| schema.kind(*column) == Kind::Guid) {
            add_unique(leader, &key[leader.len()..]);
        } else {
            add_unique(key, &[]);
        }
        schema.unique().iter().for_each(|columns| add_unique(columns, &[]));
        let others = std::iter::once(leader).chain(schema.indexes().iter().map(Vec::as_slice));
        for columns in others {
            if !columns.is_empty() && !indexes.iter().any(|index| index.columns() == columns) {
                indexes.push(Index::new(columns.to_vec()));
            }
        }
        Self::with(Arc::new(schema), indexes)
    }

    fn with(schema: Arc<Schema>, indexes: Vec<Index>) -> Self {
        Self {
            cells: schema.columns().iter().map(|column| Column::new(column.kind)).collect(),
            schema,
            live: Bits::default(),
            len: 0,
            slots: 0,
            free: Vec::new(),
            sequences: Vec::new(),
            next_sequence: 0,
            indexes,
            changes: Changes::default(),
            watched: 0,
        }
    }

    /// A table of the same shape, without rows.
    pub fn empty_copy(&self) -> Self {
        Self::with(self.schema.clone(), self.indexes.iter().map(Index::empty_copy).collect())
    }

    /// Shape of the table.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes held on the heap.
    pub fn memory(&self) -> usize {
        self.cells.iter().map(Column::memory).sum::<usize>()
            + self.indexes.iter().map(Index::memory).sum::<usize>()
            + self.live.memory()
            + self.free.capacity() * size_of::<u32>()
            + self.sequences.capacity() * size_of::<u64>()
    }

    /// Adds rows, all or none. A row that is refused is an error, and changes nothing.
    pub fn put(&mut self, rows: &Rows<'_>, mode: Mode) -> Result<TableUndo> {
        for row in rows.iter() {
            self.schema.check(row)?;
        }
        let mut undo = TableUndo { first_sequence: self.next_sequence, ..TableUndo::default() };
        // Room for rows that may turn out to be there already would be wasted.
        if mode == Mode::Insert {
            undo.inserted.reserve_exact(rows.len());
            self.reserve(rows.len());
            self.reserve_columns(rows);
        }
        for row in rows.iter() {
            if let Err(error) = self.put_row(row, mode, &mut undo) {
                self.undo(undo);
                return Err(error);
            }
        }
        Ok(undo)
    }

    /// Makes room in the indexes for so many more rows.
    pub(crate) fn reserve(&mut self, rows: usize) {
        self.indexes.iter_mut().for_each(|index| index.reserve(rows, &self.cells));
    }

    /// Makes room in the columns for new rows, all at once.
    fn reserve_columns(&mut self, rows: &Rows<'_>) {
        let new_slots = rows.len().saturating_sub(self.free.len());
        // A column that is null at first mostly is throughout.
        let columns = self.cells.iter_mut().zip(rows.iter().next().unwrap_or_default());
        for (column, _) in columns.filter(|(_, value)| new_slots > 1 && !value.is_null()) {
            column.reserve(self.slots as usize + new_slots);
        }
    }

    fn put_row(&mut self, row: &[Value<'_>], mode: Mode, undo: &mut TableUndo) -> Result<()> {
        let conflict = self.conflict(row, None);
        let slot = match conflict {
            None => {
                undo.inserted.push(self.insert_row(row));
                return Ok(());
            }
            Some(_) if mode == Mode::Ensure => return Ok(()),
            // The primary key's index is the first.
            Some((0, slot)) if mode == Mode::Replace && !self.schema.primary_key().is_empty() => slot,
            Some((index, _)) => return Err(self.duplicate_key(index, row)),
        };
        if let Some((index, _)) = self.conflict(row, Some(slot)) {
            return Err(self.duplicate_key(index, row));
        }
        let former = self.row(slot).into_iter().map(Value::into_owned).collect();
        undo.replaced.push(Replaced { slot, sequence: self.sequence(slot), row: former });
        self.overwrite(slot, row);
        Ok(())
    }

    fn duplicate_key(&self, index: usize, row: &[Value<'_>]) -> Error {
        let columns: Vec<_> = self.indexes[index].unique_columns().into_iter().flatten().collect();
        self.schema.duplicate_key(&columns, row)
    }

    /// The first unique index in which another row than `own` has the row's key, and that row.
    fn conflict(&self, row: &[Value<'_>], own: Option<u32>) -> Option<(usize, u32)> {
        let conflicts =
            self.indexes.iter().enumerate().filter_map(|(position, index)| {
                Some((position, index.conflict(&self.cells, &self.live, row)?))
            });
        conflicts.into_iter().find(|(_, slot)| own != Some(*slot))
    }

    /// Takes a change back. Rows that others have deleted or replaced since stay as those left them.
    pub fn undo(&mut self, undo: TableUndo) {
        // New rows go first: they may have the unique keys that replaced rows had.
        for (slot, sequence) in undo.inserted.into_iter().zip(undo.first_sequence..) {
            if self.holds(slot, sequence) {
                self.remove_row(slot);
            }
        }
        for Replaced { slot, sequence, row } in undo.replaced.into_iter().rev() {
            if self.holds(slot, sequence) && self.conflict(&row, Some(slot)).is_none() {
                self.overwrite(slot, &row);
            }
        }
    }

    /// Whether a slot still holds the row with that sequence number.
    fn holds(&self, slot: u32, sequence: u64) -> bool {
        self.live.get(slot as usize) && self.sequence(slot) == sequence
    }

    fn sequence(&self, slot: u32) -> u64 {
        self.sequences.get(slot as usize).copied().unwrap_or(u64::from(slot))
    }

    fn insert_row(&mut self, row: &[Value<'_>]) -> u32 {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        let slot = if let Some(slot) = self.free.pop() {
            if self.sequences.is_empty() {
                self.sequences = (0..u64::from(self.slots)).collect();
            }
            self.sequences[slot as usize] = sequence;
            slot
        } else {
            let slot = self.slots;
            assert!(slot < u32::MAX, "a table has fewer than 2^32 - 1 rows");
            self.slots += 1;
            if sequence != u64::from(slot) {
                resize(&mut self.sequences, slot as usize + 1, sequence);
            }
            slot
        };
        self.live.set(slot as usize, true);
        self.len += 1;
        self.write(slot, row);
        slot
    }

    fn overwrite(&mut self, slot: u32, row: &[Value<'_>]) {
        self.note(slot, Changes::note);
        self.unindex(slot);
        self.write(slot, row);
    }

    fn write(&mut self, slot: u32, row: &[Value<'_>]) {
        for (column, value) in self.cells.iter_mut().zip(row) {
            column.set(slot as usize, value);
        }
        self.indexes.iter_mut().for_each(|index| index.insert(&self.cells, slot));
        self.note(slot, Changes::note_added);
    }

    /// Keeps in mind from now on which datasets' rows change; the column has their ids, and keeps them.
    pub fn watch(&mut self, column: usize) {
        self.watched = column;
        self.changes.watch();
    }

    fn note(&mut self, slot: u32, note: fn(&mut Changes, DatasetId)) {
        if self.changes.is_watched()
            && let Value::Guid(id) = self.cells[self.watched].get(slot as usize)
        {
            note(&mut self.changes, DatasetId::Uuid(id));
        }
    }

    fn unindex(&mut self, slot: u32) {
        self.indexes.iter_mut().for_each(|index| index.remove(&self.cells, slot));
    }

    fn remove_row(&mut self, slot: u32) {
        self.note(slot, Changes::note);
        self.unindex(slot);
        self.cells.iter_mut().for_each(|column| column.clear(slot as usize));
        self.live.set(slot as usize, false);
        self.len -= 1;
        self.free.push(slot);
    }

    /// Rows that meet all conditions, each on the column at a position.
    ///
    /// Rows found by the primary key or its first column come in the key's order, others in the order in
    /// which they were inserted.
    pub fn fetch(&self, filters: &[(usize, Filter<'_>)]) -> Result<Vec<Vec<Value<'static>>>> {
        let slots = self.select(filters)?;
        Ok(slots
            .into_iter()
            .map(|slot| self.row(slot).into_iter().map(Value::into_owned).collect())
            .collect())
    }

    pub(crate) fn row(&self, slot: u32) -> Vec<Value<'_>> {
        self.cells.iter().map(|column| column.get(slot as usize)).collect()
    }

    /// One cell of a row that `select` found.
    pub(crate) fn cell(&self, slot: u32, column: usize) -> Value<'_> {
        self.cells[column].get(slot as usize)
    }

    pub(crate) fn column(&self, column: usize) -> &Column {
        &self.cells[column]
    }

    /// Slots of the rows with a value in a column, in no order; if there is no index for that, nothing.
    pub(crate) fn with_value<'v>(
        &self,
        column: usize,
        value: &'v Value<'v>,
    ) -> Option<impl Iterator<Item = u32>> {
        let index = self.indexes.iter().find(|index| index.columns() == [column])?;
        Some(index.rows(&self.cells, &self.live, |_| value))
    }

    /// Slots of the rows that `fetch` would return.
    pub(crate) fn select(&self, filters: &[(usize, Filter<'_>)]) -> Result<Vec<u32>> {
        for (column, filter) in filters {
            filter.values().iter().try_for_each(|value| self.schema.check_kind(*column, value))?;
            if matches!(filter, Filter::Like(_)) && self.schema.kind(*column) != Kind::Text {
                return Err(self.schema.wrong_type(*column, Kind::Text.name()));
            }
        }
        let mut text = String::new();
        let mut accepts = |slot: &u32| {
            filters
                .iter()
                .all(|(column, filter)| filter.accepts(&self.cells[*column], *slot as usize, &mut text))
        };
        let Some((index, keys)) =
            self.indexes.iter().find_map(|index| Some((index, look_ups(index, filters)?)))
        else {
            let mut slots: Vec<_> = (0..self.slots).filter(|slot| self.live.get(*slot as usize)).collect();
            slots.retain(&mut accepts);
            self.sort_by_insertion(&mut slots);
            return Ok(slots);
        };
        let rows = keys.iter().map(|key| index.rows(&self.cells, &self.live, |position| key[position]));
        let mut slots: Vec<_> = rows.flatten().collect();
        // What the index has matched need not be matched again.
        if filters.len() > index.columns().len() {
            slots.retain(&mut accepts);
        }
        let primary_key = self.schema.primary_key();
        if primary_key.starts_with(index.columns()) {
            slots.sort_by(|a, b| {
                let compare = |column: &usize| self.cells[*column].compare(*a as usize, *b as usize);
                primary_key
                    .iter()
                    .map(compare)
                    .find(|order| order.is_ne())
                    .unwrap_or(std::cmp::Ordering::Equal)
            });
        } else {
            self.sort_by_insertion(&mut slots);
        }
        Ok(slots)
    }

    fn sort_by_insertion(&self, slots: &mut [u32]) {
        slots.sort_unstable_by_key(|slot| self.sequence(*slot));
    }

    /// Deletes the rows whose `columns` hold one of the `keys`, or all rows if there are no columns; returns
    /// how many they were. A key with a null in it matches nothing.
    pub fn delete(&mut self, columns: &[usize], keys: Vec<Vec<Value<'_>>>) -> Result<usize> {
        let mut keys = keys;
        keys.retain(|key| !key.iter().any(Value::is_null));
        let slots = match columns {
            [] => self.select(&[])?,
            [column] => self.select(&[(*column, Filter::one_of(keys.into_iter().flatten()))])?,
            _ => {
                let mut slots = Vec::new();
                for key in keys {
                    let filters: Vec<_> =
                        columns.iter().copied().zip(key.into_iter().map(Filter::Equals)).collect();
                    slots.extend(self.select(&filters)?);
                }
                slots.sort_unstable();
                slots.dedup();
                slots
            }
        };
        slots.iter().for_each(|slot| self.remove_row(*slot));
        Ok(slots.len())
    }
}

/// The keys to look up in an index so as to find the rows that meet the conditions on its columns.
fn look_ups<'f>(index: &Index, filters: &'f [(usize, Filter<'f>)]) -> Option<Vec<Vec<&'f Value<'f>>>> {
    let keys_of = |column: &usize| {
        filters.iter().find(|(filtered, _)| filtered == column).and_then(|(_, filter)| filter.keys())
    };
    if let [column] = index.columns() {
        return Some(keys_of(column)?.iter().map(|value| vec![value]).collect());
    }
    let single = |column| keys_of(column).filter(|keys| keys.len() == 1).map(|keys| &keys[0]);
    Some(vec![index.columns().iter().map(single).collect::<Option<_>>()?])
}
