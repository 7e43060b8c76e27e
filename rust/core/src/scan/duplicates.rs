//! Quanta that are there more than once.

use hashbrown::HashSet;

use super::attempts::{Candidate, settle};
use crate::{Error, Result};

/// Where a quantum was found: the number of the part that it came with, and its row there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Number of the part.
    pub part: u32,
    /// Row of its table of quanta.
    pub row: u32,
}

impl Place {
    /// The part that an archive's attempts are in which it does not keep: they have no rows of the other tables.
    pub const PAST: u32 = 0;
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
    /// Places of attempts that are there again.
    pub repeated: Vec<Place>,
    /// Attempts of which others count, in order of their quanta and then as `attempts` has them.
    pub replaced: Vec<Replaced>,
}

/// An attempt in whose place another counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replaced {
    /// Id of its quantum.
    pub quantum_id: u128,
    /// Where it is.
    pub place: Place,
    /// Where the one is that counts.
    pub kept: Place,
    /// Its number among the `places`.
    pub number: u32,
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

    /// Tells what was found, given the attempts at those `places`: of each quantum, every place but one.
    pub fn finish(mut self, candidates: &[Candidate]) -> Result<Found> {
        let places = self.places();
        if places.len() != candidates.len() {
            return Err(Error::RowsMissing { column: "fingerprint".to_owned(), rows: places.len() });
        }
        let number = |place| places.binary_search(&place).expect("all places are there");
        let mut found = Found::default();
        let (mut attempts, mut known) = (Vec::new(), HashSet::new());
        for same in self.seen.chunk_by(|a, b| a.quantum_id == b.quantum_id) {
            let [high, low] = same[0].quantum_id.map(u128::from);
            attempts.clear();
            attempts.extend(same.iter().map(|seen| (seen.place, candidates[number(seen.place)])));
            settle(&mut attempts, &mut known, |place| found.repeated.push(place));
            // What the archive has told of was replaced before, and there is a row that it was replaced by.
            let rows = attempts.iter().rposition(|(place, _)| place.part != Place::PAST);
            let Some(kept) = rows.map(|last| attempts[last].0) else { continue };
            found.replaced.extend(attempts.iter().filter(|(place, _)| *place != kept).map(|&(place, _)| {
                let number = number(place) as u32;
                Replaced { quantum_id: high << 64 | low, place, kept, number }
            }));
        }
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
    use crate::log::Attempt;

    proptest! {
        #[test]
        fn one_of_each_quantum_is_left_whatever_the_shares(
            parts in prop::collection::vec(prop::collection::vec((0..6_u128, 0..3_u128), 0..8), 0..6),
            shares in 1..4_u32,
        ) {
            let mut expected: BTreeMap<u128, (Place, u128)> = BTreeMap::new();
            let (mut repeated, mut dropped) = (Vec::new(), Vec::new());
            for (part, quanta) in (1..).zip(&parts) {
                for (row, &(id, content)) in quanta.iter().enumerate() {
                    let place = Place { part, row: row as u32 };
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
                for (part, quanta) in (1..).zip(&parts) {
                    let row = duplicates.add(part, 0, quanta.iter().map(|one| one.0)).unwrap();
                    prop_assert_eq!(row as usize, quanta.len());
                }
                let places = duplicates.places();
                prop_assert!(places.is_sorted_by(|a, b| a < b));
                let content = |place: &Place| parts[place.part as usize - 1][place.row as usize].1;
                let candidates: Vec<_> = places
                    .iter()
                    .map(|place| Candidate { attempt: Attempt::default(), content: content(place) })
                    .collect();
                let one = duplicates.finish(&candidates).unwrap();
                for replaced in &one.replaced {
                    prop_assert_eq!(places[replaced.number as usize], replaced.place);
                }
                found.repeated.extend(one.repeated);
                found.replaced.extend(one.replaced);
            }
            found.repeated.sort();
            found.replaced.sort_by_key(|replaced| replaced.place);
            dropped.sort_by_key(|dropped| dropped.1);
            prop_assert_eq!(found.repeated, repeated);
            let replaced: Vec<_> = found.replaced.iter().map(|one| (one.quantum_id, one.place, one.kept)).collect();
            let dropped: Vec<_> =
                dropped.into_iter().map(|(id, before)| (id, before, expected[&id].0)).collect();
            prop_assert_eq!(replaced, dropped);
        }

        #[test]
        fn adding_to_what_was_found_is_finding_at_once(
            batches in prop::collection::vec(
                prop::collection::vec(
                    (
                        0..3_u128,
                        prop::option::weighted(0.8, 0..4_i64),
                        prop::option::weighted(0.8, prop::bool::ANY),
                        0..3_u128,
                    ),
                    0..6,
                ),
                1..4,
            ),
        ) {
            let of = |&(id, begin, failed, content): &(u128, Option<i64>, Option<bool>, u128)| {
                // What is without times is compared with all others, and adding cannot tell what of it there was.
                let attempt = Attempt { begin: begin.or(Some(9)), end: None, failed };
                (id, Candidate { attempt, content })
            };
            let all: Vec<_> = batches.concat().iter().map(of).collect();
            let at_once = outcome(&[], &all);
            let (mut past, mut kept) = (Vec::new(), Vec::new());
            for batch in &batches {
                kept.extend(batch.iter().map(of));
                (past, kept) = outcome(&past, &kept);
            }
            kept.sort_by_key(|one| one.0);
            let mut expected = at_once.1;
            expected.sort_by_key(|one| one.0);
            prop_assert_eq!(kept, expected);
            prop_assert_eq!(past, at_once.0);
        }
    }

    type Rows = Vec<(u128, Candidate)>;

    /// The attempts that are replaced, given those that were before; and those that are kept.
    fn outcome(past: &[(u128, Candidate)], rows: &[(u128, Candidate)]) -> (Rows, Rows) {
        let mut duplicates = Duplicates::new(0, 1);
        duplicates.add(Place::PAST, 0, past.iter().map(|one| one.0)).unwrap();
        duplicates.add(1, 0, rows.iter().map(|one| one.0)).unwrap();
        let at = |place: &Place| (if place.part == Place::PAST { past } else { rows })[place.row as usize];
        let candidates: Vec<_> = duplicates.places().iter().map(|place| at(place).1).collect();
        let found = duplicates.finish(&candidates).unwrap();
        let gone: Vec<_> =
            found.replaced.iter().map(|one| one.place).chain(found.repeated.iter().copied()).collect();
        let kept = (0..).zip(rows).filter(|(row, _)| !gone.contains(&Place { part: 1, row: *row }));
        let kept = kept.map(|(_, row)| *row).collect();
        (found.replaced.iter().map(|one| at(&one.place)).collect(), kept)
    }
}
