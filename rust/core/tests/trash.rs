//! Which files go when the trash is emptied, and which others need.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use quantum_butler_core::{
    ColumnSpec, DatasetId, FileRecord, FileRecords, IdSet, Kind, Locations, Mode, Schema, Table, Trash,
};

/// A file datastore, and the same as plain maps and sets.
struct Store {
    table: Table,
    locations: Locations,
    records: FileRecords,
    paths: BTreeMap<u128, Vec<&'static str>>,
    present: BTreeSet<u128>,
    trash: BTreeSet<u128>,
}

impl Store {
    fn new() -> Self {
        let column =
            |(name, kind, nullable): (&str, Kind, bool)| ColumnSpec { name: name.to_owned(), kind, nullable };
        let columns = [
            ("dataset_id", Kind::Guid, false),
            ("path", Kind::Text, false),
            ("formatter", Kind::Text, false),
            ("storage_class", Kind::Text, false),
            ("component", Kind::Text, false),
            ("checksum", Kind::Text, true),
            ("file_size", Kind::Integer, true),
        ];
        let schema = Schema::new("records", columns.map(column).to_vec());
        let schema = schema.with_primary_key(&["dataset_id", "component"]).unwrap();
        let schema = schema.with_index(&["path"]).unwrap();
        Self {
            records: FileRecords::new(&schema).unwrap(),
            table: Table::new(schema),
            locations: Locations::new("store"),
            paths: BTreeMap::new(),
            present: BTreeSet::new(),
            trash: BTreeSet::new(),
        }
    }

