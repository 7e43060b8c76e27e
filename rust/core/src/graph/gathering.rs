//! What provenance graphs tell of quanta that have succeeded, from plans and from what was put.
//!
//! This is for what upstream's executor writes of a success at the first attempt. Anything else is left to upstream's
//! own classes, which say what it means.

use std::fs;
use std::path::Path;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use hashbrown::{HashMap, HashSet};

use super::json::{self, Uuid};
use super::models::{Attempt, Connections, Dataset, PlannedDataset, PlannedQuantum, Quantum};
use super::predicted::PredictedGraph;
use super::provenance::BlockKind;
use super::successes::{attempt_of, records_of};
use super::writer::Block;
use crate::arrow_columns::text_at;
use crate::log::unpack;
use crate::{Error, Result, parallel};

/// Quanta that are worth a thread of their own.
const SHARE: usize = 32;

/// Names of the connections that each quantum has.
const METADATA: &str = "_metadata";
const LOG: &str = "_log";

/// Where the metadata and the log of a quantum are.
#[derive(Debug, Clone, Copy)]
pub enum Place<'a> {
    /// In a provenance log, packed with a dictionary of some number.
    Log(i64, [Option<&'a str>; 2]),
    /// In two files.
    Files([&'a Path; 2]),
}

impl Place<'_> {
    /// Both as they were put; `None` if one of them cannot be had.
    fn read(&self) -> Option<[Vec<u8>; 2]> {
        let [metadata, log] = match *self {
            Self::Log(dictionary, packed) => packed.map(|text| unpack(dictionary, text?.as_bytes()).ok()),
            Self::Files(paths) => paths.map(|path| fs::read(path).ok()),
        };
        Some([metadata?, log?])
    }
}

/// A quantum, and where its metadata and its log are.
#[derive(Debug, Clone, Copy)]
pub struct Left<'a> {
    /// Its id.
    pub quantum_id: u128,
    /// Where they are.
    pub place: Place<'a>,
}

/// What provenance logs have of quanta, by rows of tables of contents.
pub fn logged<'a>(quanta: &[u128], contents: &'a [RecordBatch]) -> Result<Vec<Left<'a>>> {
    let unfit = |column, expected| Error::UnfitColumn { column, expected };
    let mut left = Vec::with_capacity(quanta.len());
    for batch in contents {
        let text = |name| {
            let column = batch.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
            column.ok_or(unfit(name, "strings"))
        };
        let dictionaries = batch.column_by_name("dictionary");
        let dictionaries = dictionaries.and_then(|column| column.as_primitive_opt::<Int64Type>());
        let dictionaries = dictionaries.ok_or(unfit("dictionary", "64-bit integers"))?;
        let (metadata, log) = (text("metadata")?, text("log")?);
        for (row, quantum_id) in
            quanta.get(left.len()..).into_iter().flatten().take(batch.num_rows()).enumerate()
        {
            let packed = [text_at(metadata, row)?, text_at(log, row)?];
            left.push(Left { quantum_id: *quantum_id, place: Place::Log(dictionaries.value(row), packed) });
        }
    }
    if left.len() != quanta.len() || contents.iter().map(RecordBatch::num_rows).sum::<usize>() != left.len() {
        return Err(unfit("dictionary", "a row for each quantum"));
    }
    Ok(left)
}

/// The metadata and the log that a quantum is to write.
#[derive(Debug)]
pub struct Planned {
    /// Its id.
    pub quantum_id: u128,
    /// Both datasets.
    pub datasets: [PlannedDataset; 2],
}

/// What has been made of some quanta.
#[derive(Debug, Default)]
pub struct Gathered {
    /// Blocks of them and of their datasets.
    pub blocks: Vec<Block>,
    /// Those that were taken.
    pub taken: Vec<u128>,
    /// What they have written.
    pub written: Vec<PlannedDataset>,
}

