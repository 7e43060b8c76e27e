//! The lineage index: which quanta have which datasets, to be asked from either side.
//!
//! The index is a table of nodes, first the datasets in ascending order of their ids, then the quanta in order
//! of their numbers. Each node has its neighbours' rows, ascending, with the roles that tie them.
//!
//! Making it is a sort of all edges by dataset and then by quantum, in memory that does not grow with them:
//!
//! - `spill`: buckets of bytes, in memory or in a file.
//! - `builder`: takes the edges, chunk by chunk, and puts them into buckets by dataset.
//! - `by_dataset`: sorts each bucket, numbers the datasets, and puts the edges into buckets by quantum.
//! - `by_quantum`: sorts each of those, and sums what each quantum's datasets take.
//! - `nodes`: the sorted lists as record batches.
//!
//! Asking it reads what it needs and checks that, since the file may come from anywhere:
//!
//! - `index`: nodes and their neighbours.
//! - `closure`: what a dataset was made from, or what was made from it.
//! - `census`: how many datasets each task has in each role.
//! - `difference`: what one index has and another has not.
//! - `rows_of_ids`: rows of ids, and who has written datasets, many at a time.

mod builder;
mod by_dataset;
mod by_quantum;
mod census;
mod closure;
mod difference;
mod index;
mod nodes;
mod rows_of_ids;
mod spill;

use std::sync::{Arc, LazyLock};

use arrow_schema::{ArrowError, DataType, Field, Fields, Schema, SchemaRef};

use crate::arrow_columns::uuid_field;
use crate::provenance::Field as Role;

pub use builder::LineageBuilder;
pub use by_quantum::BytesByRole;
pub use census::{Census, Counts};
pub use closure::{Closure, Direction, Edge, Plan};
pub use difference::{Change, Difference};
pub use index::{LineageIndex, Neighbours};
pub use nodes::Nodes;
pub use rows_of_ids::{NO_ROW, ranges_of_ids, rows_of_ids};

pub(crate) use index::bit as role_bit;

/// What whoever reads record batches expects.
type ArrowResult<T> = std::result::Result<T, ArrowError>;

/// Rows of each record batch but the last.
const BATCH: usize = 1 << 16;

/// Number of the format, in the schema's metadata.
const FORMAT: u32 = 1;

/// Number of roles.
const ROLES: usize = Role::ALL.len();

/// The bits of all roles.
const ANY_ROLE: u8 = (1 << ROLES) - 1;

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let neighbour =
        vec![Field::new("row", DataType::UInt32, false), Field::new("roles", DataType::UInt8, false)];
    let neighbour = Field::new("item", DataType::Struct(Fields::from(neighbour)), false);
    Arc::new(Schema::new(vec![
        uuid_field("id"),
        Field::new("neighbours", DataType::List(Arc::new(neighbour)), false),
    ]))
});

/// The schema of the index, without the counts in its metadata.
pub fn lineage_schema() -> SchemaRef {
    SCHEMA.clone()
}
