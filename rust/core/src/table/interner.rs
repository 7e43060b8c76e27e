//! Strings kept once, and the numbers that stand for them.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::table::arena::{Arena, Place};
use crate::table::cells::resize;

/// Strings kept once and known by number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interner {
    texts: Arena,
    places: Vec<Place>,
    numbers: HashTable<u32>,
    hashing: DefaultHashBuilder,
    /// The string that was asked for last, and often is again.
    recent: u32,
}

impl Interner {
    pub(crate) fn number(&mut self, text: &str) -> u32 {
        if self.places.get(self.recent as usize).is_some_and(|place| self.texts.get(*place) == text) {
            return self.recent;
        }
        self.recent = self.look_up(text);
        self.recent
    }

    fn look_up(&mut self, text: &str) -> u32 {
        let Self { texts, places, numbers, hashing, .. } = self;
        let hash_of = |number: &u32| hashing.hash_one(texts.get(places[*number as usize]));
        if let Some(number) =
            numbers.find(hashing.hash_one(text), |number| texts.get(places[*number as usize]) == text)
        {
            return *number;
        }
        let number = u32::try_from(places.len()).expect("a table has fewer than 2^32 rows");
        // The hash table asks for the hashes of old numbers only, so the new text can come afterwards.
        numbers.insert_unique(hashing.hash_one(text), number, hash_of);
        resize(places, places.len() + 1, Place::default());
        places[number as usize] = texts.push(text);
        number
    }

    pub(crate) fn get(&self, number: u32) -> &str {
        self.texts.get(self.places[number as usize])
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    pub(crate) fn memory(&self) -> usize {
        self.texts.memory() + self.places.capacity() * size_of::<Place>() + self.numbers.allocation_size()
    }
}

/// A number for each row, in as few bytes as the largest so far needs. Zero is for rows without a string.
#[derive(Clone, Debug)]
pub(crate) enum Numbers {
    Bytes(Vec<u8>),
    Words(Vec<u32>),
}

impl Default for Numbers {
    fn default() -> Self {
        Self::Bytes(Vec::new())
    }
}

impl Numbers {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Bytes(numbers) => numbers.len(),
            Self::Words(numbers) => numbers.len(),
        }
    }

    pub(crate) fn get(&self, row: usize) -> Option<u32> {
        let number = match self {
            Self::Bytes(numbers) => u32::from(numbers[row]),
            Self::Words(numbers) => numbers[row],
        };
        number.checked_sub(1)
    }

    pub(crate) fn set(&mut self, row: usize, number: Option<u32>) {
        let number = number.map_or(0, |number| number + 1);
        match (&mut *self, u8::try_from(number)) {
            (Self::Bytes(numbers), Ok(number)) => numbers[row] = number,
            (Self::Bytes(numbers), Err(_)) => {
                let mut words: Vec<_> = numbers.iter().copied().map(u32::from).collect();
                words[row] = number;
                *self = Self::Words(words);
            }
            (Self::Words(numbers), _) => numbers[row] = number,
        }
    }

    pub(crate) fn reserve(&mut self, rows: usize) {
        match self {
            Self::Bytes(numbers) => numbers.reserve_exact(rows.saturating_sub(numbers.len())),
            Self::Words(numbers) => numbers.reserve_exact(rows.saturating_sub(numbers.len())),
        }
    }

    pub(crate) fn resize(&mut self, rows: usize) {
        match self {
            Self::Bytes(numbers) => resize(numbers, rows, 0),
            Self::Words(numbers) => resize(numbers, rows, 0),
        }
    }

    pub(crate) fn memory(&self) -> usize {
        match self {
            Self::Bytes(numbers) => numbers.capacity(),
            Self::Words(numbers) => numbers.capacity() * size_of::<u32>(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_has_one_number() {
        let mut interner = Interner::default();
        for round in 0..2 {
            for number in 0..1000 {
                assert_eq!(interner.number(&format!("text {number}")), number, "round {round}");
            }
        }
        assert_eq!((interner.len(), interner.get(999)), (1000, "text 999"));
    }

    #[test]
    fn numbers_outgrow_a_byte() {
        let mut numbers = Numbers::default();
        numbers.resize(300);
        for row in 0..299 {
            numbers.set(row, Some(row as u32));
        }
        assert!((0..299).all(|row| numbers.get(row) == Some(row as u32)));
        assert_eq!(numbers.get(299), None);
        numbers.set(5, None);
        assert_eq!(numbers.get(5), None);
    }
}
