//! The lineage index, as it is when its file is mapped into memory, with anything in its buffers; and the
//! tables that it is made from. Every question gets an answer or the error for damage.
#![no_main]

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, Int32Array, Int64Array, RecordBatch, StructArray, UInt8Array, UInt32Array,
};
use arrow_schema::{DataType, Schema};
use libfuzzer_sys::fuzz_target;
use quantum_butler_core::Error;
use quantum_butler_core::lineage::{Direction, LineageBuilder, LineageIndex, Plan, lineage_schema};
use quantum_butler_core::scan::{Scanner, fingerprints};
use quantum_butler_fuzz::{Bytes, ROLES, unchecked};

const ROLE_COLUMNS: [&str; 5] =
    ["predicted_input", "available_input", "actual_input", "predicted_output", "actual_output"];

/// A number that mostly makes sense, of those below `limit`.
fn number(bytes: &mut Bytes<'_>, limit: u32) -> u32 {
    match bytes.byte() {
        255 => bytes.word(),
        254 => limit,
        small => u32::from(small) % limit.max(1),
    }
}

/// Ids that mostly ascend.
fn ids(bytes: &mut Bytes<'_>, count: usize) -> Vec<u128> {
    let mut last = 0;
    let next = |_| {
        let step = bytes.byte();
        last = if step == 255 {
            u128::from(bytes.byte()) << 120
        } else {
            last + u128::from(step % 4) + u128::from(step < 200)
        };
        last
    };
    (0..count).map(next).collect()
}

fn index(bytes: &mut Bytes<'_>) -> Result<LineageIndex, Error> {
    let (datasets, quanta) = (bytes.below(12), bytes.below(8));
    let nodes = datasets + quanta;
    let edges = bytes.below(40);
    let column = unchecked::uuids(&ids(bytes, nodes));
    let mut at = 0;
    let mut offsets = vec![0];
    for _ in 0..nodes {
        at = match bytes.byte() {
            255 => bytes.word() as i32,
            step => at.saturating_add(i32::from(step % 5)).min(edges as i32),
        };
        offsets.push(at);
    }
    let rows: Vec<u32> = (0..edges).map(|_| number(bytes, nodes as u32)).collect();
    let roles: Vec<u8> =
        (0..edges).map(|_| bytes.byte()).map(|roles| if roles < 250 { roles % 32 } else { roles }).collect();
    let schema = lineage_schema();
    let DataType::List(item) = schema.field(1).data_type() else { unreachable!() };
    let DataType::Struct(fields) = item.data_type() else { unreachable!() };
    let columns: Vec<ArrayRef> = vec![Arc::new(UInt32Array::from(rows)), Arc::new(UInt8Array::from(roles))];
    let items: ArrayRef = Arc::new(StructArray::new(fields.clone(), columns, None));
    let lists = unchecked::lists(schema.field(1).data_type(), &offsets, &items);
    let counts = [
        ("format", 1),
        ("datasets", number(bytes, 1).wrapping_add(datasets as u32)),
        ("quanta", quanta as u32),
    ];
    let metadata: arrow_schema::Metadata =
        counts.into_iter().map(|(key, count)| (key.to_owned(), count.to_string())).collect();
    let schema = Schema::new(schema.fields().clone()).with_metadata(metadata);
    let batch =
        RecordBatch::try_new(Arc::new(schema.clone()), vec![column, lists]).expect("columns of one length");
    let batches = if nodes == 0 { vec![] } else { vec![batch] };
    LineageIndex::new(&schema, &batches)
}

/// Only this may be wrong with an index.
fn damaged<T>(answer: Result<T, Error>) -> Option<T> {
    match answer {
        Ok(answer) => Some(answer),
        Err(Error::DamagedIndex { .. } | Error::TooManyNodes) => None,
        Err(other) => panic!("{other}"),
    }
}

fn ask(index: &LineageIndex, bytes: &mut Bytes<'_>) {
    for row in 0..index.nodes() {
        let id = index.id(row);
        if row < index.datasets() {
            damaged(index.writer(row));
            damaged(index.dataset(id));
        } else {
            assert!(index.quantum(id).is_some());
        }
        if let Some(found) = damaged(index.neighbours(row)) {
            assert_eq!(found.rows.len(), found.roles.len());
            assert!(found.rows.iter().all(
                |other| *other < index.nodes() && (*other < index.datasets()) != (row < index.datasets())
            ));
        }
    }
    damaged(index.dataset(u128::from(bytes.byte())));
    if index.datasets() > 0 {
        for direction in [Direction::Up, Direction::Down] {
            let depth = Some(u32::from(bytes.byte())).filter(|depth| *depth < 9);
            let plan = Plan { direction, actual: bytes.byte() & 1 == 0, depth };
            let starts = [bytes.word() % index.datasets(), bytes.word() % index.datasets()];
            if let Some(part) = damaged(index.closure(&starts, plan)) {
                assert!(part.datasets.len() <= index.datasets() as usize);
                assert!(part.quanta.len() <= index.quanta() as usize);
                damaged(index.edges(&part, plan));
            }
        }
    }
    let tasks = bytes.below(3) as u32;
    let task_of: Vec<u32> = (0..index.quanta()).map(|_| number(bytes, tasks)).collect();
    damaged(index.census(&task_of, tasks));
}

