//! Inputs that quanta of two sides do not share.

use std::cmp::Ordering;

use arrow_array::cast::AsArray;
use arrow_array::types::{UInt8Type, UInt32Type};
use arrow_array::{Array, ListArray, RecordBatch, UInt8Array, UInt32Array};

use super::partners::NO_PARTNER;
use crate::lineage::role_bit;
use crate::provenance::Field as Role;
use crate::{Error, Result, parallel};

/// Quanta that are worth a thread of their own.
const SHARE: usize = 1 << 14;

/// The datasets of quanta: rows of the datasets, ascending, and the roles that they have.
pub struct Lists {
    parts: Vec<Part>,
    /// The first quantum of each part.
    starts: Vec<usize>,
}

struct Part {
    lists: ListArray,
    rows: UInt32Array,
    roles: UInt8Array,
}

/// A quantum of both sides.
#[derive(Debug, Clone, Copy)]
pub struct QuantumPair {
    /// Its rows, left and right.
    pub rows: [u32; 2],
    /// Whether it is known on both sides what it has used; else what was predicted counts.
    pub is_actual: bool,
}

/// An input that a quantum has on one side only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoneInput {
    /// Which of the pairs.
    pub pair: u32,
    /// The row of the dataset on its side.
    pub dataset: u32,
}

impl Lists {
    /// Those of some batches, whose only column has lists as the lineage index does.
    pub fn new(batches: &[RecordBatch]) -> Result<Self> {
        let parts = batches.iter().map(Part::new).collect::<Result<Vec<_>>>()?;
        let mut stop = 0;
        let starts = parts.iter().map(|part| {
            let start = stop;
            stop += part.lists.len();
            start
        });
        let starts = starts.collect();
        Ok(Self { parts, starts })
    }

    /// Rows and roles of one quantum's datasets, of which there have to be so many.
    fn of(&self, quantum: u32, datasets: usize) -> Result<(&[u32], &[u8])> {
        let found = self.find(quantum as usize).filter(|(rows, _)| {
            rows.is_sorted_by(|a, b| a < b) && rows.last().is_none_or(|last| (*last as usize) < datasets)
        });
        found.ok_or_else(|| damaged(format!("the list of quantum {quantum} is not what it should be")))
    }

    fn find(&self, quantum: usize) -> Option<(&[u32], &[u8])> {
        let number = self.starts.partition_point(|start| *start <= quantum).checked_sub(1)?;
        let (part, place) = (&self.parts[number], quantum - self.starts[number]);
        let offsets = part.lists.value_offsets();
        let offset = |place: usize| offsets.get(place).and_then(|offset| usize::try_from(*offset).ok());
        let range = offset(place)?..offset(place + 1)?;
        Some((part.rows.values().get(range.clone())?, part.roles.values().get(range)?))
    }
}

impl Part {
    fn new(batch: &RecordBatch) -> Result<Self> {
        let lists = batch.columns().first().and_then(|column| column.as_list_opt::<i32>());
        let lists = lists.filter(|lists| lists.null_count() == 0);
        let fields = lists.and_then(|lists| lists.values().as_struct_opt());
        let rows = fields.and_then(|fields| fields.column_by_name("row")?.as_primitive_opt::<UInt32Type>());
        let roles = fields.and_then(|fields| fields.column_by_name("roles")?.as_primitive_opt::<UInt8Type>());
        match (lists, rows, roles) {
            (Some(lists), Some(rows), Some(roles)) => {
                Ok(Self { lists: lists.clone(), rows: rows.clone(), roles: roles.clone() })
            }
            _ => Err(damaged("its lists are not what they should be".to_owned())),
        }
    }
}

