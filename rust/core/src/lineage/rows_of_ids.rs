//! Rows of ids among others, and who has written datasets: many at a time, for whoever writes an archive.

use std::ops::Range;

use hashbrown::HashMap;

use super::index::LineageIndex;
use crate::Result;

/// An id as columns have it.
type Id = [u8; 16];

/// In place of a row: there is none with that id.
pub const NO_ROW: u32 = u32::MAX;

/// The row of each wanted id among others, each of which is there once.
pub fn rows_of_ids(ids: &[Id], wanted: &[Id]) -> Vec<u32> {
    let known: HashMap<u128, u32> = (0..).zip(ids).map(|(row, id)| (u128::from_be_bytes(*id), row)).collect();
    let row = |id: &Id| known.get(&u128::from_be_bytes(*id)).copied().unwrap_or(NO_ROW);
    wanted.iter().map(row).collect()
}

/// How many of some ascending ids are not greater, for each wanted one.
pub fn ranges_of_ids(bounds: &[Id], wanted: &[Id]) -> Vec<u32> {
    let bounds: Vec<_> = bounds.iter().map(|id| u128::from_be_bytes(*id)).collect();
    let range = |id: &Id| bounds.partition_point(|bound| *bound <= u128::from_be_bytes(*id)) as u32;
    wanted.iter().map(range).collect()
}

impl LineageIndex {
    /// Of datasets in some rows, who has written each or was to, and whether it is written.
    pub fn producers(&self, rows: Range<u32>) -> Result<Vec<Option<(u128, bool)>>> {
        let producer = |row| {
            let Some(writer) = self.writer(row)? else { return Ok(None) };
            Ok(Some((self.id(writer), self.is_written(row)?)))
        };
        rows.map(producer).collect()
    }
}
