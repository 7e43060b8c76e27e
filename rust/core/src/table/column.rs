//! One column of a table: values of one kind, side by side.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::hash::Hasher;

use crate::table::cells::{Bits, resize};
use crate::table::text::TextColumn;
use crate::table::value::{Kind, Value};

/// A column as the caller specifies it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnSpec {
    /// Name of the column.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
    /// Whether a row may leave it out.
    pub nullable: bool,
}

#[derive(Clone, Debug)]
enum Cells {
    Guid(Vec<u128>),
    Text(TextColumn),
    Integer(Vec<i64>),
    Boolean(Bits),
    Float(Vec<f64>),
    Bytes(Vec<Box<[u8]>>),
    Timestamp(Vec<i64>),
}

/// The values of one column.
///
/// Room is made up to the last row that has a value: a column that is null throughout takes none.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    cells: Cells,
    present: Bits,
}

impl Column {
    pub(crate) fn new(kind: Kind) -> Self {
        let cells = match kind {
            Kind::Guid => Cells::Guid(Vec::new()),
            Kind::Text => Cells::Text(TextColumn::default()),
            Kind::Integer => Cells::Integer(Vec::new()),
            Kind::Boolean => Cells::Boolean(Bits::default()),
            Kind::Float => Cells::Float(Vec::new()),
            Kind::Bytes => Cells::Bytes(Vec::new()),
            Kind::Timestamp => Cells::Timestamp(Vec::new()),
        };
        Self { cells, present: Bits::default() }
    }

    /// Makes room up to a row that is about to be filled.
    pub(crate) fn reserve(&mut self, rows: usize) {
        fn reserve<T>(cells: &mut Vec<T>, rows: usize) {
            cells.reserve_exact(rows.saturating_sub(cells.len()));
        }
        match &mut self.cells {
            Cells::Guid(cells) => reserve(cells, rows),
            Cells::Text(texts) => texts.reserve(rows),
            Cells::Integer(cells) | Cells::Timestamp(cells) => reserve(cells, rows),
            Cells::Boolean(_) => {}
            Cells::Float(cells) => reserve(cells, rows),
            Cells::Bytes(cells) => reserve(cells, rows),
        }
    }

    /// Puts a value of the column's kind, or null, into a row.
    pub(crate) fn set(&mut self, row: usize, value: &Value<'_>) {
        if value.is_null() {
            return self.clear(row);
        }
        self.present.set(row, true);
        match (&mut self.cells, value) {
            (Cells::Guid(cells), Value::Guid(guid)) => *cell(cells, row) = *guid,
            (Cells::Text(texts), Value::Text(text)) => {
                texts.resize(texts.len().max(row + 1));
                texts.set(row, text);
            }
            (Cells::Integer(cells), Value::Integer(integer)) => *cell(cells, row) = *integer,
            (Cells::Boolean(bits), Value::Boolean(boolean)) => bits.set(row, *boolean),
            (Cells::Float(cells), Value::Float(number)) => *cell(cells, row) = *number,
            (Cells::Bytes(cells), Value::Bytes(bytes)) => *cell(cells, row) = bytes.as_ref().into(),
            (Cells::Timestamp(cells), Value::Timestamp(nanoseconds)) => *cell(cells, row) = *nanoseconds,
            _ => unreachable!("the schema has checked the kinds of all values"),
        }
    }

    /// Makes a row null, and gives up what it held.
    pub(crate) fn clear(&mut self, row: usize) {
        if !self.present.get(row) {
            return;
        }
        self.present.set(row, false);
        match &mut self.cells {
            Cells::Text(texts) => texts.clear(row),
            Cells::Bytes(cells) => cells[row] = Box::default(),
            _ => {}
        }
    }

    pub(crate) fn is_null(&self, row: usize) -> bool {
        !self.present.get(row)
    }

