//! The extension module `quantum_butler._core`: conversions and error mapping, nothing else.

use pyo3::prelude::*;

mod arrow_columns;
mod dataset_id;
mod error;
mod existence;
mod file_info;
mod files;
mod frontier;
mod graph;
mod lineage;
mod locations;
mod lock;
mod log;
mod log_execution;
mod log_names;
mod matching;
mod new_objects;
mod paths;
mod provenance;
mod records;
mod removal;
mod sameness;
mod scan;
mod slots;
mod table;
mod tracker;
mod trash;
mod undo;
mod value;

/// Private kernel of `quantum_butler`.
#[pymodule]
mod _core {
    #[pymodule_export]
    use crate::arrow_columns::{ArrowStream, ArrowTable};
    #[pymodule_export]
    use crate::error::{DuplicateKeyError, UnfitValueError, UnknownColumnError, UnreadableGraphError};
    #[pymodule_export]
    use crate::existence::{file_of_dataset, files_exist};
    #[pymodule_export]
    use crate::files::{Folders, compress, write_file};
    #[pymodule_export]
    use crate::frontier::Frontier;
    #[pymodule_export]
    use crate::graph::{
        GatheredBlocks, Gatherer, GraphWriter, PredictedGraph, ProvenanceGraph, TableBatches,
        train_dictionary,
    };
    #[pymodule_export]
    use crate::lineage::{Closure, LineageBuilder, LineageIndex, ranges_of_ids, rows_of_ids};
    #[pymodule_export]
    use crate::locations::Locations;
    #[pymodule_export]
    use crate::log::LogWriter;
    #[pymodule_export]
    use crate::matching::{Names, lone_inputs, partners};
    #[pymodule_export]
    use crate::paths::{is_plain_path, is_unquoted_path};
    #[pymodule_export]
    use crate::provenance::{Provenance, RecordMerge};
    #[pymodule_export]
    use crate::records::FileRecords;
    #[pymodule_export]
    use crate::removal::remove_files;
    #[pymodule_export]
    use crate::sameness::Contents;
    #[pymodule_export]
    use crate::scan::{Duplicates, ProvenanceScanner, fingerprints, frame_pieces, unpack};
    #[pymodule_export]
    use crate::table::Table;
    #[pymodule_export]
    use crate::tracker::{IdSet, Tracker};
    #[pymodule_export]
    use crate::trash::Trash;
    #[pymodule_export]
    use crate::undo::Undo;
}
