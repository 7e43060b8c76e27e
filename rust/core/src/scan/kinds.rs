//! What records of one kind have in common: all but the dataset, the file and its size.
//!
//! A campaign has a dozen kinds and millions of records, so a record has only the number of its kind on its
//! way to the table.

use std::sync::Arc;

use arrow_array::{ArrayRef, DictionaryArray, Int8Array, Int32Array, StringArray};
use hashbrown::{Equivalent, HashMap};

use crate::arrow_columns::MOST_SMALL;

/// The texts of a kind.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Texts<'a> {
    pub(super) datastore: &'a str,
    pub(super) formatter: &'a str,
    pub(super) storage_class: &'a str,
    pub(super) component: Option<&'a str>,
}

/// The same, to be kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Kind {
    datastore: Box<str>,
    formatter: Box<str>,
    storage_class: Box<str>,
    component: Option<Box<str>>,
}

impl Kind {
    fn texts(&self) -> Texts<'_> {
        Texts {
            datastore: &self.datastore,
            formatter: &self.formatter,
            storage_class: &self.storage_class,
            component: self.component.as_deref(),
        }
    }
}

impl Equivalent<Kind> for Texts<'_> {
    fn equivalent(&self, kind: &Kind) -> bool {
        *self == kind.texts()
    }
}

/// The kinds so far, numbered.
#[derive(Debug, Default)]
pub(super) struct Kinds {
    all: Vec<Kind>,
    numbers: HashMap<Kind, u32>,
}

impl Kinds {
    /// The number of a kind.
    pub(super) fn number(&mut self, texts: Texts<'_>) -> u32 {
        if let Some(&known) = self.numbers.get(&texts) {
            return known;
        }
        // What is parsed from less than 2^31 bytes has fewer parts.
        let number = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        let kind = Kind {
            datastore: texts.datastore.into(),
            formatter: texts.formatter.into(),
            storage_class: texts.storage_class.into(),
            component: texts.component.map(Into::into),
        };
        self.all.push(kind.clone());
        self.numbers.insert(kind, number);
        number
    }

    /// The texts of a kind.
    pub(super) fn texts(&self, number: u32) -> Texts<'_> {
        self.all[number as usize].texts()
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.all.clear();
        self.numbers.clear();
    }
}

/// The kinds of the rows of a table.
#[derive(Debug, Default)]
pub(super) struct KindColumns {
    rows: Vec<u32>,
    /// Kinds in the order in which they came first, and whether each of all did.
    used: Vec<u32>,
    is_used: Vec<bool>,
}

impl KindColumns {
    pub(super) fn with_capacity(rows: usize) -> Self {
        Self { rows: Vec::with_capacity(rows), ..Self::default() }
    }

    /// Whether the datastores can be told apart if rows of these kinds are added.
    pub(super) fn has_room(&self, kinds: &Kinds, new: impl Iterator<Item = u32>) -> bool {
        let mut new = new.filter(|kind| !self.is_used(*kind)).peekable();
        if new.peek().is_none() {
            return true;
        }
        let all = self.used.iter().copied().chain(new);
        let mut datastores: Vec<&str> = all.map(|kind| kinds.texts(kind).datastore).collect();
        datastores.sort_unstable();
        datastores.dedup();
        datastores.len() <= MOST_SMALL
    }

    /// Adds a row.
    pub(super) fn push(&mut self, kind: u32) {
        if !self.is_used(kind) {
            self.is_used.resize(self.is_used.len().max(kind as usize + 1), false);
            self.is_used[kind as usize] = true;
            self.used.push(kind);
        }
        self.rows.push(kind);
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The columns of datastores, formatters, storage classes and components.
    pub(super) fn finish(self, kinds: &Kinds) -> [ArrayRef; 4] {
        let column = |text: fn(Texts<'_>) -> Option<&str>| self.column(kinds, text);
        let (datastores, names) = column(|texts| Some(texts.datastore));
        let rest = [
            column(|texts| Some(texts.formatter)),
            column(|texts| Some(texts.storage_class)),
            column(|texts| texts.component),
        ];
        // `has_room` bounds their number.
        let datastores = self.rows.iter().map(|&kind| datastores[kind as usize].unwrap_or(0) as i8);
        let datastores = Int8Array::from_iter_values(datastores);
        let [formatters, storage_classes, components] = rest.map(|(numbers, names)| {
            let numbers = match numbers.contains(&None) {
                true => self.rows.iter().map(|&kind| numbers[kind as usize]).collect(),
                false => Int32Array::from_iter_values(
                    self.rows.iter().map(|&kind| numbers[kind as usize].unwrap_or(0)),
                ),
            };
            Arc::new(DictionaryArray::new(numbers, Arc::new(names))) as ArrayRef
        });
        let datastores = Arc::new(DictionaryArray::new(datastores, Arc::new(names)));
        [datastores, formatters, storage_classes, components]
    }

    /// The number of each kind's text in a column, and the texts there, each once.
    fn column(
        &self,
        kinds: &Kinds,
        text: impl Fn(Texts<'_>) -> Option<&str>,
    ) -> (Vec<Option<i32>>, StringArray) {
        // A kind without rows has a number that nobody asks for; null only if it is used.
        let mut numbers = vec![Some(0); self.is_used.len()];
        let (mut known, mut names) = (HashMap::new(), Vec::new());
        for &kind in &self.used {
            numbers[kind as usize] = text(kinds.texts(kind)).map(|text| {
                *known.entry(text).or_insert_with(|| {
                    names.push(text);
                    names.len() as i32 - 1
                })
            });
        }
        (numbers, StringArray::from_iter_values(names))
    }

    fn is_used(&self, kind: u32) -> bool {
        self.is_used.get(kind as usize) == Some(&true)
    }
}