    pub(crate) fn get(&self, row: usize) -> Value<'_> {
        if self.is_null(row) {
            return Value::Null;
        }
        match &self.cells {
            Cells::Guid(cells) => Value::Guid(cells[row]),
            Cells::Text(texts) => Value::Text(Cow::Owned(texts.get(row).joined())),
            Cells::Integer(cells) => Value::Integer(cells[row]),
            Cells::Boolean(bits) => Value::Boolean(bits.get(row)),
            Cells::Float(cells) => Value::Float(cells[row]),
            Cells::Bytes(cells) => Value::Bytes(Cow::Borrowed(&cells[row])),
            Cells::Timestamp(cells) => Value::Timestamp(cells[row]),
        }
    }

    /// Appends a row's string to `text`; tells whether there is one.
    pub(crate) fn append_text(&self, row: usize, text: &mut String) -> bool {
        match &self.cells {
            Cells::Text(texts) if self.present.get(row) => {
                texts.get(row).push_to(text);
                true
            }
            _ => false,
        }
    }

    /// The parts of a row's string: none if it has no string.
    pub(crate) fn parts(&self, row: usize) -> [&str; 2] {
        match &self.cells {
            Cells::Text(texts) if self.present.get(row) => texts.get(row).parts(),
            _ => ["", ""],
        }
    }

    /// What stands for a row's string as long as strings are repeated in this column: equal ones have it in
    /// common.
    pub(crate) fn repeated(&self, row: usize) -> Option<u32> {
        match &self.cells {
            Cells::Text(texts) if self.present.get(row) => texts.repeated(row),
            _ => None,
        }
    }

    /// The integer in a row.
    pub(crate) fn integer(&self, row: usize) -> Option<i64> {
        match &self.cells {
            Cells::Integer(cells) if self.present.get(row) => Some(cells[row]),
            _ => None,
        }
    }

    /// The text of a row, borrowed where the column keeps it in one piece.
    pub(crate) fn text(&self, row: usize) -> Option<Cow<'_, str>> {
        match &self.cells {
            Cells::Text(texts) if self.present.get(row) => Some(texts.get(row).into_cow()),
            _ => None,
        }
    }

    /// The same in the two pieces that the column may keep it in.
    pub(crate) fn text_pieces(&self, row: usize) -> Option<[&str; 2]> {
        match &self.cells {
            Cells::Text(texts) if self.present.get(row) => Some(texts.get(row).pieces()),
            _ => None,
        }
    }

    /// Whether a row holds just this value; null equals null here.
    pub(crate) fn equals(&self, row: usize, value: &Value<'_>) -> bool {
        if self.is_null(row) || value.is_null() {
            return self.is_null(row) && value.is_null();
        }
        match (&self.cells, value) {
            (Cells::Text(texts), Value::Text(text)) => {
                texts.get(row) == crate::table::text::TextRef::of(text)
            }
            _ => self.get(row) == *value,
        }
    }

    /// Feeds a row's value to a hasher, just as the value would itself.
    pub(crate) fn hash_into(&self, row: usize, hasher: &mut impl Hasher) {
        match &self.cells {
            Cells::Text(texts) if self.present.get(row) => texts.get(row).hash_into(hasher),
            _ => self.get(row).hash_into(hasher),
        }
    }

    /// Order of two rows by value, null first.
    pub(crate) fn compare(&self, a: usize, b: usize) -> Ordering {
        if self.is_null(a) || self.is_null(b) {
            return self.is_null(b).cmp(&self.is_null(a));
        }
        match &self.cells {
            Cells::Guid(cells) => cells[a].cmp(&cells[b]),
            Cells::Text(texts) => texts.get(a).compare(texts.get(b)),
            Cells::Integer(cells) | Cells::Timestamp(cells) => cells[a].cmp(&cells[b]),
            Cells::Boolean(bits) => bits.get(a).cmp(&bits.get(b)),
            Cells::Float(cells) => cells[a].total_cmp(&cells[b]),
            Cells::Bytes(cells) => cells[a].cmp(&cells[b]),
        }
    }

    pub(crate) fn memory(&self) -> usize {
        let cells = match &self.cells {
            Cells::Guid(cells) => cells.capacity() * size_of::<u128>(),
            Cells::Text(texts) => texts.memory(),
            Cells::Integer(cells) | Cells::Timestamp(cells) => cells.capacity() * size_of::<i64>(),
            Cells::Boolean(bits) => bits.memory(),
            Cells::Float(cells) => cells.capacity() * size_of::<f64>(),
            Cells::Bytes(cells) => {
                let bytes: usize = cells.iter().map(|bytes| bytes.len()).sum();
                bytes + cells.capacity() * size_of::<Box<[u8]>>()
            }
        };
        cells + self.present.memory()
    }
}

fn cell<T: Clone + Default>(cells: &mut Vec<T>, row: usize) -> &mut T {
    if row >= cells.len() {
        resize(cells, row + 1, T::default());
    }
    &mut cells[row]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(kind: Kind) -> [Value<'static>; 3] {
        match kind {
            Kind::Guid => [1, 2, u128::MAX].map(Value::Guid),
            Kind::Text => ["", "a/b", "a/c"].map(Value::text),
            Kind::Integer => [i64::MIN, 0, i64::MAX].map(Value::Integer),
            Kind::Boolean => [false, true, true].map(Value::Boolean),
            Kind::Float => [-1.5, 0.0, f64::INFINITY].map(Value::Float),
            Kind::Bytes => [&[][..], &[0], &[0, 1]].map(|bytes| Value::Bytes(Cow::Borrowed(bytes))),
            Kind::Timestamp => [-1, 0, 1].map(Value::Timestamp),
        }
    }

    #[test]
    fn every_kind_keeps_values_and_nulls() {
        for kind in Kind::ALL {
            let mut column = Column::new(kind);
            for (row, value) in samples(kind).iter().enumerate() {
                column.set(2 * row + 1, value);
            }
            for (row, value) in samples(kind).iter().enumerate() {
                assert_eq!(column.get(2 * row), Value::Null);
                assert_eq!(column.get(2 * row + 1), *value);
                assert!(column.equals(2 * row + 1, value) && !column.equals(2 * row, value));
                assert!(column.equals(2 * row, &Value::Null) && !column.equals(2 * row + 1, &Value::Null));
            }
            assert_eq!(column.compare(0, 1), Ordering::Less);
            assert_eq!(column.compare(3, 1), Ordering::Greater);
            column.clear(3);
            assert_eq!(column.get(3), Value::Null);
        }
    }

    #[test]
    fn a_column_of_nulls_takes_no_room() {
        let mut column = Column::new(Kind::Text);
        (0..10_000).for_each(|row| column.set(row, &Value::Null));
        assert_eq!(column.memory(), 0);
    }

    #[test]
    fn not_a_number_is_stored_as_null() {
        let mut column = Column::new(Kind::Float);
        column.set(0, &Value::Float(f64::NAN));
        assert!(column.is_null(0));
    }
}
