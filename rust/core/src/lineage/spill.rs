//! Bytes put into buckets: in memory while they are few, then in a file that has no name any more.

use std::borrow::Borrow;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::scratch::nameless_file;
use crate::{Error, Result};

/// Memory for bytes that are only written on.
pub(super) const STREAM: usize = 1 << 20;

/// Buckets of bytes, each in the order in which they came.
pub(super) struct Spill {
    folder: PathBuf,
    file: Option<File>,
    /// Bytes of the file.
    end: u64,
    buckets: Vec<Bucket>,
    /// Bytes that each bucket keeps in memory.
    room: usize,
}

#[derive(Default)]
struct Bucket {
    /// Where its earlier bytes are in the file.
    extents: Vec<(u64, usize)>,
    pending: Vec<u8>,
    bytes: u64,
}

impl Spill {
    /// Empty buckets that together hold about `memory` bytes before the file is made.
    pub(super) fn new(folder: &Path, buckets: usize, memory: usize) -> Self {
        let room = (memory / buckets.max(1)).max(4096);
        let buckets = std::iter::repeat_with(Bucket::default).take(buckets).collect();
        Self { folder: folder.to_owned(), file: None, end: 0, buckets, room }
    }

    /// Adds to a bucket.
    pub(super) fn push(&mut self, bucket: usize, bytes: &[u8]) -> Result<()> {
        let full = &mut self.buckets[bucket];
        if full.pending.len() + bytes.len() > self.room && !full.pending.is_empty() {
            self.write(bucket)?;
        }
        let bucket = &mut self.buckets[bucket];
        bucket.pending.extend_from_slice(bytes);
        bucket.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Bytes in a bucket.
    pub(super) fn bytes(&self, bucket: usize) -> u64 {
        self.buckets[bucket].bytes
    }

    /// Number of buckets.
    pub(super) fn buckets(&self) -> usize {
        self.buckets.len()
    }

    /// All of a bucket.
    pub(super) fn load(&self, bucket: usize) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(usize::try_from(self.bytes(bucket)).unwrap_or(0));
        let read = SpillReader::new(self, bucket).read_to_end(&mut bytes);
        read.map_err(|error| self.error(&error))?;
        Ok(bytes)
    }

    /// The error for one of the operating system.
    pub(super) fn error(&self, error: &io::Error) -> Error {
        Error::io(&self.folder, error)
    }

    fn write(&mut self, bucket: usize) -> Result<()> {
        let written = self.try_write(bucket);
        written.map_err(|error| self.error(&error))
    }

    fn try_write(&mut self, bucket: usize) -> io::Result<()> {
        let file = match &self.file {
            Some(file) => file,
            None => self.file.insert(nameless_file(&self.folder, "lineage")?),
        };
        let Bucket { extents, pending, .. } = &mut self.buckets[bucket];
        file.write_all_at(pending, self.end)?;
        extents.push((self.end, pending.len()));
        self.end += pending.len() as u64;
        pending.clear();
        Ok(())
    }
}

/// Reads one bucket from its beginning.
pub(super) struct SpillReader<S: Borrow<Spill>> {
    spill: S,
    bucket: usize,
    extent: usize,
    /// Bytes read of that extent.
    offset: usize,
}

impl<S: Borrow<Spill>> SpillReader<S> {
    pub(super) fn new(spill: S, bucket: usize) -> Self {
        Self { spill, bucket, extent: 0, offset: 0 }
    }
}

impl<S: Borrow<Spill>> Read for SpillReader<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let spill = self.spill.borrow();
        let Bucket { extents, pending, .. } = &spill.buckets[self.bucket];
        let length = extents.get(self.extent).map_or(pending.len(), |extent| extent.1);
        let most = buffer.len().min(length - self.offset);
        let read = match (extents.get(self.extent), &spill.file) {
            (Some((start, _)), Some(file)) => {
                file.read_at(&mut buffer[..most], start + self.offset as u64)?
            }
            _ => {
                buffer[..most].copy_from_slice(&pending[self.offset..self.offset + most]);
                most
            }
        };
        self.offset += read;
        if self.offset == length && self.extent < extents.len() {
            self.extent += 1;
            self.offset = 0;
            // Zero bytes would be the end.
            if read == 0 && !buffer.is_empty() {
                return self.read(buffer);
            }
        } else if read == 0 && most > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn buckets_keep_what_they_are_given(
            pieces in prop::collection::vec((0_usize..3, prop::collection::vec(any::<u8>(), 0..3000)), 0..40),
        ) {
            let folder = std::env::temp_dir();
            let mut spill = Spill::new(&folder, 3, 1);
            let mut model = [const { Vec::new() }; 3];
            for (bucket, bytes) in &pieces {
                spill.push(*bucket, bytes).unwrap();
                model[*bucket].extend_from_slice(bytes);
            }
            for (bucket, bytes) in model.iter().enumerate() {
                prop_assert_eq!(spill.bytes(bucket), bytes.len() as u64);
                prop_assert_eq!(&spill.load(bucket).unwrap(), bytes);
            }
        }
    }

    #[test]
    fn few_bytes_need_no_file_and_many_leave_none() {
        let folder = std::env::temp_dir().join(format!("quantum-butler-spill-{}", std::process::id()));
        let mut spill = Spill::new(&folder, 1, 8192);
        spill.push(0, &[1; 8192]).unwrap();
        let refused = spill.push(0, &[2]).unwrap_err();
        assert!(refused.to_string().contains("quantum-butler-spill"), "{refused}");
        std::fs::create_dir(&folder).unwrap();
        spill.push(0, &[2]).unwrap();
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
        std::fs::remove_dir(&folder).unwrap();
        assert_eq!(spill.load(0).unwrap().len(), 8193);
    }
}
