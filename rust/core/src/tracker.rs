//! Which datasets one quantum expected, found and used.

use crate::id_set::count_and_first;
use crate::{Changes, DatasetId, Error, IdSet, Result};

/// One of a tracker's sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Expected as inputs when the graph was built.
    PredictedInputs,
    /// Expected as outputs when the graph was built.
    PredictedOutputs,
    /// Inputs that were there when the quantum ran.
    AvailableInputs,
    /// Inputs that were looked for and were not there.
    UnavailableInputs,
    /// Inputs that the quantum really used.
    ActualInputs,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 5] = [
        Self::PredictedInputs,
        Self::PredictedOutputs,
        Self::AvailableInputs,
        Self::UnavailableInputs,
        Self::ActualInputs,
    ];

    /// Name of the set.
    pub fn name(self) -> &'static str {
        match self {
            Self::PredictedInputs => "predicted_inputs",
            Self::PredictedOutputs => "predicted_outputs",
            Self::AvailableInputs => "available_inputs",
            Self::UnavailableInputs => "unavailable_inputs",
            Self::ActualInputs => "actual_inputs",
        }
    }
}

/// What `Tracker::settle` found amiss.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Number of inputs marked as used that turned out not to exist.
    pub contradicted: usize,
    /// The first of these, in order.
    pub first_contradicted: Vec<DatasetId>,
    /// Whether the inputs looked for are not exactly the predicted ones.
    pub incomplete: bool,
    /// Number of predicted inputs that nobody looked for.
    pub unchecked: usize,
    /// The first of these, in order.
    pub first_unchecked: Vec<DatasetId>,
}

/// The bookkeeping of one quantum.
#[derive(Clone, Debug, Default)]
pub struct Tracker {
    predicted_inputs: IdSet,
    predicted_outputs: IdSet,
    available_inputs: IdSet,
    unavailable_inputs: IdSet,
    actual_inputs: IdSet,
    written: IdSet,
    /// Datasets that have changed their roles.
    pub changes: Changes,
}

/// The roles of one dataset, in the order of `Role::ALL`.
pub type Roles = [bool; Role::ALL.len()];

impl Tracker {
    /// Starts a quantum that has read and written nothing yet.
    pub fn new(predicted_inputs: IdSet, predicted_outputs: IdSet) -> Self {
        Self { predicted_inputs, predicted_outputs, ..Self::default() }
    }

