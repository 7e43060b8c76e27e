//! Provenance of many quanta into columns.
//!
//! Each line of a log, or each file of a single quantum, is read, checked and added to three tables: a row
//! for the quantum, one for each dataset that it has in any role, one for each datastore record. What cannot
//! be read is told with its place and the reason, and never stops the rest.
//!
//! - `content`: one quantum on its way from text to columns.
//! - `plain`: reads what writers write, quickly; gives up on anything else.
//! - `shapes`: how records are written, by which the next of them are read.
//! - `kinds`: what records have in common.
//! - `lenient`: reads whatever pydantic takes for upstream's model, or says what is wrong; `lenient_details` what
//!   lines have besides.
//! - `fingerprint`: tells whether two quanta have the same content.
//! - `columns`: the tables; `named`: that of what datasets are called.
//! - `log_reader`: parts of logs as bytes; `pieces` says where to part them.
//! - `log_queue`: many small logs, one after the other.
//! - `documents`: files of one quantum each.
//! - `duplicates`: quanta that are there more than once; `attempts`: which of them counts.

mod attempts;
mod columns;
mod content;
#[cfg(test)]
mod differential;
mod documents;
mod duplicates;
mod fingerprint;
mod kinds;
mod lenient;
mod lenient_details;
mod log_queue;
mod log_reader;
mod named;
mod pieces;
mod plain;
mod scanner;
mod shapes;

pub use attempts::Candidate;
pub use columns::{Tables, contents_schema, earlier_schema, edge_schema, quantum_schema};
pub use duplicates::{Duplicates, Found, Place, Replaced};
pub use fingerprint::fingerprints;
pub use log_queue::{LogQueue, WholeLog};
pub use log_reader::LogReader;
pub use pieces::frame_pieces;
pub use scanner::{MOST_BYTES, Rejected, Scanner};