/// Makes blocks of a graph.
pub struct Gatherer {
    graph: PredictedGraph,
    /// Quanta whose files have just been asked for.
    planned: HashMap<u128, PlannedQuantum>,
    /// Edges from datasets to the quanta that are to read them, by dataset.
    datasets: Vec<u128>,
    quanta: Vec<u128>,
    /// What the run is to write.
    outputs: HashSet<u128>,
    /// What is there, and was told already.
    inputs: HashSet<u128>,
    /// What failed or blocked quanta were to write.
    lost: HashSet<u128>,
}

impl Gatherer {
    /// For a graph with these edges, which are sorted by dataset, and with what it is to write.
    pub fn new(
        graph: PredictedGraph,
        datasets: Vec<u128>,
        quanta: Vec<u128>,
        outputs: impl Iterator<Item = u128>,
    ) -> Self {
        let (inputs, lost) = (HashSet::new(), HashSet::new());
        let planned = HashMap::new();
        Self { graph, planned, datasets, quanta, outputs: outputs.collect(), inputs, lost }
    }

    /// Takes notice of what failed or blocked quanta were to write.
    pub fn lose(&mut self, datasets: impl Iterator<Item = u128>) {
        self.lost.extend(datasets);
    }

    /// What quanta are to write of metadata and logs, of those that nothing stands in the way of.
    pub fn plans(&mut self, quanta: &[u128]) -> Result<Vec<Planned>> {
        let graph = &self.graph;
        let share = |range: std::ops::Range<usize>| {
            quanta[range].iter().filter_map(|id| graph.quantum(*id).transpose()).collect::<Result<Vec<_>>>()
        };
        let shares = parallel::shares(quanta.len(), SHARE, share);
        self.planned.clear();
        let mut plans = Vec::with_capacity(quanta.len());
        for share in shares {
            for (_, planned) in share? {
                let dataset = |name| only(&planned.outputs, name).cloned();
                if let (Some(metadata), Some(log), false) =
                    (dataset(METADATA), dataset(LOG), self.is_blocked(&planned))
                {
                    let quantum_id = planned.quantum_id.0;
                    plans.push(Planned { quantum_id, datasets: [metadata, log] });
                    self.planned.insert(quantum_id, planned);
                }
            }
        }
        Ok(plans)
    }

