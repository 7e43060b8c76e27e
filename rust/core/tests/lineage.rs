//! The lineage index, beside a model that knows nothing but the quanta.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::env::temp_dir;
use std::slice::from_ref;
use std::sync::Arc;

use arrow_array::builder::FixedSizeBinaryBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, BooleanArray, Int32Array, Int64Array, RecordBatch};
use proptest::prelude::*;
use quantum_butler_core::Error;
use quantum_butler_core::lineage::{
    Change, Closure, Counts, Difference, Direction, Edge, LineageBuilder, LineageIndex, Plan,
};

const ROLES: [&str; 5] =
    ["predicted_input", "available_input", "actual_input", "predicted_output", "actual_output"];

#[derive(Debug, Clone, Default)]
struct Quantum {
    id: u128,
    edges: BTreeMap<u128, u8>,
    records: Vec<(u128, Option<i64>)>,
}

fn uuids(ids: impl IntoIterator<Item = u128>) -> ArrayRef {
    let mut column = FixedSizeBinaryBuilder::new(16);
    ids.into_iter().for_each(|id| column.append_value(id.to_be_bytes()).unwrap());
    Arc::new(column.finish())
}

fn tables(quanta: &[Quantum]) -> [RecordBatch; 3] {
    let counts = Int32Array::from_iter_values(quanta.iter().map(|quantum| quantum.edges.len() as i32));
    let ids = uuids(quanta.iter().map(|quantum| quantum.id));
    let first = RecordBatch::try_from_iter([("quantum_id", ids), ("edges", Arc::new(counts) as ArrayRef)]);
    let edges = || quanta.iter().flat_map(|quantum| &quantum.edges);
    let mut columns = vec![("dataset_id", uuids(edges().map(|edge| *edge.0)))];
    for (bit, name) in ROLES.into_iter().enumerate() {
        let column: BooleanArray = edges().map(|edge| Some(edge.1 >> bit & 1 == 1)).collect();
        columns.push((name, Arc::new(column)));
    }
    let records = || quanta.iter().flat_map(|quantum| &quantum.records);
    let sizes: Int64Array = records().map(|record| record.1).collect();
    let third =
        [("dataset_id", uuids(records().map(|record| record.0))), ("file_size", Arc::new(sizes) as _)];
    [first.unwrap(), RecordBatch::try_from_iter(columns).unwrap(), RecordBatch::try_from_iter(third).unwrap()]
}

/// The index of the quanta, which the builder is given so many at a time, and their bytes.
fn build(quanta: &[Quantum], memory: usize, chunk: usize) -> (LineageIndex, Vec<[i64; 5]>) {
    let mut builder = LineageBuilder::new(&temp_dir(), memory);
    for quanta in quanta.chunks(chunk) {
        let [quanta, edges, records] = tables(quanta).map(|table| [table]);
        // A table may come in pieces that have nothing to do with each other.
        let half = edges[0].num_rows() / 2;
        let edges = [edges[0].slice(0, half), edges[0].slice(half, edges[0].num_rows() - half)];
        builder.add(&quanta, &edges, &records).unwrap();
    }
    let (nodes, bytes) = builder.finish().unwrap();
    let schema = nodes.schema();
    let batches = nodes.collect::<Result<Vec<_>, _>>().unwrap();
    let bytes = bytes.flat_map(|batch| {
        let batch = batch.unwrap();
        let columns = [0, 1, 2, 3, 4].map(|column| batch.column(column).as_primitive::<Int64Type>().clone());
        (0..batch.num_rows())
            .map(|row| columns.each_ref().map(|column| column.value(row)))
            .collect::<Vec<_>>()
    });
    (LineageIndex::new(&schema, &batches).unwrap(), bytes.collect())
}

fn datasets(quanta: &[Quantum]) -> Vec<u128> {
    let all: BTreeSet<_> = quanta.iter().flat_map(|quantum| quantum.edges.keys().copied()).collect();
    all.into_iter().collect()
}

/// Ids and distances of what is reached, by visiting again and again.
fn reached(quanta: &[Quantum], start: u128, plan: Plan) -> [BTreeMap<u128, u32>; 2] {
    let [there, back] = match plan.direction {
        Direction::Up => [plan.output(), plan.input()],
        Direction::Down => [plan.input(), plan.output()],
    };
    let mut found = [BTreeMap::from([(start, 0)]), BTreeMap::new()];
    for distance in 1.. {
        let before = found.clone();
        if plan.depth.is_some_and(|depth| distance > depth) {
            break;
        }
        for quantum in quanta {
            let begins = |(id, roles): (&u128, &u8)| roles & there != 0 && before[0].contains_key(id);
            if quantum.edges.iter().any(begins) {
                found[1].entry(quantum.id).or_insert(distance);
                for (id, roles) in &quantum.edges {
                    if roles & back != 0 {
                        found[0].entry(*id).or_insert(distance);
                    }
                }
            }
        }
        if found == before {
            break;
        }
    }
    found
}

