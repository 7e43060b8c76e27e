//! Which datasets have changed since somebody last wrote down what they are.

use hashbrown::HashMap;

use crate::{DatasetId, IdSet};

/// Datasets that have changed and are not settled, if anybody wants to know.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    unsettled: Option<HashMap<DatasetId, Change>>,
    count: u64,
}

/// The last change of one dataset, and whether all its changes only added to it.
#[derive(Clone, Copy, Debug)]
struct Change {
    number: u64,
    only_added: bool,
}

impl Changes {
    /// Keeps changes in mind from now on.
    pub fn watch(&mut self) {
        self.unsettled.get_or_insert_default();
    }

    /// Whether anybody wants to know.
    pub fn is_watched(&self) -> bool {
        self.unsettled.is_some()
    }

    /// Whether every change is settled.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of datasets with changes that are not settled.
    pub fn len(&self) -> usize {
        self.unsettled.as_ref().map_or(0, HashMap::len)
    }

    /// A dataset has got something, and has lost nothing.
    pub fn note_added(&mut self, id: DatasetId) {
        self.note_change(id, true);
    }

    /// A dataset has changed.
    pub fn note(&mut self, id: DatasetId) {
        self.note_change(id, false);
    }

    fn note_change(&mut self, id: DatasetId, only_added: bool) {
        if let Some(unsettled) = &mut self.unsettled {
            self.count += 1;
            let number = self.count;
            let change = unsettled.entry(id).or_insert(Change { number, only_added });
            *change = Change { number, only_added: only_added && change.only_added };
        }
    }

    /// The datasets that have changed, in order, each with whether it was only added to; none that is held.
    /// With them comes the number to settle them by.
    pub fn unsettled(&self, held: &IdSet) -> (Vec<(DatasetId, bool)>, u64) {
        let changes = self.unsettled.iter().flatten().filter(|(id, _)| !held.contains(**id));
        let mut ids: Vec<_> = changes.map(|(id, change)| (*id, change.only_added)).collect();
        ids.sort_unstable();
        (ids, self.count)
    }

    /// What `unsettled` returned with that number has been written down.
    pub fn settle(&mut self, upto: u64, held: &IdSet) {
        if let Some(unsettled) = &mut self.unsettled {
            unsettled.retain(|id, change| change.number > upto || held.contains(*id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: DatasetId = DatasetId::Uuid(1);
    const B: DatasetId = DatasetId::Uuid(2);

    #[test]
    fn nothing_is_kept_in_mind_for_nobody() {
        let mut changes = Changes::default();
        changes.note(A);
        assert!(!changes.is_watched() && changes.is_empty());
        changes.watch();
        assert!(changes.is_watched() && changes.is_empty());
        changes.note(A);
        changes.watch();
        assert!(!changes.is_empty());
    }

    #[test]
    fn what_changes_again_before_it_is_settled_stays() {
        let (mut changes, nobody) = (Changes::default(), IdSet::default());
        changes.watch();
        changes.note_added(B);
        changes.note_added(A);
        let (ids, upto) = changes.unsettled(&nobody);
        assert_eq!(ids, [(A, true), (B, true)]);
        changes.note(A);
        changes.settle(upto, &nobody);
        let (ids, upto) = changes.unsettled(&nobody);
        assert_eq!(ids, [(A, false)]);
        changes.note_added(A);
        assert_eq!(changes.unsettled(&nobody).0, [(A, false)]);
        changes.settle(upto, &nobody);
        assert!(!changes.is_empty());
    }

    #[test]
    fn what_is_held_is_neither_told_nor_settled() {
        let (mut changes, held) = (Changes::default(), [A].into_iter().collect());
        changes.watch();
        changes.note(A);
        changes.note(B);
        let (ids, upto) = changes.unsettled(&held);
        assert_eq!(ids, [(B, false)]);
        changes.settle(upto, &held);
        assert_eq!(changes.unsettled(&IdSet::default()).0, [(A, false)]);
    }
}
