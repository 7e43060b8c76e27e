//! Where to part logs, so that several workers can read one.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use zstd::stream::raw::{Decoder, InBuffer, Operation, OutBuffer};

use crate::log::{BEGINNING, Found, Upto, frame_at};
use crate::{Error, Result};

/// How far to look for a line break at a time.
const STEP: usize = 1 << 16;

/// How much of a frame to read for its beginning: there may be many small ones.
const STEP_OF_FRAME: usize = 1 << 10;

/// Parts a log of frames into ranges of about so many bytes, or more.
///
/// Each starts with a frame, and that with a line of ours: frames of anybody else's, who may part lines too,
/// stay together. What comes after the last whole frame belongs to the last range.
pub fn frame_pieces(path: &Path, bytes: u64) -> Result<Vec<Range<u64>>> {
    let io = |error: io::Error| Error::io(path, &error);
    let file = File::open(path).map_err(io)?;
    let length = file.metadata().map_err(io)?.len();
    let (mut pieces, mut start, mut at) = (Vec::new(), 0, 0);
    // One for all frames: to make one takes longer than to look into a frame.
    let mut decoder = Decoder::new().map_err(io)?;
    while at < length {
        if at - start >= bytes && starts_with_line(&mut decoder, &file, at, length) {
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
fn starts_with_line(decoder: &mut Decoder<'_>, file: &File, at: u64, end: u64) -> bool {
    let (mut compressed, mut step, mut found) =
        (Upto { file, at, end }, [0; STEP_OF_FRAME], [0; BEGINNING.len()]);
    let mut output = OutBuffer::around(&mut found[..]);
    if decoder.reinit().is_err() {
        return false;
    }
    while output.pos() < BEGINNING.len() {
        let Ok(read @ 1..) = compressed.read(&mut step) else { return false };
        let mut input = InBuffer::around(&step[..read]);
        while input.pos < read && output.pos() < BEGINNING.len() {
            if decoder.run(&mut input, &mut output).is_err() {
                return false;
            }
        }
    }
    found == *BEGINNING.as_bytes()
}

/// Where the first line starts that starts at an offset of a file or after it.
pub(super) fn next_line(file: &File, offset: u64, length: u64) -> io::Result<u64> {
    let mut at = match offset {
        0 => return Ok(0),
        end if end >= length => return Ok(length),
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
