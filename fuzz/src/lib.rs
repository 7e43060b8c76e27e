//! What the fuzz targets share.

use std::collections::BTreeSet;

use serde_json::Value;

/// The five arrays of ids, in the order of their bits.
pub const ROLES: [&str; 5] =
    ["predicted_inputs", "available_inputs", "actual_inputs", "predicted_outputs", "actual_outputs"];

/// Takes numbers from the bytes that the fuzzer makes; zeros when there are no more.
pub struct Bytes<'a>(pub &'a [u8]);

impl<'a> Bytes<'a> {
    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        usize::from(self.byte()) % limit.max(1)
    }

    /// Four bytes as a number.
    pub fn word(&mut self) -> u32 {
        u32::from_le_bytes([self.byte(), self.byte(), self.byte(), self.byte()])
    }

    /// So many bytes, or what is left of them.
    pub fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

/// The id that a text spells in any of the four ways that upstream's model takes.
pub fn uuid(text: &str) -> Option<u128> {
    let inner = text.strip_prefix("urn:uuid:").unwrap_or(text);
    let inner = inner.strip_prefix('{').and_then(|inner| inner.strip_suffix('}')).unwrap_or(inner);
    let digits = inner.replace('-', "");
    (digits.len() == 32 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
        .then(|| u128::from_str_radix(&digits, 16).ok())?
}

/// The ids in an array of texts.
pub fn ids(array: &Value) -> BTreeSet<u128> {
    let items = array.as_array().expect("what was accepted is an array");
    items.iter().map(|id| id.as_str().and_then(uuid).expect("what was accepted is an id")).collect()
}

/// Columns as they come from outside: nothing has looked at what their buffers hold.
pub mod unchecked {
    use std::sync::Arc;

    use arrow_array::{
        ArrayRef, DictionaryArray, FixedSizeBinaryArray, ListArray, StringArray, make_array, types::Int32Type,
    };
    use arrow_buffer::Buffer;
    use arrow_data::{ArrayData, ArrayDataBuilder};
    use arrow_schema::DataType;

    fn build(builder: ArrayDataBuilder) -> ArrayData {
        // SAFETY: not sound, and as it is when a file is mapped into memory: the buffers have the length that
        // they should have, and anything in them.
        unsafe { builder.build_unchecked() }
    }

    /// UUIDs of these bytes.
    pub fn uuids(ids: &[u128]) -> ArrayRef {
        let bytes: Vec<u8> = ids.iter().flat_map(|id| id.to_be_bytes()).collect();
        let builder = ArrayData::builder(DataType::FixedSizeBinary(16)).len(ids.len());
        Arc::new(FixedSizeBinaryArray::from(build(builder.add_buffer(Buffer::from_vec(bytes)))))
    }

    /// Texts with these offsets, one more than there are texts.
    pub fn texts(offsets: &[i32], bytes: &[u8]) -> ArrayRef {
        let builder = ArrayData::builder(DataType::Utf8)
            .len(offsets.len() - 1)
            .add_buffer(Buffer::from_vec(offsets.to_vec()))
            .add_buffer(Buffer::from_vec(bytes.to_vec()));
        Arc::new(StringArray::from(build(builder)))
    }

    /// Texts of a dictionary with these keys.
    pub fn repeating(keys: &[i32], texts: ArrayRef) -> ArrayRef {
        let kind = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        let builder = ArrayData::builder(kind)
            .len(keys.len())
            .add_buffer(Buffer::from_vec(keys.to_vec()))
            .add_child_data(texts.to_data());
        Arc::new(DictionaryArray::<Int32Type>::from(build(builder)))
    }

    /// Lists with these offsets, one more than there are lists.
    pub fn lists(kind: &DataType, offsets: &[i32], items: &ArrayRef) -> ArrayRef {
        let builder = ArrayData::builder(kind.clone())
            .len(offsets.len() - 1)
            .add_buffer(Buffer::from_vec(offsets.to_vec()))
            .add_child_data(items.to_data());
        let array = make_array(build(builder));
        assert!(array.as_any().is::<ListArray>());
        array
    }
}
