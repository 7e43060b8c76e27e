//! The datastore records of one quantum, held flat.
//!
//! Upstream keeps five levels of dictionaries: datastore, record class,
//! dataset, opaque table, row.  Here each level is one array.  An entry knows
//! its key and where its children end in the next array; they start where
//! those of the entry before it end.  All text is in one string.  Rows of the
//! same columns share one list of column names, and a text that repeats the
//! row above is stored once.

use std::hash::Hash;
use std::ops::Range;

use hashbrown::HashMap;

use crate::uuid_text;

/// A piece of the common text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) end: u32,
}

/// An entry of one level, with the end of its children in the next.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node<K> {
    pub(super) key: K,
    pub(super) end: u32,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum StoredKey {
    Id(u128),
    Text(Span),
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Cell {
    Null,
    Int(i64),
    Text(Span),
}

/// What a row holds in one column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// Nothing.
    Null,
    /// A number.
    Int(i64),
    /// A text, also when it looks like an id.
    Text(&'a str),
}

/// What names a dataset among the records of one class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key<'a> {
    /// An id, written as 32 lower-case hexadecimal digits.
    Id(u128),
    /// Any other text.
    Text(&'a str),
}

impl<'a> Key<'a> {
    /// The key that is written so.
    pub fn from_text(text: &'a str) -> Self {
        uuid_text::parse_hex(text).map_or(Key::Text(text), Key::Id)
    }
}

/// The datastore records of one quantum.  Within one parent, keys are unique.
#[derive(Debug, Clone, Default)]
pub struct Records {
    pub(super) text: String,
    pub(super) datastores: Vec<Node<Span>>,
    /// One for each datastore: where its ids end in `dataset_ids`.
    pub(super) ids_end: Vec<u32>,
    pub(super) dataset_ids: Vec<u128>,
    pub(super) classes: Vec<Node<Span>>,
    pub(super) datasets: Vec<Node<StoredKey>>,
    pub(super) tables: Vec<Node<Span>>,
    /// Key: the index of the row's shape.
    pub(super) rows: Vec<Node<u32>>,
    pub(super) cells: Vec<Cell>,
    /// Lists of column names; children are in `columns`.
    pub(super) shapes: Vec<Node<()>>,
    pub(super) columns: Vec<Span>,
}

/// Children of the entry at `index`.
pub(super) fn children<K>(level: &[Node<K>], index: usize) -> Range<usize> {
    let start = index.checked_sub(1).map_or(0, |before| level[before].end);
    start as usize..level[index].end as usize
}

impl Records {
    /// Each datastore, in the order in which they were given.
    pub fn datastores(&self) -> impl ExactSizeIterator<Item = DatastoreRecords<'_>> + Clone {
        (0..self.datastores.len()).map(|index| DatastoreRecords { all: self, index })
    }

    /// Number of ids, rows and cells together, to judge how long work on them takes.
    pub fn size(&self) -> usize {
        self.dataset_ids.len() + self.datasets.len() + self.rows.len() + self.cells.len()
    }

    pub(super) fn text(&self, span: Span) -> &str {
        &self.text[span.start as usize..span.end as usize]
    }

    pub(super) fn shape(&self, shape: u32) -> &[Span] {
        &self.columns[children(&self.shapes, shape as usize)]
    }
}

/// The records of one datastore.
#[derive(Debug, Clone, Copy)]
pub struct DatastoreRecords<'a> {
    all: &'a Records,
    index: usize,
}

impl<'a> DatastoreRecords<'a> {
    /// Name of the datastore.
    pub fn name(self) -> &'a str {
        self.all.text(self.all.datastores[self.index].key)
    }

    /// The datasets that have records, as listed: in any order, maybe repeated.
    pub fn dataset_ids(self) -> &'a [u128] {
        let start = self.index.checked_sub(1).map_or(0, |before| self.all.ids_end[before]);
        &self.all.dataset_ids[start as usize..self.all.ids_end[self.index] as usize]
    }

    /// The records by their class.
    pub fn classes(self) -> impl ExactSizeIterator<Item = ClassRecords<'a>> + Clone {
        children(&self.all.datastores, self.index).map(move |index| ClassRecords { all: self.all, index })
    }
}

