//! Record tables, dataset-id sets and provenance of one quantum.
//!
//! Nothing here knows Python: `cargo test -p quantum-butler-core` needs no interpreter.
#![forbid(unsafe_code)]

mod arena;
pub mod arrow_columns;
mod column;
mod compression;
pub mod error;
mod existence;
mod files;
mod filter;
pub mod id;
mod id_set;
mod index;
mod interner;
pub mod lineage;
mod locations;
pub mod log;
mod parallel;
pub mod provenance;
mod record_table;
mod record_table_import;
mod records;
mod removal;
pub mod scan;
mod schema;
mod table;
mod text;
mod tracker;
mod trash;
mod uuid_text;
mod value;

pub use column::ColumnSpec;
pub use compression::compress;
pub use error::{Error, Result};
pub use existence::{datasets_exist, files_exist};
pub use files::write_file;
pub use filter::Filter;
pub use id::DatasetId;
pub use id_set::IdSet;
pub use locations::{Locations, LocationsUndo};
pub use record_table::record_table_schema;
pub use records::{Batch, FileRecord, FileRecords, RecordsUndo};
pub use removal::remove_files;
pub use schema::{Rows, Schema};
pub use table::{Mode, Table, TableUndo};
pub use tracker::{Role, Roles, Settled, Tracker};
pub use trash::Trash;
pub use value::{Kind, Value};
