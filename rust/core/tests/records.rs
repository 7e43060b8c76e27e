//! File records and locations, changed together.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use quantum_butler_core::{
    ColumnSpec, DatasetId, Error, FileRecord, FileRecords, IdSet, Kind, Locations, Mode, Schema, Table,
};

const A: DatasetId = DatasetId::Uuid(1);
const B: DatasetId = DatasetId::Uuid(2);
const C: DatasetId = DatasetId::Uuid(3);

/// The table that upstream's file datastore asks for.
fn schema() -> Schema {
    let column = |name: &str, kind, nullable| ColumnSpec { name: name.to_owned(), kind, nullable };
    let columns = vec![
        column("dataset_id", Kind::Guid, false),
        column("path", Kind::Text, false),
        column("formatter", Kind::Text, false),
        column("storage_class", Kind::Text, false),
        column("component", Kind::Text, false),
        column("checksum", Kind::Text, true),
        column("file_size", Kind::Integer, true),
    ];
    let schema = Schema::new("file_datastore_records", columns);
    schema.with_primary_key(&["dataset_id", "component"]).unwrap().with_index(&["path"]).unwrap()
}

fn record<'a>(path: &'a str, component: Option<&'a str>) -> FileRecord<'a> {
    FileRecord {
        path: path.into(),
        formatter: "a.Formatter".into(),
        storage_class: "Exposure".into(),
        component: component.map(Into::into),
        checksum: None,
        file_size: Some(10),
    }
}

struct Store {
    table: Table,
    locations: Locations,
    records: FileRecords,
}

impl Store {
    fn new() -> Self {
        let schema = schema();
        let records = FileRecords::new(&schema).unwrap();
        Self { table: Table::new(schema), locations: Locations::new("store"), records }
    }