    /// Number of ids in all that is told of a quantum.
    pub fn len(&self) -> usize {
        Role::ALL.into_iter().map(|role| self.set(role).len()).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Outputs that were written.
    pub fn written(&self) -> &IdSet {
        &self.written
    }

    /// A dataset was written.
    pub fn note_written(&mut self, id: DatasetId) {
        self.written.insert(id);
    }

    /// One of the sets.
    pub fn set(&self, role: Role) -> &IdSet {
        match role {
            Role::PredictedInputs => &self.predicted_inputs,
            Role::PredictedOutputs => &self.predicted_outputs,
            Role::AvailableInputs => &self.available_inputs,
            Role::UnavailableInputs => &self.unavailable_inputs,
            Role::ActualInputs => &self.actual_inputs,
        }
    }

    fn set_mut(&mut self, role: Role) -> &mut IdSet {
        match role {
            Role::PredictedInputs => &mut self.predicted_inputs,
            Role::PredictedOutputs => &mut self.predicted_outputs,
            Role::AvailableInputs => &mut self.available_inputs,
            Role::UnavailableInputs => &mut self.unavailable_inputs,
            Role::ActualInputs => &mut self.actual_inputs,
        }
    }

    /// Gives a dataset a role.
    pub fn insert(&mut self, role: Role, id: DatasetId) {
        if self.set_mut(role).insert(id) {
            self.changes.note(id);
        }
    }

    /// Takes a role from a dataset.
    pub fn remove(&mut self, role: Role, id: DatasetId) {
        if self.set_mut(role).remove(id) {
            self.changes.note(id);
        }
    }

    /// Notes that every dataset with a role has changed.
    pub fn note_everything(&mut self) {
        for role in Role::ALL {
            let ids: Vec<_> = self.set(role).iter().collect();
            ids.into_iter().for_each(|id| self.changes.note(id));
        }
    }

    /// The roles that a dataset has now.
    pub fn roles(&self, id: DatasetId) -> Roles {
        Role::ALL.map(|role| self.set(role).contains(id))
    }

    /// A dataset was read.
    pub fn note_read(&mut self, id: DatasetId) {
        if self.predicted_inputs.contains(id) {
            self.insert(Role::ActualInputs, id);
            self.insert(Role::AvailableInputs, id);
        }
    }

    /// A dataset was asked for and is not there; this counts whether or not it was predicted.
    pub fn note_read_failed(&mut self, id: DatasetId) {
        self.insert(Role::UnavailableInputs, id);
    }

    /// A dataset will be read later, or perhaps not.
    pub fn note_deferred(&mut self, id: DatasetId) {
        if self.predicted_inputs.contains(id) {
            self.insert(Role::ActualInputs, id);
        }
    }

    /// A dataset that was read made no difference.
    pub fn note_unused(&mut self, id: DatasetId) {
        self.remove(Role::ActualInputs, id);
    }

    /// A dataset was looked for; this counts for predicted inputs only.
    pub fn note_existence(&mut self, id: DatasetId, exists: bool) {
        if self.predicted_inputs.contains(id) {
            self.insert(if exists { Role::AvailableInputs } else { Role::UnavailableInputs }, id);
        }
    }

    /// Whether a dataset was expected, as input or as output.
    pub fn is_predicted(&self, id: DatasetId) -> bool {
        self.predicted_inputs.contains(id) || self.predicted_outputs.contains(id)
    }

    /// Refuses integer ids, for which provenance is not defined.
    pub fn require_uuids(&self) -> Result<()> {
        let integer = |role: Role| Some((role.name(), self.set(role).any_integer()?));
        // Datasets that were not found are no part of the provenance.
        let told = Role::ALL.into_iter().filter(|role| *role != Role::UnavailableInputs);
        match told.filter_map(integer).next() {
            Some((role, id)) => Err(Error::IntegerId { role, id }),
            None => Ok(()),
        }
    }

    /// Takes inputs that do not exist out of the actual ones; returns them.
    pub fn drop_contradictions(&mut self) -> IdSet {
        let (actual, unavailable) = (&self.actual_inputs, &self.unavailable_inputs);
        // Walk the smaller set: either may be large while the other is empty.
        let contradictions: IdSet = if actual.len() < unavailable.len() {
            actual.iter().filter(|id| unavailable.contains(*id)).collect()
        } else {
            unavailable.iter().filter(|id| actual.contains(*id)).collect()
        };
        contradictions.iter().for_each(|id| self.remove(Role::ActualInputs, id));
        contradictions
    }

    /// Takes inputs that do not exist out of the actual ones, and compares what was looked for with what
    /// was predicted. Names at most `limit` ids of each kind of discrepancy.
    pub fn settle(&mut self, limit: usize) -> Settled {
        let contradictions = self.drop_contradictions();
        let (contradicted, first_contradicted) = count_and_first(contradictions.iter(), limit);

        let (predicted, available, unavailable) =
            (&self.predicted_inputs, &self.available_inputs, &self.unavailable_inputs);
        let nobody_looked = predicted.difference(available).filter(|id| !unavailable.contains(*id));
        let (unchecked, first_unchecked) = count_and_first(nobody_looked, limit);
        let incomplete = unchecked > 0
            || available.difference(predicted).next().is_some()
            || unavailable.difference(predicted).next().is_some();
        Settled { contradicted, first_contradicted, incomplete, unchecked, first_unchecked }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: DatasetId = DatasetId::Uuid(1);
    const B: DatasetId = DatasetId::Uuid(2);
    const OUT: DatasetId = DatasetId::Uuid(3);
    const OTHER: DatasetId = DatasetId::Int(1);

    fn tracker() -> Tracker {
        Tracker::new([A, B].into_iter().collect(), [OUT].into_iter().collect())
    }

    fn ids(tracker: &Tracker, role: Role) -> Vec<DatasetId> {
        tracker.set(role).sorted()
    }

    #[test]
    fn a_read_counts_for_predicted_inputs_only() {
        let mut tracker = tracker();
        for id in [A, OUT, OTHER] {
            tracker.note_read(id);
        }
        assert_eq!(ids(&tracker, Role::ActualInputs), [A]);
        assert_eq!(ids(&tracker, Role::AvailableInputs), [A]);
    }

    #[test]
    fn a_failed_read_counts_even_if_not_predicted() {
        let mut tracker = tracker();
        tracker.note_read_failed(OTHER);
        assert_eq!(ids(&tracker, Role::UnavailableInputs), [OTHER]);
        assert!(tracker.set(Role::ActualInputs).is_empty());
    }

    #[test]
    fn a_deferred_read_is_actual_but_not_yet_available() {
        let mut tracker = tracker();
        tracker.note_deferred(A);
        tracker.note_deferred(OUT);
        assert_eq!(ids(&tracker, Role::ActualInputs), [A]);
        assert!(tracker.set(Role::AvailableInputs).is_empty());
        tracker.note_unused(A);
        tracker.note_unused(B);
        assert!(tracker.set(Role::ActualInputs).is_empty());
    }

    #[test]
    fn existence_counts_for_predicted_inputs_only() {
        let mut tracker = tracker();
        for (id, exists) in [(A, true), (B, false), (OUT, true), (OTHER, false)] {
            tracker.note_existence(id, exists);
        }
        assert_eq!(ids(&tracker, Role::AvailableInputs), [A]);
        assert_eq!(ids(&tracker, Role::UnavailableInputs), [B]);
    }

    #[test]
    fn changes_are_those_of_roles() {
        let mut tracker = tracker();
        tracker.note_read(A);
        assert!(tracker.changes.is_empty());
        tracker.changes.watch();
        tracker.note_everything();
        let settle = |tracker: &mut Tracker| {
            let (ids, upto) = tracker.changes.unsettled(&IdSet::default());
            tracker.changes.settle(upto, &IdSet::default());
            ids.into_iter().map(|(id, _)| id).collect::<Vec<_>>()
        };
        assert_eq!(settle(&mut tracker), [A, B, OUT]);
        tracker.note_read(A);
        tracker.note_existence(OUT, true);
        assert_eq!(settle(&mut tracker), []);
        tracker.note_deferred(B);
        tracker.note_existence(B, false);
        tracker.drop_contradictions();
        assert_eq!(settle(&mut tracker), [B]);
        assert_eq!(tracker.roles(B), [true, false, false, true, false]);
        tracker.remove(Role::ActualInputs, A);
        tracker.insert(Role::PredictedInputs, OTHER);
        assert_eq!(settle(&mut tracker), [A, OTHER]);
    }

    #[test]
    fn settling_removes_contradictions_once() {
        let mut tracker = tracker();
        tracker.note_deferred(A);
        tracker.note_read(B);
        tracker.note_read_failed(A);
        let expected = Settled { contradicted: 1, first_contradicted: vec![A], ..Settled::default() };
        assert_eq!(tracker.settle(10), expected);
        assert_eq!(ids(&tracker, Role::ActualInputs), [B]);
        assert_eq!(tracker.settle(10), Settled::default());
    }

    #[test]
    fn settling_names_unchecked_inputs_up_to_the_limit() {
        let mut tracker = tracker();
        let expected =
            Settled { incomplete: true, unchecked: 2, first_unchecked: vec![A], ..Settled::default() };
        assert_eq!(tracker.settle(1), expected);
    }

    #[test]
    fn looking_for_more_than_was_predicted_is_incomplete_too() {
        let mut tracker = tracker();
        tracker.note_existence(A, true);
        tracker.note_existence(B, true);
        assert!(!tracker.settle(1).incomplete);
        tracker.note_read_failed(OTHER);
        assert_eq!(tracker.settle(1), Settled { incomplete: true, ..Settled::default() });
    }
}
