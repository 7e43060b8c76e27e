//! Edges sorted by quantum, and the bytes of each quantum's datasets.

use std::io::{BufReader, Read};
use std::path::Path;
use std::sync::{Arc, LazyLock};

use arrow_array::{ArrayRef, Int64Array, RecordBatch, RecordBatchOptions};
use arrow_schema::{DataType, Field, Schema, SchemaRef};

use super::spill::{STREAM, Spill, SpillReader};
use super::{ArrowResult, BATCH, ROLES, Role};
use crate::{Error, Result};

/// An edge on its way from its dataset to its quantum.
pub(super) struct Mention {
    pub(super) quantum: u32,
    pub(super) dataset: u32,
    pub(super) roles: u8,
    /// Bytes of the dataset.
    pub(super) size: u64,
}

impl Mention {
    const BYTES: usize = 17;

    pub(super) fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..4].copy_from_slice(&self.quantum.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.dataset.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.size.to_le_bytes());
        bytes[16] = self.roles;
        bytes
    }

    fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        let (numbers, size) = bytes.split_at(8);
        let numbers = u64::from_le_bytes(numbers.try_into().expect("8 bytes"));
        Self {
            quantum: numbers as u32,
            dataset: (numbers >> 32) as u32,
            roles: bytes[16],
            size: u64::from_le_bytes(*size.first_chunk().expect("8 bytes")),
        }
    }
}

/// How many edges the quanta have, block by block, so that buckets of them can be of equal size.
#[derive(Default)]
pub(super) struct Shares {
    quanta: u32,
    edges: Vec<u64>,
}

impl Shares {
    /// The block of a quantum.
    pub(super) fn block(quantum: u32) -> usize {
        (quantum >> 12) as usize
    }

    pub(super) fn add(&mut self, edges: u32) -> Result<()> {
        let block = Self::block(self.quanta);
        if block == self.edges.len() {
            self.edges.push(0);
        }
        self.edges[block] += u64::from(edges);
        self.quanta = self.quanta.checked_add(1).ok_or(Error::TooManyNodes)?;
        Ok(())
    }

    /// Number of quanta so far.
    pub(super) fn quanta(&self) -> u32 {
        self.quanta
    }

    /// The bucket of each block, if a bucket is to take `memory` bytes.
    pub(super) fn placement(&self, memory: usize) -> Vec<u32> {
        let most = (memory / Mention::BYTES) as u64;
        let (mut bucket, mut filled) = (0, 0);
        let place = |edges: &u64| {
            if filled > 0 && filled + edges > most {
                (bucket, filled) = (bucket + 1, 0);
            }
            filled += edges;
            bucket
        };
        self.edges.iter().map(place).collect()
    }
}

/// Sorts the mentions, which come in order of the datasets, into lists like those of the datasets.
pub(super) fn sort_by_quantum(
    folder: &Path,
    quanta: Spill,
    mentions: Spill,
    placement: &[u32],
) -> Result<(Spill, BytesByRole)> {
    let mut heads = Heads(BufReader::with_capacity(STREAM, SpillReader::new(&quanta, 0)));
    let mut lists = Spill::new(folder, 1, STREAM);
    let mut bytes = Spill::new(folder, 1, STREAM);
    let total = quanta.bytes(0) / Head::BYTES as u64;
    let mut first = 0;
    for (bucket, blocks) in placement.chunk_by(|a, b| a == b).enumerate() {
        let last = total.min(u64::from(first) + ((blocks.len() as u64) << 12));
        let heads = (u64::from(first)..last).map(|_| heads.read());
        let heads = heads.collect::<std::io::Result<Vec<_>>>().map_err(|error| quanta.error(&error))?;
        let sorted = Bucket::new(first, &heads, &mentions.load(bucket)?);
        sorted.write(&heads, &mut lists, &mut bytes)?;
        first = last as u32;
    }
    Ok((lists, BytesByRole::new(bytes)))
}

