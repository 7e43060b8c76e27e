//! Columns of strings that take little room.
//!
//! A column starts out *repeating*: each distinct string is kept once and a row holds its number. Names of
//! formatters and storage classes stay so for good. A column whose strings turn out to differ from row to
//! row (paths, checksums) becomes *spread*: only the part up to the last slash is kept once, and the rest
//! goes to an arena without an entry in any hash table.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::hash::Hasher;

use crate::table::arena::{Arena, Place};
use crate::table::cells::resize;
use crate::table::interner::{Interner, Numbers};

/// A string in two parts, split after its last slash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TextRef<'a> {
    folder: &'a str,
    tail: &'a str,
}

impl<'a> TextRef<'a> {
    pub(crate) fn of(text: &'a str) -> Self {
        let (folder, tail) = text.split_at(text.rfind('/').map_or(0, |slash| slash + 1));
        Self { folder, tail }
    }

    /// The two parts.
    pub(crate) fn parts(self) -> [&'a str; 2] {
        [self.folder, self.tail]
    }

    pub(crate) fn hash_into(self, hasher: &mut impl Hasher) {
        hasher.write(self.folder.as_bytes());
        hasher.write_usize(self.tail.len());
        hasher.write(self.tail.as_bytes());
    }

    pub(crate) fn push_to(self, text: &mut String) {
        text.push_str(self.folder);
        text.push_str(self.tail);
    }

    pub(crate) fn pieces(self) -> [&'a str; 2] {
        [self.folder, self.tail]
    }

    pub(crate) fn compare(self, other: Self) -> Ordering {
        let bytes = |text: Self| text.folder.bytes().chain(text.tail.bytes());
        bytes(self).cmp(bytes(other))
    }

    /// The string, borrowed if it is in one piece.
    pub(crate) fn into_cow(self) -> Cow<'a, str> {
        match (self.folder, self.tail) {
            (text, "") | ("", text) => Cow::Borrowed(text),
            _ => Cow::Owned(self.joined()),
        }
    }

    /// The string in one piece.
    pub(crate) fn joined(self) -> String {
        let mut text = String::with_capacity(self.folder.len() + self.tail.len());
        self.push_to(&mut text);
        text
    }
}

/// The strings of one column.
#[derive(Clone, Debug, Default)]
pub(crate) struct TextColumn {
    /// Whole strings while the column is repeating, folders once it is spread.
    interner: Interner,
    numbers: Numbers,
    /// What follows the folder; present once the column is spread.
    tails: Option<Tails>,
}

#[derive(Clone, Debug, Default)]
struct Tails {
    arena: Arena,
    places: Vec<Place>,
}

impl TextColumn {
    /// Distinct strings from which on a column may become spread.
    const MANY: usize = 256;

    pub(crate) fn len(&self) -> usize {
        self.numbers.len()
    }

