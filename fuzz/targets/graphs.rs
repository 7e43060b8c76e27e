//! Quantum graphs with anything in their members, or that are anything themselves. Every question gets an answer or
//! the error for a graph.
#![no_main]

use std::io::{Cursor, Write};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use libfuzzer_sys::fuzz_target;
use quantum_butler_core::Error;
use quantum_butler_core::graph::{
    BlockKind, DatasetsReader, Key, PlannedDatasetsReader, PlannedQuantaReader, PredictedGraph,
    ProvenanceGraph, QuantaReader, alike, unite,
};
use quantum_butler_fuzz::Bytes;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

const PIPELINE: &[u8] =
    br#"{"tasks":{"t":{"task_class":"c","dimensions":["d"]}},"dataset_types":{"y":{"dimensions":["d"],
"storage_class":"s"}},"dimensions":{"elements":{"d":{"keys":[{"name":"id","type":"int"}]}}}}"#;

/// A member's bytes: as they are, or a frame of them.
fn framed(bytes: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(bytes, 1).expect("memory is enough for a frame")
}

/// Blocks of texts, each of which begins with its length.
fn blocks(bytes: &mut Bytes<'_>) -> Vec<u8> {
    let mut member = Vec::new();
    for _ in 0..bytes.below(4) {
        let length = bytes.word() as usize % 400;
        let frame = framed(bytes.take(length));
        member.extend_from_slice(&(frame.len() as u64).to_be_bytes());
        member.extend_from_slice(&frame);
    }
    member
}

/// A file that may well be a graph.
fn graph(bytes: &mut Bytes<'_>, predicted: bool) -> Vec<u8> {
    let kind = if predicted { "predicted" } else { "provenance" };
    let mut members: Vec<(&str, Vec<u8>)> = Vec::new();
    let header = match bytes.below(3) {
        0 => bytes.take(100).to_vec(),
        version => format!(r#"{{"version":{version},"graph_type":"{kind}","output_run":"r"}}"#).into_bytes(),
    };
    members.push(("header.json.zst", framed(&header)));
    let pipeline = if bytes.below(8) == 0 { bytes.take(200) } else { PIPELINE };
    members.push(("pipeline_graph.json.zst", framed(pipeline)));
    let addresses = if predicted { "quanta.addr" } else { "nodes.addr" };
    let rows = bytes.below(4);
    let kinds = if predicted { 1_u64 } else { 4 };
    let mut table = vec![8];
    table.extend_from_slice(&(rows as u64).to_be_bytes());
    table.extend_from_slice(&kinds.to_be_bytes());
    for row in 0..rows {
        table.extend_from_slice(&(row as u128).to_be_bytes());
        table.extend_from_slice(&(row as u64).to_be_bytes());
        for _ in 0..2 * kinds {
            table.extend_from_slice(&u64::from(bytes.word() % 300).to_be_bytes());
        }
    }
    members.push((addresses, table));
    let names: &[&str] = if predicted {
        &["quantum_datasets.mb"]
    } else {
        &["datasets.mb", "quanta.mb", "logs.mb", "metadata.mb"]
    };
    names.iter().for_each(|name| members.push((name, blocks(bytes))));
    for name in ["init_quanta.json.zst", "thin_graph.json.zst", "packages.json.zst"] {
        members.push((name, framed(bytes.take(150))));
    }
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, content) in members {
        archive.start_file(name, options).expect("names differ");
        archive.write_all(&content).expect("memory does not fail");
    }
    archive.finish().expect("memory does not fail").into_inner()
}

fn ask_provenance(path: &PathBuf) -> Result<(), Error> {
    let graph = Arc::new(ProvenanceGraph::open(std::slice::from_ref(path))?);
    for id in 0..4 {
        let _ = graph.quantum(id);
        let _ = graph.dataset(id);
        let _ = graph.text(BlockKind::Logs, id);
        let _ = graph.text(BlockKind::Metadata, id);
    }
    let _ = graph.init_quanta();
    let _ = graph.find_quanta("t", &[("d".to_owned(), Key::Int(1))]);
    let _ = graph.find_datasets("y", &[]);
    let folder = std::env::temp_dir();
    if alike(graph.files()).is_ok() {
        let target = path.with_extension("merged");
        let _ = unite(&graph, &[0], &target, &folder, "", 1 << 20, |_| true);
        let _ = std::fs::remove_file(target);
    }
    let mut quanta = QuantaReader::new(graph.clone(), 2)?;
    while quanta.next_batch()?.is_some() {}
    let mut datasets = DatasetsReader::new(graph, 2)?;
    while datasets.next_batch()?.is_some() {}
    Ok(())
}

fn ask_predicted(path: &PathBuf) -> Result<(), Error> {
    let graph = Arc::new(PredictedGraph::open(std::slice::from_ref(path))?);
    for id in 0..4 {
        let _ = graph.quantum(id);
        let _ = graph.text(id);
    }
    let _ = graph.init_quanta();
    let _ = graph.order(0);
    let _ = graph.find_quanta("t", &[("d".to_owned(), Key::Int(1))]);
    let _ = graph.find_datasets("y", &[]);
    let mut quanta = PlannedQuantaReader::new(graph.clone(), 2)?;
    while quanta.next_batch()?.is_some() {}
    let mut datasets = PlannedDatasetsReader::new(graph, 2)?;
    while datasets.next_batch()?.is_some() {}
    Ok(())
}

fuzz_target!(|data: &[u8]| {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    let path = PATH.get_or_init(|| std::env::temp_dir().join(format!("fuzz-{}.qg", std::process::id())));
    let mut bytes = Bytes(data);
    let kind = bytes.byte();
    let predicted = kind % 2 == 1;
    let content = if kind < 32 { bytes.0.to_vec() } else { graph(&mut bytes, predicted) };
    std::fs::write(path, content).expect("there is room for a small file");
    let asked = if predicted { ask_predicted(path) } else { ask_provenance(path) };
    if let Err(error) = asked {
        assert!(matches!(error, Error::Graph { .. } | Error::TooMuchText), "{error}");
    }
});
