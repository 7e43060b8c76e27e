//! File records that come and go as Arrow tables.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{
    Array, ArrayRef, BinaryArray, DictionaryArray, FixedSizeBinaryArray, Int32Array, Int64Array, RecordBatch,
    StringArray,
};
use proptest::prelude::*;
use quantum_butler_core::{
    ColumnSpec, DatasetId, Error, FileRecord, FileRecords, Kind, Locations, Mode, Schema, Table,
    record_table_schema,
};

/// One row as a table of Python would show it: path, formatter, storage class, component, checksum, size.
type Row = (String, String, String, Option<String>, Option<String>, Option<i64>);

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
    let schema = Schema::new("file_datastore_records", columns).with_length("component", 32).unwrap();
    schema.with_primary_key(&["dataset_id", "component"]).unwrap().with_index(&["path"]).unwrap()
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

    fn add(&mut self, id: u128, row: &Row) {
        let (path, formatter, storage_class, component, checksum, file_size) = row;
        let record = FileRecord {
            path: path.into(),
            formatter: formatter.into(),
            storage_class: storage_class.into(),
            component: component.as_deref().map(Into::into),
            checksum: checksum.as_deref().map(Into::into),
            file_size: *file_size,
        };
        let mut batch = self.records.batch(self.table.schema(), 1);
        batch.record(self.table.schema(), DatasetId::Uuid(id), record).unwrap();
        FileRecords::add(&mut self.table, &mut self.locations, &batch, Mode::Insert).unwrap();
    }

    fn export(&self, ids: impl IntoIterator<Item = u128>) -> Vec<RecordBatch> {
        let ids = ids.into_iter().map(DatasetId::Uuid);
        self.records.export_table(&self.table, &self.locations, ids).unwrap()
    }

    fn import(&mut self, batches: &[RecordBatch]) -> Result<quantum_butler_core::RecordsUndo, Error> {
        self.records.import_table(&mut self.table, &mut self.locations, batches)
    }
}

/// The rows of a table by id, and the datastores that they name.
fn rows(batches: &[RecordBatch]) -> Vec<(u128, Row)> {
    let mut rows = Vec::new();
    for batch in batches {
        assert_eq!(batch.schema(), record_table_schema());
        let ids: &FixedSizeBinaryArray = batch.column(1).as_fixed_size_binary();
        for (row, id) in ids.iter().enumerate() {
            let plain = |column: usize| {
                let texts = batch.column(column).as_string::<i32>();
                texts.is_valid(row).then(|| texts.value(row).to_owned())
            };
            let repeating = |column: usize| {
                let column = batch.column(column).as_any_dictionary();
                let texts = column.values().as_string::<i32>();
                column.keys().is_valid(row).then(|| texts.value(column.normalized_keys()[row]).to_owned())
            };
            assert_eq!(repeating(0).as_deref(), Some("store"));
            let sizes = batch.column(7).as_primitive::<arrow_array::types::Int64Type>();
            let size = sizes.is_valid(row).then(|| sizes.value(row));
            let id = u128::from_be_bytes(id.unwrap().try_into().unwrap());
            let (path, formatter, class) = (plain(2), repeating(3), repeating(4));
            rows.push((
                id,
                (path.unwrap(), formatter.unwrap(), class.unwrap(), repeating(5), plain(6), size),
            ));
        }
    }
    rows
}

fn any_row() -> impl Strategy<Value = Row> {
    (
        "[ab/é]{0,6}",
        "[xy]{1,3}",
        "[AB]{1,2}",
        prop::option::of("[cd]{1,2}"),
        prop::option::of("\\PC{0,5}"),
        prop::option::of(-2..5_i64),
    )
}

fn row(path: &str) -> Row {
    (path.to_owned(), "a.Formatter".to_owned(), "Dict".to_owned(), None, None, Some(3))
}