    pub(crate) fn get(&self, row: usize) -> TextRef<'_> {
        let interned = self.numbers.get(row).map_or("", |number| self.interner.get(number));
        match &self.tails {
            None => TextRef::of(interned),
            Some(tails) => TextRef { folder: interned, tail: tails.arena.get(tails.places[row]) },
        }
    }

    /// The number of a row's string while the column is repeating.
    pub(crate) fn repeated(&self, row: usize) -> Option<u32> {
        self.numbers.get(row).filter(|_| self.tails.is_none())
    }

    /// Makes room for the numbers of `rows` rows, not for their strings.
    pub(crate) fn reserve(&mut self, rows: usize) {
        self.numbers.reserve(rows);
        if let Some(Tails { places, .. }) = &mut self.tails {
            places.reserve_exact(rows.saturating_sub(places.len()));
        }
    }

    /// Lengthens the column to `rows` rows; new ones have no string yet.
    pub(crate) fn resize(&mut self, rows: usize) {
        self.numbers.resize(rows);
        if let Some(tails) = &mut self.tails {
            resize(&mut tails.places, rows, Place::default());
        }
    }

    pub(crate) fn set(&mut self, row: usize, text: &str) {
        self.clear(row);
        let Some(tails) = &mut self.tails else {
            let known = self.interner.len();
            self.numbers.set(row, Some(self.interner.number(text)));
            // Looking at powers of two only keeps the cost of deciding, and of changing over, small.
            let distinct = self.interner.len();
            if distinct > known && distinct >= Self::MANY && distinct.is_power_of_two() && distinct * 2 > row
            {
                self.spread();
            }
            return;
        };
        let TextRef { folder, tail } = TextRef::of(text);
        self.numbers.set(row, Some(self.interner.number(folder)));
        tails.places[row] = tails.arena.push(tail);
    }

    /// Forgets a row's string.
    pub(crate) fn clear(&mut self, row: usize) {
        self.numbers.set(row, None);
        if let Some(Tails { arena, places }) = &mut self.tails {
            arena.free(std::mem::take(&mut places[row]));
            if arena.is_mostly_free() {
                let mut packed = Arena::default();
                for place in places {
                    *place = packed.push(arena.get(*place));
                }
                *arena = packed;
            }
        }
    }

    fn spread(&mut self) {
        let whole = std::mem::take(&mut self.interner);
        let mut tails = Tails::default();
        resize(&mut tails.places, self.numbers.len(), Place::default());
        for (row, place) in tails.places.iter_mut().enumerate() {
            if let Some(number) = self.numbers.get(row) {
                let TextRef { folder, tail } = TextRef::of(whole.get(number));
                self.numbers.set(row, Some(self.interner.number(folder)));
                *place = tails.arena.push(tail);
            }
        }
        self.tails = Some(tails);
    }

    pub(crate) fn memory(&self) -> usize {
        let tails = self.tails.as_ref();
        self.interner.memory()
            + self.numbers.memory()
            + tails.map_or(0, |tails| tails.arena.memory() + tails.places.capacity() * size_of::<Place>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn filled(texts: &[String]) -> TextColumn {
        let mut column = TextColumn::default();
        for (row, text) in texts.iter().enumerate() {
            column.resize(row + 1);
            column.set(row, text);
        }
        column
    }

    #[test]
    fn repeated_strings_stay_interned() {
        let texts: Vec<_> = (0..5000).map(|row| format!("kind/{}", row % 7)).collect();
        let column = filled(&texts);
        assert!(column.tails.is_none());
        assert_eq!(column.interner.len(), 7);
        assert!(texts.iter().enumerate().all(|(row, text)| column.get(row).joined() == *text));
    }

    #[test]
    fn strings_that_differ_share_their_folders() {
        let texts: Vec<_> = (0..5000).map(|row| format!("run/{}/file_{row}.json", row % 3)).collect();
        let column = filled(&texts);
        assert!(column.tails.is_some());
        assert_eq!(column.interner.len(), 3);
        assert!(texts.iter().enumerate().all(|(row, text)| column.get(row).joined() == *text));
    }

    #[test]
    fn room_of_forgotten_strings_is_used_again() {
        let mut column = filled(&(0..2000).map(|row| format!("{row}")).collect::<Vec<_>>());
        let long = "x".repeat(1000);
        for round in 0..20_000 {
            column.set(round % 2000, &format!("{long}{round}"));
        }
        let kept = 2000 * 1005;
        assert!(column.memory() < 4 * kept, "{}", column.memory());
        assert_eq!(column.get(1999).joined(), format!("{long}19999"));
    }

    proptest! {
        #[test]
        fn halves_order_and_join_like_the_whole(a in "[a-c/é]{0,8}", b in "[a-c/é]{0,8}") {
            prop_assert_eq!(TextRef::of(&a).compare(TextRef::of(&b)), a.cmp(&b));
            prop_assert_eq!(TextRef::of(&a) == TextRef::of(&b), a == b);
            prop_assert_eq!(TextRef::of(&a).joined(), a);
        }
    }
}
