//! The one error of this crate.

use std::path::{Path, PathBuf};

/// What went wrong, and where.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A row repeats a primary key or another unique key.
    #[error("duplicate key ({columns}) = ({values}) in table {table}")]
    DuplicateKey {
        /// Table that refused the row.
        table: String,
        /// Names of the key's columns, comma separated.
        columns: String,
        /// The key itself, comma separated.
        values: String,
    },
    /// A row leaves out, or sets to null, a column that must have a value.
    #[error("column {column} of table {table} must have a value")]
    MissingValue {
        /// Table that refused the row.
        table: String,
        /// Column without a value.
        column: String,
    },
    /// Text that is empty, or longer than its column takes.
    #[error("column {column} of table {table} takes 1 to {most} characters, not {text:?}")]
    WrongLength {
        /// Table that refused the row.
        table: String,
        /// Column that refused the text.
        column: String,
        /// The text.
        text: String,
        /// The most characters that the column takes.
        most: usize,
    },
    /// A name that is not a column of the table.
    #[error("table {table} has no column {column}")]
    UnknownColumn {
        /// Table that was asked.
        table: String,
        /// Name that it does not have.
        column: String,
    },
    /// A value of the wrong type for its column.
    #[error("column {column} of table {table} holds {expected}, not {found}")]
    WrongType {
        /// Table that refused the value.
        table: String,
        /// Column that refused the value.
        column: String,
        /// Kind of value that the column holds.
        expected: &'static str,
        /// Kind of value that was given.
        found: String,
    },
    /// A dataset is already recorded in a datastore.
    #[error("dataset {id} is already recorded in datastore {datastore}")]
    DuplicateLocation {
        /// Datastore that was asked to hold it.
        datastore: String,
        /// The dataset.
        id: String,
    },
    /// The operating system refused to do something with a file.
    #[error("{}: {message}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's number for the error, if it has one.
        code: Option<i32>,
        /// What the operating system says.
        message: String,
    },
    /// Provenance is defined for UUIDs only.
    #[error("provenance needs UUID dataset ids; {role} holds the integer {id}")]
    IntegerId {
        /// Field of the provenance that would hold it.
        role: &'static str,
        /// The integer.
        id: i128,
    },
    /// Two datastores of one name.
    #[error("datastore {name} is given twice")]
    RepeatedDatastore {
        /// The name.
        name: String,
    },
    /// More records than one quantum's provenance can hold.
    #[error("one quantum's datastore records hold more than 2^32 values or bytes of text")]
    TooManyRecords,
}

impl Error {
    /// An error of the operating system on a file.
    pub(crate) fn io(path: &Path, error: &std::io::Error) -> Self {
        Self::Io { path: path.to_owned(), code: error.raw_os_error(), message: error.to_string() }
    }
}

/// Result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;
