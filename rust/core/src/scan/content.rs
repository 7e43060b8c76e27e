//! One quantum on its way from text to columns.

use std::borrow::Cow;
use std::io::Write;

use super::kinds::Kinds;
use super::shapes::Shapes;
use crate::log::{Attempt, Contents, Execution, NamedDatasets};
use crate::provenance::{Field, write_text};

/// The most dimensions that a data ID may have: they are compared with one another.
pub(super) const MOST_DIMENSIONS: usize = 256;

/// What one line or file says of a quantum.  Texts are borrowed from there where they can be.
#[derive(Debug, Default)]
pub(super) struct Content<'a> {
    pub(super) quantum_id: Option<u128>,
    pub(super) task_label: Option<Cow<'a, str>>,
    /// A data ID as `DataIdText` has it.
    pub(super) data_id: Option<Cow<'a, str>>,
    pub(super) attempt: Attempt,
    /// How it went, as far as that is known.
    pub(super) execution: Execution<'a>,
    /// Earlier attempts that it knows of.
    pub(super) earlier: Vec<Execution<'a>>,
    /// The connections of its task, as JSON text.
    pub(super) connections: Option<Cow<'a, str>>,
    /// What its outputs and overall inputs are called.
    pub(super) datasets: Vec<NamedDatasets<'a>>,
    /// What its metadata and its log have.
    pub(super) contents: Option<Contents<'a>>,
    /// Ids of each `Field`, in any order and repeated or not.
    pub(super) ids: Ids,
    pub(super) records: Vec<Record<'a>>,
    /// What `settle` makes of `ids`.
    pub(super) edges: Vec<Edge>,
    merged: Vec<Edge>,
    /// The kinds of these records and of those before.
    pub(super) kinds: Kinds,
    pub(super) shapes: Shapes,
}

/// A datastore record: a row of the table of records.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Record<'a> {
    pub(super) dataset_id: u128,
    pub(super) path: Cow<'a, str>,
    /// Its number among the kinds.
    pub(super) kind: u32,
    pub(super) checksum: Option<Cow<'a, str>>,
    pub(super) file_size: Option<i64>,
}

/// A dataset, and bits for the roles that it has: `1 << Field`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Edge {
    pub(super) dataset_id: u128,
    pub(super) roles: u8,
}

/// Ids of each field.
#[derive(Debug, Default)]
pub(super) struct Ids {
    lists: [Vec<u128>; 5],
    /// Fields that have the same ids as an earlier one, which one, and whose own list is empty.
    same: [Option<Field>; 5],
}

impl Ids {
    /// The list of a field, to be filled.
    pub(super) fn list(&mut self, field: Field) -> &mut Vec<u128> {
        &mut self.lists[field as usize]
    }

    /// Says that a field has the same ids as an earlier one.
    pub(super) fn same(&mut self, field: Field, earlier: Field) {
        self.same[field as usize] = Some(self.same[earlier as usize].unwrap_or(earlier));
    }

    /// The ids of a field.
    pub(super) fn of(&self, field: Field) -> &[u128] {
        let field = self.same[field as usize].unwrap_or(field);
        &self.lists[field as usize]
    }

    fn clear(&mut self) {
        self.lists.iter_mut().for_each(Vec::clear);
        self.same = [None; 5];
    }
}

impl Content<'_> {
    /// Makes room for another quantum, whose texts come from elsewhere, without giving memory back.
    pub(super) fn recycle<'b>(self) -> Content<'b> {
        let Content { mut ids, mut records, mut edges, merged, kinds, shapes, .. } = self;
        ids.clear();
        edges.clear();
        records.clear();
        // Of an empty vector only the memory is left, which the collection keeps.
        let records = records.into_iter().map(|_| unreachable!("it was emptied")).collect();
        Content { ids, records, edges, merged, kinds, shapes, ..Content::default() }
    }

    /// What all readers must agree on.
    #[cfg(test)]
    pub(super) fn facts(&self) -> String {
        let Content { quantum_id, task_label, data_id, attempt, ids, records, kinds, .. } = self;
        let details = (&self.execution, &self.earlier, &self.connections, &self.datasets, &self.contents);
        let ids = Field::ALL.map(|field| ids.of(field));
        let records = records.iter().map(|record| {
            (record.dataset_id, &record.path, kinds.texts(record.kind), &record.checksum, record.file_size)
        });
        format!("{:?}", (quantum_id, task_label, data_id, attempt, details, ids, records.collect::<Vec<_>>()))
    }

    /// The run that it writes to, by the first of its outputs that has a name.
    pub(super) fn run(&self) -> Option<&str> {
        let outputs = self.ids.of(Field::PredictedOutputs);
        let is_output = |group: &&NamedDatasets<'_>| group.ids.first().is_some_and(|id| outputs.contains(id));
        self.datasets.iter().find(is_output).map(|group| &*group.run)
    }

    /// Forgets what is known of records, whose numbers mean nothing afterwards.
    pub(super) fn forget_kinds(&mut self) {
        self.kinds.clear();
        self.shapes.clear();
    }

    /// Sorts the ids of each field, each once, and makes the edges of them.
    pub(super) fn settle(&mut self) {
        self.edges.clear();
        let Ids { lists, same } = &mut self.ids;
        for (ids, field) in lists.iter_mut().zip(Field::ALL) {
            if same[field as usize].is_some() {
                continue;
            }
            if !ids.is_sorted_by(|a, b| a < b) {
                ids.sort_unstable();
                ids.dedup();
            }
            let others = Field::ALL.into_iter().filter(|&other| same[other as usize] == Some(field));
            let roles = others.fold(1 << field as u8, |roles, other| roles | 1 << other as u8);
            if self.edges.is_empty() {
                self.edges.extend(ids.iter().map(|&dataset_id| Edge { dataset_id, roles }));
            } else if !ids.is_empty() {
                merge(&self.edges, ids, roles, &mut self.merged);
                std::mem::swap(&mut self.edges, &mut self.merged);
            }
        }
    }
}

