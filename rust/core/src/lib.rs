//! Record tables, dataset-id sets and provenance of one quantum.
//!
//! Nothing here knows Python: `cargo test -p quantum-butler-core` needs no interpreter.
#![forbid(unsafe_code)]

pub mod arrow_columns;
mod changes;
mod compression;
pub mod error;
mod files;
mod frontier;
pub mod graph;
pub mod id;
mod id_set;
pub mod lineage;
pub mod log;
pub mod matching;
mod parallel;
mod paths;
pub mod provenance;
mod records;
pub mod scan;
mod scratch;
mod table;
mod tracker;
mod uuid_text;

pub use changes::Changes;
pub use compression::compress;
pub use error::{Error, Result};
pub use files::{datasets_exist, file_of_dataset, files_exist, remove_files, write_file};
pub use frontier::Frontier;
pub use id::DatasetId;
pub use id_set::IdSet;
pub use paths::{is_plain, is_unquoted};
pub use records::{
    Batch, FileRecord, FileRecords, Locations, LocationsUndo, RecordChanges, RecordsUndo, Trash,
    record_table_schema,
};
pub use table::column::ColumnSpec;
pub use table::filter::Filter;
pub use table::schema::{Rows, Schema};
pub use table::value::{Kind, Value};
pub use table::{Mode, Table, TableUndo};
pub use tracker::{Role, Roles, Settled, Tracker};
