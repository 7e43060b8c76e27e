//! Tables of addresses (`.addr`): which id has blocks where. They are searched in the file.

use super::container::{Container, Member};
use crate::Result;

/// Bytes of an id.
const ID: usize = 16;

/// Rows that are read at once at the end of a search, in bytes.
const PAGE: usize = 4096;

/// Bytes that are read at once when all rows are.
const CHUNK: usize = 1 << 20;

/// Where a block lies in its member; its size includes that of the number in front of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) offset: u64,
    pub(super) size: u64,
}

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) id: u128,
    pub(super) index: u64,
    addresses: Vec<Address>,
}

impl Row {
    /// The address of a kind of block; `None` if the id has none.
    pub(super) fn address(&self, kind: usize) -> Option<Address> {
        self.addresses.get(kind).copied().filter(|address| address.size > 0)
    }
}

/// A table in its file.
#[derive(Debug)]
pub(super) struct Addresses {
    member: Member,
    int_size: usize,
    rows: u64,
    kinds: usize,
    /// The smallest and the largest id, if there is any.
    range: Option<(u128, u128)>,
}

impl Addresses {
    /// Looks at the table's header. It has to have so many kinds of addresses, of integers of that size.
    pub(super) fn open(container: &Container, name: &str, int_size: usize, kinds: usize) -> Result<Self> {
        let member = container.member(name)?;
        let header = container.read(member, 0, header_size(int_size))?;
        let (size, numbers) = header.split_first().expect("a header has at least its first byte");
        let numbers: Vec<u64> = numbers.chunks_exact(int_size).map(number).collect();
        if usize::from(*size) != int_size || numbers[1] != kinds as u64 {
            return Err(container.damaged(format!("{name} does not fit the header of the graph")));
        }
        let mut table = Self { member, int_size, rows: numbers[0], kinds, range: None };
        let bytes = table.rows.checked_mul(table.row_size() as u64);
        if bytes.and_then(|bytes| bytes.checked_add(header.len() as u64)) != Some(member.size) {
            return Err(container.damaged(format!("{name} has not as many rows as it says")));
        }
        if table.rows > 0 {
            table.range = Some((table.row(container, 0)?.id, table.row(container, table.rows - 1)?.id));
        }
        Ok(table)
    }

    pub(super) fn len(&self) -> u64 {
        self.rows
    }

    /// The row of a number below `len`.
    pub(super) fn row(&self, container: &Container, number: u64) -> Result<Row> {
        let bytes = container.read(self.member, self.offset(number), self.row_size())?;
        Ok(self.decode(&bytes))
    }

    /// The row of an id.
    pub(super) fn find(&self, container: &Container, id: u128) -> Result<Option<Row>> {
        if self.range.is_none_or(|(first, last)| id < first || id > last) {
            return Ok(None);
        }
        let at_once = (PAGE / self.row_size()).max(1) as u64;
        let (mut low, mut high) = (0, self.rows);
        let mut key = [0; ID];
        while high - low > at_once {
            let middle = low + (high - low) / 2;
            container.read_at(self.member, self.offset(middle), &mut key)?;
            if u128::from_be_bytes(key) <= id {
                low = middle;
            } else {
                high = middle;
            }
        }
        let page = container.read(self.member, self.offset(low), (high - low) as usize * self.row_size())?;
        let mut rows = page.chunks_exact(self.row_size());
        Ok(rows.find(|row| row.starts_with(&id.to_be_bytes())).map(|row| self.decode(row)))
    }

    /// All ids, in order.
    pub(super) fn ids(&self, container: &Container) -> Result<Vec<u128>> {
        let mut ids = Vec::new();
        self.each(container, |row| {
            ids.push(row.id);
            Ok(())
        })?;
        Ok(ids)
    }

    /// Does something with each row, in order.
    pub(super) fn each(&self, container: &Container, mut act: impl FnMut(Row) -> Result<()>) -> Result<()> {
        let at_once = (CHUNK / self.row_size()) as u64;
        let mut row = 0;
        while row < self.rows {
            let rows = at_once.min(self.rows - row);
            let bytes = container.read(self.member, self.offset(row), rows as usize * self.row_size())?;
            bytes.chunks_exact(self.row_size()).try_for_each(|bytes| act(self.decode(bytes)))?;
            row += rows;
        }
        Ok(())
    }

    fn row_size(&self) -> usize {
        ID + self.int_size * (1 + 2 * self.kinds)
    }

    fn offset(&self, row: u64) -> u64 {
        header_size(self.int_size) as u64 + row * self.row_size() as u64
    }

    fn decode(&self, row: &[u8]) -> Row {
        let (id, numbers) = row.split_first_chunk().expect("a row begins with its id");
        let mut numbers = numbers.chunks_exact(self.int_size).map(number);
        let mut next = || numbers.next().expect("a row has all its numbers");
        let index = next();
        let addresses = (0..self.kinds).map(|_| Address { offset: next(), size: next() }).collect();
        Row { id: u128::from_be_bytes(*id), index, addresses }
    }
}

fn header_size(int_size: usize) -> usize {
    1 + 2 * int_size
}

/// A number of at most eight bytes, the highest first.
pub(super) fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}
