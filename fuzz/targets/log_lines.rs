//! A log of lines. However its bytes come, each line is read or rejected, and none of them does anything to
//! another; what is read is what serde_json reads.
#![no_main]

use std::collections::BTreeMap;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int8Type, Int32Type, Int64Type, UInt8Type};
use arrow_array::{Array, RecordBatch};
use libfuzzer_sys::fuzz_target;
use quantum_butler_core::log::LoggedQuantum;
use quantum_butler_core::scan::{Rejected, Scanner, Tables, fingerprints};
use quantum_butler_fuzz::{Bytes, ROLES, ids, uuid};
use serde_json::Value;

const NO_COMPONENT: &str = "__NULL_STRING__";

fn scan(log: &[u8], step: usize) -> (Tables, Vec<Rejected>) {
    let mut scanner = Scanner::default();
    scanner.keep_contents();
    scanner.start(7);
    log.chunks(step).for_each(|piece| scanner.feed(piece));
    assert_eq!(scanner.position(), log.len() as u64);
    scanner.finish();
    scanner.take()
}

fuzz_target!(|bytes: &[u8]| {
    let mut bytes = Bytes(bytes);
    let step = 1 + bytes.below(64);
    let log = bytes.0;
    let (tables, rejected) = scan(log, usize::MAX);
    let (again, rejected_again) = scan(log, step);
    assert_eq!(tables.quanta, again.quanta);
    assert_eq!(tables.edges, again.edges);
    assert_eq!(tables.records, again.records);
    assert_eq!(tables.contents, again.contents);
    assert_eq!(tables.contents.num_rows(), tables.quanta.num_rows());
    assert_eq!(rejected, rejected_again);

    let mut starts = Vec::new();
    let mut at = 0;
    for line in log.split(|byte| *byte == b'\n') {
        if !line.trim_ascii().is_empty() {
            starts.push((at, line));
        }
        at += line.len() as i64 + 1;
    }
    let offsets = tables.quanta["offset"].as_primitive::<Int64Type>().values();
    assert_eq!(offsets.len() + rejected.len(), starts.len());
    let (mut edge, mut record) = (0, 0);
    let mut lines = Vec::new();
    for (quantum, offset) in offsets.iter().enumerate() {
        let place = starts.binary_search_by_key(offset, |(start, _)| *start).expect("the start of a line");
        lines.push(starts[place].1);
        let line: Value = serde_json::from_slice(starts[place].1).expect("what was accepted is JSON");
        (edge, record) = compare(&line, &tables, quantum, edge, record);
    }
    assert_eq!((edge, record), (tables.edges.num_rows(), tables.records.num_rows()));

    // The reader of single lines takes nothing that this one refuses, but for records that are not of files.
    for (start, line) in starts {
        let Some(logged) = std::str::from_utf8(line).ok().and_then(LoggedQuantum::from_line) else {
            continue;
        };
        match rejected.iter().find(|one| one.offset == start as u64) {
            None => {
                let row = offsets.iter().position(|offset| *offset == start).expect("it was read");
                let id = tables.quanta["quantum_id"].as_fixed_size_binary().value(row);
                assert_eq!(id, logged.quantum_id.to_be_bytes());
            }
            Some(one) => assert!(one.reason.contains("datastore_records["), "{}", one.reason),
        }
    }
    check_fingerprints(&tables, &lines);
});

