//! Record tables whose keys and paths are whatever a stranger wrote, beside a model: a vector of rows.
#![no_main]

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use libfuzzer_sys::fuzz_target;
use quantum_butler_core::{
    ColumnSpec, DatasetId, FileRecords, Filter, Kind, Locations, Mode, Rows, Schema, Table, TableUndo, Value,
};
use quantum_butler_fuzz::{Bytes, unchecked};

const TEXTS: [&str; 12] = ["", "a", "A", "a/", "/", "a/b", "%", "a%", "_", "é", "\0", "\u{10ffff}/%_"];

type Row = (u128, String, Option<String>);

fn text(bytes: &mut Bytes<'_>) -> String {
    match bytes.byte() {
        byte @ 0..=199 => TEXTS[usize::from(byte) % TEXTS.len()].to_owned(),
        byte => String::from_utf8_lossy(bytes.take(usize::from(byte - 199))).into_owned(),
    }
}

fn row(bytes: &mut Bytes<'_>) -> Row {
    let id = u128::from(bytes.byte() % 6) << (bytes.byte() % 3 * 60);
    let part = text(bytes);
    let path = (bytes.byte() > 20).then(|| text(bytes));
    (id, part, path)
}

fn schema() -> Schema {
    let column = |name: &str, kind, nullable| ColumnSpec { name: name.to_owned(), kind, nullable };
    let columns = vec![
        column("id", Kind::Guid, false),
        column("part", Kind::Text, false),
        column("path", Kind::Text, true),
    ];
    let schema = Schema::new("table", columns).with_primary_key(&["id", "part"]).expect("columns");
    schema.with_index(&["path"]).expect("a column")
}

/// SQLite's LIKE, by definition.
fn like(pattern: &[char], text: &[char]) -> bool {
    let mut matched = vec![false; text.len() + 1];
    matched[0] = true;
    for wanted in pattern {
        let mut next = vec![false; text.len() + 1];
        for at in 0..=text.len() {
            next[at] = match wanted {
                '%' => matched[at] || at > 0 && next[at - 1],
                '_' => at > 0 && matched[at - 1],
                wanted => at > 0 && matched[at - 1] && wanted.eq_ignore_ascii_case(&text[at - 1]),
            };
        }
        matched = next;
    }
    matched[text.len()]
}

fn put(table: &mut Table, model: &mut Vec<Row>, rows: &[Row], mode: Mode) -> Option<TableUndo> {
    let mut batch = Rows::with_capacity(table.schema(), rows.len());
    for (id, part, path) in rows {
        let cells = batch.add();
        cells[0] = Value::Guid(*id);
        cells[1] = Value::text(part);
        cells[2] = path.as_deref().map_or(Value::Null, Value::text);
    }
    let before = model.clone();
    let mut refused = false;
    for row in rows {
        match model.iter().position(|other| (other.0, &other.1) == (row.0, &row.1)) {
            None => model.push(row.clone()),
            Some(place) => match mode {
                Mode::Insert => refused = true,
                Mode::Ensure => {}
                Mode::Replace => model[place] = row.clone(),
            },
        }
    }
    let undo = table.put(&batch, mode).ok();
    assert_eq!(undo.is_none(), refused);
    if refused {
        *model = before;
    }
    undo
}

fn fetch(table: &Table, filters: &[(usize, Filter<'_>)]) -> Vec<Row> {
    let rows = table.fetch(filters).expect("the columns have these kinds");
    let text = |value: &Value<'_>| match value {
        Value::Text(text) => Some(text.to_string()),
        _ => None,
    };
    let row = |row: Vec<Value<'_>>| match row[0] {
        Value::Guid(id) => (id, text(&row[1]).expect("a text"), text(&row[2])),
        _ => unreachable!("the column has ids"),
    };
    let mut rows: Vec<Row> = rows.into_iter().map(row).collect();
    rows.sort();
    rows
}

fn chosen(model: &[Row], choose: impl Fn(&Row) -> bool) -> Vec<Row> {
    let mut rows: Vec<Row> = model.iter().filter(|row| choose(row)).cloned().collect();
    rows.sort();
    rows
}

