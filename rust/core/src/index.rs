//! Hash indexes over a table's columns, which are the only place where the keys are kept.

use std::hash::{BuildHasher, Hasher};

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::column::{Column, resize};
use crate::value::Value;

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
    columns: Vec<usize>,
    unique: bool,
    /// One row of each key.
    heads: HashTable<u32>,
    /// Chains of rows that share a key; empty as long as no two rows do.
    links: Vec<Link>,
    hashing: DefaultHashBuilder,
}

impl Index {
    pub(crate) fn new(columns: Vec<usize>, unique: bool) -> Self {
        Self { columns, unique, heads: HashTable::new(), links: Vec::new(), hashing: Default::default() }
    }

    pub(crate) fn columns(&self) -> &[usize] {
        &self.columns
    }

    pub(crate) fn is_unique(&self) -> bool {
        self.unique
    }

    pub(crate) fn reserve(&mut self, additional: usize, cells: &[Column]) {
        let Self { columns, heads, hashing, .. } = self;
        heads.reserve(additional, |row| hash_of(columns, hashing, cells, *row));
    }

    /// All rows whose key is `key`, in no order.
    pub(crate) fn rows<'a>(&'a self, cells: &[Column], key: &[&Value<'_>]) -> impl Iterator<Item = u32> + 'a {
        let mut hasher = self.hashing.build_hasher();
        key.iter().for_each(|value| value.hash_into(&mut hasher));
        let equal = |row: &u32| {
            self.columns.iter().zip(key).all(|(column, value)| cells[*column].equals(*row as usize, value))
        };
        let head = self.heads.find(hasher.finish(), equal).copied();
        std::iter::successors(head, |row| Some(self.link(*row).next).filter(|next| *next != NONE))
    }

    /// Adds a row; if the index is unique, no other row may have its key.
    pub(crate) fn insert(&mut self, cells: &[Column], row: u32) {
        if self.leaves_out(cells, row) {
            return;
        }
        let Self { columns, heads, hashing, .. } = self;
        let hash = hash_of(columns, hashing, cells, row);
        let same_key = |other: &u32| {
            columns.iter().all(|column| cells[*column].compare(*other as usize, row as usize).is_eq())
        };
        match heads.find(hash, same_key).copied() {
            None => {
                heads.insert_unique(hash, row, |row| hash_of(columns, hashing, cells, *row));
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

    /// Takes a row out, whose cells must still be in place.
    pub(crate) fn remove(&mut self, cells: &[Column], row: u32) {
        if self.leaves_out(cells, row) {
            return;
        }
        let Link { previous, next } = self.link(row);
        if next != NONE {
            self.set_link(next, Link { previous, ..self.link(next) });
        }
        if previous != NONE {
            self.set_link(previous, Link { next, ..self.link(previous) });
        } else {
            let hash = hash_of(&self.columns, &self.hashing, cells, row);
            if let Ok(mut head) = self.heads.find_entry(hash, |head| *head == row) {
                if next == NONE {
                    head.remove();
                } else {
                    *head.get_mut() = next;
                }
            }
        }
        if let Some(link) = self.links.get_mut(row as usize) {
            *link = UNLINKED;
        }
    }

    pub(crate) fn memory(&self) -> usize {
        self.heads.allocation_size() + self.links.capacity() * size_of::<Link>()
    }

    fn leaves_out(&self, cells: &[Column], row: u32) -> bool {
        self.columns.iter().any(|column| cells[*column].is_null(row as usize))
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

fn hash_of(columns: &[usize], hashing: &DefaultHashBuilder, cells: &[Column], row: u32) -> u64 {
    let mut hasher = hashing.build_hasher();
    columns.iter().for_each(|column| cells[*column].hash_into(row as usize, &mut hasher));
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Kind;

    fn sorted(index: &Index, cells: &[Column], key: i64) -> Vec<u32> {
        let mut rows: Vec<_> = index.rows(cells, &[&Value::Integer(key)]).collect();
        rows.sort_unstable();
        rows
    }

    #[test]
    fn rows_that_share_a_key_are_chained_in_any_order_of_removal() {
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1]] {
            let mut cells = [Column::new(Kind::Integer)];
            let mut index = Index::new(vec![0], false);
            for row in 0..8 {
                cells[0].set(row as usize, &Value::Integer(i64::from(row % 2)));
                index.insert(&cells, row);
            }
            let mut left = vec![0, 2, 4, 6];
            for position in order {
                assert_eq!(sorted(&index, &cells, 0), left);
                index.remove(&cells, 2 * position);
                left.retain(|row| *row != 2 * position);
            }
            assert_eq!(sorted(&index, &cells, 0), []);
            assert_eq!(sorted(&index, &cells, 1), [1, 3, 5, 7]);
        }
    }

    #[test]
    fn rows_with_a_null_are_left_out() {
        let mut cells = [Column::new(Kind::Integer)];
        let mut index = Index::new(vec![0], true);
        index.insert(&cells, 0);
        index.insert(&cells, 1);
        cells[0].set(2, &Value::Integer(0));
        index.insert(&cells, 2);
        index.remove(&cells, 1);
        assert_eq!(sorted(&index, &cells, 0), [2]);
    }

    #[test]
    fn distinct_keys_need_no_links() {
        let mut cells = [Column::new(Kind::Integer)];
        let mut index = Index::new(vec![0], false);
        for row in 0..1000 {
            cells[0].set(row as usize, &Value::Integer(i64::from(row)));
            index.insert(&cells, row);
        }
        assert_eq!(index.links.capacity(), 0);
    }
}
