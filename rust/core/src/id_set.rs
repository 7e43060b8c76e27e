//! Sets of dataset ids.

use std::collections::BinaryHeap;

use hashbrown::HashSet;

use crate::DatasetId;

/// A set of dataset ids, small and quick when all are UUIDs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdSet {
    uuids: HashSet<u128>,
    // Normally empty, and then it costs nothing.
    ints: HashSet<i128>,
}

impl IdSet {
    /// Adds an id; tells whether it is new.
    pub fn insert(&mut self, id: DatasetId) -> bool {
        match id {
            DatasetId::Uuid(uuid) => self.uuids.insert(uuid),
            DatasetId::Int(int) => self.ints.insert(int),
        }
    }

    /// Takes an id out; tells whether it was there.
    pub fn remove(&mut self, id: DatasetId) -> bool {
        match id {
            DatasetId::Uuid(uuid) => self.uuids.remove(&uuid),
            DatasetId::Int(int) => self.ints.remove(&int),
        }
    }

    /// Whether an id is in the set.
    pub fn contains(&self, id: DatasetId) -> bool {
        match id {
            DatasetId::Uuid(uuid) => self.uuids.contains(&uuid),
            DatasetId::Int(int) => self.ints.contains(&int),
        }
    }

    /// Number of ids.
    pub fn len(&self) -> usize {
        self.uuids.len() + self.ints.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.uuids.is_empty() && self.ints.is_empty()
    }

    /// Makes room for so many more ids, most of them UUIDs.
    pub fn reserve(&mut self, additional: usize) {
        self.uuids.reserve(additional);
    }

    /// All ids, in no order.
    pub fn iter(&self) -> impl Iterator<Item = DatasetId> {
        let uuids = self.uuids.iter().copied().map(DatasetId::Uuid);
        uuids.chain(self.ints.iter().copied().map(DatasetId::Int))
    }

    /// The ids that are UUIDs, in no order.
    pub fn uuids(&self) -> impl ExactSizeIterator<Item = u128> {
        self.uuids.iter().copied()
    }

    /// An integer id, if there is any.
    pub fn any_integer(&self) -> Option<i128> {
        self.ints.iter().copied().next()
    }

    /// All ids in order: UUIDs by value, then integers.
    pub fn sorted(&self) -> Vec<DatasetId> {
        let mut ids: Vec<_> = self.iter().collect();
        ids.sort_unstable();
        ids
    }

    /// The ids that `other` does not have, in no order and without a new set.
    pub fn difference<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = DatasetId> + 'a {
        self.iter().filter(|id| !other.contains(*id))
    }

    /// Whether no id is in both.
    pub fn is_disjoint(&self, other: &Self) -> bool {
        self.uuids.is_disjoint(&other.uuids) && self.ints.is_disjoint(&other.ints)
    }

    /// Bytes held on the heap.
    pub fn memory(&self) -> usize {
        self.uuids.allocation_size() + self.ints.allocation_size()
    }
}

impl Extend<DatasetId> for IdSet {
    fn extend<I: IntoIterator<Item = DatasetId>>(&mut self, ids: I) {
        let ids = ids.into_iter();
        self.reserve(ids.size_hint().0);
        ids.for_each(|id| {
            self.insert(id);
        });
    }
}

impl FromIterator<DatasetId> for IdSet {
    fn from_iter<I: IntoIterator<Item = DatasetId>>(ids: I) -> Self {
        let mut set = Self::default();
        set.extend(ids);
        set
    }
}

/// The first `limit` ids in order, and how many there were in all.
pub(crate) fn count_and_first(ids: impl Iterator<Item = DatasetId>, limit: usize) -> (usize, Vec<DatasetId>) {
    // The largest of those kept is on top, ready to give way: 10^6 ids need no room for 10^6.
    let mut first = BinaryHeap::new();
    let mut count = 0;
    for id in ids {
        count += 1;
        if first.len() < limit {
            first.push(id);
        } else if let Some(mut largest) = first.peek_mut()
            && id < *largest
        {
            *largest = id;
        }
    }
    (count, first.into_sorted_vec())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use proptest::prelude::*;

    // Few values, so that the same id comes up again and both kinds meet at one number.
    fn any_id() -> impl Strategy<Value = DatasetId> {
        prop_oneof![(0..20_u128).prop_map(DatasetId::Uuid), (-3..8_i128).prop_map(DatasetId::Int)]
    }

    proptest! {
        #[test]
        fn behaves_like_an_ordered_set(steps in prop::collection::vec((any::<bool>(), any_id()), 0..200)) {
            let mut set = IdSet::default();
            let mut model = BTreeSet::new();
            for (insert, id) in &steps {
                if *insert {
                    prop_assert_eq!(set.insert(*id), model.insert(*id));
                } else {
                    prop_assert_eq!(set.remove(*id), model.remove(id));
                }
                prop_assert_eq!(set.len(), model.len());
                prop_assert_eq!(set.is_empty(), model.is_empty());
                prop_assert_eq!(set.contains(*id), model.contains(id));
            }
            prop_assert_eq!(set.sorted(), model.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn set_algebra_agrees(
            a in prop::collection::btree_set(any_id(), 0..25), b in prop::collection::btree_set(any_id(), 0..25),
            limit in 0..30_usize,
        ) {
            let (left, right): (IdSet, IdSet) = (a.iter().copied().collect(), b.iter().copied().collect());
            let difference: BTreeSet<_> = left.difference(&right).collect();
            prop_assert_eq!(&difference, &a.difference(&b).copied().collect());
            prop_assert_eq!(left.is_disjoint(&right), a.is_disjoint(&b));
            prop_assert_eq!(left == right, a == b);
            let (count, first) = count_and_first(left.difference(&right), limit);
            prop_assert_eq!(count, difference.len());
            prop_assert_eq!(first, difference.into_iter().take(limit).collect::<Vec<_>>());
        }
    }
}
