//! One provenance graph out of many.
//!
//! Blocks of what only one file tells of are copied as they are. What several tell of is put together.

use std::path::Path;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use indexmap::IndexMap;
use serde_json::{Map, Value};
use xxhash_rust::xxh3::xxh3_128;

use super::addresses::{Address, Row};
use super::blocks::Blocks;
use super::files::Files;
use super::headers::{header, packages};
use super::json;
use super::merging::{merge_datasets, merge_quanta, merge_texts, order_of_attempts};
use super::models::{Dataset, InitQuantum, Quantum};
use super::pipeline::Pipeline;
use super::provenance::{BlockKind, ProvenanceGraph};
use super::sorting::Sorter;
use super::writer::GraphWriter;
use crate::{Error, Result};

const KINDS: [BlockKind; 4] = [BlockKind::Datasets, BlockKind::Quanta, BlockKind::Logs, BlockKind::Metadata];

/// What a union is of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Union {
    /// Files.
    pub files: u64,
    /// Quanta.
    pub quanta: u64,
    /// Quanta that several files tell of.
    pub repeated_quanta: u64,
    /// Datasets, without those that have no block.
    pub datasets: u64,
    /// Datasets that several files tell of.
    pub repeated_datasets: u64,
}

/// Files that may become one: of the same pipeline and the same run, in the order of the first of each.
pub fn alike(files: &Files) -> Result<Vec<Vec<usize>>> {
    let mut groups: IndexMap<(u128, String), Vec<usize>> = IndexMap::new();
    let mut known: HashMap<*const Pipeline, u128> = HashMap::new();
    for number in 0..files.len() {
        let pipeline = files.pipeline(number)?;
        let key = *known.entry(Arc::as_ptr(pipeline)).or_insert_with(|| sameness(pipeline));
        let run = files.header(number).0.output_run.clone();
        groups.entry((key, run)).or_default().push(number);
    }
    Ok(groups.into_values().collect())
}

/// A number that is the same for texts of the same pipeline, whatever the order of members and of dimensions.
fn sameness(pipeline: &Pipeline) -> u128 {
    let value: Value = json::parse(&pipeline.text).expect("it has been read as a pipeline");
    xxh3_128(ordered(value, false).to_string().as_bytes())
}

fn ordered(value: Value, is_set: bool) -> Value {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.into_iter().collect();
            members.sort_unstable_by(|one, other| one.0.cmp(&other.0));
            let is_set = |name: &str| matches!(name, "dimensions" | "raw_dimensions");
            let members = members.into_iter().map(|(name, value)| {
                let value = ordered(value, is_set(&name));
                (name, value)
            });
            Value::Object(members.collect::<Map<_, _>>())
        }
        Value::Array(items) => {
            let mut items: Vec<_> = items.into_iter().map(|item| ordered(item, false)).collect();
            if is_set && items.iter().all(Value::is_string) {
                items.sort_unstable_by(|one, other| one.as_str().cmp(&other.as_str()));
            }
            Value::Array(items)
        }
        other => other,
    }
}

/// Writes one graph with all that some files of another tell; they have to be alike.
///
/// `command` is what the graph says that it was made with, if its files do not agree on that. About so many bytes of
/// memory are used, and files without names in a folder. After each file `go_on` is told how many there have been, and
/// ends the work with `false`.
pub fn unite(
    graph: &ProvenanceGraph,
    numbers: &[usize],
    path: &Path,
    folder: &Path,
    command: &str,
    memory: usize,
    mut go_on: impl FnMut(usize) -> bool,
) -> Result<Union> {
    let files = graph.files();
    let numbers = in_order_of_time(files, numbers);
    let shared = shared_ids(files, &numbers, folder, memory / 2)?;
    let dictionary = common_dictionary(files, &numbers);
    let mut writer = GraphWriter::new(path, folder, dictionary, LEVEL, memory / 2)?;
    let mut repeated = Sorter::new(folder, memory / 2);
    let union = Union { files: numbers.len() as u64, ..Union::default() };
    let mut counts = Counts { groups: groups(files, &numbers), union, repeated: HashMap::new(), datasets: 0 };
    for (done, number) in numbers.iter().enumerate() {
        copy_blocks(files, *number, &shared, &mut writer, &mut repeated, &mut counts)?;
        if !go_on(done + 1) {
            return Err(Error::Stopped);
        }
    }
    put_together(files, repeated, &mut writer, &mut counts)?;
    let header = header(files, &numbers, &counts, command)?;
    let init = init_quanta(files, &numbers)?;
    let packages = packages(files, &numbers)?;
    let pipeline = files.get(numbers[0]).text("pipeline_graph")?;
    let members: [(&str, &[u8]); 3] =
        [("pipeline_graph", &pipeline), ("packages", &packages), ("init_quanta", &init)];
    writer.finish(&header, &members)?;
    Ok(counts.union)
}

