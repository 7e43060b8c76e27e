//! What a graph's blocks tell: upstream's models, as far as a reader needs them.

use hashbrown::DefaultHashBuilder;
use indexmap::IndexMap;
use serde::{Deserialize, Deserializer, Serialize};

use super::json::{Key, Scalar, Time, Uuid};

/// The last attempt of a quantum without attempts.
pub const BLOCKED: i8 = 0;

/// Statuses of attempts, as upstream numbers them: aborted to successful.
const STATUSES: std::ops::RangeInclusive<i8> = -4..=1;

/// The status of an attempt that nothing is known of.
const UNKNOWN: i8 = -3;

/// Values by name, in the order of the file.
pub(super) type Named<T> = IndexMap<String, T, DefaultHashBuilder>;

/// Datasets by connection, in the order of the file.
pub type Connections<T> = IndexMap<String, T, DefaultHashBuilder>;

/// What a graph says of itself.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Header {
    /// Version of the format.
    #[serde(default = "newest_version")]
    pub version: i64,
    /// What the graph tells: what was planned, or what happened.
    #[serde(default)]
    pub graph_type: String,
    /// The run that outputs are in.
    #[serde(default)]
    pub output_run: String,
    /// When it was made.
    #[serde(default)]
    pub timestamp: Option<Time>,
    /// The dataset that the provenance of the graph is to be.
    #[serde(default)]
    pub provenance_dataset_id: Option<Uuid>,
    /// Bytes of an integer in tables of addresses.
    #[serde(default = "usual_int_size")]
    pub int_size: usize,
    /// How many quanta there are.
    #[serde(default)]
    pub n_quanta: u64,
    /// How many datasets there are.
    #[serde(default)]
    pub n_datasets: u64,
}

fn newest_version() -> i64 {
    1
}

fn usual_int_size() -> usize {
    8
}

/// Resources that an attempt took.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct Resources {
    /// Largest memory of its process in bytes.
    pub memory: f64,
    /// When it was begun to be prepared.
    pub start: Time,
    /// Seconds until the task was made.
    pub prep_time: f64,
    /// Seconds until the task was run.
    pub init_time: f64,
    /// Seconds in which it ran.
    pub run_time: f64,
    /// The same of the processor.
    pub run_time_cpu: f64,
}

/// What an attempt failed with.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct Exception {
    /// Full name of its type.
    pub type_name: String,
    /// Its message.
    pub message: String,
    /// What it says besides.
    pub metadata: IndexMap<String, Scalar>,
}

/// One try at a quantum.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct Attempt {
    /// Its number.
    #[serde(default)]
    pub attempt: i64,
    /// How it ended.
    #[serde(default = "unknown", deserialize_with = "status")]
    pub status: i8,
    /// Flags of a success that is not a whole one.
    #[serde(default)]
    pub caveats: Option<u32>,
    /// What it failed with.
    #[serde(default)]
    pub exception: Option<Exception>,
    /// What it took.
    #[serde(default)]
    pub resource_usage: Option<Resources>,
    /// Quanta that its process had run before.
    #[serde(default)]
    pub previous_process_quanta: Vec<Uuid>,
}

fn unknown() -> i8 {
    UNKNOWN
}

fn status<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i8, D::Error> {
    let status = i8::deserialize(deserializer)?;
    let known = STATUSES.contains(&status).then_some(status);
    known.ok_or_else(|| serde::de::Error::custom(format_args!("there is no status {status}")))
}

/// What happened to a quantum.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct Quantum {
    /// Its id.
    pub quantum_id: Uuid,
    /// The label of its task.
    pub task_label: String,
    /// Values of its data ID.
    #[serde(default)]
    pub data_coordinate: Vec<Key>,
    /// What it was to read.
    #[serde(default)]
    pub inputs: Connections<Vec<Uuid>>,
    /// What it was to write.
    #[serde(default)]
    pub outputs: Connections<Vec<Uuid>>,
    /// All tries, the last one at the end; none if it was blocked.
    #[serde(default)]
    pub attempts: Vec<Attempt>,
}

impl Quantum {
    /// How the last attempt ended.
    pub fn status(&self) -> i8 {
        self.attempts.last().map_or(BLOCKED, |attempt| attempt.status)
    }
}

/// What happened to a dataset.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct Dataset {
    /// Its id.
    pub dataset_id: Uuid,
    /// Its type.
    pub dataset_type_name: String,
    /// Values of its data ID.
    #[serde(default)]
    pub data_coordinate: Vec<Key>,
    /// The run that it is in.
    pub run: String,
    /// Whether it was written, or was there before.
    pub produced: bool,
    /// The quantum that was to write it.
    #[serde(default)]
    pub producer: Option<Uuid>,
    /// Quanta that were to read it.
    #[serde(default)]
    pub consumers: Vec<Uuid>,
}

/// What a task needs and writes before its quanta, in a provenance graph.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct InitQuantum {
    /// Its id.
    pub quantum_id: Uuid,
    /// The label of the task.
    pub task_label: String,
    /// What it reads.
    #[serde(default)]
    pub inputs: Connections<Uuid>,
    /// What it writes.
    #[serde(default)]
    pub outputs: Connections<Uuid>,
}

/// A dataset as it is planned.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct PlannedDataset {
    /// Its id.
    pub dataset_id: Uuid,
    /// Its type.
    pub dataset_type_name: String,
    /// Values of its data ID.
    #[serde(default)]
    pub data_coordinate: Vec<Key>,
    /// The run that it is or will be in.
    pub run: String,
}

/// A quantum as it is planned.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct PlannedQuantum {
    /// Its id.
    pub quantum_id: Uuid,
    /// The label of its task; an empty one is that of the graph's own outputs.
    pub task_label: String,
    /// Values of its data ID.
    #[serde(default)]
    pub data_coordinate: Vec<Key>,
    /// What it is to read.
    #[serde(default)]
    pub inputs: Connections<Vec<PlannedDataset>>,
    /// What it is to write.
    #[serde(default)]
    pub outputs: Connections<Vec<PlannedDataset>>,
}

/// The name that people give a quantum.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct QuantumName {
    pub(super) quantum_id: Uuid,
    pub(super) task_label: String,
    #[serde(default)]
    pub(super) data_coordinate: Vec<Key>,
}

/// The name that people give a dataset.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct DatasetName {
    pub(super) dataset_id: Uuid,
    pub(super) dataset_type_name: String,
    #[serde(default)]
    pub(super) data_coordinate: Vec<Key>,
}

/// Which quanta come before which others.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct ThinGraph<Id> {
    #[serde(default = "Vec::new")]
    pub(super) edges: Vec<(Id, Id)>,
}
