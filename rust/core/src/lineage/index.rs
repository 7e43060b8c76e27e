//! The index as it is read: nothing is taken on trust, and nothing is looked at before it is needed.

use std::cmp::Ordering;
use std::fmt::Display;
use std::ops::Range;
use std::sync::OnceLock;

use arrow_array::cast::AsArray;
use arrow_array::types::{UInt8Type, UInt32Type};
use arrow_array::{Array, FixedSizeBinaryArray, ListArray, RecordBatch, UInt8Array, UInt32Array};
use arrow_schema::Schema;
use hashbrown::HashMap;

use super::{ANY_ROLE, BATCH, FORMAT, ROLES, Role};
use crate::{DatasetId, Error, Result, parallel};

/// Batches whose ids are worth a thread of their own.
const SHARE: usize = 16;

/// The bit of a role.
pub(crate) fn bit(role: Role) -> u8 {
    const { assert!(ROLES <= 8) };
    1 << role as u8
}

/// The index of an archive.
pub struct LineageIndex {
    datasets: u32,
    nodes: u32,
    parts: Vec<Part>,
    /// Whether the dataset ids ascend, as soon as somebody had to know.
    in_order: OnceLock<bool>,
}

/// The columns of one record batch.
struct Part {
    ids: FixedSizeBinaryArray,
    lists: ListArray,
    rows: UInt32Array,
    roles: UInt8Array,
}

/// The neighbours of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neighbours<'a> {
    /// Their rows, ascending.
    pub rows: &'a [u32],
    /// The roles that tie the node to each of them.
    pub roles: &'a [u8],
}

impl<'a> Neighbours<'a> {
    /// Those that have one of these roles.
    pub fn in_roles(self, roles: u8) -> impl Iterator<Item = u32> + 'a {
        let pairs = self.rows.iter().zip(self.roles);
        pairs.filter(move |(_, role)| **role & roles != 0).map(|(row, _)| *row)
    }
}

impl LineageIndex {
    /// The index with that schema and those batches.
    pub fn new(schema: &Schema, batches: &[RecordBatch]) -> Result<Self> {
        let number = |key| {
            let text = schema.metadata().get(key);
            text.and_then(|text| text.parse::<u32>().ok())
                .ok_or_else(|| damaged(format_args!("its metadata has no number for {key}")))
        };
        if number("format")? != FORMAT {
            return Err(damaged("it is of another format, or of a newer release"));
        }
        let (datasets, quanta) = (number("datasets")?, number("quanta")?);
        let parts = batches.iter().map(Part::new).collect::<Result<Vec<_>>>()?;
        let rows = |part: &Part| part.ids.len();
        let full = parts.split_last().is_none_or(|(last, others)| {
            others.iter().all(|part| rows(part) == BATCH) && rows(last) <= BATCH
        });
        if !full {
            return Err(damaged(format_args!("its record batches are not of {BATCH} rows")));
        }
        let nodes = datasets.checked_add(quanta).ok_or(Error::TooManyNodes)?;
        if parts.iter().map(|part| rows(part) as u64).sum::<u64>() != u64::from(nodes) {
            return Err(damaged("it does not have the rows that its metadata tells of"));
        }
        Ok(Self { datasets, nodes, parts, in_order: OnceLock::new() })
    }

    /// Number of datasets, which are the first rows.
    pub fn datasets(&self) -> u32 {
        self.datasets
    }

    /// Number of quanta, which are the other rows.
    pub fn quanta(&self) -> u32 {
        self.nodes - self.datasets
    }

    /// Number of rows.
    pub fn nodes(&self) -> u32 {
        self.nodes
    }

    /// The id in a row that exists.
    pub fn id(&self, row: u32) -> u128 {
        let (part, row) = self.part(row);
        u128::from_be_bytes(part.ids.value(row).try_into().expect("the column has UUIDs"))
    }

    /// The row of a dataset.
    pub fn dataset(&self, id: u128) -> Result<Option<u32>> {
        let row = self.search(id)?;
        // Where ids are in disorder, the search may have missed it; what a quantum has is no dataset's.
        if row.is_none() && !self.is_known_to_ascend() && self.quantum(id).is_none() {
            self.require_order()?;
        }
        Ok(row)
    }

