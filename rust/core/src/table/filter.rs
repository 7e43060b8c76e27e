//! Conditions on the values of one column.

use std::hash::{BuildHasher, Hasher};

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::table::column::Column;
use crate::table::value::Value;

/// What a column must hold for a row to be chosen.
#[derive(Clone, Debug)]
pub enum Filter<'a> {
    /// Just this value, or none if this is null.
    Equals(Value<'a>),
    /// One of some values; null is never one of them.
    OneOf(Values<'a>),
    /// A string that matches an SQL `LIKE` pattern.
    Like(String),
}

impl<'a> Filter<'a> {
    /// The condition that one value asks for: a string that ends in `%` asks for strings that start so.
    ///
    /// This is SQL's `LIKE` as SQLite understands it, and not quite "starts with": `%` and `_` within the
    /// string are wildcards too, and ASCII letters match in either case.
    pub fn scalar(value: Value<'a>) -> Self {
        match value {
            Value::Text(text) if text.ends_with('%') => Self::Like(text.into_owned()),
            value => Self::Equals(value),
        }
    }

    /// The condition that a list of values asks for.
    pub fn one_of(values: impl IntoIterator<Item = Value<'a>>) -> Self {
        Self::OneOf(Values::new(values))
    }

    /// The values that this asks for, if an index can look them up.
    pub(crate) fn keys(&self) -> Option<&[Value<'a>]> {
        match self {
            Self::Equals(value) if !value.is_null() => Some(std::slice::from_ref(value)),
            Self::OneOf(values) => Some(&values.values),
            _ => None,
        }
    }

    pub(crate) fn values(&self) -> &[Value<'a>] {
        match self {
            Self::Equals(value) => std::slice::from_ref(value),
            Self::OneOf(values) => &values.values,
            Self::Like(_) => &[],
        }
    }

    /// Whether a row's value meets the condition; `text` is scratch space.
    pub(crate) fn accepts(&self, column: &Column, row: usize, text: &mut String) -> bool {
        match self {
            Self::Equals(value) => column.equals(row, value),
            Self::OneOf(values) => values.has(column, row),
            Self::Like(pattern) => {
                text.clear();
                column.append_text(row, text) && like(pattern, text)
            }
        }
    }
}

/// Distinct values that are not null.
#[derive(Clone, Debug)]
pub struct Values<'a> {
    values: Vec<Value<'a>>,
    numbers: HashTable<usize>,
    hashing: DefaultHashBuilder,
}

impl<'a> Values<'a> {
    fn new(values: impl IntoIterator<Item = Value<'a>>) -> Self {
        let (mut distinct, mut numbers, hashing) =
            (Vec::new(), HashTable::new(), DefaultHashBuilder::default());
        let hash = |value: &Value<'a>| {
            let mut hasher = hashing.build_hasher();
            value.hash_into(&mut hasher);
            hasher.finish()
        };
        for value in values.into_iter().filter(|value| !value.is_null()) {
            let known = numbers.find(hash(&value), |number| distinct[*number] == value).is_some();
            if !known {
                numbers.insert_unique(hash(&value), distinct.len(), |number| hash(&distinct[*number]));
                distinct.push(value);
            }
        }
        Self { values: distinct, numbers, hashing }
    }

    fn has(&self, column: &Column, row: usize) -> bool {
        let mut hasher = self.hashing.build_hasher();
        column.hash_into(row, &mut hasher);
        self.numbers.find(hasher.finish(), |number| column.equals(row, &self.values[*number])).is_some()
    }
}

/// SQLite's `text LIKE pattern` without an escape character.
fn like(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut text) = (pattern.chars(), text.chars());
    // Where to go on from when the characters after the last `%` do not match here.
    let mut retry = None;
    loop {
        let unread = text.clone();
        match (pattern.next(), text.next()) {
            (None, None) => return true,
            (Some('%'), _) => {
                text = unread;
                retry = Some((pattern.clone(), text.clone()));
            }
            (Some('_'), Some(_)) => {}
            (Some(wanted), Some(found)) if wanted.eq_ignore_ascii_case(&found) => {}
            _ => {
                let Some((after_percent, from)) = &mut retry else {
                    return false;
                };
                if from.next().is_none() {
                    return false;
                }
                pattern = after_percent.clone();
                text = from.clone();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_matches_as_in_sqlite() {
        for (pattern, text) in [
            ("%", ""),
            ("a%", "a"),
            ("a%", "ABC"),
            ("a_c%", "a/cd"),
            ("a%c%", "abbcc"),
            ("a%bc%", "abbbc"),
            ("_%", "é"),
            ("é%", "éa"),
            ("a%%", "a"),
        ] {
            assert!(like(pattern, text), "{text} LIKE {pattern}");
        }
        for (pattern, text) in [
            ("a%", "ba"),
            ("a_%", "a"),
            ("__%", "é"),
            ("É%", "éa"),
            ("a%c%", "abd"),
            ("a", "ab"),
            ("ab", "a"),
        ] {
            assert!(!like(pattern, text), "{text} LIKE {pattern}");
        }
    }

    #[test]
    fn only_strings_that_end_in_percent_are_patterns() {
        assert!(matches!(Filter::scalar(Value::text("a%")), Filter::Like(_)));
        assert!(matches!(Filter::scalar(Value::text("a%b")), Filter::Equals(_)));
    }

    #[test]
    fn lists_drop_duplicates_and_nulls() {
        let filter = Filter::one_of([Value::text("a"), Value::Null, Value::text("b"), Value::text("a")]);
        assert_eq!(filter.keys(), Some(&[Value::text("a"), Value::text("b")][..]));
    }
}
