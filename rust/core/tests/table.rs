//! Tables against a naive model: a vector of rows, searched from end to end.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::borrow::Cow;
use std::cmp::Ordering;

use proptest::prelude::*;
use quantum_butler_core::{ColumnSpec, Error, Filter, Kind, Mode, Rows, Schema, Table, TableUndo, Value};

type Row = Vec<Value<'static>>;

/// A table with all there is: a primary key of two columns, another unique key, an index, nulls.
fn schema() -> Schema {
    let column = |name: &str, kind, nullable| ColumnSpec { name: name.to_owned(), kind, nullable };
    let columns = vec![
        column("id", Kind::Guid, true),
        column("part", Kind::Text, false),
        column("serial", Kind::Integer, true),
        column("path", Kind::Text, true),
        column("weight", Kind::Float, true),
        column("good", Kind::Boolean, false),
        column("blob", Kind::Bytes, true),
        column("time", Kind::Timestamp, true),
    ];
    let schema = Schema::new("things", columns).with_primary_key(&["id", "part"]).unwrap();
    schema.with_unique(&["serial"]).unwrap().with_index(&["path"]).unwrap()
}

const UNIQUE: [&[usize]; 2] = [&[0, 1], &[2]];

fn any_value(column: usize) -> BoxedStrategy<Value<'static>> {
    let text = |texts: &'static [&'static str]| prop::sample::select(texts).prop_map(Value::text);
    match column {
        0 => (0..4_u128).prop_map(Value::Guid).boxed(),
        1 => text(&["", "a", "b/c"]).boxed(),
        2 => prop_oneof![Just(Value::Null), (0..8_i64).prop_map(Value::Integer)].boxed(),
        3 => prop_oneof![Just(Value::Null), text(&["x/1", "x/2", "X/1", "x_1", "é", "x%"])].boxed(),
        4 => prop_oneof![Just(Value::Null), prop::sample::select(&[0.0, -0.0, 1.5]).prop_map(Value::Float)]
            .boxed(),
        5 => any::<bool>().prop_map(Value::Boolean).boxed(),
        6 => prop_oneof![
            Just(Value::Null),
            prop::sample::select(vec![&b""[..], b"\0"]).prop_map(|bytes| Value::Bytes(Cow::Borrowed(bytes)))
        ]
        .boxed(),
        _ => prop_oneof![Just(Value::Null), (0..3_i64).prop_map(Value::Timestamp)].boxed(),
    }
}

fn any_row() -> impl Strategy<Value = Row> {
    (0..8).map(any_value).collect::<Vec<_>>()
}

