//! Hash indexes over a table's columns, which are the only place where the keys are kept.

use std::hash::{BuildHasher, Hasher};
use std::sync::OnceLock;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::table::cells::{Bits, resize};
use crate::table::column::Column;
use crate::table::value::Value;

/// Neighbours of a row in the chain of rows that share a key.
#[derive(Clone, Copy, Debug)]
struct Link {
    previous: u32,
    next: u32,
}

/// No row.
const NONE: u32 = u32::MAX;
const UNLINKED: Link = Link { previous: NONE, next: NONE };

/// Finds rows by the values of some columns.
///
/// Rows that are null in one of them are left out: in SQL, null equals nothing.
#[derive(Clone, Debug)]
pub(crate) struct Index {
    key: Key,
    /// Columns in which rows with the same key must differ, if they must.
    distinct: Option<Vec<usize>>,
    /// Made when first needed, unless rows must differ: most tables are never asked by all their indexes.
    entries: OnceLock<Entries>,
}

/// What rows are found by.
#[derive(Clone, Debug)]
struct Key {
    columns: Vec<usize>,
    hashing: DefaultHashBuilder,
}

/// The rows of an index.
#[derive(Clone, Debug, Default)]
struct Entries {
    /// One row of each key.
    heads: HashTable<u32>,
    /// Chains of rows that share a key; empty as long as no two rows do.
    links: Vec<Link>,
}

impl Index {
    /// An index for looking up rows.
    pub(crate) fn new(columns: Vec<usize>) -> Self {
        let key = Key { columns, hashing: DefaultHashBuilder::default() };
        Self { key, distinct: None, entries: OnceLock::new() }
    }

    /// An index that also tells whether two rows agree in all of `columns` and `distinct`. It finds rows by
    /// the former; few should agree in these.
    pub(crate) fn unique(columns: Vec<usize>, distinct: Vec<usize>) -> Self {
        Self { distinct: Some(distinct), entries: Entries::default().into(), ..Self::new(columns) }
    }

    /// The same index of a table without rows.
    pub(crate) fn empty_copy(&self) -> Self {
        let columns = self.key.columns.clone();
        match &self.distinct {
            None => Self::new(columns),
            Some(distinct) => Self::unique(columns, distinct.clone()),
        }
    }

    /// Columns by which rows are found.
    pub(crate) fn columns(&self) -> &[usize] {
        &self.key.columns
    }

    /// Columns in which no two rows may agree, if there are such.
    pub(crate) fn unique_columns(&self) -> Option<impl Iterator<Item = usize>> {
        self.distinct.as_ref().map(|distinct| self.columns().iter().chain(distinct).copied())
    }

    pub(crate) fn reserve(&mut self, additional: usize, cells: &[Column]) {
        if let Some(entries) = self.entries.get_mut() {
            entries.heads.reserve(additional, |row| self.key.hash(cells, *row));
        }
    }

    /// All rows with a key, in no order; `key` tells its value in each of the index's columns, by position.
    pub(crate) fn rows<'a, 'v>(
        &'a self,
        cells: &[Column],
        live: &Bits,
        key: impl Fn(usize) -> &'v Value<'v>,
    ) -> impl Iterator<Item = u32> + 'a {
        let entries = self.entries.get_or_init(|| {
            let mut entries = Entries::default();
            live.ones().for_each(|row| entries.insert(&self.key, cells, row));
            entries
        });
        let columns = self.columns();
        let mut hasher = self.key.hashing.build_hasher();
        (0..columns.len()).for_each(|position| key(position).hash_into(&mut hasher));
        let equal = |row: &u32| {
            columns
                .iter()
                .enumerate()
                .all(|(position, column)| cells[*column].equals(*row as usize, key(position)))
        };
        let head = entries.heads.find(hasher.finish(), equal).copied();
        std::iter::successors(head, |row| Some(entries.link(*row).next).filter(|next| *next != NONE))
    }

    /// The row, if any, that agrees with a new one where no two rows may.
    pub(crate) fn conflict(&self, cells: &[Column], live: &Bits, row: &[Value<'_>]) -> Option<u32> {
        let (columns, distinct) = (self.columns(), self.distinct.as_ref()?);
        if columns.iter().chain(distinct).any(|column| row[*column].is_null()) {
            return None;
        }
        self.rows(cells, live, |position| &row[columns[position]])
            .find(|slot| distinct.iter().all(|column| cells[*column].equals(*slot as usize, &row[*column])))
    }

    /// Adds a row; if there are columns in which rows must differ, no other row may agree in them.
    pub(crate) fn insert(&mut self, cells: &[Column], row: u32) {
        if let Some(entries) = self.entries.get_mut() {
            entries.insert(&self.key, cells, row);
        }
    }

    /// Takes a row out, whose cells must still be in place.
    pub(crate) fn remove(&mut self, cells: &[Column], row: u32) {
        if let Some(entries) = self.entries.get_mut() {
            entries.remove(&self.key, cells, row);
        }
    }

    pub(crate) fn memory(&self) -> usize {
        self.entries.get().map_or(0, |entries| {
            entries.heads.allocation_size() + entries.links.capacity() * size_of::<Link>()
        })
    }
}

impl Key {
    fn hash(&self, cells: &[Column], row: u32) -> u64 {
        let mut hasher = self.hashing.build_hasher();
        self.columns.iter().for_each(|column| cells[*column].hash_into(row as usize, &mut hasher));
        hasher.finish()
    }

    fn is_same(&self, cells: &[Column], a: u32, b: u32) -> bool {
        self.columns.iter().all(|column| cells[*column].compare(a as usize, b as usize).is_eq())
    }

