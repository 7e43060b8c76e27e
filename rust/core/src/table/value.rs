//! What a table's cell can hold.

use std::borrow::Cow;
use std::hash::Hasher;

use crate::DatasetId;
use crate::table::text::TextRef;

/// Kind of value that a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A UUID.
    Guid,
    /// A string.
    Text,
    /// A 64-bit integer.
    Integer,
    /// True or false.
    Boolean,
    /// A floating-point number.
    Float,
    /// A byte string.
    Bytes,
    /// Nanoseconds since an epoch that the caller chose.
    Timestamp,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 7] =
        [Self::Guid, Self::Text, Self::Integer, Self::Boolean, Self::Float, Self::Bytes, Self::Timestamp];

    /// Name of the kind, as in column specifications and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Guid => "guid",
            Self::Text => "text",
            Self::Integer => "integer",
            Self::Boolean => "boolean",
            Self::Float => "float",
            Self::Bytes => "bytes",
            Self::Timestamp => "timestamp",
        }
    }

    /// The kind of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// One cell, borrowed from whoever gave it or owned.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// No value.
    Null,
    /// A UUID.
    Guid(u128),
    /// A string.
    Text(Cow<'a, str>),
    /// An integer.
    Integer(i64),
    /// True or false.
    Boolean(bool),
    /// A number.
    Float(f64),
    /// A byte string.
    Bytes(Cow<'a, [u8]>),
    /// Nanoseconds since an epoch that the caller chose.
    Timestamp(i64),
}

impl<'a> Value<'a> {
    /// A borrowed string.
    pub fn text(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }

    /// Whether this is SQL's NULL; not-a-number is, as in SQLite.
    pub fn is_null(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Float(number) => number.is_nan(),
            _ => false,
        }
    }

    /// What a column must be to hold this; `None` for no value.
    pub fn kind(&self) -> Option<Kind> {
        match self {
            Self::Null => None,
            Self::Guid(_) => Some(Kind::Guid),
            Self::Text(_) => Some(Kind::Text),
            Self::Integer(_) => Some(Kind::Integer),
            Self::Boolean(_) => Some(Kind::Boolean),
            Self::Float(_) => Some(Kind::Float),
            Self::Bytes(_) => Some(Kind::Bytes),
            Self::Timestamp(_) => Some(Kind::Timestamp),
        }
    }

    /// The same value, owning what it borrowed.
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Self::Null => Value::Null,
            Self::Guid(guid) => Value::Guid(guid),
            Self::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
            Self::Integer(integer) => Value::Integer(integer),
            Self::Boolean(boolean) => Value::Boolean(boolean),
            Self::Float(number) => Value::Float(number),
            Self::Bytes(bytes) => Value::Bytes(Cow::Owned(bytes.into_owned())),
            Self::Timestamp(nanoseconds) => Value::Timestamp(nanoseconds),
        }
    }

    /// Feeds the value to a hasher; equal values feed the same.
    pub(crate) fn hash_into(&self, hasher: &mut impl Hasher) {
        match self {
            Self::Null => {}
            Self::Guid(guid) => hasher.write_u128(*guid),
            Self::Text(text) => TextRef::of(text).hash_into(hasher),
            Self::Integer(integer) | Self::Timestamp(integer) => hasher.write_i64(*integer),
            Self::Boolean(boolean) => hasher.write_u8(u8::from(*boolean)),
            // Adding zero makes one zero of the two.
            Self::Float(number) => hasher.write_u64((number + 0.0).to_bits()),
            Self::Bytes(bytes) => {
                hasher.write_usize(bytes.len());
                hasher.write(bytes);
            }
        }
    }

    /// The value as a message shows it.
    pub(crate) fn show(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Guid(guid) => DatasetId::Uuid(*guid).to_string(),
            Self::Text(text) => format!("{text:?}"),
            Self::Integer(integer) | Self::Timestamp(integer) => integer.to_string(),
            Self::Boolean(boolean) => boolean.to_string(),
            Self::Float(number) => number.to_string(),
            Self::Bytes(bytes) => format!("{} bytes", bytes.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_names_that_read_back() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_name(kind.name()), Some(kind));
        }
        assert_eq!(Kind::from_name("uuid"), None);
    }

    #[test]
    fn not_a_number_is_null() {
        assert!(Value::Float(f64::NAN).is_null());
        assert!(!Value::Float(0.0).is_null());
    }
}