/// Adds a role of some datasets; all are sorted.
fn merge(edges: &[Edge], ids: &[u128], roles: u8, merged: &mut Vec<Edge>) {
    merged.clear();
    let mut ids = ids.iter().copied().peekable();
    for &edge in edges {
        while let Some(dataset_id) = ids.next_if(|id| *id < edge.dataset_id) {
            merged.push(Edge { dataset_id, roles });
        }
        let also = ids.next_if_eq(&edge.dataset_id).map_or(0, |_| roles);
        merged.push(Edge { roles: edge.roles | also, ..edge });
    }
    merged.extend(ids.map(|dataset_id| Edge { dataset_id, roles }));
}

/// A data ID as JSON text without white space, in one spelling of each key and value.
#[derive(Debug, Default, Clone)]
pub(super) struct DataIdText {
    bytes: Vec<u8>,
    /// Where each member ends.
    ends: Vec<usize>,
}

impl DataIdText {
    /// Adds a dimension with a text; `false` if it is there already, or is one too many.
    pub(super) fn push_text(&mut self, dimension: &str, value: &str) -> bool {
        self.push(dimension, |bytes| write_text(bytes, value))
    }

    /// Adds a dimension with a number; `false` if it is there already, or is one too many.
    pub(super) fn push_integer(&mut self, dimension: &str, value: i64) -> bool {
        self.push(dimension, |bytes| write!(bytes, "{value}").expect("memory can be written to"))
    }

    fn push(&mut self, dimension: &str, write_value: impl FnOnce(&mut Vec<u8>)) -> bool {
        self.bytes.push(if self.bytes.is_empty() { b'{' } else { b',' });
        let start = self.bytes.len();
        write_text(&mut self.bytes, dimension);
        self.bytes.push(b':');
        let key = &self.bytes[start..];
        // So few that comparing them all is quickest.
        let new = self.ends.len() < MOST_DIMENSIONS && !self.members().any(|member| member.starts_with(key));
        write_value(&mut self.bytes);
        self.ends.push(self.bytes.len());
        new
    }

    /// The text.
    pub(super) fn finish(mut self) -> String {
        if self.bytes.is_empty() {
            self.bytes.push(b'{');
        }
        self.bytes.push(b'}');
        String::from_utf8(self.bytes).expect("made of whole strings and ASCII")
    }

    /// The text of each key with its value.
    pub(super) fn members(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(1).chain(self.ends.iter().map(|end| end + 1));
        starts.zip(&self.ends).map(|(start, &end)| &self.bytes[start..end])
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn edges_are_the_datasets_with_all_their_roles(
            ids in prop::array::uniform5(prop::collection::vec(0..12_u128, 0..12)),
            copies in prop::array::uniform5(0..9_usize),
            tell: bool,
        ) {
            let mut ids = ids;
            for (to, from) in copies.into_iter().enumerate().filter(|(to, from)| from < to) {
                ids[to] = ids[from].clone();
            }
            let mut expected = BTreeMap::new();
            for (bit, ids) in ids.iter().enumerate() {
                for &id in ids {
                    *expected.entry(id).or_insert(0) |= 1 << bit;
                }
            }
            let mut content = Content::default();
            for (position, field) in Field::ALL.into_iter().enumerate() {
                match ids[..position].iter().position(|earlier| earlier == &ids[position]) {
                    Some(earlier) if tell => content.ids.same(field, Field::ALL[earlier]),
                    _ => content.ids.list(field).extend(&ids[position]),
                }
            }
            for (field, ids) in Field::ALL.into_iter().zip(&ids) {
                prop_assert_eq!(content.ids.of(field), ids);
            }
            content.settle();
            let found: Vec<_> = content.edges.iter().map(|edge| (edge.dataset_id, edge.roles)).collect();
            prop_assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
            let again: Content<'_> = content.recycle();
            prop_assert!(again.edges.is_empty() && Field::ALL.into_iter().all(|field| again.ids.of(field).is_empty()));
        }
    }

    #[test]
    fn a_data_id_is_plain_json() {
        let mut data_id = DataIdText::default();
        assert!(data_id.push_integer("a\"", -3));
        assert!(data_id.push_text("b", "x\n"));
        assert_eq!(data_id.members().collect::<Vec<_>>(), [&br#""a\"":-3"#[..], br#""b":"x\n""#]);
        assert!(data_id.clone().push_integer("a", 1));
        assert!(!data_id.clone().push_integer("b", 1));
        assert_eq!(data_id.finish(), r#"{"a\"":-3,"b":"x\n"}"#);
        assert_eq!(DataIdText::default().members().count(), 0);
        assert_eq!(DataIdText::default().finish(), "{}");
    }
}
