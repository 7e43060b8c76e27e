//! JSON as pydantic writes and reads it: `NaN` and the infinities are numbers.

use std::fmt;

use jiter::serde::JiterDeserializer;
use jiter::{Jiter, JiterError};
use serde::de::{Deserializer, Error as _, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use crate::uuid_text;

/// Reads a document; the error says what is wrong, and where.
pub(super) fn parse<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, String> {
    let mut reader = JiterDeserializer::new(text).with_allow_inf_nan();
    let value = T::deserialize(&mut reader).and_then(|value| reader.finish().map(|()| value));
    value.map_err(|error| error.description(text))
}

/// A document of what a graph tells; numbers that are not finite are null in it, as in upstream's.
pub(super) fn write<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("maps of these models have keys of text")
}

/// The text of each item of the list of attempts in a document.
pub(super) fn attempts(text: &[u8]) -> Result<Vec<&[u8]>, String> {
    let mut reader = Jiter::new(text).with_allow_inf_nan();
    let mut items = Vec::new();
    let mut read = || {
        let mut key = reader.next_object()?.map(|key| key == "attempts");
        while let Some(is_attempts) = key {
            if is_attempts {
                let mut next = reader.next_array()?;
                while let Some(peek) = next {
                    let start = reader.current_index();
                    reader.known_skip(peek)?;
                    items.push(start..reader.current_index());
                    next = reader.array_step()?;
                }
            } else {
                reader.next_skip()?;
            }
            key = reader.next_key()?.map(|key| key == "attempts");
        }
        reader.finish()
    };
    read().map_err(|error: JiterError| error.to_string())?;
    Ok(items.into_iter().map(|item| &text[item]).collect())
}

/// An id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub u128);

impl<'de> Deserialize<'de> for Uuid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Uuid;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a UUID")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Uuid, E> {
                let hyphenated = text.as_bytes().try_into().ok().and_then(uuid_text::parse_hyphenated);
                hyphenated.or_else(|| uuid_text::parse_any(text)).map(Uuid).ok_or_else(|| {
                    E::custom(format_args!("{:?} is not a UUID", text.chars().take(60).collect::<String>()))
                })
            }
        }
        deserializer.deserialize_str(Text)
    }
}

impl Serialize for Uuid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = uuid_text::hyphenated(self.0);
        serializer.serialize_str(std::str::from_utf8(&text).expect("digits and hyphens are text"))
    }
}

/// A value of a data ID.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// Such as a number of a detector.
    Int(i64),
    /// Such as the name of an instrument.
    Text(String),
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl Visitor<'_> for Any {
            type Value = Key;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an integer or a string")
            }

            fn visit_i64<E>(self, value: i64) -> Result<Key, E> {
                Ok(Key::Int(value))
            }

            fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Key, E> {
                i64::try_from(value).map(Key::Int).map_err(E::custom)
            }

            fn visit_str<E>(self, value: &str) -> Result<Key, E> {
                Ok(Key::Text(value.to_owned()))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Int(value) => serializer.serialize_i64(*value),
            Self::Text(value) => serializer.serialize_str(value),
        }
    }
}

/// A value of an exception's metadata.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar {
    /// `None`.
    Null,
    /// A truth value.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// An integer that 64 bits cannot tell, in decimal digits.
    Large(String),
    /// Another number.
    Float(f64),
    /// A string.
    Text(String),
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl Visitor<'_> for Any {
            type Value = Scalar;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, a truth value, a string or null")
            }

            fn visit_unit<E>(self) -> Result<Scalar, E> {
                Ok(Scalar::Null)
            }

            fn visit_bool<E>(self, value: bool) -> Result<Scalar, E> {
                Ok(Scalar::Bool(value))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Scalar, E> {
                Ok(Scalar::Int(value))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Scalar, E> {
                Ok(i64::try_from(value).map_or_else(|_| Scalar::Large(value.to_string()), Scalar::Int))
            }

            fn visit_u128<E>(self, value: u128) -> Result<Scalar, E> {
                Ok(Scalar::Large(value.to_string()))
            }

            fn visit_i128<E>(self, value: i128) -> Result<Scalar, E> {
                Ok(Scalar::Large(value.to_string()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Scalar, E> {
                Ok(Scalar::Float(value))
            }

            fn visit_str<E>(self, value: &str) -> Result<Scalar, E> {
                Ok(Scalar::Text(value.to_owned()))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

impl Serialize for Scalar {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Int(value) => serializer.serialize_i64(*value),
            Self::Large(digits) => match digits.parse::<i128>() {
                Ok(value) => serializer.serialize_i128(value),
                Err(_) => serializer.serialize_f64(digits.parse().unwrap_or(f64::NAN)),
            },
            Self::Float(value) => serializer.serialize_f64(*value),
            Self::Text(value) => serializer.serialize_str(value),
        }
    }
}

/// A point in time, as its text tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Time {
    /// The text.
    pub text: String,
    /// Microseconds since 1970; a time without a zone is in UTC.
    pub micros: i64,
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let micros = crate::log::read_any_time(&text)
            .or_else(|| crate::log::read_any_time(&format!("{text}Z")))
            .ok_or_else(|| D::Error::custom(format_args!("{text:?} is not a date and time")))?;
        Ok(Self { text, micros })
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}