fn ids(index: &LineageIndex, rows: &[(u32, u32)]) -> BTreeMap<u128, u32> {
    assert!(rows.is_sorted_by_key(|(row, distance)| (*distance, *row)));
    rows.iter().map(|(row, distance)| (index.id(*row), *distance)).collect()
}

fn counts<'a>(quanta: impl IntoIterator<Item = &'a Quantum>) -> Counts {
    let mut roles = BTreeMap::new();
    for (id, role) in quanta.into_iter().flat_map(|quantum| &quantum.edges) {
        *roles.entry(id).or_insert(0) |= role;
    }
    let count = |wanted: &dyn Fn(u8) -> bool| roles.values().filter(|roles| wanted(**roles)).count() as u64;
    Counts {
        datasets: [1, 2, 4, 8, 16].map(|bit| count(&|roles| roles & bit != 0)),
        unused: count(&|roles| roles & 0b101 == 0b001),
        missing: count(&|roles| roles & 0b11000 == 0b01000),
    }
}

/// Ids that are few, and differ at their beginning, in their middle or at their end.
fn id() -> impl Strategy<Value = u128> {
    prop_oneof![
        0..12_u128,
        (0..6_u128).prop_map(|n| n << 125 | 7),
        (0..6_u128).prop_map(|n| 3 << 100 | n << 60)
    ]
}

fn quanta() -> impl Strategy<Value = Vec<Quantum>> {
    let edges = prop::collection::btree_map(id(), 1..32_u8, 0..8);
    let records = prop::collection::vec((id(), prop::option::of(-1..1000_i64)), 0..4);
    let quantum = (edges, records).prop_map(|(edges, records)| Quantum { id: 0, edges, records });
    prop::collection::vec(quantum, 0..12).prop_flat_map(|quanta| {
        // Ids of quanta go in no order, and may be those of datasets.
        Just((0..quanta.len() as u128).collect::<Vec<_>>()).prop_shuffle().prop_map(move |ids| {
            quanta.iter().zip(ids).map(|(quantum, id)| Quantum { id, ..quantum.clone() }).collect()
        })
    })
}

fn plan() -> impl Strategy<Value = Plan> {
    let direction = prop_oneof![Just(Direction::Up), Just(Direction::Down)];
    (direction, any::<bool>(), prop::option::of(0..4_u32)).prop_map(|(direction, actual, depth)| Plan {
        direction,
        actual,
        depth,
    })
}

