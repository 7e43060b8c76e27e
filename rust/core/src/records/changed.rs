//! What the datasets that have changed are now, for a copy of the records kept elsewhere.

use crate::table::value::Value;
use crate::{DatasetId, FileRecords, IdSet, Locations, Table};

/// What has become of the datasets whose records or locations have changed.
#[derive(Clone, Debug, Default)]
pub struct RecordChanges {
    /// Datasets that may have lost rows.
    pub less_rows: Vec<DatasetId>,
    /// All rows of the datasets whose rows have changed.
    pub rows: Vec<Vec<Value<'static>>>,
    /// Datasets that may have gone from the datastore or its trash.
    pub moved: Vec<DatasetId>,
    /// Those of the datasets that came, went or moved which are in the datastore.
    pub present: Vec<DatasetId>,
    /// Those which are in its trash.
    pub trashed: Vec<DatasetId>,
    /// The numbers to settle table and locations by.
    pub upto: (u64, u64),
}

impl FileRecords {
    /// Keeps in mind from now on which datasets change.
    pub fn watch(self, table: &mut Table, locations: &mut Locations) {
        table.watch(self.dataset_id);
        locations.changes.watch();
    }

    /// What the datasets that have changed are now, without those that are held.
    pub fn changes(self, table: &Table, locations: &Locations, held: &IdSet) -> RecordChanges {
        let (rows, of_table) = table.changes.unsettled(held);
        let (moved, of_locations) = locations.changes.unsettled(held);
        let slots = rows.iter().flat_map(|(id, _)| self.slots(table, *id).to_vec());
        let row = |slot| table.row(slot).into_iter().map(Value::into_owned).collect();
        let all = || moved.iter().map(|(id, _)| *id);
        RecordChanges {
            rows: slots.map(row).collect(),
            less_rows: not_only_added(&rows),
            present: all().filter(|id| locations.present().contains(*id)).collect(),
            trashed: all().filter(|id| locations.is_trashed(*id)).collect(),
            moved: not_only_added(&moved),
            upto: (of_table, of_locations),
        }
    }

    /// What `changes` returned with these numbers has been written down.
    pub fn settle(table: &mut Table, locations: &mut Locations, upto: (u64, u64), held: &IdSet) {
        table.changes.settle(upto.0, held);
        locations.changes.settle(upto.1, held);
    }
}

fn not_only_added(changed: &[(DatasetId, bool)]) -> Vec<DatasetId> {
    changed.iter().filter(|(_, only_added)| !only_added).map(|(id, _)| *id).collect()
}
