//! The provenance of one quantum: what it expected, found, used and wrote.
//!
//! The JSON form is that of upstream's `QuantumProvenanceData`: five arrays of
//! dataset ids, then the datastore records of what was written.  Where upstream
//! keeps a set in whatever order hashing gives, ids are sorted here, so that
//! equal content has equal bytes.
//!
//! - `records`: the datastore records, held flat; `builder` fills them.
//! - `extract`: a tracker and the records of what was written to JSON.
//! - `write`: provenance to JSON.
//! - `read`: JSON to provenance, over the tokens that `tokens` finds.
//! - `merge`: the records of many quanta, each once.
//! - `plain_text`: how far a text goes without escapes.

mod builder;
mod extract;
mod merge;
mod plain_text;
mod read;
mod records;
mod tokens;
mod write;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use crate::DatasetId;

pub use builder::RecordsBuilder;
pub use extract::Extraction;
pub use merge::{OfDataset, RecordMerge};
pub(crate) use read::first;
pub use records::{ClassRecords, DatasetRecords, DatastoreRecords, Key, Records, Row, TableRows, Value};
pub(crate) use tokens::Scanner;
pub(crate) use write::write_text;

/// One of the five sets of dataset ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// Inputs that the quantum was expected to have.
    PredictedInputs,
    /// Inputs that were there when it ran.
    AvailableInputs,
    /// Inputs that it used.
    ActualInputs,
    /// Outputs that it was expected to write.
    PredictedOutputs,
    /// Outputs that it wrote.
    ActualOutputs,
}

impl Field {
    /// All five, in the order in which they are written.
    pub const ALL: [Field; 5] = [
        Field::PredictedInputs,
        Field::AvailableInputs,
        Field::ActualInputs,
        Field::PredictedOutputs,
        Field::ActualOutputs,
    ];

    /// The field's name in the JSON form.
    pub fn name(self) -> &'static str {
        match self {
            Field::PredictedInputs => "predicted_inputs",
            Field::AvailableInputs => "available_inputs",
            Field::ActualInputs => "actual_inputs",
            Field::PredictedOutputs => "predicted_outputs",
            Field::ActualOutputs => "actual_outputs",
        }
    }

    /// The field of that name.
    pub fn from_name(name: &str) -> Option<Field> {
        Field::ALL.into_iter().find(|field| field.name() == name)
    }
}

/// Name of the sixth field, which holds the datastore records.
pub(crate) const DATASTORE_RECORDS: &str = "datastore_records";
/// Name of the list of ids of one datastore's records.
pub(crate) const DATASET_IDS: &str = "dataset_ids";
/// Name of the records of one datastore.
pub(crate) const RECORDS: &str = "records";

/// The provenance of one quantum; never changed once made.
#[derive(Debug, Clone, PartialEq)]
pub struct Provenance {
    ids: [Box<[u128]>; 5],
    records: Records,
}

impl Provenance {
    /// Provenance of the given content: the ids of each [`Field`], in the order
    /// of [`Field::ALL`], in any order and repeated or not.
    pub fn new(ids: [Vec<u128>; 5], records: Records) -> Self {
        Self { ids: ids.map(sorted_set), records }
    }

    /// Ids of one field, sorted, each once.
    pub fn ids(&self, field: Field) -> &[u128] {
        &self.ids[field as usize]
    }

    /// Which of some datasets one field has, as positions: of several with one
    /// id the last, in place of the first.
    pub fn among(&self, field: Field, datasets: &[DatasetId]) -> Vec<usize> {
        let ids = self.ids(field);
        let (mut found, mut places) = (Vec::new(), HashMap::new());
        for (position, dataset) in datasets.iter().enumerate() {
            let Some(uuid) = dataset.as_uuid().filter(|uuid| ids.binary_search(uuid).is_ok()) else {
                continue;
            };
            match places.entry(uuid) {
                Entry::Occupied(place) => found[*place.get()] = position,
                Entry::Vacant(place) => {
                    place.insert(found.len());
                    found.push(position);
                }
            }
        }
        found
    }

    /// Datastore records of what was written.
    pub fn records(&self) -> &Records {
        &self.records
    }
}

/// The same ids sorted, each once.  Ids mostly come sorted already.
fn sorted_set(mut ids: Vec<u128>) -> Box<[u128]> {
    if !ids.is_sorted_by(|a, b| a < b) {
        ids.sort_unstable();
        ids.dedup();
    }
    ids.into_boxed_slice()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_sorted_and_unique() {
        let ids = [vec![3, 1, 3, 2], vec![], vec![7], vec![2, 2], vec![1, 2]];
        let provenance = Provenance::new(ids, Records::default());
        assert_eq!(provenance.ids(Field::PredictedInputs), [1, 2, 3]);
        assert_eq!(provenance.ids(Field::AvailableInputs), [0u128; 0]);
        assert_eq!(provenance.ids(Field::PredictedOutputs), [2]);
        assert_eq!(provenance.ids(Field::ActualOutputs), [1, 2]);
    }

    #[test]
    fn datasets_are_found_in_a_field() {
        let ids = [vec![], vec![], vec![], vec![9], vec![5, 3]];
        let provenance = Provenance::new(ids, Records::default());
        let datasets = [3, 9, 5, 4, 3].map(DatasetId::Uuid);
        assert_eq!(provenance.among(Field::ActualOutputs, &datasets), [4, 2]);
        assert_eq!(provenance.among(Field::ActualOutputs, &[DatasetId::Int(3)]), [0; 0]);
        assert_eq!(provenance.among(Field::ActualInputs, &datasets), [0; 0]);
    }

    #[test]
    fn fields_are_found_by_name() {
        for field in Field::ALL {
            assert_eq!(Field::from_name(field.name()), Some(field));
        }
        assert_eq!(Field::from_name("datastore_records"), None);
    }
}