proptest! {
    #[test]
    fn nodes_are_those_of_the_quanta(
        quanta in quanta(),
        memory in prop_oneof![Just(0_usize), Just(1000), Just(1 << 20)],
        chunk in 1..5_usize,
    ) {
        let (index, bytes) = build(&quanta, memory, chunk);
        let datasets = datasets(&quanta);
        prop_assert_eq!(index.datasets() as usize, datasets.len());
        prop_assert_eq!(index.quanta() as usize, quanta.len());
        for (row, id) in (0..).zip(&datasets) {
            prop_assert_eq!(index.id(row), *id);
            prop_assert_eq!(index.dataset(*id).unwrap(), Some(row));
            let neighbours = index.neighbours(row).unwrap();
            let expected: Vec<_> = (index.datasets()..)
                .zip(&quanta)
                .filter_map(|(row, quantum)| Some((row, *quantum.edges.get(id)?)))
                .collect();
            let found = neighbours.rows.iter().copied().zip(neighbours.roles.iter().copied());
            prop_assert_eq!(found.collect::<Vec<_>>(), expected);
        }
        for (row, quantum) in (index.datasets()..).zip(&quanta) {
            prop_assert_eq!(index.id(row), quantum.id);
            prop_assert_eq!(index.quantum(quantum.id), Some(row));
            let neighbours = index.neighbours(row).unwrap();
            let found = neighbours.rows.iter().map(|row| index.id(*row)).zip(neighbours.roles.iter().copied());
            prop_assert_eq!(found.collect::<BTreeMap<_, _>>(), quantum.edges.clone());
        }
        let size = |id: u128| {
            let records = quanta.iter().flat_map(|quantum| &quantum.records);
            records.filter(|record| record.0 == id).map(|record| record.1.unwrap_or(0).max(0)).sum::<i64>()
        };
        let expected: Vec<_> = quanta.iter().map(|quantum| [1, 2, 4, 8, 16].map(|bit| {
            quantum.edges.iter().filter(|edge| edge.1 & bit != 0).map(|edge| size(*edge.0)).sum::<i64>()
        })).collect();
        prop_assert_eq!(bytes, expected);
    }

    #[test]
    fn ids_that_are_not_there_are_not_found(quanta in quanta(), unknown in any::<u128>()) {
        let (index, _) = build(&quanta, 1 << 20, 100);
        let known = datasets(&quanta).binary_search(&unknown).is_ok();
        prop_assert_eq!(index.dataset(unknown).unwrap().is_some(), known);
        prop_assert_eq!(index.quantum(unknown).is_some(), quanta.iter().any(|quantum| quantum.id == unknown));
    }

    #[test]
    fn many_ids_are_found_as_each_is(quanta in quanta(), unknown in any::<u128>()) {
        let (index, _) = build(&quanta, 1 << 20, 100);
        let mut ids = datasets(&quanta);
        ids.extend(quanta.iter().map(|quantum| quantum.id));
        ids.extend([unknown, unknown]);
        // Nobody has asked this one for what is not there, and it looks at all ids.
        let found = index.find_datasets(&ids).unwrap();
        prop_assert_eq!(found, ids.iter().map(|id| index.dataset(*id).unwrap()).collect::<Vec<_>>());
        prop_assert_eq!(index.find_quanta(&ids), ids.iter().map(|id| index.quantum(*id)).collect::<Vec<_>>());
    }

    #[test]
    fn closures_are_those_of_the_model(quanta in quanta(), plan in plan()) {
        let (index, _) = build(&quanta, 1 << 20, 100);
        for (row, start) in (0..).zip(datasets(&quanta)) {
            let found = index.closure(&[row], plan).unwrap();
            let expected = reached(&quanta, start, plan);
            prop_assert_eq!(&ids(&index, &found.datasets), &expected[0]);
            prop_assert_eq!(&ids(&index, &found.quanta), &expected[1]);
            let edges = index.edges(&found, plan).unwrap();
            prop_assert!(edges.is_sorted_by_key(|edge| (edge.quantum, edge.output, edge.dataset))
                || edges.iter().collect::<BTreeSet<_>>().len() == edges.len());
            let edges: BTreeSet<_> = edges
                .into_iter()
                .map(|Edge { quantum, dataset, output }| {
                    let [a, b] = [found.quanta[quantum as usize], found.datasets[dataset as usize]];
                    (index.id(a.0), index.id(b.0), output)
                })
                .collect();
            let mut model = BTreeSet::new();
            for quantum in quanta.iter().filter(|quantum| expected[1].contains_key(&quantum.id)) {
                for (id, roles) in quantum.edges.iter().filter(|edge| expected[0].contains_key(edge.0)) {
                    for (bits, output) in [(plan.input(), false), (plan.output(), true)] {
                        if roles & bits != 0 {
                            model.insert((quantum.id, *id, output));
                        }
                    }
                }
            }
            prop_assert_eq!(edges, model);
        }
    }

    #[test]
    fn a_closure_of_several_datasets_is_that_of_each(quanta in quanta(), plan in plan()) {
        let (index, _) = build(&quanta, 1 << 20, 100);
        let rows: Vec<_> = (0..index.datasets()).rev().collect();
        let each = rows.iter().map(|row| index.closure(&[*row], plan).unwrap());
        let quanta: BTreeSet<_> = each.flat_map(|found| found.quanta).map(|(row, _)| row).collect();
        let all = index.closure(&[&rows[..], &rows[..]].concat(), plan).unwrap();
        prop_assert_eq!(all.datasets.len(), rows.len());
        prop_assert_eq!(all.quanta.into_iter().map(|(row, _)| row).collect::<BTreeSet<_>>(),
            if plan.depth == Some(0) { BTreeSet::new() } else { quanta });
    }

    #[test]
    fn the_census_counts_each_dataset_once(quanta in quanta(), tasks in 1..4_u32) {
        let (index, _) = build(&quanta, 1 << 20, 100);
        let task_of: Vec<_> = (0..quanta.len() as u32).map(|number| number % tasks).collect();
        let census = index.census(&task_of, tasks).unwrap();
        let of = |task| counts(task_of.iter().zip(&quanta).filter(|pair| *pair.0 == task).map(|pair| pair.1));
        prop_assert_eq!(census.tasks, (0..tasks).map(of).collect::<Vec<_>>());
        prop_assert_eq!(census.total, counts(&quanta));
    }

    #[test]
    fn differences_are_what_is_not_in_both(left in quanta(), right in quanta()) {
        let indexes = [&left, &right].map(|quanta| build(quanta, 1 << 20, 100).0);
        let sides = [(&left, &right), (&right, &left)];
        let expected = Difference {
            quanta: sides.map(|(here, there)| {
                let only = here.iter().filter(|one| there.iter().all(|other| other.id != one.id));
                only.map(|quantum| quantum.id).collect::<BTreeSet<_>>().into_iter().collect()
            }),
            datasets: sides.map(|(here, there)| {
                let others = datasets(there);
                datasets(here).into_iter().filter(|id| !others.contains(id)).collect()
            }),
            changes: {
                let mut changes = BTreeMap::new();
                for quantum in &left {
                    let Some(other) = right.iter().find(|other| other.id == quantum.id) else { continue };
                    for dataset in quantum.edges.keys().chain(other.edges.keys()).copied() {
                        let roles = [quantum, other].map(|one| *one.edges.get(&dataset).unwrap_or(&0));
                        if roles[0] != roles[1] {
                            changes.insert((quantum.id, dataset), roles);
                        }
                    }
                }
                let change = |((quantum, dataset), roles)| Change { quantum, dataset, roles };
                changes.into_iter().map(change).collect()
            },
        };
        prop_assert_eq!(indexes[0].difference(&indexes[1]).unwrap(), expected);
        prop_assert_eq!(indexes[0].difference(&indexes[0]).unwrap(), Difference::default());
    }
}