/// Tables of an archive that somebody else made, to which more is to be added.
fn build(bytes: &mut Bytes<'_>) {
    let quanta = bytes.below(6);
    let counts: Vec<i32> = (0..quanta).map(|_| number(bytes, 4) as i32).collect();
    let sum: i64 = counts.iter().map(|count| i64::from(*count)).sum();
    let edges = match bytes.byte() {
        255 => bytes.below(9),
        _ => usize::try_from(sum).unwrap_or(0).min(64),
    };
    let records = bytes.below(5);
    let ids_of_quanta = unchecked::uuids(&ids(bytes, quanta));
    let first = [("quantum_id", ids_of_quanta), ("edges", Arc::new(Int32Array::from(counts)) as ArrayRef)];
    let of_edges = unchecked::uuids(&ids(bytes, edges));
    let mut second = vec![("dataset_id", of_edges)];
    for name in ROLE_COLUMNS {
        let column: BooleanArray = (0..edges).map(|_| Some(bytes.byte() & 1 == 1)).collect();
        second.push((name, Arc::new(column)));
    }
    let sizes: Int64Array = (0..records)
        .map(|_| (bytes.byte() > 9).then(|| i64::from(bytes.word() as i32) << (bytes.byte() % 31)))
        .collect();
    let third =
        [("dataset_id", unchecked::uuids(&ids(bytes, records))), ("file_size", Arc::new(sizes) as ArrayRef)];
    let [first, second, third] = [first.to_vec(), second, third.to_vec()]
        .map(|columns| RecordBatch::try_from_iter(columns).expect("columns of one length"));
    let memory = 1 << (8 + bytes.byte() % 12);
    let mut builder = LineageBuilder::new(&std::env::temp_dir(), memory);
    if builder.add(&[first], &[second], &[third]).is_err() {
        return;
    }
    let Ok((nodes, sizes)) = builder.finish() else { return };
    let schema = nodes.schema();
    let batches = nodes.collect::<Result<Vec<_>, _>>().expect("what is made holds together");
    assert_eq!(sizes.map(|batch| batch.expect("bytes").num_rows()).sum::<usize>(), quanta);
    let index = LineageIndex::new(&schema, &batches).expect("what is made can be read");
    // The same quantum may come twice, but all that ties quanta to datasets is whole.
    for row in 0..index.nodes() {
        index.neighbours(row).expect("what is made holds together");
    }
    ask(&index, bytes);
}

/// The same tables on their way into the parts of a new archive.
fn fingerprint(bytes: &mut Bytes<'_>) {
    let (mut tables, _) = Scanner::default().take();
    let quanta = bytes.below(4);
    let texts: Vec<i32> = (0..=quanta).map(|_| number(bytes, 8) as i32).collect();
    let keys: Vec<i32> = (0..quanta).map(|_| number(bytes, 2) as i32).collect();
    let labels = unchecked::texts(&[0, number(bytes, 8) as i32, number(bytes, 8) as i32], b"isr\xffmore");
    let counts = |bytes: &mut Bytes<'_>| (0..quanta).map(|_| number(bytes, 3) as i32).collect::<Vec<_>>();
    let edges = bytes.below(4);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("task_label", unchecked::repeating(&keys, labels)),
        ("data_id", unchecked::texts(&texts, b"{\"a\":1}{")),
        ("edges", Arc::new(Int32Array::from(counts(bytes)))),
        ("records", Arc::new(Int32Array::from(counts(bytes)))),
    ];
    tables.quanta = RecordBatch::try_from_iter(columns).expect("columns of one length");
    let roles = UInt8Array::from_iter_values((0..edges).map(|_| bytes.byte()));
    tables.edges = RecordBatch::try_from_iter([
        ("dataset_id", unchecked::uuids(&ids(bytes, edges))),
        ("roles", Arc::new(roles) as ArrayRef),
    ])
    .expect("columns of one length");
    if let Ok(found) = fingerprints(&tables.quanta, &tables.edges, &tables.records) {
        assert_eq!(found.len(), quanta);
    }
}

fuzz_target!(|bytes: &[u8]| {
    assert_eq!(ROLES.len(), ROLE_COLUMNS.len());
    let mut bytes = Bytes(bytes);
    match bytes.byte() % 32 {
        // It takes long: there are files and large buffers in it.
        0 => build(&mut bytes),
        1..=5 => fingerprint(&mut bytes),
        _ => {
            if let Some(index) = damaged(index(&mut bytes)) {
                ask(&index, &mut bytes);
                if let Some(other) = damaged(self::index(&mut bytes)) {
                    damaged(index.difference(&other));
                }
                damaged(index.difference(&index));
            }
        }
    }
});
