//! Where the complete part of an existing log ends.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use super::Storage;
use super::frames::{Found, frame_at};
use super::line::BEGINNING;

/// How far back to look for a line break at a time.
const STEP: usize = 1 << 16;

/// What a process that was killed left unfinished at the end of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Torn {
    /// Where it starts, in bytes.
    pub offset: u64,
    /// How many bytes it has.
    pub bytes: u64,
}

/// Finds where a log of `length` bytes is complete up to; `None` if it is no log.
pub(super) fn complete(file: &File, length: u64, storage: Storage) -> io::Result<Option<u64>> {
    match storage {
        Storage::Lines => complete_lines(file, length),
        Storage::Frames => complete_frames(file, length),
    }
}

fn complete_lines(file: &File, length: u64) -> io::Result<Option<u64>> {
    let mut end = length;
    let mut step = vec![0; STEP];
    while end > 0 {
        let start = end.saturating_sub(STEP as u64);
        let piece = &mut step[..(end - start) as usize];
        file.read_exact_at(piece, start)?;
        if let Some(position) = piece.iter().rposition(|byte| *byte == b'\n') {
            end = start + position as u64 + 1;
            break;
        }
        end = start;
    }
    // Only ever cut a file that has nothing but our lines, as far as can be told from where they begin.
    let ours = |at: u64| -> io::Result<bool> {
        let mut found = [0; BEGINNING.len()];
        let found = &mut found[..usize::try_from(length - at).unwrap_or(usize::MAX).min(BEGINNING.len())];
        file.read_exact_at(found, at)?;
        Ok(BEGINNING.as_bytes().starts_with(found))
    };
    Ok((ours(0)? && ours(end)?).then_some(end))
}

fn complete_frames(file: &File, length: u64) -> io::Result<Option<u64>> {
    let mut end = 0;
    while end < length {
        match frame_at(file, end, length)? {
            Found::Frame(next) => end = next,
            Found::Unfinished => break,
            Found::Foreign => return Ok(None),
        }
    }
    Ok((has_lines(file, 0, length) && has_lines(file, end, length)).then_some(end))
}

/// Whether what can be decompressed from there on is empty or looks like a line of ours.
fn has_lines(file: &File, start: u64, end: u64) -> bool {
    let mut found = [0; BEGINNING.len()];
    let mut filled = 0;
    if let Ok(mut content) = zstd::Decoder::new(Upto { file, at: start, end }) {
        // An error means that the rest is unfinished.
        while let Ok(read @ 1..) = content.read(&mut found[filled..]) {
            filled += read;
        }
    }
    BEGINNING.as_bytes().starts_with(&found[..filled])
}

/// Reads a part of a file.
pub(crate) struct Upto<'a> {
    pub(crate) file: &'a File,
    pub(crate) at: u64,
    pub(crate) end: u64,
}

impl Read for Upto<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.end - self.at).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.file.read_at(&mut buffer[..wanted], self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}