    /// Whether a row is null in one of the columns.
    fn is_null(&self, cells: &[Column], row: u32) -> bool {
        self.columns.iter().any(|column| cells[*column].is_null(row as usize))
    }
}

impl Entries {
    fn insert(&mut self, key: &Key, cells: &[Column], row: u32) {
        if key.is_null(cells, row) {
            return;
        }
        let hash = key.hash(cells, row);
        match self.heads.find(hash, |head| key.is_same(cells, *head, row)).copied() {
            None => {
                self.heads.insert_unique(hash, row, |row| key.hash(cells, *row));
            }
            Some(head) => {
                let next = self.link(head).next;
                self.set_link(row, Link { previous: head, next });
                self.set_link(head, Link { previous: NONE, next: row });
                if next != NONE {
                    self.set_link(next, Link { previous: row, ..self.link(next) });
                }
            }
        }
    }

    fn remove(&mut self, key: &Key, cells: &[Column], row: u32) {
        if key.is_null(cells, row) {
            return;
        }
        let Link { previous, next } = self.link(row);
        if next != NONE {
            self.set_link(next, Link { previous, ..self.link(next) });
        }
        if previous != NONE {
            self.set_link(previous, Link { next, ..self.link(previous) });
        } else if let Ok(mut head) = self.heads.find_entry(key.hash(cells, row), |head| *head == row) {
            if next == NONE {
                head.remove();
            } else {
                *head.get_mut() = next;
            }
        }
        if let Some(link) = self.links.get_mut(row as usize) {
            *link = UNLINKED;
        }
    }

    fn link(&self, row: u32) -> Link {
        self.links.get(row as usize).copied().unwrap_or(UNLINKED)
    }

    fn set_link(&mut self, row: u32, link: Link) {
        let row = row as usize;
        if row >= self.links.len() {
            resize(&mut self.links, row + 1, UNLINKED);
        }
        self.links[row] = link;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::value::Kind;

    /// An index over one column of integers, null where there is none.
    struct Indexed {
        cells: [Column; 1],
        live: Bits,
        index: Index,
    }

    impl Indexed {
        fn new(index: Index, values: &[Option<i64>]) -> Self {
            let mut indexed = Self { cells: [Column::new(Kind::Integer)], live: Bits::default(), index };
            for (row, value) in values.iter().enumerate() {
                let value = value.map_or(Value::Null, Value::Integer);
                indexed.cells[0].set(row, &value);
                indexed.live.set(row, true);
                indexed.index.insert(&indexed.cells, row as u32);
            }
            indexed
        }

        fn remove(&mut self, row: u32) {
            self.index.remove(&self.cells, row);
            self.live.set(row as usize, false);
        }

        fn sorted(&self, key: i64) -> Vec<u32> {
            let key = Value::Integer(key);
            let mut rows: Vec<_> = self.index.rows(&self.cells, &self.live, |_| &key).collect();
            rows.sort_unstable();
            rows
        }
    }

    #[test]
    fn rows_that_share_a_key_are_chained_in_any_order_of_removal() {
        let values: Vec<_> = (0..8).map(|row| Some(row % 2)).collect();
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1]] {
            // Removed before the index is first asked for anything, and after.
            for removed_unasked in 0..4 {
                let mut indexed = Indexed::new(Index::new(vec![0]), &values);
                let mut left = vec![0, 2, 4, 6];
                for (step, position) in order.into_iter().enumerate() {
                    if step >= removed_unasked {
                        assert_eq!(indexed.sorted(0), left);
                    }
                    indexed.remove(2 * position);
                    left.retain(|row| *row != 2 * position);
                }
                assert_eq!(indexed.sorted(0), [0_u32; 0]);
                assert_eq!(indexed.sorted(1), [1, 3, 5, 7]);
            }
        }
    }

    #[test]
    fn rows_with_a_null_are_left_out() {
        for index in [Index::new(vec![0]), Index::unique(vec![0], vec![])] {
            let mut indexed = Indexed::new(index, &[None, None, Some(0)]);
            indexed.remove(1);
            assert_eq!(indexed.sorted(0), [2]);
        }
    }

    #[test]
    fn rows_with_one_key_may_differ_elsewhere() {
        let mut cells = [Column::new(Kind::Integer), Column::new(Kind::Integer)];
        let (mut live, mut index) = (Bits::default(), Index::unique(vec![0], vec![1]));
        for row in 0..3 {
            cells[0].set(row, &Value::Integer(7));
            cells[1].set(row, &Value::Integer(row as i64));
            live.set(row, true);
            index.insert(&cells, row as u32);
        }
        let conflict = |a: Value<'static>, b: Value<'static>| index.conflict(&cells, &live, &[a, b]);
        assert_eq!(conflict(Value::Integer(7), Value::Integer(1)), Some(1));
        assert_eq!(conflict(Value::Integer(7), Value::Integer(3)), None);
        assert_eq!(conflict(Value::Integer(8), Value::Integer(1)), None);
        assert_eq!(conflict(Value::Integer(7), Value::Null), None);
    }

    #[test]
    fn distinct_keys_need_no_links() {
        let indexed = Indexed::new(Index::unique(vec![0], vec![]), &(0..1000).map(Some).collect::<Vec<_>>());
        assert_eq!(indexed.sorted(999), [999]);
        let links = indexed.index.entries.get().map(|entries| entries.links.capacity());
        assert_eq!(links, Some(0));
    }

    #[test]
    fn what_is_not_asked_for_takes_no_room() {
        let indexed = Indexed::new(Index::new(vec![0]), &[Some(1); 100]);
        assert_eq!(indexed.index.memory(), 0);
        assert_eq!(indexed.sorted(1).len(), 100);
        assert!(indexed.index.memory() > 0);
        assert_eq!(indexed.index.empty_copy().memory(), 0);
    }
}