    fn put(&mut self, id: u128, paths: &[&'static str]) {
        if self.paths.contains_key(&id) || self.trash.contains(&id) {
            return;
        }
        let mut batch = self.records.batch(self.table.schema(), paths.len());
        batch.locate(DatasetId::Uuid(id));
        for (component, path) in paths.iter().enumerate() {
            let record = FileRecord {
                path: (*path).into(),
                formatter: "f".into(),
                storage_class: "s".into(),
                component: Some(component.to_string().into()),
                checksum: None,
                file_size: None,
            };
            batch.record(self.table.schema(), DatasetId::Uuid(id), record).unwrap();
        }
        FileRecords::add(&mut self.table, &mut self.locations, &batch, Mode::Ensure).unwrap();
        self.paths.insert(id, paths.to_vec());
        self.present.insert(id);
    }

    fn move_to_trash(&mut self, ids: &[u128]) {
        self.locations.move_to_trash(ids.iter().copied().map(DatasetId::Uuid)).unwrap();
        for id in ids {
            if self.present.remove(id) {
                self.trash.insert(*id);
            }
        }
    }

    fn look(&self, selected: Option<&[u128]>) -> Option<Trash> {
        let selected: Option<IdSet> = selected.map(|ids| ids.iter().copied().map(DatasetId::Uuid).collect());
        self.records.trash(&self.table, &self.locations, selected.as_ref())
    }

    fn empty(&mut self, trash: &Trash) {
        self.records.empty_trash(&mut self.table, &mut self.locations, trash);
    }

    /// What ought to be in the trash, and to become of it.
    fn expected(&self, selected: Option<&[u128]>) -> (BTreeSet<u128>, BTreeSet<&'static str>, usize) {
        let chosen = |id: &u128| selected.is_none_or(|ids| ids.contains(id)) && self.paths.contains_key(id);
        let gone: BTreeSet<_> = self.trash.iter().copied().filter(chosen).collect();
        let trashed: BTreeSet<_> = gone.iter().flat_map(|id| &self.paths[id]).copied().collect();
        let artifact = |path: &'static str| path.rsplit_once('#').map_or(path, |(artifact, _)| artifact);
        let mut needed = BTreeSet::new();
        for (id, paths) in &self.paths {
            for path in paths {
                let same = self.present.contains(id) && trashed.contains(path);
                let member = path.contains('#')
                    && trashed.iter().any(|other| other.contains('#') && artifact(other) == artifact(path));
                if same {
                    needed.insert(*path);
                }
                if member && !gone.contains(id) {
                    needed.insert(artifact(path));
                }
            }
        }
        let artifacts = trashed.into_iter().map(artifact).filter(|one| !needed.contains(one)).collect();
        (gone, artifacts, needed.len())
    }

    fn check(&self, selected: Option<&[u128]>) -> Result<Trash, TestCaseError> {
        let trash = self.look(selected).expect("all paths are plain");
        let (gone, artifacts, kept) = self.expected(selected);
        let datasets: BTreeSet<_> = trash.datasets().iter().filter_map(DatasetId::as_uuid).collect();
        prop_assert_eq!(datasets, gone);
        prop_assert_eq!(trash.artifacts().len(), artifacts.len());
        prop_assert_eq!(trash.artifacts().iter().map(String::as_str).collect::<BTreeSet<_>>(), artifacts);
        prop_assert_eq!(trash.kept(), kept);
        Ok(trash)
    }
}

#[derive(Clone, Debug)]
enum Step {
    Put(u128, Vec<&'static str>),
    MoveToTrash(Vec<u128>),
    Forget(u128),
    Empty(Option<Vec<u128>>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let id = || 0..8_u128;
    let path =
        select(vec!["a", "b", "a/b", "z.zip", "z.zip#1", "z.zip#2", "y.zip#1", "y.zip#2", "z.zip#z.zip"]);
    vec(
        prop_oneof![
            4 => (id(), vec(path, 1..3)).prop_map(|(id, paths)| Step::Put(id, paths)),
            2 => vec(id(), 0..4).prop_map(Step::MoveToTrash),
            1 => id().prop_map(Step::Forget),
            2 => proptest::option::of(vec(id(), 1..4)).prop_map(Step::Empty),
        ],
        0..40,
    )
}

proptest! {
    #[test]
    fn the_trash_is_what_a_naive_model_says(steps in steps()) {
        let mut store = Store::new();
        for step in steps {
            match step {
                Step::Put(id, paths) => store.put(id, &paths),
                Step::MoveToTrash(ids) => store.move_to_trash(&ids),
                Step::Forget(id) => {
                    store.locations.forget([DatasetId::Uuid(id)]);
                    store.present.remove(&id);
                }
                Step::Empty(selected) => {
                    let trash = store.check(selected.as_deref())?;
                    store.empty(&trash);
                    for id in trash.datasets().iter().filter_map(DatasetId::as_uuid) {
                        store.paths.remove(&id);
                        store.trash.remove(&id);
                        prop_assert!(!store.records.knows(&store.table, DatasetId::Uuid(id)));
                    }
                }
            }
            store.check(None)?;
        }
        let known = (0..8).filter(|id| store.records.knows(&store.table, DatasetId::Uuid(*id)));
        prop_assert_eq!(known.collect::<Vec<_>>(), store.paths.keys().copied().collect::<Vec<_>>());
        prop_assert_eq!(store.locations.trashed(None).len(), store.trash.len());
    }
}

#[test]
fn paths_that_are_not_plain_are_for_others_to_remove() {
    for path in
        ["/abs", "file:///abs", "a b%20", "a/../b", "z.zip#a/b", "z.zip#", "#1", "z#1#2", "$HOME/a", ""]
    {
        let mut store = Store::new();
        store.put(1, &["plain"]);
        store.put(2, &[path]);
        store.move_to_trash(&[1]);
        assert_eq!(store.look(None).unwrap().artifacts(), ["plain"], "{path}");
        store.move_to_trash(&[2]);
        assert_eq!(store.look(None), None, "{path}");
        assert_eq!(store.look(Some(&[1])).unwrap().artifacts(), ["plain"], "{path}");
    }
}

#[test]
fn wildcards_in_an_archives_name_find_other_archives() {
    // As upstream does, and counts them; what is deleted is not affected.
    let mut store = Store::new();
    store.put(1, &["a_b.zip#1"]);
    store.put(2, &["aXb.zip#1"]);
    store.put(3, &["A_B.zip#1"]);
    store.move_to_trash(&[1]);
    let trash = store.look(None).unwrap();
    assert_eq!((trash.artifacts(), trash.kept()), (&["a_b.zip".to_owned()][..], 2));
}

#[test]
fn a_dataset_without_records_stays_in_the_trash() {
    let mut store = Store::new();
    store.locations.insert([DatasetId::Uuid(1), DatasetId::Int(2)]).unwrap();
    store.locations.move_to_trash([DatasetId::Uuid(1), DatasetId::Int(2)]).unwrap();
    let trash = store.look(None).unwrap();
    assert_eq!(trash, Trash::default());
    store.empty(&trash);
    assert_eq!(store.locations.trashed(None).len(), 2);
}