/// The beginning of a quantum's list.
struct Head {
    bytes: [u8; Self::BYTES],
}

impl Head {
    const BYTES: usize = 20;

    fn edges(&self) -> usize {
        u32::from_le_bytes(*self.bytes.last_chunk().expect("4 bytes")) as usize
    }
}

struct Heads<R>(R);

impl<R: Read> Heads<R> {
    fn read(&mut self) -> std::io::Result<Head> {
        let mut bytes = [0; Head::BYTES];
        self.0.read_exact(&mut bytes)?;
        Ok(Head { bytes })
    }
}

/// The lists of quanta that follow each other.
struct Bucket {
    /// Datasets and roles, five bytes each, quantum by quantum.
    neighbours: Vec<[u8; 5]>,
    bytes: Vec<[u64; ROLES]>,
}

impl Bucket {
    fn new(first: u32, heads: &[Head], mentions: &[u8]) -> Self {
        let mut sum = 0;
        let place = |head: &Head| {
            let place = sum;
            sum += head.edges();
            place
        };
        let mut places: Vec<_> = heads.iter().map(place).collect();
        let mut neighbours = vec![[0; 5]; sum];
        let mut bytes = vec![[0_u64; ROLES]; heads.len()];
        let (mentions, _) = mentions.as_chunks();
        for mention in mentions.iter().map(Mention::from_bytes) {
            let quantum = (mention.quantum - first) as usize;
            let [a, b, c, d] = mention.dataset.to_le_bytes();
            neighbours[places[quantum]] = [a, b, c, d, mention.roles];
            places[quantum] += 1;
            for (role, bytes) in bytes[quantum].iter_mut().enumerate() {
                if mention.roles & 1 << role != 0 {
                    *bytes = bytes.saturating_add(mention.size);
                }
            }
        }
        Self { neighbours, bytes }
    }

    fn write(&self, heads: &[Head], lists: &mut Spill, bytes: &mut Spill) -> Result<()> {
        let mut rest = self.neighbours.as_slice();
        for (head, sums) in heads.iter().zip(&self.bytes) {
            let (neighbours, after) = rest.split_at(head.edges());
            rest = after;
            lists.push(0, &head.bytes)?;
            lists.push(0, neighbours.as_flattened())?;
            for sum in sums {
                bytes.push(0, &sum.to_le_bytes())?;
            }
        }
        Ok(())
    }
}

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let name = |role: Role| format!("{}_bytes", role.name());
    let field = |role| Field::new(name(role), DataType::Int64, false);
    Arc::new(Schema::new(Role::ALL.map(field).to_vec()))
});

/// The bytes of each quantum's datasets, by role; record batches in order of the quanta.
pub struct BytesByRole {
    reader: BufReader<SpillReader<Spill>>,
    left: u64,
}

impl BytesByRole {
    fn new(spill: Spill) -> Self {
        let left = spill.bytes(0) / (8 * ROLES) as u64;
        Self { reader: BufReader::with_capacity(STREAM, SpillReader::new(spill, 0)), left }
    }

    /// The schema of the batches: the columns of `quanta.parquet` with these bytes.
    pub fn schema() -> SchemaRef {
        SCHEMA.clone()
    }

    fn batch(&mut self, rows: usize) -> ArrowResult<RecordBatch> {
        let mut columns = [const { Vec::new() }; ROLES];
        for _ in 0..rows {
            for column in &mut columns {
                let mut sum = [0; 8];
                self.reader.read_exact(&mut sum)?;
                column.push(i64::try_from(u64::from_le_bytes(sum)).unwrap_or(i64::MAX));
            }
        }
        let columns = columns.map(|column| Arc::new(Int64Array::from(column)) as ArrayRef);
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Self::schema(), columns.to_vec(), &options)
    }
}

impl Iterator for BytesByRole {
    type Item = ArrowResult<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let rows = self.left.min(BATCH as u64) as usize;
        self.left -= rows as u64;
        (rows > 0).then(|| self.batch(rows))
    }
}
