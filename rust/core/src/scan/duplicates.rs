//! Quanta that are there more than once.

use crate::{Error, Result};

/// Where a quantum was found: the number of the part that it came with, and its row there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Number of the part.
    pub part: u32,
    /// Row of its table of quanta.
    pub row: u32,
}

/// Finds quanta that are there more than once, in one pass over all parts, or in several over a share of the
/// quanta each, so that the memory is bounded.
///
/// Only of those is it asked what they have: few ever come again.
pub struct Duplicates {
    share: u32,
    shares: u32,
    seen: Vec<Seen>,
}

/// Half an id, twice: the whole would have a gap after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Seen {
    quantum_id: [u64; 2],
    place: Place,
}

/// What was found about the quanta of one share.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Places of quanta that are there again with the same content as an earlier one.
    pub repeated: Vec<Place>,
    /// Quanta that are there again with other content: id, the place of the first and of the last of them.
    pub replaced: Vec<(u128, Place, Place)>,
}

impl Duplicates {
    /// Looks for those of a share of the quanta; the shares are counted from 0.
    pub fn new(share: u32, shares: u32) -> Self {
        Self { share, shares: shares.max(1), seen: Vec::new() }
    }

    /// Adds the ids of quanta of a part, from some row on; gives the row after them.
    pub fn add(&mut self, part: u32, first_row: u32, quanta: impl Iterator<Item = u128>) -> Result<u32> {
        let mut row = first_row;
        for quantum_id in quanta {
            if self.share_of(quantum_id) == self.share {
                let quantum_id = [(quantum_id >> 64) as u64, quantum_id as u64];
                self.seen.push(Seen { quantum_id, place: Place { part, row } });
            }
            row = row.checked_add(1).ok_or(Error::TooManyRows)?;
        }
        Ok(row)
    }

    /// Where the quanta are that are there more than once, in order of places. Others are forgotten.
    pub fn places(&mut self) -> Vec<Place> {
        self.seen.sort_unstable();
        let same = self.seen.chunk_by(|a, b| a.quantum_id == b.quantum_id);
        self.seen = same.filter(|same| same.len() > 1).flatten().copied().collect();
        let mut places: Vec<_> = self.seen.iter().map(|seen| seen.place).collect();
        places.sort_unstable();
        places
    }

    /// Tells what was found, given the fingerprints of the quanta at those `places`: of each quantum, every
    /// place but one.
    pub fn finish(mut self, fingerprints: &[u128]) -> Result<Found> {
        let places = self.places();
        if places.len() != fingerprints.len() {
            return Err(Error::RowsMissing { column: "fingerprint".to_owned(), rows: places.len() });
        }
        let fingerprint = |seen: Seen| {
            let position = places.binary_search(&seen.place).expect("all places are there");
            fingerprints[position]
        };
        let mut found = Found::default();
        for same in self.seen.chunk_by(|a, b| a.quantum_id == b.quantum_id) {
            let [high, low] = same[0].quantum_id.map(u128::from);
            let mut kept = same[0];
            let first = found.replaced.len();
            for &seen in &same[1..] {
                if fingerprint(seen) == fingerprint(kept) {
                    found.repeated.push(seen.place);
                } else {
                    found.replaced.push((high << 64 | low, kept.place, seen.place));
                    kept = seen;
                }
            }
            for (_, _, by) in &mut found.replaced[first..] {
                *by = kept.place;
            }
        }
        found.replaced.sort_unstable_by_key(|replaced| replaced.1);
        Ok(found)
    }

    /// Ids may all start alike, so a share is no range of them.
    fn share_of(&self, quantum_id: u128) -> u32 {
        let mixed = ((quantum_id >> 64) as u64 ^ quantum_id as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (((mixed >> 32) * u64::from(self.shares)) >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn one_of_each_quantum_is_left_whatever_the_shares(
            parts in prop::collection::vec(prop::collection::vec((0..6_u128, 0..3_u128), 0..8), 0..6),
            shares in 1..4_u32,
        ) {
            let mut expected: BTreeMap<u128, (Place, u128)> = BTreeMap::new();
            let (mut repeated, mut dropped) = (Vec::new(), Vec::new());
            for (part, quanta) in parts.iter().enumerate() {
                for (row, &(id, content)) in quanta.iter().enumerate() {
                    let place = Place { part: part as u32, row: row as u32 };
                    match expected.get(&id) {
                        Some((_, same)) if *same == content => repeated.push(place),
                        other => {
                            dropped.extend(other.map(|(before, _)| (id, *before)));
                            expected.insert(id, (place, content));
                        }
                    }
                }
            }
            let mut found = Found::default();
            for share in 0..shares {
                let mut duplicates = Duplicates::new(share, shares);
                for (part, quanta) in parts.iter().enumerate() {
                    let row = duplicates.add(part as u32, 0, quanta.iter().map(|one| one.0)).unwrap();
                    prop_assert_eq!(row as usize, quanta.len());
                }
                let places = duplicates.places();
                prop_assert!(places.is_sorted_by(|a, b| a < b));
                let fingerprints: Vec<_> =
                    places.iter().map(|place| parts[place.part as usize][place.row as usize].1).collect();
                let one = duplicates.finish(&fingerprints).unwrap();
                found.repeated.extend(one.repeated);
                found.replaced.extend(one.replaced);
            }
            found.repeated.sort();
            found.replaced.sort_by_key(|replaced| replaced.1);
            dropped.sort_by_key(|dropped| dropped.1);
            prop_assert_eq!(found.repeated, repeated);
            let replaced: Vec<_> =
                dropped.into_iter().map(|(id, before)| (id, before, expected[&id].0)).collect();
            prop_assert_eq!(found.replaced, replaced);
        }
    }
}
