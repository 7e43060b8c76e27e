//! Sorting more than memory holds: records by a key, in the order in which they came where keys are the same.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::scratch::nameless_file;
use crate::{Error, Result};

/// Bytes in front of each record in a file: its key and its length.
const HEAD: usize = 20;

/// Bytes of a sorted part that are read at once.
const CHUNK: usize = 1 << 17;

/// Where a record is in memory.
struct Entry {
    key: u128,
    start: usize,
    end: usize,
}

/// Takes records, and gives them back sorted.
pub(super) struct Sorter {
    folder: PathBuf,
    memory: usize,
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    file: Option<File>,
    /// Where each sorted part ends in the file.
    ends: Vec<u64>,
}

impl Sorter {
    /// One that has about so many bytes in memory, and the others in a file of a folder.
    pub(super) fn new(folder: &Path, memory: usize) -> Self {
        let (bytes, entries, ends) = Default::default();
        Self { folder: folder.to_owned(), memory, bytes, entries, file: None, ends }
    }

    pub(super) fn push(&mut self, key: u128, record: &[u8]) -> Result<()> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(record);
        self.entries.push(Entry { key, start, end: self.bytes.len() });
        if self.bytes.len() + self.entries.len() * size_of::<Entry>() > self.memory {
            self.spill()?;
        }
        Ok(())
    }

    /// All records in order.
    pub(super) fn finish(mut self) -> Result<Sorted> {
        if !self.ends.is_empty() {
            self.spill()?;
        }
        self.sort();
        let mut starts = 0;
        let mut parts = Vec::with_capacity(self.ends.len());
        for end in &self.ends {
            parts.push(Part { next: starts, end: *end, buffer: Vec::new(), used: 0 });
            starts = *end;
        }
        let entries = std::mem::take(&mut self.entries).into_iter();
        let mut sorted = Sorted {
            folder: self.folder,
            file: self.file,
            bytes: self.bytes,
            entries,
            parts,
            heads: BinaryHeap::new(),
        };
        for number in 0..sorted.parts.len() {
            sorted.refill(number)?;
        }
        Ok(sorted)
    }

    fn sort(&mut self) {
        self.entries.sort_by_key(|entry| entry.key);
    }

    fn spill(&mut self) -> Result<()> {
        self.sort();
        let mut part = Vec::with_capacity(CHUNK);
        let mut end = self.ends.last().copied().unwrap_or(0);
        for number in 0..self.entries.len() {
            let Entry { key, start, end: stop } = self.entries[number];
            part.extend_from_slice(&key.to_be_bytes());
            let length = u32::try_from(stop - start).map_err(|_| Error::TooMuchText)?;
            part.extend_from_slice(&length.to_be_bytes());
            part.extend_from_slice(&self.bytes[start..stop]);
            if part.len() > CHUNK {
                end = self.write(&mut part, end)?;
            }
        }
        end = self.write(&mut part, end)?;
        self.ends.push(end);
        self.bytes.clear();
        self.entries.clear();
        Ok(())
    }

    fn write(&mut self, part: &mut Vec<u8>, at: u64) -> Result<u64> {
        let write = |file: &File| file.write_all_at(part, at);
        let written = match &self.file {
            Some(file) => write(file),
            None => nameless_file(&self.folder, "sorting").and_then(|file| write(self.file.insert(file))),
        };
        written.map_err(|error| Error::io(&self.folder, &error))?;
        let end = at + part.len() as u64;
        part.clear();
        Ok(end)
    }
}

/// A sorted part of the file, as far as it has been read.
struct Part {
    next: u64,
    end: u64,
    buffer: Vec<u8>,
    used: usize,
}

/// Gives out sorted records.
pub(super) struct Sorted {
    folder: PathBuf,
    file: Option<File>,
    bytes: Vec<u8>,
    entries: std::vec::IntoIter<Entry>,
    parts: Vec<Part>,
    /// The next key of each part, and the part's number.
    heads: BinaryHeap<Reverse<(u128, usize)>>,
}

impl Sorted {
    /// The next record.
    pub(super) fn next(&mut self) -> Result<Option<(u128, &[u8])>> {
        if self.parts.is_empty() {
            let entry = self.entries.next();
            return Ok(entry.map(|entry| (entry.key, &self.bytes[entry.start..entry.end])));
        }
        let Some(Reverse((key, number))) = self.heads.pop() else { return Ok(None) };
        let part = &mut self.parts[number];
        let head = &part.buffer[part.used..part.used + HEAD];
        let length = u32::from_be_bytes([head[16], head[17], head[18], head[19]]) as usize;
        let start = part.used + HEAD;
        part.used = start + length;
        // The record is copied out, since what comes after it may have to be read to its place.
        self.bytes.clear();
        self.bytes.extend_from_slice(&part.buffer[start..start + length]);
        self.refill(number)?;
        Ok(Some((key, &self.bytes)))
    }

    /// Sees to it that the next record of a part is in memory, and its key among the heads.
    fn refill(&mut self, number: usize) -> Result<()> {
        let part = &mut self.parts[number];
        if part.used == part.buffer.len() && part.next == part.end {
            return Ok(());
        }
        let file = self.file.as_ref().expect("parts are in a file");
        let need = |part: &mut Part, bytes: usize| {
            while part.buffer.len() - part.used < bytes {
                part.buffer.drain(..part.used);
                part.used = 0;
                let left = usize::try_from(part.end - part.next).unwrap_or(usize::MAX);
                let old = part.buffer.len();
                let more = CHUNK.max(bytes - old).min(left);
                if more == 0 {
                    return Err(Error::io(&self.folder, &std::io::ErrorKind::UnexpectedEof.into()));
                }
                part.buffer.resize(old + more, 0);
                file.read_exact_at(&mut part.buffer[old..], part.next)
                    .map_err(|error| Error::io(&self.folder, &error))?;
                part.next += more as u64;
            }
            Ok(())
        };
        need(part, HEAD)?;
        let head: [u8; HEAD] =
            part.buffer[part.used..part.used + HEAD].try_into().expect("as many bytes as a head has");
        let (key, length) = head.split_first_chunk().expect("a head begins with its key");
        let length = u32::from_be_bytes(length.try_into().expect("what is left of a head")) as usize;
        need(part, HEAD + length)?;
        self.heads.push(Reverse((u128::from_be_bytes(*key), number)));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn records_come_back_in_order(
            records in prop::collection::vec((0_u128..20, prop::collection::vec(any::<u8>(), 0..300)), 0..60),
            memory in prop::sample::select(vec![300_usize, 2000, 1 << 20]),
        ) {
            let mut sorter = Sorter::new(&std::env::temp_dir(), memory);
            for (key, record) in &records {
                sorter.push(*key, record).unwrap();
            }
            let mut sorted = sorter.finish().unwrap();
            let mut found = Vec::new();
            while let Some((key, record)) = sorted.next().unwrap() {
                found.push((key, record.to_vec()));
            }
            let mut expected = records;
            expected.sort_by_key(|(key, _)| *key);
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn records_larger_than_what_is_read_at_once() {
        let mut sorter = Sorter::new(&std::env::temp_dir(), 1);
        for key in [3_u8, 1, 2] {
            sorter.push(key.into(), &vec![key; 3 * CHUNK]).unwrap();
        }
        let mut sorted = sorter.finish().unwrap();
        for key in 1..=3_u8 {
            assert_eq!(sorted.next().unwrap(), Some((key.into(), vec![key; 3 * CHUNK].as_slice())));
        }
        assert_eq!(sorted.next().unwrap(), None);
    }
}
