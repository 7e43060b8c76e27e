//! Record tables, dataset-id sets and provenance of one quantum.
//!
//! Nothing here knows Python: `cargo test -p quantum-butler-core` needs no interpreter.
#![forbid(unsafe_code)]

mod arena;
mod column;
pub mod error;
mod files;
mod filter;
pub mod id;
mod id_set;
mod index;
mod interner;
mod locations;
pub mod provenance;
mod records;
mod schema;
mod table;
mod text;
mod tracker;
mod uuid_text;
mod value;

pub use column::ColumnSpec;
pub use error::{Error, Result};
pub use files::{files_exist, write_file};
pub use filter::Filter;
pub use id::DatasetId;
pub use id_set::IdSet;
pub use locations::{Locations, LocationsUndo};
pub use records::{Batch, FileRecord, FileRecords, RecordsUndo};
pub use schema::{Rows, Schema};
pub use table::{Mode, Table, TableUndo};
pub use tracker::{Role, Settled, Tracker};
pub use value::{Kind, Value};
