//! The nodes of the index, datasets and then quanta, as record batches.

use std::collections::VecDeque;
use std::io::{self, BufReader, Read};
use std::sync::Arc;

use arrow_array::{
    ArrayRef, FixedSizeBinaryArray, ListArray, RecordBatch, StructArray, UInt8Array, UInt32Array,
};
use arrow_buffer::{Buffer, OffsetBuffer};
use arrow_schema::{ArrowError, DataType, Metadata, SchemaRef};

use super::spill::{STREAM, Spill, SpillReader};
use super::{ArrowResult, BATCH, FORMAT, lineage_schema};
use crate::{Error, Result};

/// Lists of nodes and, until they are asked for, nothing of them in memory.
pub struct Nodes {
    schema: SchemaRef,
    /// Readers of lists, how many are left in each, and what is to be added to the numbers in them.
    stages: VecDeque<(BufReader<SpillReader<Spill>>, u32, u32)>,
}

impl Nodes {
    pub(super) fn new(datasets: u32, quanta: u32, of_datasets: Spill, of_quanta: Spill) -> Result<Self> {
        datasets.checked_add(quanta).ok_or(Error::TooManyNodes)?;
        let metadata = [("format", FORMAT), ("datasets", datasets), ("quanta", quanta)];
        let metadata = metadata.map(|(key, value)| (key.to_owned(), value.to_string()));
        let metadata: Metadata = metadata.into_iter().collect();
        let schema = lineage_schema().as_ref().clone().with_metadata(metadata);
        let stage = |lists, count, added| {
            (BufReader::with_capacity(STREAM, SpillReader::new(lists, 0)), count, added)
        };
        let stages = [stage(of_datasets, datasets, datasets), stage(of_quanta, quanta, 0)];
        Ok(Self { schema: Arc::new(schema), stages: stages.into() })
    }

    /// The schema, with the numbers of datasets and quanta in its metadata.
    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn batch(&mut self) -> ArrowResult<Option<RecordBatch>> {
        let mut batch = Batch::default();
        while batch.rows() < BATCH {
            let Some((reader, left, added)) = self.stages.front_mut() else { break };
            if *left == 0 {
                self.stages.pop_front();
                continue;
            }
            *left -= 1;
            batch.read(reader, *added)?;
        }
        if batch.rows() == 0 { Ok(None) } else { batch.finish(self.schema.clone()).map(Some) }
    }
}

impl Iterator for Nodes {
    type Item = ArrowResult<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        self.batch().transpose()
    }
}

#[derive(Default)]
struct Batch {
    ids: Vec<u8>,
    lengths: Vec<usize>,
    rows: Vec<u32>,
    roles: Vec<u8>,
    /// Kept for its memory.
    list: Vec<u8>,
}

impl Batch {
    fn rows(&self) -> usize {
        self.lengths.len()
    }

    /// Takes one list.
    fn read(&mut self, reader: &mut impl Read, added: u32) -> io::Result<()> {
        let mut head = [0; 20];
        reader.read_exact(&mut head)?;
        let (id, length) = head.split_at(16);
        let length = u32::from_le_bytes(length.try_into().expect("4 bytes")) as usize;
        self.ids.extend_from_slice(id);
        self.lengths.push(length);
        self.list.resize(5 * length, 0);
        reader.read_exact(&mut self.list)?;
        let (neighbours, _) = self.list.as_chunks();
        for [a, b, c, d, roles] in neighbours {
            self.rows.push(u32::from_le_bytes([*a, *b, *c, *d]) + added);
            self.roles.push(*roles);
        }
        Ok(())
    }

    fn finish(self, schema: SchemaRef) -> ArrowResult<RecordBatch> {
        if i32::try_from(self.rows.len()).is_err() {
            let many = format!("{BATCH} nodes of the lineage index have more than 2^31 edges");
            return Err(ArrowError::InvalidArgumentError(many));
        }
        let DataType::List(item) = schema.field(1).data_type() else { unreachable!("the schema is ours") };
        let DataType::Struct(fields) = item.data_type() else { unreachable!("the schema is ours") };
        let columns: [ArrayRef; 2] =
            [Arc::new(UInt32Array::from(self.rows)), Arc::new(UInt8Array::from(self.roles))];
        let neighbours = StructArray::try_new(fields.clone(), columns.to_vec(), None)?;
        let offsets = OffsetBuffer::from_lengths(self.lengths);
        let lists = ListArray::try_new(item.clone(), offsets, Arc::new(neighbours), None)?;
        let ids = FixedSizeBinaryArray::try_new(16, Buffer::from_vec(self.ids), None)?;
        RecordBatch::try_new(schema.clone(), vec![Arc::new(ids), Arc::new(lists)])
    }
}
