//! The beginning of the index: edges as they come, put into buckets by dataset.

use std::path::{Path, PathBuf};

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, UInt8Type};
use arrow_array::{Array, BooleanArray, FixedSizeBinaryArray, PrimitiveArray, RecordBatch};

use super::by_dataset::{BUCKETS, Entry, bucket_of, sort_by_dataset};
use super::by_quantum::{BytesByRole, Shares, sort_by_quantum};
use super::nodes::Nodes;
use super::spill::{STREAM, Spill};
use super::{ROLES, Role};
use crate::{Error, Result};

/// Names of the columns of `edges.parquet` with the roles, in their order.
const ROLE_COLUMNS: [&str; ROLES] =
    ["predicted_input", "available_input", "actual_input", "predicted_output", "actual_output"];

/// Makes the index of an archive from its other tables.
pub struct LineageBuilder {
    folder: PathBuf,
    memory: usize,
    by_dataset: Spill,
    /// Of each quantum, the id and the number of edges.
    quanta: Spill,
    shares: Shares,
}

impl LineageBuilder {
    /// A builder that takes about `memory` bytes, whatever it is given, and keeps the rest in files in `folder`
    /// that have no name and vanish with it.
    pub fn new(folder: &Path, memory: usize) -> Self {
        Self {
            folder: folder.to_owned(),
            memory,
            by_dataset: Spill::new(folder, BUCKETS, memory / 4),
            quanta: Spill::new(folder, 1, STREAM),
            shares: Shares::default(),
        }
    }

    /// Adds the next quanta: rows of `quanta.parquet`, and those of `edges.parquet` and `records.parquet` that
    /// belong to them. Other columns than are needed may be missing; roles may be bits of one column, `roles`. After an error the builder is of no use.
    pub fn add(
        &mut self,
        quanta: &[RecordBatch],
        edges: &[RecordBatch],
        records: &[RecordBatch],
    ) -> Result<()> {
        let first = self.shares.quanta();
        let mut owners = Vec::new();
        for batch in quanta {
            let ids = uuids(batch, "quantum_id")?;
            let counts = numbers::<Int32Type>(batch, "edges")?;
            for (id, count) in ids.iter().flatten().zip(counts.values()) {
                let count = u32::try_from(*count).map_err(|_| unfit("edges", "counts"))?;
                self.quanta.push(0, id)?;
                self.quanta.push(0, &count.to_le_bytes())?;
                self.shares.add(count)?;
                owners.push(count);
            }
        }
        let mut owners = (u64::from(first)..).zip(owners);
        let (mut owner, mut left) = (0, 0);
        for batch in edges {
            let ids = uuids(batch, "dataset_id")?;
            let roles = roles(batch)?;
            for (id, roles) in ids.iter().flatten().zip(roles) {
                while left == 0 {
                    (owner, left) =
                        owners.next().ok_or_else(|| unfit("edges", "the number of each quantum's edges"))?;
                }
                left -= 1;
                if roles == 0 {
                    return Err(unfit("predicted_input", "at least one role for each edge"));
                }
                self.push(Entry::edge(number(id), owner as u32, roles))?;
            }
        }
        if left != 0 || owners.any(|(_, count)| count != 0) {
            return Err(unfit("edges", "the number of each quantum's edges"));
        }
        for batch in records {
            let ids = uuids(batch, "dataset_id")?;
            let sizes =
                batch.column_by_name("file_size").and_then(|column| column.as_primitive_opt::<Int64Type>());
            let sizes = sizes.ok_or_else(|| unfit("file_size", "64-bit integers"))?;
            for (id, size) in ids.iter().flatten().zip(sizes) {
                // Unknown is nothing, and so is upstream's -1 for it.
                if let Some(size) = size.and_then(|size| u64::try_from(size).ok()) {
                    self.push(Entry::size(number(id), size))?;
                }
            }
        }
        Ok(())
    }

    /// Sorts everything; then the nodes of the index and the bytes of each quantum's datasets can be read.
    pub fn finish(self) -> Result<(Nodes, BytesByRole)> {
        let Self { folder, memory, by_dataset, quanta, shares } = self;
        let placement = shares.placement(memory / 8);
        let sorted = sort_by_dataset(&folder, memory, by_dataset, &placement)?;
        let (lists, bytes) = sort_by_quantum(&folder, quanta, sorted.by_quantum, &placement)?;
        Ok((Nodes::new(sorted.datasets, shares.quanta(), sorted.lists, lists)?, bytes))
    }

    fn push(&mut self, entry: Entry) -> Result<()> {
        self.by_dataset.push(bucket_of(entry.id, 0, u128::BITS), &entry.to_bytes())
    }
}

fn number(id: &[u8]) -> u128 {
    u128::from_be_bytes(id.try_into().expect("the column's width has been looked at"))
}

fn unfit(column: &'static str, expected: &'static str) -> Error {
    Error::UnfitColumn { column, expected }
}

fn uuids<'a>(batch: &'a RecordBatch, name: &'static str) -> Result<&'a FixedSizeBinaryArray> {
    batch
        .column_by_name(name)
        .and_then(|column| column.as_fixed_size_binary_opt())
        .filter(|column| column.value_length() == 16 && column.null_count() == 0)
        .ok_or_else(|| unfit(name, "UUIDs"))
}

fn numbers<'a, T: arrow_array::ArrowPrimitiveType>(
    batch: &'a RecordBatch,
    name: &'static str,
) -> Result<&'a PrimitiveArray<T>> {
    batch
        .column_by_name(name)
        .and_then(|column| column.as_primitive_opt())
        .filter(|column| column.null_count() == 0)
        .ok_or_else(|| unfit(name, "integers"))
}

/// The roles of each edge, as bits: a column of them, or one for each.
fn roles(batch: &RecordBatch) -> Result<Vec<u8>> {
    if batch.column_by_name("roles").is_some() {
        let roles = numbers::<UInt8Type>(batch, "roles")?.values();
        let known = roles.iter().all(|roles| roles >> ROLES == 0);
        return known.then(|| roles.to_vec()).ok_or_else(|| unfit("roles", "a bit for each of five roles"));
    }
    let mut roles = vec![0; batch.num_rows()];
    for (bit, name) in ROLE_COLUMNS.into_iter().enumerate() {
        let column: &BooleanArray = batch
            .column_by_name(name)
            .and_then(|column| column.as_boolean_opt())
            .filter(|column| column.null_count() == 0)
            .ok_or_else(|| unfit(name, "booleans"))?;
        for (role, set) in roles.iter_mut().zip(column.values()) {
            *role |= u8::from(set) << bit;
        }
    }
    debug_assert_eq!(Role::ALL.len(), ROLE_COLUMNS.len());
    Ok(roles)
}