/// Inputs that quanta have on the left only, and on the right only, each in the order of their rows there.
///
/// `partners` has for each dataset, left and right, its row on the other side.
pub fn lone_inputs(
    sides: [&Lists; 2],
    pairs: &[QuantumPair],
    partners: [&[u32]; 2],
) -> Result<[Vec<LoneInput>; 2]> {
    let shares = parallel::shares(pairs.len(), SHARE, |share| {
        let mut found = [Vec::new(), Vec::new()];
        let mut of_right = Vec::new();
        for number in share {
            let pair = pairs[number];
            let (left, roles) = sides[0].of(pair.rows[0], partners[0].len())?;
            let (right, right_roles) = sides[1].of(pair.rows[1], partners[1].len())?;
            let wanted = role_bit(if pair.is_actual { Role::ActualInputs } else { Role::PredictedInputs });
            let mut note = |side: usize, dataset| {
                found[side].push(LoneInput { pair: number as u32, dataset });
            };
            of_right.clear();
            for (dataset, _) in right.iter().zip(right_roles).filter(|(_, roles)| **roles & wanted != 0) {
                match partners[1][*dataset as usize] {
                    NO_PARTNER => note(1, *dataset),
                    partner => of_right.push((partner, *dataset)),
                }
            }
            of_right.sort_unstable();
            let mut there = of_right.iter().peekable();
            for (dataset, _) in left.iter().zip(roles).filter(|(_, roles)| **roles & wanted != 0) {
                while let Some((_, lone)) = there.next_if(|(partner, _)| partner < dataset) {
                    note(1, *lone);
                }
                match there.peek().map(|(partner, _)| partner.cmp(dataset)) {
                    Some(Ordering::Equal) => _ = there.next(),
                    _ => note(0, *dataset),
                }
            }
            there.for_each(|(_, lone)| note(1, *lone));
        }
        Ok(found)
    });
    let mut found = [Vec::new(), Vec::new()];
    for share in shares {
        for (all, some) in found.iter_mut().zip(share?) {
            all.extend(some);
        }
    }
    for (side, found) in found.iter_mut().enumerate() {
        found.sort_unstable_by_key(|one| (pairs[one.pair as usize].rows[side], one.dataset));
    }
    Ok(found)
}

fn damaged(what: String) -> Error {
    Error::DamagedIndex { what }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, StructArray};
    use arrow_buffer::OffsetBuffer;
    use arrow_schema::{DataType, Field};

    use super::*;

    /// Lists of rows with roles, one for each quantum, in two batches.
    fn lists(quanta: &[&[(u32, u8)]]) -> Lists {
        let (first, second) = quanta.split_at(quanta.len() / 2);
        Lists::new(&[batch(first), batch(second)]).unwrap()
    }

    fn batch(quanta: &[&[(u32, u8)]]) -> RecordBatch {
        let all = || quanta.iter().copied().flatten();
        let fields = [("row", DataType::UInt32), ("roles", DataType::UInt8)];
        let fields = fields.map(|(name, kind)| Arc::new(Field::new(name, kind, false)));
        let columns: [ArrayRef; 2] = [
            Arc::new(all().map(|(row, _)| *row).collect::<UInt32Array>()),
            Arc::new(all().map(|(_, roles)| *roles).collect::<UInt8Array>()),
        ];
        let values = fields.into_iter().zip(columns).collect::<Vec<_>>();
        let values = StructArray::from(values);
        let item = Arc::new(Field::new("item", values.data_type().clone(), false));
        let offsets = OffsetBuffer::from_lengths(quanta.iter().map(|one| one.len()));
        let lists: ArrayRef = Arc::new(ListArray::new(item, offsets, Arc::new(values), None));
        RecordBatch::try_from_iter([("datasets", lists)]).unwrap()
    }

    fn input(pair: u32, dataset: u32) -> LoneInput {
        LoneInput { pair, dataset }
    }

    #[test]
    fn inputs_of_one_side_are_told_by_role() {
        let (used, planned) = (role_bit(Role::ActualInputs), role_bit(Role::PredictedInputs));
        // Datasets 0 to 3 are 3 to 0 on the right; 4 is on either side alone.
        let partners = [3, 2, 1, 0, NO_PARTNER];
        let left = lists(&[&[(0, used | planned), (1, planned), (4, used)], &[(2, planned), (3, used)]]);
        let right = lists(&[&[(0, used)], &[(2, used | planned), (3, used), (4, planned)]]);
        let pair = |left, right, is_actual| QuantumPair { rows: [left, right], is_actual };
        let pairs = [pair(1, 0, true), pair(0, 1, true), pair(0, 1, false)];
        let found = lone_inputs([&left, &right], &pairs, [&partners, &partners]).unwrap();
        // Left 3 is right 0. Left 0 is right 3, and right 2, which is left 1, was only planned on the left.
        assert_eq!(found[0], [input(2, 0), input(1, 4)]);
        assert_eq!(found[1], [input(1, 2), input(2, 4)]);
    }

    #[test]
    fn damaged_lists_are_refused() {
        let used = role_bit(Role::ActualInputs);
        let pairs = [QuantumPair { rows: [0, 0], is_actual: true }];
        let fit = lists(&[&[(0, used)]]);
        for damaged in [lists(&[&[(1, used)]]), lists(&[&[(0, used), (0, used)]]), lists(&[])] {
            assert!(lone_inputs([&fit, &damaged], &pairs, [&[0], &[0]]).is_err());
            assert!(lone_inputs([&damaged, &fit], &pairs, [&[0], &[0]]).is_err());
        }
    }
}
