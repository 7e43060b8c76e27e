//! Edges sorted by dataset, bucket by bucket.

use std::io::{BufReader, Read};
use std::path::Path;

use super::by_quantum::{Mention, Shares};
use super::spill::{STREAM, Spill, SpillReader};
use crate::{DatasetId, Error, Result};

/// Buckets that ids are shared out to.
pub(super) const BUCKETS: usize = 256;

/// An edge of a dataset, or the size of one of its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    pub(super) id: u128,
    /// Of an edge the quantum and, in the lowest byte, the roles; of a file the size, with the highest bit set.
    /// So a dataset's edges come in order of the quanta, and its files after them.
    what: u64,
}

const SIZE: u64 = 1 << 63;

impl Entry {
    const BYTES: usize = 24;

    pub(super) fn edge(id: u128, quantum: u32, roles: u8) -> Self {
        Self { id, what: u64::from(quantum) << 8 | u64::from(roles) }
    }

    pub(super) fn size(id: u128, size: u64) -> Self {
        Self { id, what: SIZE | size }
    }

    pub(super) fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..16].copy_from_slice(&self.id.to_le_bytes());
        bytes[16..].copy_from_slice(&self.what.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        let (id, what) = bytes.split_at(16);
        Self {
            id: u128::from_le_bytes(id.try_into().expect("16 bytes")),
            what: u64::from_le_bytes(what.try_into().expect("8 bytes")),
        }
    }

    fn quantum(self) -> u32 {
        (self.what >> 8) as u32
    }

    fn roles(self) -> u8 {
        self.what as u8
    }
}

/// The bucket for an id, of those from `first` on that are less than 2^`bits` away.
pub(super) fn bucket_of(id: u128, first: u128, bits: u32) -> usize {
    ((id - first) >> bits.saturating_sub(BUCKETS.ilog2())) as usize
}

/// What sorting by dataset gives.
pub(super) struct Sorted {
    /// Number of datasets.
    pub(super) datasets: u32,
    /// Of each dataset the id, the number of its quanta, and each of these and its roles.
    pub(super) lists: Spill,
    /// The same edges for sorting them by quantum.
    pub(super) by_quantum: Spill,
}

/// Sorts the entries, bucket by bucket, and numbers the datasets.
pub(super) fn sort_by_dataset(
    folder: &Path,
    memory: usize,
    entries: Spill,
    placement: &[u32],
) -> Result<Sorted> {
    let buckets = placement.last().map_or(0, |last| *last as usize + 1);
    let by_quantum = Spill::new(folder, buckets, memory / 8);
    let sorted = Sorted { datasets: 0, lists: Spill::new(folder, 1, STREAM), by_quantum };
    let mut sorter = Sorter { folder, memory, placement, sorted };
    sorter.sort_all(entries)?;
    Ok(sorter.sorted)
}

struct Sorter<'a> {
    folder: &'a Path,
    memory: usize,
    placement: &'a [u32],
    sorted: Sorted,
}

impl Sorter<'_> {
    fn sort_all(&mut self, entries: Spill) -> Result<()> {
        for bucket in 0..entries.buckets() {
            // An entry is 24 bytes as it is stored and 32 in memory, and stored bytes are read before.
            if entries.bytes(bucket) <= (self.memory / 8) as u64 {
                self.sort(&entries, bucket)?;
            } else {
                self.split(&entries, bucket)?;
            }
        }
        Ok(())
    }

    /// Shares out anew what is too much at once: ids that begin with the time have much in common.
    fn split(&mut self, entries: &Spill, bucket: usize) -> Result<()> {
        let (mut first, mut last) = (u128::MAX, 0);
        each(entries, bucket, |entry| {
            first = first.min(entry.id);
            last = last.max(entry.id);
            Ok(())
        })?;
        if first == last {
            // A single dataset is one row of the index, and has to be in memory as such, too.
            return self.sort(entries, bucket);
        }
        let bits = u128::BITS - (last - first).leading_zeros();
        let mut parts = Spill::new(self.folder, BUCKETS, self.memory / 4);
        each(entries, bucket, |entry| parts.push(bucket_of(entry.id, first, bits), &entry.to_bytes()))?;
        self.sort_all(parts)
    }

    fn sort(&mut self, spill: &Spill, bucket: usize) -> Result<()> {
        let bytes = spill.load(bucket)?;
        let (chunks, _) = bytes.as_chunks();
        let mut entries: Vec<_> = chunks.iter().map(Entry::from_bytes).collect();
        drop(bytes);
        entries.sort_unstable();
        entries.chunk_by(|a, b| a.id == b.id).try_for_each(|entries| self.dataset(entries))
    }

    /// Takes the entries of one dataset.
    fn dataset(&mut self, entries: &[Entry]) -> Result<()> {
        let (edges, sizes) = entries.split_at(entries.partition_point(|entry| entry.what < SIZE));
        if edges.is_empty() {
            // A file of a dataset that no quantum has is not in the graph.
            return Ok(());
        }
        let id = entries[0].id;
        let size = sizes.iter().fold(0_u64, |sum, entry| sum.saturating_add(entry.what & !SIZE));
        let Sorted { datasets: row, lists, by_quantum } = &mut self.sorted;
        let count = u32::try_from(edges.len()).map_err(|_| Error::TooManyNodes)?;
        lists.push(0, &id.to_be_bytes())?;
        lists.push(0, &count.to_le_bytes())?;
        let mut before = None;
        for edge in edges {
            let (quantum, roles) = (edge.quantum(), edge.roles());
            if before.replace(quantum) == Some(quantum) {
                return Err(Error::RepeatedEdge { dataset: DatasetId::Uuid(id).to_string(), quantum });
            }
            let [a, b, c, d] = quantum.to_le_bytes();
            lists.push(0, &[a, b, c, d, roles])?;
            let mention = Mention { quantum, dataset: *row, roles, size };
            by_quantum.push(self.placement[Shares::block(quantum)] as usize, &mention.to_bytes())?;
        }
        *row = row.checked_add(1).ok_or(Error::TooManyNodes)?;
        Ok(())
    }
}

/// Goes through a bucket that may not fit into memory.
fn each(entries: &Spill, bucket: usize, mut visit: impl FnMut(Entry) -> Result<()>) -> Result<()> {
    let mut reader = BufReader::with_capacity(STREAM, SpillReader::new(entries, bucket));
    let mut bytes = [0; Entry::BYTES];
    for _ in 0..entries.bytes(bucket) / Entry::BYTES as u64 {
        reader.read_exact(&mut bytes).map_err(|error| entries.error(&error))?;
        visit(Entry::from_bytes(&bytes))?;
    }
    Ok(())
}
