//! Which datasets one datastore holds, and which are in its trash.

use crate::{Changes, DatasetId, Error, IdSet, Result};

/// The datasets of one datastore.
#[derive(Clone, Debug, Default)]
pub struct Locations {
    datastore: String,
    present: IdSet,
    trash: IdSet,
    /// Datasets that came, went or moved.
    pub changes: Changes,
}

/// What takes one change of the locations back.
#[derive(Clone, Debug, Default)]
pub struct LocationsUndo {
    added: Vec<DatasetId>,
    trashed: Vec<DatasetId>,
}

impl LocationsUndo {
    /// Number of datasets to restore.
    pub fn len(&self) -> usize {
        self.added.len() + self.trashed.len()
    }

    /// Whether there is nothing to restore.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Locations {
    /// A datastore that holds nothing yet.
    pub fn new(datastore: impl Into<String>) -> Self {
        Self { datastore: datastore.into(), ..Self::default() }
    }

    /// Name of the datastore.
    pub fn datastore(&self) -> &str {
        &self.datastore
    }

    /// The datasets that it holds, without those in its trash.
    pub fn present(&self) -> &IdSet {
        &self.present
    }

    /// Bytes held on the heap.
    pub fn memory(&self) -> usize {
        self.present.memory() + self.trash.memory() + self.datastore.capacity()
    }

    /// Records datasets that are not recorded yet, all or none; one that is given twice is an error too.
    pub fn insert(&mut self, ids: impl IntoIterator<Item = DatasetId>) -> Result<LocationsUndo> {
        let mut undo = LocationsUndo::default();
        let ids = ids.into_iter();
        self.present.reserve(ids.size_hint().0);
        undo.added.reserve_exact(ids.size_hint().0);
        for id in ids {
            if !self.present.insert(id) {
                self.undo(undo);
                return Err(Error::DuplicateLocation {
                    datastore: self.datastore.clone(),
                    id: id.to_string(),
                });
            }
            self.changes.note_added(id);
            undo.added.push(id);
        }
        Ok(undo)
    }

    /// Records those of the datasets that are not recorded yet.
    pub fn ensure(&mut self, ids: impl IntoIterator<Item = DatasetId>) -> LocationsUndo {
        let added: Vec<_> = ids.into_iter().filter(|id| self.present.insert(*id)).collect();
        added.iter().for_each(|id| self.changes.note_added(*id));
        LocationsUndo { added, trashed: Vec::new() }
    }

    /// Drops datasets without leaving them in the trash.
    pub fn forget(&mut self, ids: impl IntoIterator<Item = DatasetId>) {
        for id in ids {
            if self.present.remove(id) {
                self.changes.note(id);
            }
        }
    }

    /// Moves those of the datasets that are there to the trash.
    ///
    /// A dataset that was recorded again while it was in the trash cannot go there twice; then none moves.
    pub fn move_to_trash(&mut self, ids: impl IntoIterator<Item = DatasetId>) -> Result<LocationsUndo> {
        let mut undo = LocationsUndo::default();
        for id in ids {
            if !self.present.contains(id) {
                continue;
            }
            if !self.trash.insert(id) {
                self.undo(undo);
                let datastore = format!("the trash of {}", self.datastore);
                return Err(Error::DuplicateLocation { datastore, id: id.to_string() });
            }
            self.present.remove(id);
            self.changes.note(id);
            undo.trashed.push(id);
        }
        Ok(undo)
    }

    /// Whether a dataset is in the trash.
    pub fn is_trashed(&self, id: DatasetId) -> bool {
        self.trash.contains(id)
    }

    /// What is in the trash, in order; of a selection if there is one.
    pub fn trashed(&self, selected: Option<&IdSet>) -> Vec<DatasetId> {
        let Some(selected) = selected else {
            return self.trash.sorted();
        };
        let mut ids: Vec<_> = selected.iter().filter(|id| self.trash.contains(*id)).collect();
        ids.sort_unstable();
        ids
    }

    /// Drops datasets from the trash for good.
    pub fn drop_from_trash(&mut self, ids: impl IntoIterator<Item = DatasetId>) {
        for id in ids {
            if self.trash.remove(id) {
                self.changes.note(id);
            }
        }
    }

    /// Takes a change back. What has been dropped from the trash since does not come back.
    pub fn undo(&mut self, undo: LocationsUndo) {
        self.forget(undo.added);
        for id in undo.trashed {
            if self.trash.remove(id) {
                self.present.insert(id);
                self.changes.note(id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids<const N: usize>(numbers: [u128; N]) -> [DatasetId; N] {
        numbers.map(DatasetId::Uuid)
    }

    #[test]
    fn inserting_is_all_or_nothing() {
        let mut locations = Locations::new("store");
        locations.insert(ids([1, 2])).unwrap();
        for refused in [[3, 2], [3, 3]] {
            let error = locations.insert(ids(refused)).unwrap_err();
            assert!(matches!(error, Error::DuplicateLocation { ref datastore, .. } if datastore == "store"));
            assert_eq!(locations.present().sorted(), ids([1, 2]));
        }
    }

    #[test]
    fn undoing_restores_what_was_there() {
        let mut locations = Locations::new("store");
        locations.insert(ids([1, 2])).unwrap();
        let inserted = locations.insert(ids([3])).unwrap();
        let ensured = locations.ensure(ids([2, 3, 4, 4]));
        let trashed = locations.move_to_trash(ids([1, 4, 5])).unwrap();
        assert_eq!(locations.trashed(None), ids([1, 4]));
        assert_eq!(locations.present().sorted(), ids([2, 3]));
        locations.undo(trashed);
        assert_eq!(locations.trashed(None), []);
        assert_eq!(locations.present().sorted(), ids([1, 2, 3, 4]));
        locations.undo(ensured);
        locations.undo(inserted);
        assert_eq!(locations.present().sorted(), ids([1, 2]));
    }

    #[test]
    fn a_dataset_can_come_back_while_its_former_self_is_in_the_trash_but_not_follow_it() {
        let mut locations = Locations::new("store");
        locations.insert(ids([1, 2])).unwrap();
        locations.move_to_trash(ids([1])).unwrap();
        locations.insert(ids([1])).unwrap();
        let error = locations.move_to_trash(ids([2, 1])).unwrap_err();
        assert!(error.to_string().contains("the trash of store"), "{error}");
        assert_eq!(locations.present().sorted(), ids([1, 2]));
        assert_eq!(locations.trashed(None), ids([1]));
    }

    #[test]
    fn emptying_the_trash_can_be_selective() {
        let mut locations = Locations::new("store");
        locations.insert(ids([1, 2, 3])).unwrap();
        locations.move_to_trash(ids([1, 2])).unwrap();
        let selected = ids([3, 2]).into_iter().collect();
        assert_eq!(locations.trashed(Some(&selected)), ids([2]));
        locations.drop_from_trash(ids([2]));
        assert_eq!(locations.trashed(None), ids([1]));
        locations.forget(ids([3]));
        assert!(locations.present().is_empty());
    }
}