/// Quanta that take more than one batch and more than one bucket: each reads what the one before wrote.
fn chain(length: u32, id: impl Fn(u32) -> u128) -> Vec<Quantum> {
    let quantum = |n: u32| Quantum {
        id: u128::from(n) * 3,
        edges: BTreeMap::from([(id(n), 7), (id(n + 1), 24), (id(u32::MAX), 5)]),
        records: vec![(id(n + 1), Some(i64::from(n)))],
    };
    (0..length).map(quantum).collect()
}

#[test]
fn many_quanta_take_little_memory_and_several_batches() {
    let scattered = |n: u32| u128::from(n).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
    // Ids of a campaign that begin with the same hours.
    let similar = |n: u32| 0x0199_0000 << 96 | u128::from(n.wrapping_mul(0x9E37_79B9)) << 60 | 5;
    for id in [&scattered as &dyn Fn(u32) -> u128, &similar] {
        let quanta = chain(70_000, id);
        let (index, bytes) = build(&quanta, 200_000, 9_999);
        assert_eq!(index.datasets(), 70_002);
        let last = index.dataset(id(70_000)).unwrap().unwrap();
        let up = Plan { direction: Direction::Up, actual: true, depth: None };
        let closure = index.closure(&[last], up).unwrap();
        assert_eq!((closure.datasets.len(), closure.quanta.len()), (70_002, 70_000));
        assert_eq!(closure.quanta.last(), Some(&(index.datasets(), 70_000)));
        assert_eq!(index.edges(&closure, up).unwrap().len(), 3 * 70_000);
        let shared = index.dataset(id(u32::MAX)).unwrap().unwrap();
        assert_eq!(index.neighbours(shared).unwrap().rows.len(), 70_000);
        assert_eq!(bytes[100], [99, 99, 99, 100, 100]);
        // A quantum of the second batch, and ids that nothing has.
        assert_eq!(index.dataset(3 * 69_999).unwrap(), index.dataset(u128::MAX).unwrap());
        assert_eq!(index.quantum(3 * 69_999), Some(index.datasets() + 69_999));
        assert_eq!(index.find_quanta(&[3 * 69_999, 1]), [Some(index.datasets() + 69_999), None]);
        assert_eq!(index.find_datasets(&[id(70_000), 1]).unwrap(), [Some(last), None]);
        // Threads count datasets of their own.
        let task_of: Vec<_> = (0..70_000).map(|number| number % 3).collect();
        let census = index.census(&task_of, 3).unwrap();
        let of = |task: usize| counts(quanta.iter().skip(task).step_by(3));
        assert_eq!(census.tasks, [of(0), of(1), of(2)]);
        assert_eq!(census.total, counts(&quanta));
        let down = Plan { direction: Direction::Down, actual: false, depth: Some(1) };
        assert_eq!(index.closure(&[shared], down).unwrap().quanta.len(), 70_000);
    }
}