#[derive(Clone, Debug)]
enum Wanted {
    Equals(Value<'static>),
    OneOf(Vec<Value<'static>>),
    Like(&'static str),
}

fn any_wanted() -> impl Strategy<Value = (usize, Wanted)> {
    let like =
        prop::sample::select(&["%", "x/%", "X_%", "é%"]).prop_map(|pattern| (3, Wanted::Like(pattern)));
    let equals = (0..8_usize)
        .prop_flat_map(|column| any_value(column).prop_map(move |value| (column, Wanted::Equals(value))));
    let one_of = (0..8_usize).prop_flat_map(|column| {
        prop::collection::vec(any_value(column), 0..4).prop_map(move |values| (column, Wanted::OneOf(values)))
    });
    prop_oneof![1 => like, 3 => equals, 2 => one_of]
}

#[derive(Clone, Debug)]
enum Step {
    Put(Mode, Vec<Row>),
    Delete(Vec<usize>, Vec<Row>),
    Undo,
    Fetch(Vec<(usize, Wanted)>),
}

fn any_step() -> impl Strategy<Value = Step> {
    let mode = prop::sample::select(&[Mode::Insert, Mode::Ensure, Mode::Replace]);
    let rows = || prop::collection::vec(any_row(), 0..4);
    let columns = prop::sample::subsequence((0..8).collect::<Vec<_>>(), 0..3);
    let wanted = prop::collection::btree_map(0..8_usize, any_wanted(), 0..3);
    prop_oneof![
        5 => (mode, rows()).prop_map(|(mode, rows)| Step::Put(mode, rows)),
        1 => (columns, rows()).prop_map(|(columns, rows)| Step::Delete(columns, rows)),
        2 => Just(Step::Undo),
        4 => wanted.prop_map(|wanted| {
            // A condition for each column at most, as in a mapping.
            let by_column: std::collections::BTreeMap<_, _> = wanted.into_values().collect();
            Step::Fetch(by_column.into_iter().collect())
        }),
    ]
}

/// Rows in the order in which they were inserted.
#[derive(Clone, Debug, Default)]
struct Model(Vec<Row>);

fn same_key(a: &Row, b: &Row, key: &[usize]) -> bool {
    key.iter().all(|column| !a[*column].is_null() && a[*column] == b[*column])
}

impl Model {
    fn put(&mut self, rows: &[Row], mode: Mode) -> Result<(), &'static [usize]> {
        let before = self.0.clone();
        for row in rows {
            let conflict = |rows: &[Row]| {
                UNIQUE.into_iter().find(|key| rows.iter().any(|other| same_key(row, other, key)))
            };
            let Some(key) = conflict(&self.0) else {
                self.0.push(row.clone());
                continue;
            };
            if mode == Mode::Ensure {
                continue;
            }
            let own = self.0.iter().position(|other| same_key(row, other, UNIQUE[0]));
            let others = |own: usize| [&self.0[..own], &self.0[own + 1..]].concat();
            let refused = match own {
                Some(own) if mode == Mode::Replace => conflict(&others(own)),
                _ => Some(key),
            };
            if let Some(key) = refused {
                self.0 = before;
                return Err(key);
            }
            self.0[own.expect("only a row that is there can be replaced")] = row.clone();
        }
        Ok(())
    }

    fn fetch(&self, wanted: &[(usize, Wanted)]) -> Vec<Row> {
        let meets = |row: &Row, column: usize, wanted: &Wanted| match wanted {
            Wanted::Equals(value) => row[column] == *value,
            Wanted::OneOf(values) => !row[column].is_null() && values.contains(&row[column]),
            Wanted::Like(pattern) => {
                let Value::Text(text) = &row[column] else { return false };
                match *pattern {
                    "%" => true,
                    "x/%" => text.to_ascii_lowercase().starts_with("x/"),
                    "X_%" => text.to_ascii_lowercase().starts_with('x') && text.len() > 1,
                    "é%" => text.starts_with('é'),
                    _ => unreachable!("no other pattern is generated"),
                }
            }
        };
        let chosen =
            self.0.iter().filter(|row| wanted.iter().all(|(column, wanted)| meets(row, *column, wanted)));
        let mut rows: Vec<_> = chosen.cloned().collect();
        if wanted.iter().any(|(column, wanted)| *column == 0 && !matches!(wanted, Wanted::Like(_))) {
            rows.sort_by(|a, b| key_of(a).partial_cmp(&key_of(b)).unwrap_or(Ordering::Equal));
        }
        rows
    }
}

fn key_of(row: &Row) -> (u128, &str) {
    match (&row[0], &row[1]) {
        (Value::Guid(guid), Value::Text(part)) => (*guid, part),
        _ => unreachable!("the primary key has a value"),
    }
}

fn rows_of(rows: &[Row]) -> Rows<'static> {
    let mut result = Rows::with_capacity(&schema(), rows.len());
    rows.iter().for_each(|row| result.add().clone_from_slice(row));
    result
}

fn fetch(table: &Table, wanted: &[(usize, Wanted)]) -> Vec<Row> {
    let filter = |wanted: &Wanted| match wanted {
        Wanted::Equals(value) => Filter::Equals(value.clone()),
        Wanted::OneOf(values) => Filter::one_of(values.iter().cloned()),
        Wanted::Like(pattern) => Filter::scalar(Value::text(pattern)),
    };
    let filters: Vec<_> = wanted.iter().map(|(column, wanted)| (*column, filter(wanted))).collect();
    table.fetch(&filters).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn tables_behave_like_a_vector_of_rows(steps in prop::collection::vec(any_step(), 1..40)) {
        let (mut table, mut model) = (Table::new(schema()), Model::default());
        let mut undos: Vec<(TableUndo, Model)> = Vec::new();
        for step in steps {
            match step {
                Step::Put(mode, rows) => {
                    let before = model.clone();
                    match (table.put(&rows_of(&rows), mode), model.put(&rows, mode)) {
                        (Ok(undo), Ok(())) => undos.push((undo, before)),
                        (Err(Error::DuplicateKey { columns, .. }), Err(key)) => {
                            let names = if key.len() == 2 { "id, part" } else { "serial" };
                            prop_assert_eq!(columns, names);
                        }
                        (ours, models) => prop_assert!(false, "{:?} but {:?}", ours, models),
                    }
                }
                Step::Delete(columns, keys) => {
                    let keys: Vec<Row> =
                        keys.iter().map(|row| columns.iter().map(|c| row[*c].clone()).collect()).collect();
                    let before = model.0.len();
                    model.0.retain(|row| {
                        let matches = |key: &Row| {
                            columns.iter().zip(key).all(|(c, value)| !value.is_null() && row[*c] == *value)
                        };
                        !(columns.is_empty() || keys.iter().any(matches))
                    });
                    prop_assert_eq!(table.delete(&columns, keys).unwrap(), before - model.0.len());
                    // What has been deleted stays so.
                    undos.clear();
                }
                Step::Undo => {
                    if let Some((undo, before)) = undos.pop() {
                        table.undo(undo);
                        model = before;
                    }
                }
                Step::Fetch(wanted) => prop_assert_eq!(fetch(&table, &wanted), model.fetch(&wanted)),
            }
            prop_assert_eq!(table.len(), model.0.len());
            prop_assert_eq!(fetch(&table, &[]), model.fetch(&[]));
        }
    }

    #[test]
    fn undoing_in_any_order_leaves_a_sound_table(
        steps in prop::collection::vec((any_step(), any::<prop::sample::Index>()), 1..30),
    ) {
        let mut table = Table::new(schema());
        let mut undos = Vec::new();
        for (step, choice) in steps {
            match step {
                Step::Put(mode, rows) => undos.extend(table.put(&rows_of(&rows), mode).ok()),
                Step::Delete(columns, keys) => {
                    let keys = keys.iter().map(|row| columns.iter().map(|c| row[*c].clone()).collect());
                    table.delete(&columns, keys.collect()).unwrap();
                }
                Step::Undo if undos.is_empty() => {}
                Step::Undo => {
                    let position = choice.index(undos.len());
                    table.undo(undos.swap_remove(position));
                }
                Step::Fetch(wanted) => {
                    let model = Model(fetch(&table, &[]));
                    prop_assert_eq!(fetch(&table, &wanted), model.fetch(&wanted));
                }
            }
            let rows = fetch(&table, &[]);
            prop_assert_eq!(table.len(), rows.len());
            for (position, row) in rows.iter().enumerate() {
                let repeated = |key: &&[usize]| rows[..position].iter().any(|other| same_key(row, other, key));
                prop_assert_eq!(UNIQUE.into_iter().find(repeated), None);
            }
        }
    }
}

fn row(id: u128, part: &'static str, serial: i64) -> Row {
    let mut row = vec![Value::Null; 8];
    row[0] = Value::Guid(id);
    row[1] = Value::text(part);
    row[2] = Value::Integer(serial);
    row[5] = Value::Boolean(true);
    row
}

#[test]
fn a_refused_batch_changes_nothing() {
    let mut table = Table::new(schema());
    table.put(&rows_of(&[row(1, "a", 1)]), Mode::Insert).unwrap();
    let before = fetch(&table, &[]);
    for (mode, batch) in [
        (Mode::Insert, [row(2, "a", 2), row(1, "a", 3)]),
        (Mode::Insert, [row(2, "a", 2), row(2, "a", 3)]),
        (Mode::Insert, [row(2, "a", 2), row(3, "a", 1)]),
        (Mode::Replace, [row(1, "a", 2), row(2, "a", 2)]),
    ] {
        let error = table.put(&rows_of(&batch), mode).unwrap_err();
        assert!(matches!(error, Error::DuplicateKey { .. }), "{error}");
        assert_eq!(fetch(&table, &[]), before);
    }
}

#[test]
fn errors_say_where() {
    let mut table = Table::new(schema());
    let refused = |table: &mut Table, column: usize, value| {
        let mut bad = row(1, "a", 1);
        bad[column] = value;
        table.put(&rows_of(&[row(2, "b", 2), bad]), Mode::Insert).unwrap_err().to_string()
    };
    assert_eq!(refused(&mut table, 5, Value::Null), "column good of table things must have a value");
    // A limited text has at least one character, and is measured in characters.
    let columns = vec![ColumnSpec { name: "t".to_owned(), kind: Kind::Text, nullable: true }];
    let schema = Schema::new("t", columns).with_length("t", 2).unwrap();
    let mut limited = Table::new(schema.clone());
    let put = |table: &mut Table, text: Value<'static>| {
        let mut rows = Rows::with_capacity(&schema, 1);
        rows.add()[0] = text;
        table.put(&rows, Mode::Insert).map(|_| ())
    };
    for fits in [Value::text("éé"), Value::text("a"), Value::Null] {
        put(&mut limited, fits).unwrap();
    }
    for text in ["", "abc"] {
        let error = put(&mut limited, Value::text(text)).unwrap_err();
        assert!(matches!(error, Error::WrongLength { most: 2, .. }), "{error}");
    }
    // A primary key needs a value even if its column was called nullable.
    assert_eq!(refused(&mut table, 0, Value::Null), "column id of table things must have a value");
    assert_eq!(
        refused(&mut table, 3, Value::Integer(1)),
        "column path of table things holds text, not integer"
    );
    assert!(table.is_empty());
    table.put(&rows_of(&[row(2, "b", 2)]), Mode::Insert).unwrap();
    let error = table.put(&rows_of(&[row(2, "b", 3)]), Mode::Insert).unwrap_err().to_string();
    let key = "(id, part) = (00000000-0000-0000-0000-000000000002, \"b\")";
    assert_eq!(error, format!("duplicate key {key} in table things"));
    let error = table.schema().position("colour").unwrap_err().to_string();
    assert_eq!(error, "table things has no column colour");
    let wrong = Filter::Equals(Value::Integer(2));
    assert!(matches!(table.fetch(&[(0, wrong)]), Err(Error::WrongType { .. })));
    let pattern = Filter::scalar(Value::text("a%"));
    assert!(matches!(table.fetch(&[(0, pattern)]), Err(Error::WrongType { .. })));
}

#[test]
fn a_table_without_a_primary_key_keeps_every_row() {
    let columns = vec![ColumnSpec { name: "n".to_owned(), kind: Kind::Integer, nullable: true }];
    let schema = Schema::new("heap", columns).with_index(&["n"]).unwrap();
    let mut rows = Rows::with_capacity(&schema, 3);
    for number in [1, 1, 2] {
        rows.add()[0] = Value::Integer(number);
    }
    let mut table = Table::new(schema);
    for mode in [Mode::Insert, Mode::Ensure, Mode::Replace] {
        table.put(&rows, mode).unwrap();
    }
    assert_eq!(table.len(), 9);
    assert_eq!(table.delete(&[0], vec![vec![Value::Integer(1)], vec![Value::Integer(1)]]).unwrap(), 6);
    assert_eq!(table.fetch(&[]).unwrap(), vec![vec![Value::Integer(2)]; 3]);
}
