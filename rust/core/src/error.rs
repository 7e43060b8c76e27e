//! The one error of this crate.

use std::path::{Path, PathBuf};

/// What went wrong, and where.
///
/// Whoever handles it names every variant, so that a new one is not passed over.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
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
    /// Another writer has the log.
    #[error("{}: another process or object is writing this provenance log", path.display())]
    LogInUse {
        /// The log.
        path: PathBuf,
    },
    /// A file that is not to be cut or appended to.
    #[error("{}: this file is not a provenance log", path.display())]
    NotALog {
        /// The file.
        path: PathBuf,
    },
    /// A fork tries to write its parent's log.
    #[error("{}: this provenance log belongs to process {process}; open another one here", path.display())]
    LogOfParent {
        /// The log.
        path: PathBuf,
        /// The process that opened it.
        process: u32,
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
    /// One string that is too long for an Arrow column.
    #[error("a string of more than 2^31 - 1 bytes has no place in an Arrow table")]
    TooMuchText,
    /// An Arrow column of strings with something in it that is none.
    #[error("an Arrow column of strings holds what is no text")]
    NotText,
    /// A table that is too long for what is done with it.
    #[error("a table has more than 2^32 rows")]
    TooManyRows,
    /// Tables that do not belong together.
    #[error("the quanta's {column} are not as many as the {rows} rows of that table")]
    RowsMissing {
        /// The column that counts the rows.
        column: String,
        /// How many rows there are.
        rows: usize,
    },
    /// A column that is missing, or does not hold what it should.
    #[error("column {column} should hold {expected}")]
    UnfitColumn {
        /// The column.
        column: &'static str,
        /// What it should hold.
        expected: &'static str,
    },
    /// One dataset twice among the edges of one quantum.
    #[error("dataset {dataset} is there twice among the edges of quantum number {quantum}")]
    RepeatedEdge {
        /// The dataset.
        dataset: String,
        /// The quantum's number.
        quantum: u32,
    },
    /// More than the rows of an index can number.
    #[error("a lineage index holds at most 2^32 - 1 datasets and quanta")]
    TooManyNodes,
    /// A quantum graph that cannot be read.
    #[error("{}: {what}", path.display())]
    Graph {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Work that whoever watched it has stopped.
    #[error("the work was stopped")]
    Stopped,
    /// An index that does not hold together.
    #[error("the lineage index is damaged: {what}")]
    DamagedIndex {
        /// What does not fit.
        what: String,
    },
    /// Two arrays of edges that do not go together.
    #[error("{before} edges begin and {after} end")]
    UnevenEdges {
        /// How many begin.
        before: usize,
        /// How many end.
        after: usize,
    },
    /// More edges than can be numbered.
    #[error("a graph has more than 2^32 - 1 edges")]
    TooManyEdges,
    /// A number that no quantum of the graph has.
    #[error("the graph has no quantum number {number}")]
    NoSuchQuantum {
        /// The number.
        number: u32,
    },
    /// A quantum that must be done before itself.
    #[error("the graph has a circle: quantum number {number} cannot run before it has run")]
    CircularGraph {
        /// A quantum that comes after one of the circle, or in it.
        number: u32,
    },
    /// A quantum that is given back without having been handed out.
    #[error("quantum number {number} was not handed out")]
    NotHandedOut {
        /// The quantum.
        number: u32,
    },
    /// A quantum that is told to end a second time.
    #[error("quantum number {number} has ended before")]
    CompleteQuantum {
        /// The quantum.
        number: u32,
    },
}

impl Error {
    /// An error of the operating system on a file.
    pub(crate) fn io(path: &Path, error: &std::io::Error) -> Self {
        let (code, text) = (error.raw_os_error(), error.to_string());
        // The standard library adds the number, which is kept apart here.
        let number = code.map(|code| format!(" (os error {code})"));
        let message = number.and_then(|number| text.strip_suffix(&number).map(str::to_owned)).unwrap_or(text);
        Self::Io { path: path.to_owned(), code, message }
    }

    /// A quantum graph that is not as it should be.
    pub(crate) fn graph(path: &Path, what: impl Into<String>) -> Self {
        Self::Graph { path: path.to_owned(), what: what.into() }
    }
}

/// Result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_number_is_not_told_twice() {
        let error = Error::io(Path::new("a/b"), &std::io::Error::from_raw_os_error(2));
        assert!(matches!(error, Error::Io { code: Some(2), .. }));
        assert_eq!(error.to_string(), "a/b: No such file or directory");
        let error = Error::io(Path::new("a"), &std::io::Error::other("something"));
        assert_eq!(error.to_string(), "a: something");
    }
}