/// The level of compression that upstream uses.
const LEVEL: i32 = 10;

fn made(files: &Files, number: usize) -> Option<i64> {
    files.header(number).0.timestamp.as_ref().map(|time| time.micros)
}

fn in_order_of_time(files: &Files, numbers: &[usize]) -> Vec<usize> {
    let mut numbers = numbers.to_vec();
    numbers.sort_by_key(|number| made(files, *number));
    numbers
}

/// Ids that more than one file has rows of.
fn shared_ids(files: &Files, numbers: &[usize], folder: &Path, memory: usize) -> Result<HashSet<u128>> {
    let mut ids = Sorter::new(folder, memory);
    for number in numbers {
        let file = files.get(*number);
        let container = file.container().hold()?;
        file.addresses.each(&container, |row| ids.push(row.id, &[]))?;
    }
    let mut sorted = ids.finish()?;
    let (mut shared, mut last) = (HashSet::new(), None);
    while let Some((id, _)) = sorted.next()? {
        if last.replace(id) == Some(id) {
            shared.insert(id);
        }
    }
    Ok(shared)
}

/// The dictionary that most bytes of blocks have: these are copied as they are.
fn common_dictionary(files: &Files, numbers: &[usize]) -> Vec<u8> {
    let mut bytes: IndexMap<&[u8], u64> = IndexMap::new();
    for number in numbers {
        let file = files.get(*number);
        let members = KINDS.map(|kind| file.container().member_if_any(&format!("{}.mb", kind.member())));
        let size: u64 = members.into_iter().flatten().map(|member| member.size).sum();
        *bytes.entry(file.frames().dictionary()).or_default() += size;
    }
    let most = bytes.into_iter().max_by_key(|(_, bytes)| *bytes);
    most.map(|(dictionary, _)| dictionary.to_owned()).unwrap_or_default()
}

/// Copies what only one file tells of, and puts the rest aside.
fn copy_blocks(
    files: &Files,
    number: usize,
    shared: &HashSet<u128>,
    writer: &mut GraphWriter,
    repeated: &mut Sorter,
    counts: &mut Counts,
) -> Result<()> {
    let file = files.get(number);
    let container = file.container().hold()?;
    let mut rows: Vec<Row> = Vec::new();
    file.addresses.each(&container, |row| {
        rows.push(row);
        Ok(())
    })?;
    let is_same = file.frames().dictionary() == writer.dictionary();
    let mut addresses: [HashMap<u64, Address>; 4] = Default::default();
    for kind in KINDS {
        // Logs and metadata go by their quantum, though their dataset has the same address.
        let is_own = |row: &&Row| match kind {
            BlockKind::Logs | BlockKind::Metadata => row.address(BlockKind::Quanta as usize).is_some(),
            BlockKind::Datasets | BlockKind::Quanta => true,
        };
        let aside: HashMap<u64, u128> = rows
            .iter()
            .filter(|row| shared.contains(&row.id))
            .filter(is_own)
            .filter_map(|row| Some((row.address(kind as usize)?.offset, row.id)))
            .collect();
        let Some(member) = container.member_if_any(&format!("{}.mb", kind.member())) else { continue };
        let mut blocks = Blocks::new(member, file.header.int_size);
        loop {
            let offset = blocks.offset();
            let Some(frame) = blocks.next(&container)? else { break };
            let text = || file.frames().decompress(frame).map_err(|what| file.damaged(what));
            if let Some(id) = aside.get(&offset) {
                let mut record = vec![kind as u8];
                record.extend_from_slice(&(number as u32).to_be_bytes());
                record.extend_from_slice(&text()?);
                repeated.push(*id, &record)?;
            } else {
                let address = match is_same {
                    true => writer.add_frame(kind, frame)?,
                    false => writer.add_text(kind, &text()?)?,
                };
                addresses[kind as usize].insert(offset, address);
            }
        }
    }
    for row in rows {
        let is_shared = shared.contains(&row.id);
        if !is_shared {
            counts.union.quanta += u64::from(row.address(BlockKind::Quanta as usize).is_some());
            counts.union.datasets += u64::from(row.address(BlockKind::Datasets as usize).is_some());
        }
        for kind in KINDS {
            let Some(address) = row.address(kind as usize) else { continue };
            match addresses[kind as usize].get(&address.offset) {
                Some(address) => writer.point(kind, row.id, *address)?,
                None if is_shared => {}
                None => return Err(file.damaged("an address is that of no block")),
            }
        }
    }
    Ok(())
}

/// How often what is counted in headers is counted there too often.
pub(super) struct Counts {
    /// The graph that each file is of, by the number of the file: the first file of the same one.
    pub(super) groups: HashMap<usize, usize>,
    union: Union,
    /// Quanta of tasks that graphs tell of which have been counted for another one.
    pub(super) repeated: HashMap<String, u64>,
    /// Datasets of that kind.
    pub(super) datasets: u64,
}