    /// The rows of datasets.
    pub fn find_datasets(&self, ids: &[u128]) -> Result<Vec<Option<u32>>> {
        let rows = ids.iter().map(|id| self.search(*id)).collect::<Result<Vec<_>>>()?;
        if !self.is_known_to_ascend() {
            let missed = ids.iter().zip(&rows).filter(|(_, row)| row.is_none());
            let missed: Vec<_> = missed.map(|(id, _)| *id).collect();
            if self.find_quanta(&missed).iter().any(Option::is_none) {
                self.require_order()?;
            }
        }
        Ok(rows)
    }

    /// The row that a dataset has if all ids ascend.
    fn search(&self, id: u128) -> Result<Option<u32>> {
        let (mut low, mut high) = (0, self.datasets);
        // What was found to be less and to be greater than the id.
        let (mut less, mut greater) = (None, None);
        while low < high {
            let middle = low + (high - low) / 2;
            let found = self.id(middle);
            if less.is_some_and(|less| found <= less) || greater.is_some_and(|greater| found >= greater) {
                return Err(in_disorder());
            }
            match found.cmp(&id) {
                Ordering::Equal => return Ok(Some(middle)),
                Ordering::Less => (low, less) = (middle + 1, Some(found)),
                Ordering::Greater => (high, greater) = (middle, Some(found)),
            }
        }
        Ok(None)
    }

    fn is_known_to_ascend(&self) -> bool {
        self.in_order.get() == Some(&true)
    }

    /// Fails if the dataset ids do not ascend; they are all looked at once at most.
    pub(super) fn require_order(&self) -> Result<()> {
        let in_order = self.in_order.get_or_init(|| {
            let parts = (self.datasets as usize).div_ceil(BATCH);
            let ascend = parallel::shares(parts, SHARE, |parts| {
                // The first id of a share is compared with the last before it.
                let first = (parts.start * BATCH).saturating_sub(1) as u32;
                let last = ((parts.end * BATCH) as u64).min(u64::from(self.datasets)) as u32;
                let mut before = None;
                self.ids(first..last).all(|ids| {
                    let follows = before.is_none_or(|before| ids.first().is_none_or(|id| before < id));
                    before = ids.last();
                    follows && ids.is_sorted_by(|a, b| u128::from_be_bytes(*a) < u128::from_be_bytes(*b))
                })
            });
            ascend.into_iter().all(|share| share)
        });
        if *in_order { Ok(()) } else { Err(in_disorder()) }
    }

    /// The row of a quantum.
    pub fn quantum(&self, id: u128) -> Option<u32> {
        let wanted = id.to_be_bytes();
        let mut first = self.datasets;
        self.ids(self.datasets..self.nodes).find_map(|ids| {
            let place = ids.iter().position(|one| *one == wanted);
            let row = place.map(|place| first + place as u32);
            first += ids.len() as u32;
            row
        })
    }

    /// The rows of quanta, found in one pass over all of them.
    pub fn find_quanta(&self, ids: &[u128]) -> Vec<Option<u32>> {
        if let [id] = ids {
            return vec![self.quantum(*id)];
        }
        let mut found: HashMap<[u8; 16], Option<u32>> =
            ids.iter().map(|id| (id.to_be_bytes(), None)).collect();
        if !found.is_empty() {
            let all = self.ids(self.datasets..self.nodes).flatten();
            for (row, id) in (self.datasets..).zip(all) {
                if let Some(place) = found.get_mut(id) {
                    place.get_or_insert(row);
                }
            }
        }
        ids.iter().map(|id| found[&id.to_be_bytes()]).collect()
    }

    /// The ids in rows that exist, batch by batch.
    fn ids(&self, rows: Range<u32>) -> impl Iterator<Item = &[[u8; 16]]> {
        let (start, stop) = (rows.start as usize, rows.end as usize);
        let parts = if start < stop { start / BATCH..stop.div_ceil(BATCH) } else { 0..0 };
        parts.map(move |number| {
            let (ids, _) = self.parts[number].ids.value_data().as_chunks();
            let first = number * BATCH;
            &ids[start.saturating_sub(first)..(stop - first).min(ids.len())]
        })
    }

