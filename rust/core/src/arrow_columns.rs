//! Arrow columns and fields of the kinds that upstream's tables have.

use std::fmt::Write;
use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::{
    Array, ArrayRef, DictionaryArray, FixedSizeBinaryArray, Int8Array, Int32Array, StringArray,
};
use arrow_schema::{DataType, Field, Metadata};
use hashbrown::HashMap;

use crate::{Error, Result};

/// How many strings can be numbered with 8 bits.
pub const MOST_SMALL: usize = 128;

/// Bytes of a UUID.
pub(crate) const UUID_BYTES: i32 = 16;

/// A column of UUIDs, which readers that know Arrow's canonical type for them take as such.
pub fn uuid_field(name: &str) -> Field {
    let extension = [("ARROW:extension:name", "arrow.uuid"), ("ARROW:extension:metadata", "")];
    let extension = extension.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let field = Field::new(name, DataType::FixedSizeBinary(UUID_BYTES), false);
    field.with_metadata(extension.into_iter().collect::<Metadata>())
}

/// A column of strings that repeat, numbered with `index`.
pub fn repeating_field(name: &str, index: DataType, nullable: bool) -> Field {
    Field::new(name, DataType::Dictionary(Box::new(index), Box::new(DataType::Utf8)), nullable)
}

/// Collects UUIDs.
#[derive(Default)]
pub struct UuidBuilder(Vec<u8>);

impl UuidBuilder {
    /// Room for so many.
    pub fn with_capacity(rows: usize) -> Self {
        Self(Vec::with_capacity(rows * UUID_BYTES as usize))
    }

    /// Adds one.
    pub fn push(&mut self, uuid: u128) {
        self.0.extend_from_slice(&uuid.to_be_bytes());
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len() / UUID_BYTES as usize
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The column.
    pub fn finish(self) -> ArrayRef {
        Arc::new(FixedSizeBinaryArray::new(UUID_BYTES, self.0.into(), None))
    }
}

/// Collects strings that differ, one after the other in a single buffer.
pub struct TextBuilder {
    column: StringBuilder,
    bytes: usize,
}

impl TextBuilder {
    /// The most bytes that a column's offsets can tell.
    const MOST: usize = i32::MAX as usize;

    /// Room for so many; their text makes its own.
    pub fn with_capacity(rows: usize) -> Self {
        Self::with_text_capacity(rows, 0)
    }

    /// Room for so many, with so many bytes of text.
    pub fn with_text_capacity(rows: usize, bytes: usize) -> Self {
        Self { column: StringBuilder::with_capacity(rows, bytes), bytes: 0 }
    }

    /// Bytes of all strings so far.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a string that is given in pieces.
    pub fn push<'a>(&mut self, pieces: impl IntoIterator<Item = &'a str>) -> Result<()> {
        for piece in pieces {
            self.bytes += piece.len();
            if self.bytes > Self::MOST {
                return Err(Error::TooMuchText);
            }
            self.column.write_str(piece).expect("writing to memory does not fail");
        }
        self.column.append_value("");
        Ok(())
    }

    /// Adds a null.
    pub fn push_null(&mut self) {
        self.column.append_null();
    }

    /// The column.
    pub fn finish(mut self) -> ArrayRef {
        Arc::new(self.column.finish())
    }
}

/// Collects strings that repeat, mostly in runs.
#[derive(Default)]
pub struct RepeatingBuilder {
    numbers: Vec<Option<i32>>,
    texts: Vec<String>,
    by_text: HashMap<String, i32>,
    newest: i32,
}

impl RepeatingBuilder {
    /// Room for so many.
    pub fn with_capacity(rows: usize) -> Self {
        Self { numbers: Vec::with_capacity(rows), ..Self::default() }
    }

    /// Adds a string or a null.
    pub fn push(&mut self, text: Option<&str>) {
        let number = text.map(|text| self.number(text));
        self.numbers.push(number);
    }

    /// The string of a row.
    pub fn get(&self, row: usize) -> Option<&str> {
        self.numbers[row].map(|number| self.texts[number as usize].as_str())
    }

    /// How many different strings there are.
    pub fn distinct(&self) -> usize {
        self.texts.len()
    }

    /// Whether a string is there already.
    pub fn contains(&self, text: &str) -> bool {
        self.is_newest(text) || self.by_text.contains_key(text)
    }

    /// The column.
    pub fn finish(self) -> ArrayRef {
        let texts = StringArray::from_iter_values(self.texts);
        Arc::new(DictionaryArray::new(Int32Array::from(self.numbers), Arc::new(texts)))
    }

    /// The column, numbered with 8 bits; `None` if the strings are more than these can tell apart.
    pub fn finish_small(self) -> Option<ArrayRef> {
        if self.texts.len() > MOST_SMALL {
            return None;
        }
        let numbers = self.numbers.into_iter().map(|number| number.map(|number| number as i8));
        let numbers: Vec<_> = numbers.collect();
        let texts = StringArray::from_iter_values(self.texts);
        Some(Arc::new(DictionaryArray::new(Int8Array::from(numbers), Arc::new(texts))))
    }

