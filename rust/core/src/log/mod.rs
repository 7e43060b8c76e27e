//! The provenance log: the provenance of many quanta, one line of JSON each.
//!
//! A line has the members of one quantum's provenance after those of its [`Heading`].  A log is either
//! those lines as they are, or the same lines in independent Zstandard frames (RFC 8878), each of whole
//! lines, so that what decompresses a file decompresses this one.  It only ever grows at its end, and
//! never past something incomplete: what a killed process left unfinished there is cut off first.
//!
//! - `line`: one quantum's line, written and read; `time`: points in time in it.
//! - `execution`: how an attempt went; `names`: what datasets are called.
//! - `contents`: what the metadata and the log of a quantum have, if that is wanted.
//! - `frames`: where the frames of a file end.
//! - `tail`: where the complete part of an existing log ends.
//! - `writer`: appends.

pub(crate) mod contents;
pub(crate) mod execution;
mod frames;
mod line;
pub(crate) mod names;
mod tail;
mod time;
mod writer;

pub use contents::{Contents, unpack};
pub use execution::{Exception, Execution, SECONDS, Steps, WHOLE};
pub(crate) use frames::{Found, frame_at};
pub use line::{Attempt, DataId, DataIdValue, Heading, LoggedQuantum};
pub(crate) use line::{BEGINNING, connections_text};
pub use names::NamedDatasets;
pub use tail::Torn;
pub(crate) use tail::Upto;
pub(crate) use time::{read as read_time, read_any as read_any_time};
pub use writer::LogWriter;

/// How the lines of a log are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// As they are.
    Lines,
    /// In Zstandard frames.
    Frames,
}
