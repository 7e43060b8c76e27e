//! Arrow columns and fields of the kinds that upstream's tables have.

use std::fmt::Write;
use std::sync::Arc;

use arrow_array::builder::{FixedSizeBinaryBuilder, StringBuilder, StringDictionaryBuilder};
use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, DictionaryArray, Int8Array, StringArray};
use arrow_schema::{DataType, Field, Metadata};

use crate::{Error, Result};

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
pub struct UuidBuilder(FixedSizeBinaryBuilder);

impl UuidBuilder {
    /// Room for so many.
    pub fn with_capacity(rows: usize) -> Self {
        Self(FixedSizeBinaryBuilder::with_capacity(rows, UUID_BYTES))
    }

    /// Adds one.
    pub fn push(&mut self, uuid: u128) {
        self.0.append_value(uuid.to_be_bytes()).expect("a UUID has the column's width");
    }

    /// The column.
    pub fn finish(mut self) -> ArrayRef {
        Arc::new(self.0.finish())
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
        Self { column: StringBuilder::with_capacity(rows, 0), bytes: 0 }
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

/// Collects strings that repeat.
#[derive(Default)]
pub struct RepeatingBuilder(StringDictionaryBuilder<Int32Type>);

impl RepeatingBuilder {
    /// Adds a string or a null.
    pub fn push(&mut self, text: Option<&str>) {
        self.0.append_option(text);
    }

    /// The column.
    pub fn finish(mut self) -> ArrayRef {
        Arc::new(self.0.finish())
    }
}

/// A column of the same string throughout.
pub fn constant_column(text: &str, rows: usize) -> ArrayRef {
    let (numbers, texts) = (Int8Array::from(vec![0; rows]), StringArray::from(vec![text]));
    Arc::new(DictionaryArray::new(numbers, Arc::new(texts)))
}

#[cfg(test)]
mod tests {
    use arrow_array::FixedSizeBinaryArray;
    use arrow_array::cast::AsArray;
    use arrow_array::types::Int8Type;
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
            texts.iter().for_each(|text| column.push(text.as_deref()));
            let column = column.finish();
            let column = column.as_dictionary::<Int32Type>();
            let mut distinct = strings(column.values().as_string());
            let found: Vec<_> = column
                .keys()
                .iter()
                .map(|number| number.and_then(|number| distinct[number as usize].clone()))
                .collect();
            prop_assert_eq!(&found, &texts);
            let count = distinct.len();
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