    fn is_newest(&self, text: &str) -> bool {
        self.texts.get(self.newest as usize).is_some_and(|newest| newest == text)
    }

    fn number(&mut self, text: &str) -> i32 {
        if !self.is_newest(text) {
            self.newest = match self.by_text.get(text) {
                Some(known) => *known,
                None => {
                    let number =
                        i32::try_from(self.texts.len()).expect("fewer strings than a column has rows");
                    self.texts.push(text.to_owned());
                    self.by_text.insert(text.to_owned(), number);
                    number
                }
            };
        }
        self.newest
    }
}

/// A column of the same string throughout.
pub fn constant_column(text: &str, rows: usize) -> ArrayRef {
    let (numbers, texts) = (Int8Array::from(vec![0; rows]), StringArray::from(vec![text]));
    Arc::new(DictionaryArray::new(numbers, Arc::new(texts)))
}

/// The text in a row of a column that comes from outside, where offsets and bytes may be anything, whatever the
/// column's type says.
pub(crate) fn text_at(texts: &StringArray, row: usize) -> Result<Option<&str>> {
    if texts.is_null(row) {
        return Ok(None);
    }
    let place = |row: usize| usize::try_from(texts.value_offsets()[row]).ok();
    let bytes = place(row).zip(place(row + 1)).and_then(|(start, end)| texts.value_data().get(start..end));
    bytes.and_then(|bytes| std::str::from_utf8(bytes).ok()).ok_or(Error::NotText).map(Some)
}

#[cfg(test)]
mod tests {
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Int8Type, Int32Type};
    use proptest::prelude::*;

    use super::*;

    fn strings(array: &StringArray) -> Vec<Option<String>> {
        array.iter().map(|text| text.map(str::to_owned)).collect()
    }

    proptest! {
        #[test]
        fn text_comes_back_whole(texts in prop::collection::vec(prop::option::of(("[a/é]{0,4}", "\\PC{0,6}")), 0..40)) {
            let mut column = TextBuilder::with_capacity(1);
            for text in &texts {
                match text {
                    Some((head, tail)) => column.push([head.as_str(), tail.as_str()]).unwrap(),
                    None => column.push_null(),
                }
            }
            let whole: Vec<_> = texts.iter().map(|text| text.as_ref().map(|(a, b)| format!("{a}{b}"))).collect();
            prop_assert_eq!(column.bytes(), whole.iter().flatten().map(String::len).sum::<usize>());
            prop_assert_eq!(strings(column.finish().as_string()), whole);
        }

        #[test]
        fn what_repeats_is_kept_once(texts in prop::collection::vec(prop::option::of("[ab]{0,2}"), 0..60)) {
            let mut column = RepeatingBuilder::default();
            for text in &texts {
                column.push(text.as_deref());
                prop_assert!(text.as_deref().is_none_or(|text| column.contains(text)));
            }
            prop_assert!(!column.contains("c"));
            let count = column.distinct();
            let column = column.finish();
            let column = column.as_dictionary::<Int32Type>();
            let mut distinct = strings(column.values().as_string());
            let found: Vec<_> = column
                .keys()
                .iter()
                .map(|number| number.and_then(|number| distinct[number as usize].clone()))
                .collect();
            prop_assert_eq!(&found, &texts);
            prop_assert_eq!(distinct.len(), count);
            distinct.sort();
            distinct.dedup();
            prop_assert_eq!(distinct.len(), count);
        }

        #[test]
        fn uuids_are_sixteen_bytes_in_reading_order(uuids in prop::collection::vec(any::<u128>(), 0..40)) {
            let mut column = UuidBuilder::with_capacity(2);
            uuids.iter().for_each(|uuid| column.push(*uuid));
            let column = column.finish();
            let column: &FixedSizeBinaryArray = column.as_fixed_size_binary();
            let found: Vec<_> =
                column.iter().flatten().map(|bytes| u128::from_be_bytes(bytes.try_into().unwrap())).collect();
            prop_assert_eq!(found, uuids);
        }
    }

    #[test]
    fn few_strings_can_be_numbered_with_eight_bits() {
        for (distinct, fits) in [(0, true), (128, true), (129, false)] {
            let mut column = RepeatingBuilder::default();
            column.push(None);
            (0..distinct).for_each(|n| column.push(Some(&n.to_string())));
            let column = column.finish_small();
            assert_eq!(column.is_some(), fits);
            if let Some(column) = column {
                let column = column.as_dictionary::<Int8Type>();
                assert_eq!(column.values().len(), distinct);
                assert_eq!(
                    column.keys().iter().map(|key| key.map(i32::from)).last(),
                    Some(Some(distinct as i32 - 1).filter(|n| *n >= 0))
                );
            }
        }
    }

    #[test]
    fn a_constant_is_kept_once() {
        for rows in [0, 3] {
            let column = constant_column("store", rows);
            let column = column.as_dictionary::<Int8Type>();
            assert_eq!(column.len(), rows);
            assert!(column.keys().iter().all(|number| number == Some(0)));
            assert_eq!(strings(column.values().as_string()), [Some("store".to_owned())]);
        }
    }
}
