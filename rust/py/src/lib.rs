//! The extension module `quantum_butler._core`: conversions and error mapping, nothing else.

use pyo3::prelude::*;

mod dataset_id;
mod error;
mod files;
mod locations;
mod lock;
mod provenance;
mod records;
mod table;
mod tracker;
mod undo;
mod value;

/// Private kernel of `quantum_butler`.
#[pymodule]
mod _core {
    #[pymodule_export]
    use crate::error::{DuplicateKeyError, UnfitValueError, UnknownColumnError};
    #[pymodule_export]
    use crate::files::{files_exist, write_file};
    #[pymodule_export]
    use crate::locations::Locations;
    #[pymodule_export]
    use crate::provenance::Provenance;
    #[pymodule_export]
    use crate::records::FileRecords;
    #[pymodule_export]
    use crate::table::Table;
    #[pymodule_export]
    use crate::tracker::{IdSet, Tracker};
    #[pymodule_export]
    use crate::undo::Undo;
}
