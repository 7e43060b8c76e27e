//! Which of several attempts at one quantum counts.

use hashbrown::HashSet;

use super::duplicates::Place;
use crate::log::Attempt;

/// An attempt, and the fingerprint of what it did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// When it was made, and whether it failed.
    pub attempt: Attempt,
    /// What it did; see `fingerprints`.
    pub content: u128,
}

/// The order of attempts at one quantum: the last of them counts.
///
/// Failed attempts come first, then in order of time, then in order of the sources:
///
/// | two attempts | which counts |
/// |---|---|
/// | one failed, the other not | the one that did not, whenever either began |
/// | both failed, or neither | the one that began later |
/// | they began at the same time | the one that ended later |
/// | both times are equal | the one that comes later in the sources |
/// | one of them without a time | the one with a time: lines without one are from earlier releases |
/// | both without times | the one that comes later in the sources |
///
/// An attempt that does not say whether it failed is taken for one that did not. One that has only one of the two
/// times is taken for a moment. Clocks of two hosts that differ can put attempts in the wrong order, but never a
/// failure in the place of a success.
fn order(attempt: Attempt) -> impl Ord {
    let Attempt { begin, end, failed } = attempt;
    (failed != Some(true), begin.or(end), end.or(begin))
}

/// Finds out which of the attempts at one quantum there are, in `order`, of which the last counts.
///
/// What is there again is given to `repeated`: after another of the same times, outcome and content; or without
/// times and outcome, such as the file of a quantum that a log has, too, if any other has the same content.
pub(super) fn settle(
    candidates: &mut Vec<(Place, Candidate)>,
    known: &mut HashSet<u128>,
    mut repeated: impl FnMut(Place),
) {
    let is_bare = |candidate: &Candidate| candidate.attempt == Attempt::default();
    known.clear();
    known.extend(candidates.iter().filter(|(_, one)| !is_bare(one)).map(|(_, one)| one.content));
    candidates.retain(|(place, one)| {
        let again = is_bare(one) && known.contains(&one.content);
        if again {
            repeated(*place);
        }
        !again
    });
    candidates.sort_unstable_by_key(|(place, one)| (order(one.attempt), *place));
    // What an archive has told of comes first among equals, but has no row that could be kept.
    let last = candidates.last().map(|(_, last)| *last);
    candidates.dedup_by(|later, earlier| {
        let again = later.1 == earlier.1;
        if again {
            if earlier.0.part == Place::PAST && Some(earlier.1) == last {
                std::mem::swap(&mut later.0, &mut earlier.0);
            }
            repeated(later.0);
        }
        again
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(begin: Option<i64>, end: Option<i64>, failed: Option<bool>, content: u128) -> Candidate {
        Candidate { attempt: Attempt { begin, end, failed }, content }
    }

    /// Places of the attempts in order, by their rows, and of those that are there again.
    fn settled(candidates: &[Candidate]) -> (Vec<u32>, Vec<u32>) {
        let mut places: Vec<_> =
            (0..).zip(candidates).map(|(row, one)| (Place { part: 1, row }, *one)).collect();
        let mut repeated = Vec::new();
        settle(&mut places, &mut HashSet::new(), |place| repeated.push(place.row));
        (places.iter().map(|(place, _)| place.row).collect(), repeated)
    }

    #[test]
    fn each_case_of_the_table() {
        let (early, late) = (Some(1), Some(2));
        let cases = [
            // Attempts, and which of them counts.
            (vec![candidate(late, late, Some(true), 1), candidate(early, early, Some(false), 2)], 1),
            (vec![candidate(early, early, Some(false), 1), candidate(late, late, Some(true), 2)], 0),
            (vec![candidate(late, late, Some(false), 1), candidate(early, early, Some(false), 2)], 0),
            (vec![candidate(late, late, Some(true), 1), candidate(early, early, Some(true), 2)], 0),
            (vec![candidate(early, late, Some(false), 1), candidate(early, early, Some(false), 2)], 0),
            (vec![candidate(early, late, Some(false), 1), candidate(early, late, Some(false), 2)], 1),
            (vec![candidate(early, late, Some(true), 1), candidate(early, late, Some(true), 2)], 1),
            (vec![candidate(early, early, Some(false), 1), candidate(None, None, None, 2)], 0),
            (vec![candidate(early, early, Some(true), 1), candidate(None, None, None, 2)], 1),
            (vec![candidate(None, None, None, 1), candidate(None, None, None, 2)], 1),
            (vec![candidate(None, None, None, 1), candidate(late, late, Some(true), 2)], 0),
            (vec![candidate(late, late, None, 1), candidate(early, early, Some(false), 2)], 0),
            (vec![candidate(None, late, None, 1), candidate(early, None, None, 2)], 0),
            // A clock that was set back while it ran.
            (vec![candidate(late, early, Some(false), 1), candidate(early, early, Some(false), 2)], 0),
        ];
        for (attempts, counts) in cases {
            let (order, repeated) = settled(&attempts);
            assert_eq!((order.last(), order.len(), repeated), (Some(&counts), 2, vec![]), "{attempts:?}");
        }
    }

    #[test]
    fn what_is_there_again_counts_once() {
        let known = candidate(Some(5), Some(6), Some(false), 1);
        let other = candidate(Some(7), Some(8), Some(false), 1);
        let bare = candidate(None, None, None, 1);
        let unlike = candidate(None, None, None, 2);
        assert_eq!(settled(&[known, known, known]), (vec![0], vec![1, 2]));
        // Two attempts may have done the same.
        assert_eq!(settled(&[known, other]), (vec![0, 1], vec![]));
        assert_eq!(settled(&[bare, known, unlike]), (vec![2, 1], vec![0]));
        assert_eq!(settled(&[known, bare, other]), (vec![0, 2], vec![1]));
        // Without times, what comes between makes two of them.
        assert_eq!(settled(&[bare, bare, unlike, bare]), (vec![0, 2, 3], vec![1]));
    }

    #[test]
    fn a_row_stands_for_what_an_archive_has_told_of() {
        let one = candidate(Some(5), None, None, 1);
        let row = Place { part: 3, row: 7 };
        let past = |row| (Place { part: Place::PAST, row }, one);
        let mut candidates = vec![past(1), past(2), (row, one)];
        let mut repeated = Vec::new();
        settle(&mut candidates, &mut HashSet::new(), |place| repeated.push(place.part));
        assert_eq!(candidates, [(row, one)]);
        assert_eq!(repeated, [Place::PAST; 2]);
        // But not if another one counts anyway: then nothing is new.
        let kept = (Place { part: 3, row: 8 }, candidate(Some(6), None, None, 1));
        let mut candidates = vec![past(1), (row, one), kept];
        let mut repeated = Vec::new();
        settle(&mut candidates, &mut HashSet::new(), |place| repeated.push(place));
        assert_eq!((candidates, repeated), (vec![past(1), kept], vec![row]));
    }
}