/// Holds a quantum against its line; returns where its edges and records end.
fn compare(line: &Value, tables: &Tables, quantum: usize, edge: usize, record: usize) -> (usize, usize) {
    let quanta = &tables.quanta;
    let id = uuid(line["quantum_id"].as_str().expect("a text")).expect("an id");
    assert_eq!(quanta["quantum_id"].as_fixed_size_binary().value(quantum), id.to_be_bytes());
    assert_eq!(quanta["source"].as_primitive::<Int32Type>().value(quantum), 7);
    let labels = quanta["task_label"].as_dictionary::<Int32Type>();
    let label = labels.key(quantum).map(|key| labels.values().as_string::<i32>().value(key));
    assert_eq!(label, line["task_label"].as_str());
    let data_ids = quanta["data_id"].as_string::<i32>();
    match line["data_id"].as_object() {
        None => assert!(data_ids.is_null(quantum)),
        Some(expected) => {
            let found: Value = serde_json::from_str(data_ids.value(quantum)).expect("JSON");
            assert_eq!(found.as_object(), Some(expected));
        }
    }

    let mut roles: BTreeMap<u128, u8> = BTreeMap::new();
    for (bit, role) in ROLES.into_iter().enumerate() {
        let expected = ids(&line[role]);
        assert_eq!(quanta[role].as_primitive::<Int32Type>().value(quantum) as usize, expected.len());
        expected.into_iter().for_each(|id| *roles.entry(id).or_default() |= 1 << bit);
    }
    let count = |name| quanta[name].as_primitive::<Int32Type>().value(quantum) as usize;
    let edges = tables.edges.slice(edge, count("edges"));
    let ids = edges["dataset_id"].as_fixed_size_binary().iter().flatten();
    let found = ids.zip(edges["roles"].as_primitive::<UInt8Type>().values());
    assert!(
        found.eq(roles
            .iter()
            .map(|(id, roles)| (id.to_be_bytes(), roles))
            .collect::<Vec<_>>()
            .iter()
            .map(|(id, roles)| (&id[..], *roles)))
    );

    let records = tables.records.slice(record, count("records"));
    compare_records(&line["datastore_records"], &records);
    (edge + count("edges"), record + count("records"))
}

fn compare_records(datastores: &Value, found: &RecordBatch) {
    let mut row = 0;
    for (datastore, content) in datastores.as_object().expect("an object") {
        for (_, by_dataset) in content["records"].as_object().expect("an object") {
            for (key, tables) in by_dataset.as_object().expect("an object") {
                for expected in tables
                    .as_object()
                    .expect("an object")
                    .values()
                    .flat_map(|rows| rows.as_array().expect("an array"))
                {
                    let names = found["datastore_name"].as_dictionary::<Int8Type>();
                    let name = names.values().as_string::<i32>().value(names.key(row).expect("a name"));
                    assert_eq!(name, datastore);
                    // As Python's class does it.
                    let digits = key.replace("urn:", "").replace("uuid:", "").replace(['{', '}', '-'], "");
                    let id = u128::from_str_radix(&digits, 16).expect("an id");
                    assert_eq!(found["dataset_id"].as_fixed_size_binary().value(row), id.to_be_bytes());
                    for column in ["path", "checksum"] {
                        let texts = found[column].as_string::<i32>();
                        assert_eq!(texts.is_valid(row).then(|| texts.value(row)), expected[column].as_str());
                    }
                    for column in ["formatter", "storage_class", "component"] {
                        let texts = found[column].as_dictionary::<Int32Type>();
                        let text = texts.key(row).map(|key| texts.values().as_string::<i32>().value(key));
                        let wanted = expected[column].as_str();
                        let none = column == "component" && matches!(wanted, Some("" | NO_COMPONENT));
                        assert_eq!(text, wanted.filter(|_| !none));
                    }
                    let sizes = found["file_size"].as_primitive::<Int64Type>();
                    let size = sizes.is_valid(row).then(|| sizes.value(row));
                    if let Some(expected) = expected["file_size"].as_i64() {
                        assert_eq!(size, Some(expected).filter(|size| *size >= 0));
                    }
                    row += 1;
                }
            }
        }
    }
    assert_eq!(row, found.num_rows());
}

/// A quantum's fingerprint is that of its line alone: neither the lines before it, from which the scanner learns,
/// nor the dictionaries they made count.
fn check_fingerprints(tables: &Tables, lines: &[&[u8]]) {
    let found = fingerprints(&tables.quanta, &tables.edges, &tables.records).expect("the tables are ours");
    assert_eq!(found.len(), lines.len());
    for (line, found) in lines.iter().zip(found) {
        let (alone, rejected) = scan(line, usize::MAX);
        assert_eq!(rejected, []);
        let alone = fingerprints(&alone.quanta, &alone.edges, &alone.records).expect("the tables are ours");
        assert_eq!(alone, [found]);
    }
}
