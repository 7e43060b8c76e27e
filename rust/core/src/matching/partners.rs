//! Rows with the same name.

use std::ops::Range;

use super::names::Names;
use crate::parallel;

/// In place of a row: there is none with the same name.
pub const NO_PARTNER: u32 = u32::MAX;

/// Names that are put in order together, so that they fit into the processor's cache.
const TOGETHER: usize = 1 << 10;

/// Buckets that are worth a thread of their own.
const SHARE: usize = 64;

/// Of each row, left and right, the row of the other side with the same name. Of several with one name the
/// first has the first, and so on.
pub fn partners(left: &Names, right: &Names) -> [Vec<u32>; 2] {
    let sides = [left.numbers(), right.numbers()];
    let most = sides[0].len().max(sides[1].len());
    let bits = (most / TOGETHER).max(1).ilog2();
    let buckets = sides.map(|numbers| Buckets::new(numbers, bits));
    let pairs = parallel::shares(1 << bits, SHARE, |share| {
        let mut pairs = Vec::new();
        for number in share {
            let [left, right] = [0, 1].map(|side| buckets[side].sorted(number, sides[side]));
            pair(&left, &right, &mut pairs);
        }
        pairs
    });
    let mut found = sides.map(|numbers| vec![NO_PARTNER; numbers.len()]);
    for (left, right) in pairs.into_iter().flatten() {
        found[0][left as usize] = right;
        found[1][right as usize] = left;
    }
    found
}

/// Rows by the highest bits of their numbers.
struct Buckets {
    rows: Vec<u32>,
    ends: Vec<usize>,
}

impl Buckets {
    fn new(numbers: &[u128], bits: u32) -> Self {
        // A shift by all bits is none.
        let bucket = |number: u128| (number >> 64 >> (64 - bits)) as usize;
        let mut starts = vec![0; (1 << bits) + 1];
        for number in numbers {
            starts[bucket(*number) + 1] += 1;
        }
        for place in 0..1 << bits {
            starts[place + 1] += starts[place];
        }
        let mut rows = vec![0; numbers.len()];
        for (row, number) in numbers.iter().enumerate() {
            let place = &mut starts[bucket(*number)];
            rows[*place] = row as u32;
            *place += 1;
        }
        starts.pop();
        Self { rows, ends: starts }
    }

    /// Numbers of one bucket with their rows, ascending.
    fn sorted(&self, bucket: usize, numbers: &[u128]) -> Vec<(u128, u32)> {
        let first = bucket.checked_sub(1).map_or(0, |before| self.ends[before]);
        let range: Range<usize> = first..self.ends[bucket];
        let mut found: Vec<_> = self.rows[range].iter().map(|row| (numbers[*row as usize], *row)).collect();
        found.sort_unstable();
        found
    }
}

/// Adds the rows with equal numbers.
fn pair(left: &[(u128, u32)], right: &[(u128, u32)], pairs: &mut Vec<(u32, u32)>) {
    let (mut i, mut j) = (0, 0);
    while let (Some(one), Some(other)) = (left.get(i), right.get(j)) {
        if one.0 == other.0 {
            pairs.push((one.1, other.1));
        }
        i += usize::from(one.0 <= other.0);
        j += usize::from(one.0 >= other.0);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Int64Array, RecordBatch};

    use super::*;

    fn names(values: impl IntoIterator<Item = i64>) -> Names {
        let column: ArrayRef = Arc::new(values.into_iter().map(Some).collect::<Int64Array>());
        let mut names = Names::default();
        names.add(&RecordBatch::try_from_iter([("visit", column)]).unwrap(), &[]).unwrap();
        names
    }

    #[test]
    fn of_several_with_one_name_the_first_has_the_first() {
        let [left, right] = partners(&names([1, 2, 2, 3, 2]), &names([2, 3, 2, 4]));
        assert_eq!(left, [NO_PARTNER, 0, 2, 1, NO_PARTNER]);
        assert_eq!(right, [1, 3, 2, NO_PARTNER]);
    }

    #[test]
    fn names_of_many_buckets_are_found_whatever_their_order() {
        let count = 300_000;
        let [left, right] = partners(&names(0..count), &names((1..=count).rev()));
        assert_eq!((left[0], right[0]), (NO_PARTNER, NO_PARTNER));
        for (row, partner) in left.iter().enumerate().skip(1) {
            assert_eq!(*partner as usize, count as usize - row);
            assert_eq!(right[*partner as usize] as usize, row);
        }
        assert_eq!(partners(&names([]), &names([1])), [vec![], vec![NO_PARTNER]]);
    }
}
