//! Files of blocks (`.mb`): frames back to back, each behind its length.

use super::addresses::{Address, number};
use super::container::{Container, Member};
use crate::Result;

/// A frame larger than this is no graph's.
const MOST_FRAME: u64 = 1 << 30;

/// How much is read at once when all blocks are.
const CHUNK: u64 = 1 << 20;

/// The frame at an address.
pub(super) fn read(container: &Container, member: Member, int_size: usize, at: Address) -> Result<Vec<u8>> {
    let size = usize::try_from(at.size).ok().filter(|_| at.size <= MOST_FRAME);
    let size = size.ok_or_else(|| container.damaged("an address is of more than a block"))?;
    let mut block = container.read(member, at.offset, size)?;
    match block.split_at_checked(int_size) {
        Some((length, frame)) if number(length) == frame.len() as u64 => Ok(block.split_off(int_size)),
        _ => Err(container.damaged("a block is not of the size that its address has")),
    }
}

/// All frames of a member, in the order in which they were written.
pub(super) struct Blocks {
    member: Member,
    int_size: usize,
    /// What has been read, and up to where it has been given out.
    buffer: Vec<u8>,
    used: usize,
    /// Where in the member the buffer ends.
    end: u64,
}

impl Blocks {
    pub(super) fn new(member: Member, int_size: usize) -> Self {
        Self { member, int_size, buffer: Vec::new(), used: 0, end: 0 }
    }

    /// Where the next block begins.
    pub(super) fn offset(&self) -> u64 {
        self.end - (self.buffer.len() - self.used) as u64
    }

    /// The next frame, if there is one.
    pub(super) fn next(&mut self, container: &Container) -> Result<Option<&[u8]>> {
        if self.offset() == self.member.size {
            return Ok(None);
        }
        let length = number(self.take(container, self.int_size as u64)?);
        if length > MOST_FRAME {
            return Err(container.damaged("a block is larger than any can be"));
        }
        self.take(container, length).map(Some)
    }

    fn take(&mut self, container: &Container, bytes: u64) -> Result<&[u8]> {
        let left = self.member.size - self.offset();
        if bytes > left {
            return Err(container.damaged("a block goes on behind the end of its member"));
        }
        let there = (self.buffer.len() - self.used) as u64;
        if there < bytes {
            self.buffer.drain(..self.used);
            self.used = 0;
            let more = (bytes - there).max(CHUNK.min(left - there));
            let old = self.buffer.len();
            self.buffer.resize(old + more as usize, 0);
            container.read_at(self.member, self.end, &mut self.buffer[old..])?;
            self.end += more;
        }
        let start = self.used;
        self.used += bytes as usize;
        Ok(&self.buffer[start..self.used])
    }
}