/// The records of one class.
#[derive(Debug, Clone, Copy)]
pub struct ClassRecords<'a> {
    all: &'a Records,
    index: usize,
}

impl<'a> ClassRecords<'a> {
    /// Fully qualified name of the Python class.
    pub fn name(self) -> &'a str {
        self.all.text(self.all.classes[self.index].key)
    }

    /// The records by dataset.
    pub fn datasets(self) -> impl ExactSizeIterator<Item = DatasetRecords<'a>> + Clone {
        children(&self.all.classes, self.index).map(move |index| DatasetRecords { all: self.all, index })
    }
}

/// The records of one dataset.
#[derive(Debug, Clone, Copy)]
pub struct DatasetRecords<'a> {
    all: &'a Records,
    index: usize,
}

impl<'a> DatasetRecords<'a> {
    /// What names the dataset.
    pub fn key(self) -> Key<'a> {
        match self.all.datasets[self.index].key {
            StoredKey::Id(id) => Key::Id(id),
            StoredKey::Text(span) => Key::Text(self.all.text(span)),
        }
    }

    /// The records by opaque table.
    pub fn tables(self) -> impl ExactSizeIterator<Item = TableRows<'a>> + Clone {
        children(&self.all.datasets, self.index).map(move |index| TableRows { all: self.all, index })
    }
}

/// The rows of one dataset in one opaque table.
#[derive(Debug, Clone, Copy)]
pub struct TableRows<'a> {
    all: &'a Records,
    index: usize,
}

impl<'a> TableRows<'a> {
    /// Name of the table.
    pub fn name(self) -> &'a str {
        self.all.text(self.all.tables[self.index].key)
    }

    /// The rows, in order.
    pub fn rows(self) -> impl ExactSizeIterator<Item = Row<'a>> + Clone {
        children(&self.all.tables, self.index).map(move |index| Row { all: self.all, index })
    }
}

/// One record.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    all: &'a Records,
    index: usize,
}

impl<'a> Row<'a> {
    /// Column names and values, in order.
    pub fn cells(self) -> impl ExactSizeIterator<Item = (&'a str, Value<'a>)> + Clone {
        let Self { all, index } = self;
        let columns = all.shape(all.rows[index].key).iter();
        columns.zip(&all.cells[children(&all.rows, index)]).map(move |(&column, &cell)| {
            let value = match cell {
                Cell::Null => Value::Null,
                Cell::Int(number) => Value::Int(number),
                Cell::Text(span) => Value::Text(all.text(span)),
            };
            (all.text(column), value)
        })
    }
}

/// Equal as upstream's dictionaries are: whatever the order of keys.
impl PartialEq for Records {
    fn eq(&self, other: &Self) -> bool {
        same_map(self.datastores(), other.datastores(), DatastoreRecords::name, |a, b| {
            a.dataset_ids() == b.dataset_ids()
                && same_map(a.classes(), b.classes(), ClassRecords::name, |a, b| {
                    same_map(a.datasets(), b.datasets(), DatasetRecords::key, |a, b| {
                        same_map(a.tables(), b.tables(), TableRows::name, |a, b| {
                            a.rows().len() == b.rows().len()
                                && a.rows().zip(b.rows()).all(|(a, b)| {
                                    same_map(a.cells(), b.cells(), |cell| cell.0, |a, b| a.1 == b.1)
                                })
                        })
                    })
                })
        })
    }
}

/// Whether both have the same keys, with the same content for each.
fn same_map<T: Copy, K: Eq + Hash>(
    ours: impl ExactSizeIterator<Item = T> + Clone,
    theirs: impl ExactSizeIterator<Item = T> + Clone,
    key: impl Fn(T) -> K,
    same: impl Fn(T, T) -> bool,
) -> bool {
    if ours.len() != theirs.len() {
        return false;
    }
    // Two of the same origin have the same order, and then nothing needs looking up.
    if ours.clone().zip(theirs.clone()).all(|(a, b)| key(a) == key(b)) {
        return ours.zip(theirs).all(|(a, b)| same(a, b));
    }
    let theirs: HashMap<K, T> = theirs.map(|b| (key(b), b)).collect();
    let mut ours = ours;
    ours.all(|a| theirs.get(&key(a)).is_some_and(|&b| same(a, b)))
}
