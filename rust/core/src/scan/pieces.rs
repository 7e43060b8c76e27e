//! Where to part logs, so that several workers can read one.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::log::{BEGINNING, Found, Upto, frame_at};
use crate::{Error, Result};

/// How far to look for a line break at a time.
const STEP: usize = 1 << 16;

/// Parts a log of frames into ranges of about so many bytes, or more.
///
/// Each starts with a frame, and that with a line of ours: frames of anybody else's, who may part lines too,
/// stay together. What comes after the last whole frame belongs to the last range.
pub fn frame_pieces(path: &Path, bytes: u64) -> Result<Vec<Range<u64>>> {
    let io = |error: io::Error| Error::io(path, &error);
    let file = File::open(path).map_err(io)?;
    let length = file.metadata().map_err(io)?.len();
    let (mut pieces, mut start, mut at) = (Vec::new(), 0, 0);
    while at < length {
        if at - start >= bytes && starts_with_line(&file, at, length) {
            pieces.push(start..at);
            start = at;
        }
        match frame_at(&file, at, length).map_err(io)? {
            Found::Frame(end) => at = end,
            Found::Unfinished | Found::Foreign => break,
        }
    }
    pieces.push(start..length);
    Ok(pieces)
}

/// Whether what is compressed there starts as a line of ours does.
///
/// No line has that within it: in a JSON string, its quotes would be escaped.
fn starts_with_line(file: &File, at: u64, end: u64) -> bool {
    let mut found = [0; BEGINNING.len()];
    let content = zstd::Decoder::new(Upto { file, at, end });
    content.and_then(|mut content| content.read_exact(&mut found)).is_ok() && found == *BEGINNING.as_bytes()
}

/// Where the first line starts that starts at an offset of a file or after it.
pub(super) fn next_line(file: &File, offset: u64, length: u64) -> io::Result<u64> {
    let mut at = match offset {
        0 => return Ok(0),
        offset => offset - 1,
    };
    let mut step = vec![0; STEP];
    while at < length {
        let read = file.read_at(&mut step, at)?;
        if read == 0 {
            break;
        }
        if let Some(position) = memchr::memchr(b'\n', &step[..read]) {
            return Ok((at + position as u64 + 1).min(length));
        }
        at += read as u64;
    }
    Ok(length)
}