    fn add(
        &mut self,
        records: &[(DatasetId, FileRecord<'static>)],
        mode: Mode,
    ) -> Result<quantum_butler_core::RecordsUndo, Error> {
        let mut batch = self.records.batch(self.table.schema(), records.len());
        for (id, record) in records {
            batch.record(self.table.schema(), *id, record.clone())?;
        }
        FileRecords::add(&mut self.table, &mut self.locations, &batch, mode)
    }

    fn state(&self) -> (Vec<DatasetId>, Vec<(u128, Vec<FileRecord<'static>>)>) {
        let owned = |records: Vec<FileRecord<'_>>| records.into_iter().map(FileRecord::into_owned).collect();
        let records = self.records.get_many(&self.table, [A, B, C]);
        let records = records.into_iter().map(|(id, records)| (id, owned(records))).collect();
        (self.locations.present().sorted(), records)
    }
}

#[test]
fn records_and_locations_change_together() {
    let mut store = Store::new();
    let undo =
        store.add(&[(A, record("a/x", Some("x"))), (A, record("a/w", Some("w")))], Mode::Insert).unwrap();
    assert_eq!(store.locations.present().sorted(), [A]);
    let records = store.records.get(&store.table, A);
    assert_eq!(records, [record("a/w", Some("w")), record("a/x", Some("x"))]);
    assert!(store.records.knows(&store.table, A) && !store.records.knows(&store.table, B));

    let before = store.state();
    for (refused, mode) in [
        // B's record would do, A's location is taken.
        (vec![(B, record("b", None)), (A, record("a/y", Some("y")))], Mode::Insert),
        // The locations would do, a record is given twice.
        (vec![(B, record("b", None)), (B, record("b", None))], Mode::Insert),
    ] {
        store.add(&refused, mode).unwrap_err();
        assert_eq!(store.state(), before);
    }
    FileRecords::undo(&mut store.table, &mut store.locations, undo);
    assert_eq!(store.state(), (vec![], vec![]));
}

#[test]
fn ensuring_keeps_and_replacing_overwrites() {
    let mut store = Store::new();
    store.add(&[(A, record("old", None))], Mode::Insert).unwrap();
    let before = store.state();
    let ensured = store.add(&[(A, record("new", None)), (B, record("b", None))], Mode::Ensure).unwrap();
    assert_eq!(store.records.get(&store.table, A), [record("old", None)]);
    let replaced = store.add(&[(A, record("new", None)), (C, record("c", None))], Mode::Replace).unwrap();
    assert_eq!(store.records.get(&store.table, A), [record("new", None)]);
    assert_eq!(store.locations.present().sorted(), [A, B, C]);
    FileRecords::undo(&mut store.table, &mut store.locations, replaced);
    FileRecords::undo(&mut store.table, &mut store.locations, ensured);
    assert_eq!(store.state(), before);
}

#[test]
fn export_leaves_out_what_is_not_located() {
    let mut store = Store::new();
    store.add(&[(A, record("a", None)), (B, record("b", None))], Mode::Insert).unwrap();
    let mut batch = store.records.batch(store.table.schema(), 0);
    batch.locate(C);
    FileRecords::add(&mut store.table, &mut store.locations, &batch, Mode::Insert).unwrap();
    store.locations.move_to_trash([B]).unwrap();
    let exported = store.records.export(&store.table, &store.locations, [C, B, A, A]);
    assert_eq!(exported, [(1, vec![record("a", None)])]);
    assert_eq!(store.records.get_many(&store.table, [B]), [(2, vec![record("b", None)])]);
}

#[test]
fn integer_ids_have_no_records() {
    let mut store = Store::new();
    let error = store.add(&[(DatasetId::Int(1), record("a", None))], Mode::Insert).unwrap_err();
    assert!(matches!(error, Error::WrongType { ref column, .. } if column == "dataset_id"), "{error}");
    store.add(&[(A, record("a", None))], Mode::Insert).unwrap();
    assert_eq!(store.records.get(&store.table, DatasetId::Int(1)), []);
}

#[test]
fn an_empty_component_is_none() {
    let mut store = Store::new();
    store
        .add(&[(A, record("a", Some(""))), (B, record("b", Some("__NULL_STRING__")))], Mode::Insert)
        .unwrap();
    assert_eq!(store.records.get(&store.table, A), [record("a", None)]);
    assert_eq!(store.records.get(&store.table, B), [record("b", None)]);
}

#[test]
fn only_plain_relative_paths_are_looked_for() {
    let mut store = Store::new();
    store
        .add(&[(A, record("run/a b+é.json", Some("x"))), (A, record("run/c", Some("y")))], Mode::Insert)
        .unwrap();
    assert_eq!(store.records.plain_paths(&store.table, A).unwrap(), ["run/a b+é.json", "run/c"]);
    assert_eq!(store.records.plain_paths(&store.table, B), None);
    for path in [
        "",
        "/a",
        "~/a",
        "a//b",
        "./a",
        "a/..",
        "a/",
        "file:///a",
        "a#b",
        "a?b",
        "a%20b",
        "$HOME/a",
        "a\\b",
        "a\nb",
    ] {
        let undo =
            store.add(&[(B, record("fine", Some("x"))), (B, record(path, Some("y")))], Mode::Insert).unwrap();
        assert_eq!(store.records.plain_paths(&store.table, B), None, "{path:?}");
        FileRecords::undo(&mut store.table, &mut store.locations, undo);
    }
}

#[test]
fn a_path_that_two_datasets_share_is_left_out() {
    let mut store = Store::new();
    let records = [
        (A, record("both", Some("x"))),
        (A, record("a", Some("y"))),
        (B, record("both", None)),
        (C, record("c", None)),
    ];
    store.add(&records, Mode::Insert).unwrap();
    let paths = store.records.unshared_paths(&store.table, &[A, B, C]);
    assert_eq!(paths, [None, None, Some(vec!["c".to_owned()])]);
    let paths = store.records.unshared_paths(&store.table, &[A, C]);
    assert_eq!(paths[0].as_deref(), Some(&["both".to_owned(), "a".to_owned()][..]));
}

#[test]
fn a_table_must_have_the_columns() {
    let missing = Schema::new("other", Vec::new());
    assert!(matches!(FileRecords::new(&missing).unwrap_err(), Error::UnknownColumn { .. }));
    let mut columns = schema().columns().to_vec();
    columns[6].kind = Kind::Text;
    let wrong = Schema::new("other", columns);
    assert!(matches!(FileRecords::new(&wrong).unwrap_err(), Error::WrongType { .. }));
}

#[test]
fn records_take_little_room() {
    // Just after the hash tables have doubled, as they have at a million: the worst case.
    const RECORDS: u128 = 120_000;
    let mut store = Store::new();
    let mut batch = store.records.batch(store.table.schema(), RECORDS as usize);
    let paths: Vec<_> =
        (0..RECORDS).map(|n| format!("run/calexp/{}/calexp_{n:07}_LSSTCam_run.fits", n % 1000)).collect();
    for (n, path) in paths.iter().enumerate() {
        batch.record(store.table.schema(), DatasetId::Uuid(n as u128), record(path, None)).unwrap();
    }
    FileRecords::add(&mut store.table, &mut store.locations, &batch, Mode::Insert).unwrap();
    let each = store.table.memory() as f64 / RECORDS as f64;
    assert!(each < 120.0, "{each} bytes per record");
    assert!(each > 60.0, "{each} bytes cannot hold a record");
    let ids: IdSet = [DatasetId::Uuid(119_999)].into_iter().collect();
    let found = store.records.get_many(&store.table, ids.iter());
    assert_eq!(found, [(119_999, vec![record(&paths[119_999], None)])]);
}