fn changes(bytes: &mut Bytes<'_>) {
    let mut table = Table::new(schema());
    let mut model: Vec<Row> = Vec::new();
    while !bytes.0.is_empty() {
        match bytes.byte() % 8 {
            step @ 0..=3 => {
                let mode = [Mode::Insert, Mode::Ensure, Mode::Replace][usize::from(step) % 3];
                let rows: Vec<Row> = (0..bytes.below(4)).map(|_| row(bytes)).collect();
                let before = model.clone();
                if let Some(undo) = put(&mut table, &mut model, &rows, mode)
                    && bytes.byte() & 3 == 0
                {
                    table.undo(undo);
                    model = before;
                }
            }
            4 => {
                let (id, part, _) = row(bytes);
                let deleted = table.delete(&[0, 1], vec![vec![Value::Guid(id), Value::text(&part)]]);
                let before = model.len();
                model.retain(|row| (row.0, &row.1) != (id, &part));
                assert_eq!(deleted, Ok(before - model.len()));
            }
            5 => {
                let (id, _, path) = row(bytes);
                let path = path.unwrap_or_default();
                let both = [(0, Filter::Equals(Value::Guid(id))), (2, Filter::Equals(Value::text(&path)))];
                assert_eq!(fetch(&table, &both[..1]), chosen(&model, |row| row.0 == id));
                assert_eq!(fetch(&table, &both[1..]), chosen(&model, |row| row.2.as_ref() == Some(&path)));
                assert_eq!(
                    fetch(&table, &both),
                    chosen(&model, |row| row.0 == id && row.2.as_ref() == Some(&path))
                );
            }
            6 => {
                let pattern = text(bytes) + "%";
                let filter = [(1 + bytes.below(2), Filter::scalar(Value::text(&pattern)))];
                let characters: Vec<char> = pattern.chars().collect();
                let matches = |text: &String| like(&characters, &text.chars().collect::<Vec<_>>());
                let expected = chosen(&model, |row| match filter[0].0 {
                    1 => matches(&row.1),
                    _ => row.2.as_ref().is_some_and(matches),
                });
                assert_eq!(fetch(&table, &filter), expected);
            }
            _ => {
                let parts: Vec<String> = (0..bytes.below(4)).map(|_| text(bytes)).collect();
                let filter = [(1, Filter::one_of(parts.iter().map(|part| Value::text(part))))];
                assert_eq!(fetch(&table, &filter), chosen(&model, |row| parts.contains(&row.1)));
            }
        }
        assert_eq!(table.len(), model.len());
    }
    assert_eq!(fetch(&table, &[]), chosen(&model, |_| true));
}

/// Records that come as an Arrow table with anything in its buffers.
fn import(bytes: &mut Bytes<'_>) {
    let column = |name: &str, kind, nullable| ColumnSpec { name: name.to_owned(), kind, nullable };
    let names = ["path", "formatter", "storage_class", "component", "checksum"];
    let mut columns = vec![column("dataset_id", Kind::Guid, false), column("file_size", Kind::Integer, true)];
    columns.extend(names.map(|name| column(name, Kind::Text, name == "checksum")));
    let schema =
        Schema::new("records", columns).with_primary_key(&["dataset_id", "component"]).expect("columns");
    let records =
        FileRecords::new(&schema.clone().with_index(&["path"]).expect("a column")).expect("columns");
    let mut table = Table::new(schema);
    let mut locations = Locations::new("datastore");
    let rows = bytes.below(5);
    let ids: Vec<u128> = (0..rows).map(|_| u128::from(bytes.byte())).collect();
    let sizes: Int64Array = (0..rows).map(|_| Some(i64::from(bytes.word() as i32))).collect();
    let mut cells: Vec<(&str, ArrayRef)> =
        vec![("dataset_id", unchecked::uuids(&ids)), ("file_size", Arc::new(sizes))];
    for name in names {
        let number = |bytes: &mut Bytes<'_>| match bytes.byte() {
            255 => bytes.word() as i32,
            small => i32::from(small % 9),
        };
        let plain = bytes.byte() & 1 == 0;
        let texts = if plain { rows } else { bytes.below(3) };
        let offsets: Vec<i32> = (0..=texts).map(|_| number(bytes)).collect();
        let content = bytes.take(8);
        let texts = unchecked::texts(&offsets, content);
        let keys: Vec<i32> = (0..if plain { 0 } else { rows }).map(|_| number(bytes)).collect();
        cells.push((name, if plain { texts } else { unchecked::repeating(&keys, texts) }));
    }
    let batch = RecordBatch::try_from_iter(cells).expect("columns of one length");
    match records.import_table(&mut table, &mut locations, &[batch]) {
        Err(_) => assert!(table.is_empty() && locations.present().is_empty()),
        Ok(_) => {
            assert_eq!((table.len(), locations.present().len()), (rows, rows));
            let all = || ids.iter().map(|id| DatasetId::Uuid(*id));
            let exported = records.export_table(&table, &locations, all()).expect("what came in goes out");
            assert_eq!(exported.iter().map(RecordBatch::num_rows).sum::<usize>(), rows);
            let _ = locations.move_to_trash(all()).expect("they are there");
            if let Some(trash) = records.trash(&table, &locations, None) {
                records.empty_trash(&mut table, &mut locations, &trash);
                assert!(table.is_empty());
            }
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut bytes = Bytes(bytes);
    if bytes.byte() & 3 == 0 { import(&mut bytes) } else { changes(&mut bytes) }
});
