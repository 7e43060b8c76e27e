//! What one index has and another has not.

use std::cmp::Ordering;

use super::index::{LineageIndex, damaged};
use crate::Result;

/// The differences between two indexes, left and right.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// Quanta that only the one or only the other has, in order of their ids.
    pub quanta: [Vec<u128>; 2],
    /// Datasets that only the one or only the other has, in order of their ids.
    pub datasets: [Vec<u128>; 2],
    /// What differs in quanta that both have; in order of the quanta's ids and then of the datasets'.
    pub changes: Vec<Change>,
}

/// A dataset that the same quantum has in different roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// The quantum.
    pub quantum: u128,
    /// The dataset.
    pub dataset: u128,
    /// Its roles, left and right, as bits; none where the quantum does not have it.
    pub roles: [u8; 2],
}

impl LineageIndex {
    /// The differences between this index, left, and another.
    pub fn difference(&self, other: &Self) -> Result<Difference> {
        let mut found = Difference::default();
        let [left, right] = [self, other].map(Self::all_datasets);
        merge(&left?, &right?, |pair| match pair {
            Pair::Left(dataset) => found.datasets[0].push(dataset.0),
            Pair::Right(dataset) => found.datasets[1].push(dataset.0),
            Pair::Both(..) => {}
        });
        let [left, right] = [self, other].map(Self::all_quanta);
        let mut both = Vec::new();
        merge(&left?, &right?, |pair| match pair {
            Pair::Left(quantum) => found.quanta[0].push(quantum.0),
            Pair::Right(quantum) => found.quanta[1].push(quantum.0),
            Pair::Both(left, right) => both.push((left.0, left.1, right.1)),
        });
        let same_rows = found.datasets.iter().all(Vec::is_empty);
        for (quantum, left, right) in both {
            if same_rows && self.neighbours(left)? == other.neighbours(right)? {
                continue;
            }
            let mut change = |dataset, roles: [u8; 2]| {
                if roles[0] != roles[1] {
                    found.changes.push(Change { quantum, dataset, roles });
                }
            };
            merge(&self.uses(left)?, &other.uses(right)?, |pair| match pair {
                Pair::Left((dataset, roles)) => change(dataset, [roles, 0]),
                Pair::Right((dataset, roles)) => change(dataset, [0, roles]),
                Pair::Both((dataset, left), (_, right)) => change(dataset, [left, right]),
            });
        }
        Ok(found)
    }

    /// Ids of all datasets; their rows go without saying.
    fn all_datasets(&self) -> Result<Vec<(u128, ())>> {
        self.require_order()?;
        Ok((0..self.datasets()).map(|row| (self.id(row), ())).collect())
    }

    /// Ids and rows of all quanta, in order of the ids.
    fn all_quanta(&self) -> Result<Vec<(u128, u32)>> {
        let mut ids: Vec<_> = (self.datasets()..self.nodes()).map(|row| (self.id(row), row)).collect();
        ids.sort_unstable();
        let once = ids.is_sorted_by(|a, b| a.0 < b.0);
        if once { Ok(ids) } else { Err(damaged("it has a quantum twice")) }
    }

    /// Ids and roles of a quantum's datasets.
    fn uses(&self, row: u32) -> Result<Vec<(u128, u8)>> {
        let neighbours = self.neighbours(row)?;
        let uses = neighbours.rows.iter().zip(neighbours.roles);
        // Rows ascend, and so do their ids.
        Ok(uses.map(|(row, roles)| (self.id(*row), *roles)).collect())
    }
}

/// What has the same key in two sorted lists, or is in one of them only.
enum Pair<T> {
    Left(T),
    Right(T),
    Both(T, T),
}

fn merge<K: Ord + Copy, V: Copy>(left: &[(K, V)], right: &[(K, V)], mut take: impl FnMut(Pair<(K, V)>)) {
    let (mut i, mut j) = (0, 0);
    loop {
        let order = match (left.get(i), right.get(j)) {
            (None, None) => return,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(left), Some(right)) => left.0.cmp(&right.0),
        };
        match order {
            Ordering::Less => take(Pair::Left(left[i])),
            Ordering::Greater => take(Pair::Right(right[j])),
            Ordering::Equal => take(Pair::Both(left[i], right[j])),
        }
        i += usize::from(order.is_le());
        j += usize::from(order.is_ge());
    }
}
