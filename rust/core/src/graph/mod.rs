//! Quantum graphs in files (`.qg`), as upstream writes them: what was planned, and what happened.
//!
//! A file is read in place, with positioned reads: opening it reads its header, and looking for an id reads some
//! twenty rows of its table of addresses and one block.

mod addresses;
mod blocks;
mod columns;
mod container;
mod file;
mod files;
mod frames;
mod gathering;
mod headers;
mod json;
mod merging;
mod models;
mod names;
mod pipeline;
mod predicted;
mod predicted_tables;
mod provenance;
mod shared;
mod sorting;
mod successes;
mod tables;
mod uniting;
mod writer;

pub use files::Files;
pub use gathering::{Gathered, Gatherer, Left, Place, Planned, logged};
pub use json::{Key, Scalar, Time, Uuid};
pub use models::{
    Attempt, BLOCKED, Connections, Dataset, Exception, Header, InitQuantum, PlannedDataset, PlannedQuantum,
    Quantum, Resources,
};
pub use names::Wanted;
pub use pipeline::{DatasetType, Dimensions, KeyKind, Pipeline, Task};
pub use predicted::PredictedGraph;
pub use predicted_tables::{PlannedDatasetsReader, PlannedQuantaReader};
pub use provenance::{BlockKind, ProvenanceGraph};
pub use tables::{DatasetsReader, QuantaBatch, QuantaReader};
pub use uniting::{Union, alike, unite};
pub use writer::{Block, GraphWriter, Training, train_dictionary};