/// One batch for import, with one dataset a row.
fn batch(ids: &[u128], replaced: Option<(&str, ArrayRef)>) -> RecordBatch {
    let n = ids.len();
    let id_bytes = ids.iter().map(|id| id.to_be_bytes());
    let mut columns: Vec<(&str, ArrayRef)> = vec![
        ("dataset_id", Arc::new(FixedSizeBinaryArray::try_from_iter(id_bytes).unwrap())),
        ("path", Arc::new(StringArray::from_iter_values((0..n).map(|row| format!("run/{row}"))))),
        ("formatter", Arc::new((0..n).map(|_| "a.Formatter").collect::<DictionaryArray<Int32Type>>())),
        ("storage_class", Arc::new((0..n).map(|_| "Dict").collect::<DictionaryArray<Int32Type>>())),
        ("component", Arc::new((0..n).map(|_| None::<&str>).collect::<DictionaryArray<Int32Type>>())),
        ("checksum", Arc::new(StringArray::from(vec![None::<&str>; n]))),
        ("file_size", Arc::new(Int64Array::from(vec![None; n]))),
    ];
    if let Some((name, column)) = replaced {
        columns.iter_mut().find(|(other, _)| *other == name).unwrap().1 = column;
    }
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)))
        .unwrap()
}

proptest! {
    #[test]
    fn tables_hold_the_located_records_in_order(
        records in prop::collection::btree_map(0..40_u128, any_row(), 0..25),
        trashed in prop::collection::btree_set(0..40_u128, 0..5),
        asked in prop::collection::vec(0..45_u128, 0..60),
        cuts in prop::collection::vec(0..25_usize, 0..4),
    ) {
        let mut store = Store::new();
        records.iter().rev().for_each(|(id, row)| store.add(*id, row));
        store.locations.move_to_trash(trashed.iter().copied().map(DatasetId::Uuid)).unwrap();
        let exported = store.export(asked.iter().copied());

        let expected: BTreeMap<_, _> = records
            .into_iter()
            .filter(|(id, _)| asked.contains(id) && !trashed.contains(id))
            .map(|(id, mut row)| {
                row.5 = row.5.filter(|size| *size >= 0);
                (id, row)
            })
            .collect();
        let expected: Vec<_> = expected.into_iter().collect();
        prop_assert_eq!(rows(&exported), expected.clone());

        // Cut anywhere, a table is still the same table.
        let mut parts = Vec::new();
        for batch in &exported {
            let mut bounds: Vec<_> = cuts.iter().map(|cut| cut % (batch.num_rows() + 1)).collect();
            bounds.extend([0, batch.num_rows()]);
            bounds.sort_unstable();
            parts.extend(bounds.windows(2).map(|pair| batch.slice(pair[0], pair[1] - pair[0])));
        }
        let mut other = Store::new();
        let undo = other.import(&parts).unwrap();
        prop_assert_eq!(rows(&other.export(0..45)), expected);
        prop_assert_eq!(undo.len(), 2 * other.table.len());
        FileRecords::undo(&mut other.table, &mut other.locations, undo);
        prop_assert!(other.table.is_empty() && other.locations.present().is_empty());
    }
}

#[test]
fn components_of_one_dataset_follow_one_another() {
    let mut store = Store::new();
    for (id, component) in [(2, "y"), (1, "x")] {
        store.add(id, &(row(component).0, "f".to_owned(), "S".to_owned(), None, None, None));
    }
    let mut batch = store.records.batch(store.table.schema(), 2);
    for component in ["b", "a"] {
        let record = FileRecord {
            path: component.into(),
            formatter: "f".into(),
            storage_class: "S".into(),
            component: Some(component.into()),
            checksum: None,
            file_size: None,
        };
        batch.record(store.table.schema(), DatasetId::Uuid(3), record).unwrap();
    }
    FileRecords::add(&mut store.table, &mut store.locations, &batch, Mode::Insert).unwrap();
    let exported = rows(&store.export([3, 1, 3, 2]));
    let found: Vec<_> = exported.iter().map(|(id, row)| (*id, row.3.as_deref())).collect();
    assert_eq!(found, [(1, None), (2, None), (3, Some("a")), (3, Some("b"))]);
}

