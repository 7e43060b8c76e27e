//! Finding quanta and datasets by what people call them: a task or a type, and a data ID.

use std::hash::{Hash, Hasher};

use xxhash_rust::xxh3::Xxh3;

use serde::de::DeserializeOwned;

use super::json::Key;
use super::models::{DatasetName, PlannedQuantum, QuantumName};
use super::pipeline::{Dimensions, Pipeline};

/// Values that a data ID is to have, by dimension.
pub type Wanted = [(String, Key)];

/// Whether a data ID has the wanted values.
pub(super) fn matches(dimensions: &Dimensions, values: &[Key], wanted: &Wanted) -> bool {
    wanted.iter().all(|(name, value)| {
        let place = dimensions.names.iter().position(|known| known == name);
        place.and_then(|place| values.get(place)) == Some(value)
    })
}

/// The wanted values of all required dimensions, in their order, if none is left open.
pub(super) fn whole<'a>(dimensions: &Dimensions, wanted: &'a Wanted) -> Option<Vec<&'a Key>> {
    let value = |name: &String| wanted.iter().find(|(known, _)| known == name).map(|(_, value)| value);
    dimensions.names[..dimensions.required].iter().map(value).collect()
}

/// A number for a name with values of all required dimensions; different names hardly ever have the same.
pub(super) fn fingerprint<'a>(name: &str, values: impl Iterator<Item = &'a Key>) -> u64 {
    let mut hasher = Xxh3::new();
    name.hash(&mut hasher);
    values.for_each(|value| value.hash(&mut hasher));
    hasher.finish()
}

/// Where the names of a kind of block are: in which file, and where there.
#[derive(Debug, Default)]
pub(super) struct Index(Vec<(u64, u32, u64)>);

impl Index {
    pub(super) fn push(&mut self, fingerprint: u64, file: u32, offset: u64) {
        self.0.push((fingerprint, file, offset));
    }

    pub(super) fn sort(&mut self) {
        self.0.sort_unstable();
        self.0.shrink_to_fit();
    }

    /// All places that may be of a name.
    pub(super) fn find(&self, fingerprint: u64) -> impl Iterator<Item = (u32, u64)> {
        let start = self.0.partition_point(|(known, ..)| *known < fingerprint);
        let of_name = self.0[start..].iter().take_while(move |(known, ..)| *known == fingerprint);
        of_name.map(|(_, file, offset)| (*file, *offset))
    }
}

/// What a name is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    /// Quanta, which have a task.
    Quanta,
    /// Datasets, which have a type.
    Datasets,
}

impl Subject {
    /// The dimensions of a task or a type, if the pipeline has it.
    pub(super) fn dimensions<'a>(self, pipeline: &'a Pipeline, name: &str) -> Option<&'a Dimensions> {
        match self {
            Self::Quanta => pipeline.tasks.get(name).map(|task| &task.dimensions),
            Self::Datasets => pipeline.dataset_types.get(name).map(|found| &found.dimensions),
        }
    }
}

/// A block that tells names.
pub(super) trait Named: DeserializeOwned {
    /// What they are of.
    const SUBJECT: Subject;

    /// Each of them: the task or the type, values of the data ID, and the id.
    fn names(&self) -> impl Iterator<Item = (&str, &[Key], u128)>;
}

impl Named for QuantumName {
    const SUBJECT: Subject = Subject::Quanta;

    fn names(&self) -> impl Iterator<Item = (&str, &[Key], u128)> {
        std::iter::once((self.task_label.as_str(), self.data_coordinate.as_slice(), self.quantum_id.0))
    }
}

impl Named for DatasetName {
    const SUBJECT: Subject = Subject::Datasets;

    fn names(&self) -> impl Iterator<Item = (&str, &[Key], u128)> {
        std::iter::once((self.dataset_type_name.as_str(), self.data_coordinate.as_slice(), self.dataset_id.0))
    }
}

impl Named for PlannedQuantum {
    const SUBJECT: Subject = Subject::Datasets;

    fn names(&self) -> impl Iterator<Item = (&str, &[Key], u128)> {
        let datasets = self.inputs.values().chain(self.outputs.values()).flatten();
        datasets.map(|one| (one.dataset_type_name.as_str(), one.data_coordinate.as_slice(), one.dataset_id.0))
    }
}