    /// The neighbours of a row that exists.
    pub fn neighbours(&self, row: u32) -> Result<Neighbours<'_>> {
        let wrong = |what: &str| {
            let kind = if row < self.datasets { "dataset" } else { "quantum" };
            damaged(format_args!("the list of {kind} {} {what}", DatasetId::Uuid(self.id(row))))
        };
        let (part, at) = self.part(row);
        let offsets = part.lists.value_offsets();
        let place = |offset: i32| usize::try_from(offset).ok();
        let range =
            match (offsets.get(at).copied().and_then(place), offsets.get(at + 1).copied().and_then(place)) {
                (Some(start), Some(end)) if start <= end => start..end,
                _ => return Err(wrong("has no valid place")),
            };
        let (rows, roles) = (part.rows.values().get(range.clone()), part.roles.values().get(range));
        let (Some(rows), Some(roles)) = (rows, roles) else {
            return Err(wrong("has no valid place"));
        };
        if !rows.is_sorted_by(|a, b| a < b) {
            return Err(wrong("is not in ascending order"));
        }
        let others = if row < self.datasets { self.datasets..self.nodes } else { 0..self.datasets };
        if let (Some(first), Some(last)) = (rows.first(), rows.last())
            && !(others.contains(first) && others.contains(last))
        {
            return Err(wrong("has rows of the wrong kind"));
        }
        if roles.iter().any(|roles| *roles == 0 || *roles & !ANY_ROLE != 0) {
            return Err(wrong("has roles that are none"));
        }
        Ok(Neighbours { rows, roles })
    }

    /// The first quantum that wrote the dataset in that row or, if there is none, was to write it.
    pub fn writer(&self, row: u32) -> Result<Option<u32>> {
        let neighbours = self.neighbours(row)?;
        let of = |role| neighbours.in_roles(bit(role)).next();
        Ok(of(Role::ActualOutputs).or_else(|| of(Role::PredictedOutputs)))
    }

    /// Whether a quantum wrote the dataset in that row.
    pub fn is_written(&self, row: u32) -> Result<bool> {
        Ok(self.neighbours(row)?.in_roles(bit(Role::ActualOutputs)).next().is_some())
    }

    /// Fails if the list of a neighbour does not have the same edge.
    pub(super) fn confirm(&self, row: u32, neighbour: u32, roles: u8) -> Result<()> {
        let back = self.neighbours(neighbour)?;
        match back.rows.binary_search(&row) {
            Ok(place) if back.roles[place] & roles != 0 => Ok(()),
            _ => {
                let [a, b] = [row, neighbour].map(|row| DatasetId::Uuid(self.id(row)));
                Err(damaged(format_args!("only one of {a} and {b} has the edge between them")))
            }
        }
    }

    fn part(&self, row: u32) -> (&Part, usize) {
        (&self.parts[row as usize / BATCH], row as usize % BATCH)
    }
}

impl Part {
    fn new(batch: &RecordBatch) -> Result<Self> {
        let column = |name| {
            let column = batch.column_by_name(name).filter(|column| column.null_count() == 0);
            column.ok_or_else(|| unfit(name))
        };
        let ids = column("id")?.as_fixed_size_binary_opt().filter(|ids| ids.value_length() == 16);
        let lists = column("neighbours")?.as_list_opt::<i32>();
        let neighbours = lists.and_then(|lists| lists.values().as_struct_opt());
        let neighbours = neighbours.filter(|neighbours| neighbours.null_count() == 0);
        let part = |name| {
            let part = neighbours.and_then(|neighbours| neighbours.column_by_name(name));
            part.filter(|part| part.null_count() == 0)
        };
        let rows = part("row").and_then(|rows| rows.as_primitive_opt::<UInt32Type>());
        let roles = part("roles").and_then(|roles| roles.as_primitive_opt::<UInt8Type>());
        match (ids, lists, rows, roles) {
            (Some(ids), Some(lists), Some(rows), Some(roles)) => {
                Ok(Self { ids: ids.clone(), lists: lists.clone(), rows: rows.clone(), roles: roles.clone() })
            }
            (None, ..) => Err(unfit("id")),
            _ => Err(unfit("neighbours")),
        }
    }
}

fn in_disorder() -> Error {
    damaged("its dataset ids are not in ascending order")
}

fn unfit(column: &str) -> Error {
    damaged(format_args!("its column {column} is missing or not what it should be"))
}

/// The error for an index that does not hold together.
pub(super) fn damaged(what: impl Display) -> Error {
    Error::DamagedIndex { what: what.to_string() }
}