#[test]
fn a_large_table_comes_in_several_batches() {
    const ROWS: usize = (1 << 17) + 3;
    let ids: Vec<_> = (0..ROWS as u128).collect();
    let mut store = Store::new();
    store.import(&[batch(&ids, None)]).unwrap();
    let exported = store.export(ids.iter().copied());
    assert_eq!(exported.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [1 << 17, 3]);
    let mut other = Store::new();
    other.import(&exported).unwrap();
    assert_eq!(other.export(ids), exported);
}

#[test]
fn what_is_refused_changes_nothing() {
    let mut store = Store::new();
    store.import(&[batch(&[7], None)]).unwrap();
    let before = store.export(0..100_000);
    let many: Vec<_> = (10..5010).collect();
    let texts = |text: Option<&str>| -> ArrayRef {
        let mut texts = vec![Some("fine"); 5000];
        texts[4999] = text;
        Arc::new(StringArray::from(texts))
    };
    let duplicates = [vec![batch(&[8, 7], None)], vec![batch(&[8, 8], None)], vec![batch(&[8], None); 2]];
    for refused in duplicates {
        let error = store.import(&refused).unwrap_err();
        assert!(matches!(error, Error::DuplicateLocation { .. }), "{error}");
        assert_eq!(store.export(0..100_000), before);
    }
    let error = store.import(&[batch(&many, Some(("path", texts(None))))]).unwrap_err();
    assert!(matches!(error, Error::MissingValue { ref column, .. } if column == "path"), "{error}");
    let error = store.import(&[batch(&many, Some(("component", texts(Some("")))))]).unwrap_err();
    assert!(matches!(error, Error::WrongLength { ref column, .. } if column == "component"), "{error}");
    assert_eq!(store.export(0..100_000), before);
    assert_eq!(store.locations.present().len(), 1);
    // Records without a location, as the trash has them, are in the way all the same.
    store.locations.move_to_trash([DatasetId::Uuid(7)]).unwrap();
    let error = store.import(&[batch(&[6, 7], None)]).unwrap_err();
    assert!(matches!(error, Error::DuplicateKey { .. }), "{error}");
    assert!(store.locations.present().is_empty());
    assert_eq!(store.table.len(), 1);
}

#[test]
fn a_null_among_a_dictionarys_values_is_no_missing_component() {
    let nothing = || Arc::new(StringArray::from(vec![None::<&str>]));
    let by_value = DictionaryArray::new(Int32Array::from(vec![0]), nothing());
    let by_number = DictionaryArray::new(Int32Array::from(vec![None]), nothing());
    let mut store = Store::new();
    let error = store.import(&[batch(&[1], Some(("component", Arc::new(by_value))))]).unwrap_err();
    assert!(matches!(error, Error::MissingValue { .. }), "{error}");
    store.import(&[batch(&[1], Some(("component", Arc::new(by_number))))]).unwrap();
    assert_eq!(rows(&store.export([1]))[0].1.3, None);
}

#[test]
fn columns_must_be_there_and_of_their_type() {
    let mut store = Store::new();
    let wrong: [(&str, ArrayRef); 4] = [
        ("dataset_id", Arc::new(FixedSizeBinaryArray::try_from_iter([[0_u8; 8]].into_iter()).unwrap())),
        ("path", Arc::new(BinaryArray::from(vec![&b"x"[..]]))),
        (
            "formatter",
            Arc::new(DictionaryArray::new(Int32Array::from(vec![0]), Arc::new(Int32Array::from(vec![1])))),
        ),
        ("file_size", Arc::new(Int32Array::from(vec![1]))),
    ];
    for (name, column) in wrong {
        let error = store.import(&[batch(&[1], Some((name, column)))]).unwrap_err();
        assert!(matches!(error, Error::WrongType { ref column, .. } if column == name), "{error}");
    }
    let error = store.import(&[batch(&[1], None).project(&[0, 1, 3, 4, 5, 6]).unwrap()]).unwrap_err();
    assert!(matches!(error, Error::UnknownColumn { ref column, .. } if column == "formatter"), "{error}");
    assert!(store.table.is_empty() && store.locations.present().is_empty());
}