impl Counts {
    /// How many of the graphs that some files are of have been counted for another one.
    fn surplus(&self, told: &[(usize, Vec<u8>)]) -> u64 {
        let graphs: HashSet<_> = told.iter().map(|(number, _)| self.groups[number]).collect();
        graphs.len() as u64 - 1
    }
}

/// The first file of the graph that each file is of: one predicted graph may have been run bit by bit.
fn groups(files: &Files, numbers: &[usize]) -> HashMap<usize, usize> {
    let mut first: HashMap<u128, usize> = HashMap::new();
    let graph = |number: &usize| {
        let id = files.header(*number).0.provenance_dataset_id.map(|id| id.0);
        (*number, id.map_or(*number, |id| *first.entry(id).or_insert(*number)))
    };
    numbers.iter().map(graph).collect()
}

/// What files tell of one id: texts by kind, each with the number of its file.
type Told = [Vec<(usize, Vec<u8>)>; 4];

/// Writes what several files tell of.
fn put_together(
    files: &Files,
    repeated: Sorter,
    writer: &mut GraphWriter,
    counts: &mut Counts,
) -> Result<()> {
    let mut sorted = repeated.finish()?;
    let mut current: Option<(u128, Told)> = None;
    loop {
        let next = sorted.next()?;
        let key = next.map(|(key, _)| key);
        if let Some((id, told)) = current.take_if(|(id, _)| Some(*id) != key) {
            put_one(files, id, &told, writer, counts)?;
        }
        let Some((key, record)) = next else { return Ok(()) };
        let (head, text) = record.split_at(5);
        let number = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let (_, told) = current.get_or_insert_with(|| (key, Told::default()));
        told[usize::from(head[0])].push((number, text.to_vec()));
    }
}

fn put_one(
    files: &Files,
    id: u128,
    told: &Told,
    writer: &mut GraphWriter,
    counts: &mut Counts,
) -> Result<()> {
    let [datasets, quanta, logs, metadata] = told;
    if !datasets.is_empty() {
        counts.union.datasets += 1;
        counts.union.repeated_datasets += u64::from(datasets.len() > 1);
        counts.datasets += counts.surplus(datasets);
        let parsed = datasets.iter().map(|(number, text)| files.get(*number).parse::<Dataset>(text));
        let merged = merge_datasets(parsed.collect::<Result<Vec<_>>>()?);
        put(writer, BlockKind::Datasets, [Some(id), None], &json::write(&merged))?;
    }
    if quanta.is_empty() {
        return Ok(());
    }
    let parse = |(number, text): &(usize, Vec<u8>)| {
        Ok((made(files, *number), files.get(*number).parse::<Quantum>(text)?))
    };
    let parsed = quanta.iter().map(parse).collect::<Result<Vec<_>>>()?;
    let order = order_of_attempts(&parsed);
    let merged = merge_quanta(&parsed, &order).expect("there is at least one of what is not empty");
    counts.union.quanta += 1;
    counts.union.repeated_quanta += u64::from(quanta.len() > 1);
    *counts.repeated.entry(merged.task_label.clone()).or_default() += counts.surplus(quanta);
    put(writer, BlockKind::Quanta, [Some(id), None], &json::write(&merged))?;
    for (kind, connection, of_kind) in
        [(BlockKind::Logs, "_log", logs), (BlockKind::Metadata, "_metadata", metadata)]
    {
        let text = |number: usize| of_kind.iter().find(|(other, _)| *other == number);
        let texts: Vec<_> =
            quanta.iter().map(|(number, _)| text(*number).map(|(_, text)| text.clone())).collect();
        let damaged = |what| files.get(quanta[0].0).damaged(what);
        if let Some(text) = merge_texts(&texts, &order).map_err(damaged)? {
            let dataset = merged.outputs.get(connection).and_then(|ids| ids.first()).map(|id| id.0);
            put(writer, kind, [Some(id), dataset], &text)?;
        }
    }
    Ok(())
}

fn put(writer: &mut GraphWriter, kind: BlockKind, ids: [Option<u128>; 2], text: &[u8]) -> Result<()> {
    let address = writer.add_text(kind, text)?;
    ids.into_iter().flatten().try_for_each(|id| writer.point(kind, id, address))
}

/// What tasks have before their quanta, each once.
fn init_quanta(files: &Files, numbers: &[usize]) -> Result<Vec<u8>> {
    let mut all: IndexMap<u128, InitQuantum> = IndexMap::new();
    for number in numbers {
        let of_file: Vec<InitQuantum> = files.get(*number).document("init_quanta")?;
        for quantum in of_file {
            all.entry(quantum.quantum_id.0).or_insert(quantum);
        }
    }
    Ok(json::write(&all.into_values().collect::<Vec<_>>()))
}