#[test]
fn what_is_not_found_may_be_in_disorder() {
    let [first, edges, records] = tables(&chain(66_000, |n| u128::from(n) + 1)).map(|table| [table]);
    let mut builder = LineageBuilder::new(&temp_dir(), 1 << 24);
    builder.add(&first, &edges, &records).unwrap();
    let (nodes, _) = builder.finish().unwrap();
    let schema = nodes.schema();
    let mut batches = nodes.collect::<Result<Vec<_>, _>>().unwrap();
    // The first id of the second batch is less than the last of the first.
    let mut columns = batches[1].columns().to_vec();
    let ids = columns[0].as_fixed_size_binary();
    columns[0] = uuids((0..batches[1].num_rows()).map(|row| match row {
        0 => 7,
        _ => u128::from_be_bytes(ids.value(row).try_into().unwrap()),
    }));
    batches[1] = RecordBatch::try_new(schema.clone(), columns).unwrap();
    let damaged = || LineageIndex::new(&schema, &batches).unwrap();
    let index = damaged();
    assert_eq!(index.dataset(60_000).unwrap(), Some(59_999));
    for _ in 0..2 {
        assert!(matches!(index.dataset(u128::MAX / 2), Err(Error::DamagedIndex { .. })));
    }
    assert!(matches!(damaged().find_datasets(&[60_000, u128::MAX / 2]), Err(Error::DamagedIndex { .. })));
}

#[test]
fn nothing_gives_an_empty_index() {
    let (index, bytes) = build(&[], 1 << 20, 1);
    assert_eq!((index.datasets(), index.quanta(), bytes.len()), (0, 0, 0));
    assert_eq!(index.dataset(1).unwrap(), None);
    let plan = Plan { direction: Direction::Up, actual: true, depth: None };
    assert_eq!(index.closure(&[], plan).unwrap(), Closure::default());
    assert_eq!(index.census(&[], 0).unwrap().total, Counts::default());
}

#[test]
fn tables_that_do_not_fit_together_are_refused() {
    let quanta = chain(3, u128::from);
    let [first, edges, records] = tables(&quanta);
    let add = |quanta: &RecordBatch, edges: &RecordBatch, records: &RecordBatch| {
        let mut builder = LineageBuilder::new(&temp_dir(), 1 << 20);
        let added = builder.add(from_ref(quanta), from_ref(edges), from_ref(records));
        added.and_then(|()| builder.finish().map(drop))
    };
    assert_eq!(add(&first, &edges, &records), Ok(()));
    let unfit = |column, expected| Err(Error::UnfitColumn { column, expected });
    assert_eq!(
        add(&first, &edges.slice(0, 8), &records),
        unfit("edges", "the number of each quantum's edges")
    );
    assert_eq!(
        add(&first.slice(0, 2), &edges, &records),
        unfit("edges", "the number of each quantum's edges")
    );
    assert_eq!(add(&edges, &edges, &records), unfit("quantum_id", "UUIDs"));
    assert_eq!(add(&first, &records, &records), unfit("predicted_input", "booleans"));
    assert_eq!(add(&first, &edges, &edges), unfit("file_size", "64-bit integers"));
    let none = tables(&[Quantum { edges: BTreeMap::from([(1, 0)]), ..Quantum::default() }]);
    assert!(matches!(add(&none[0], &none[1], &none[2]), Err(Error::UnfitColumn { .. })));
    let twice = one_dataset_twice(&edges);
    let refused = add(
        &RecordBatch::try_from_iter([
            ("quantum_id", uuids([9])),
            ("edges", Arc::new(Int32Array::from(vec![2])) as ArrayRef),
        ])
        .unwrap(),
        &twice,
        &records,
    );
    assert!(matches!(refused, Err(Error::RepeatedEdge { quantum: 0, .. })), "{refused:?}");
}

/// Two rows for one dataset.
fn one_dataset_twice(edges: &RecordBatch) -> RecordBatch {
    let columns = edges
        .schema()
        .fields()
        .iter()
        .map(|field| match field.name().as_str() {
            "dataset_id" => ("dataset_id".to_owned(), uuids([1, 1])),
            name => (name.to_owned(), Arc::new(BooleanArray::from(vec![true, true])) as ArrayRef),
        })
        .collect::<Vec<_>>();
    RecordBatch::try_from_iter(columns).unwrap()
}