    /// Makes blocks of those quanta that can be told in this way.
    pub fn gather(&mut self, left: &[Left<'_>]) -> Result<Gathered> {
        let this = &*self;
        let share = |range: std::ops::Range<usize>| {
            left[range].iter().map(|one| this.told(one)).collect::<Result<Vec<_>>>()
        };
        let mut gathered = Gathered::default();
        let shares = match left.first().map(|one| one.place) {
            Some(Place::Files(_)) => parallel::shares(left.len(), SHARE, share),
            Some(Place::Log(..)) | None => parallel::busy_shares(left.len(), SHARE, share),
        };
        for share in shares {
            for told in share?.into_iter().flatten() {
                gathered.taken.push(told.quantum_id);
                gathered.blocks.extend(told.blocks);
                for (id, text) in told.inputs {
                    if self.inputs.insert(id) {
                        gathered.blocks.push(dataset_block(id, text));
                    }
                }
                gathered.written.extend(told.written);
            }
        }
        Ok(gathered)
    }

    fn told(&self, left: &Left<'_>) -> Result<Option<Told>> {
        if let Some(planned) = self.planned.get(&left.quantum_id) {
            return Ok(self.success(planned, &left.place));
        }
        let planned = self.graph.quantum(left.quantum_id)?;
        Ok(planned.and_then(|(_, planned)| self.success(&planned, &left.place)))
    }

    /// Whether a quantum was to read what is lost.
    fn is_blocked(&self, planned: &PlannedQuantum) -> bool {
        let is_lost = |dataset: &PlannedDataset| self.lost.contains(&dataset.dataset_id.0);
        !self.lost.is_empty() && planned.inputs.values().flatten().any(is_lost)
    }

    /// What is told of a success; `None` for anything else.
    fn success(&self, planned: &PlannedQuantum, place: &Place<'_>) -> Option<Told> {
        if self.is_blocked(planned) {
            return None;
        }
        let [metadata, log] = place.read()?;
        let metadata_id = only(&planned.outputs, METADATA)?.dataset_id;
        let log_id = only(&planned.outputs, LOG)?.dataset_id;
        let (attempt, mut written) = attempt_of(&planned.task_label, &metadata)?;
        written.extend([metadata_id, log_id]);
        let (records, previous_process_quanta) = records_of(&log).ok().flatten()?;
        let ids = |datasets: &Connections<Vec<PlannedDataset>>| {
            let ids = |all: &Vec<PlannedDataset>| all.iter().map(|one| one.dataset_id).collect();
            datasets.iter().map(|(name, all)| (name.clone(), ids(all))).collect()
        };
        let quantum = Quantum {
            quantum_id: planned.quantum_id,
            task_label: planned.task_label.clone(),
            data_coordinate: planned.data_coordinate.clone(),
            inputs: ids(&planned.inputs),
            outputs: ids(&planned.outputs),
            attempts: vec![Attempt { previous_process_quanta, ..attempt }],
        };
        let id = planned.quantum_id.0;
        let block = |kind, dataset, text| Block { kind, id, dataset, text };
        let one = |item: &[u8]| [b"{\"attempts\":[", item, b"]}"].concat();
        let mut blocks = vec![
            block(BlockKind::Quanta, None, json::write(&quantum)),
            block(BlockKind::Logs, Some(log_id.0), one(records)),
            block(BlockKind::Metadata, Some(metadata_id.0), one(&metadata)),
        ];
        let mut there = Vec::new();
        for dataset in planned.outputs.values().flatten() {
            let produced = written.contains(&dataset.dataset_id);
            if produced {
                there.push(dataset.clone());
            }
            let text = self.dataset(dataset, produced, Some(planned.quantum_id));
            blocks.push(dataset_block(dataset.dataset_id.0, text));
        }
        let is_new = |dataset: &&PlannedDataset| {
            let id = &dataset.dataset_id.0;
            !self.outputs.contains(id) && !self.inputs.contains(id)
        };
        let new = planned.inputs.values().flatten().filter(is_new);
        let inputs = new.map(|one| (one.dataset_id.0, self.dataset(one, true, None))).collect();
        Some(Told { quantum_id: id, blocks, inputs, written: there })
    }

    fn dataset(&self, planned: &PlannedDataset, produced: bool, producer: Option<Uuid>) -> Vec<u8> {
        let id = planned.dataset_id.0;
        let start = self.datasets.partition_point(|dataset| *dataset < id);
        let same = self.datasets[start..].iter().take_while(|dataset| **dataset == id).count();
        let mut consumers: Vec<Uuid> = self.quanta[start..start + same].iter().copied().map(Uuid).collect();
        if same > 1 {
            // One may read it by two connections.
            let mut seen = HashSet::with_capacity(same);
            consumers.retain(|one| seen.insert(*one));
        }
        json::write(&Dataset {
            dataset_id: planned.dataset_id,
            dataset_type_name: planned.dataset_type_name.clone(),
            data_coordinate: planned.data_coordinate.clone(),
            run: planned.run.clone(),
            produced,
            producer,
            consumers,
        })
    }
}

/// What is told of a quantum.
struct Told {
    quantum_id: u128,
    blocks: Vec<Block>,
    /// Ids and texts of datasets that were there before the run.
    inputs: Vec<(u128, Vec<u8>)>,
    written: Vec<PlannedDataset>,
}

fn dataset_block(id: u128, text: Vec<u8>) -> Block {
    Block { kind: BlockKind::Datasets, id, dataset: None, text }
}

/// The one dataset of a connection.
fn only<'a>(outputs: &'a Connections<Vec<PlannedDataset>>, name: &str) -> Option<&'a PlannedDataset> {
    match outputs.get(name)?.as_slice() {
        [one] => Some(one),
        _ => None,
    }
}
