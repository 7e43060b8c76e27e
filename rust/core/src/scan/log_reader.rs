//! Parts of logs as bytes for the scanner.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use zstd::stream::raw::{Decoder, InBuffer, Operation, OutBuffer};

use super::pieces::next_line;
use super::scanner::Scanner;
use crate::log::{Found, Storage, frame_at};
use crate::{Error, Result};

/// Bytes that are read or decompressed at a time.
const CHUNK: usize = 1 << 19;
/// Bytes that a frame may decompress to and be held in memory until it is known to be whole.
const HELD: usize = 1 << 23;

/// Reads part of a log, and then maybe of others.
///
/// Of a log of lines, that is each line which starts in the range, wherever it ends. Of a log of frames, it
/// is the frames of the range, which must be one that `frame_pieces` gave.
pub struct LogReader {
    log: Log,
    /// The frame that is being read, of which `log.range.start` is the end.
    frame: Option<Frame>,
    /// One for all frames: to make one takes longer than to read a small frame.
    decoder: Decoder<'static>,
    input: Vec<u8>,
    output: Vec<u8>,
}

/// The log that is being read.
struct Log {
    path: PathBuf,
    file: File,
    storage: Storage,
    /// What is left to read.
    range: Range<u64>,
    length: u64,
}

/// A frame too large to be held in memory, or one that the file ends within.
struct Frame {
    rest: Range<u64>,
    unfinished: bool,
}

impl LogReader {
    /// Opens a log to read a range of it.
    pub fn open(path: &Path, storage: Storage, range: Range<u64>) -> Result<Self> {
        let log = Log::open(path, storage, range)?;
        let decoder = Decoder::new().map_err(|error| Error::io(path, &error))?;
        Ok(Self { log, frame: None, decoder, input: Vec::new(), output: Vec::new() })
    }

    /// Goes on with a range of another log, in the memory that there is.
    pub fn reopen(&mut self, path: &Path, storage: Storage, range: Range<u64>) -> Result<()> {
        self.frame = None;
        self.log = Log::open(path, storage, range)?;
        Ok(())
    }

    /// Where the first byte of it is in the file.
    pub fn start(&self) -> u64 {
        self.log.range.start
    }

    /// Reads on until the scanner is full or, which is `true`, everything has been read that is to be.
    pub fn advance(&mut self, scanner: &mut Scanner) -> Result<bool> {
        while !scanner.is_full() {
            let more = match self.log.storage {
                _ if scanner.has_given_up() => Ok(false),
                Storage::Lines => self.lines(scanner),
                Storage::Frames => self.frames(scanner),
            };
            if !more.map_err(|error| Error::io(&self.log.path, &error))? {
                scanner.finish();
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn lines(&mut self, scanner: &mut Scanner) -> io::Result<bool> {
        let Some(read) = read(&self.log.file, &mut self.log.range, &mut self.input)? else {
            return Ok(false);
        };
        scanner.feed(read);
        Ok(true)
    }

    fn frames(&mut self, scanner: &mut Scanner) -> io::Result<bool> {
        if let Some(frame) = self.frame.take() {
            self.frame = self.go_on(frame, scanner)?;
            return Ok(true);
        }
        let Range { start, end } = self.log.range;
        if start >= end {
            return Ok(false);
        }
        match frame_at(&self.log.file, start, self.log.length)? {
            Found::Frame(next) => {
                self.log.range.start = next;
                match self.whole(start..next)? {
                    Whole::Held => scanner.feed(&self.output),
                    Whole::Large => {
                        self.frame = Some(self.begin(start..next, false)?);
                    }
                    Whole::Corrupt(error) => {
                        scanner.skip(&format!(
                            "the Zstandard frame at byte {start} of the file is corrupt: {error}"
                        ));
                    }
                }
            }
            Found::Unfinished => {
                self.log.range.start = self.log.length;
                self.frame = Some(self.begin(start..self.log.length, true)?);
            }
            Found::Foreign => {
                self.log.range.start = self.log.length;
                scanner.skip(&format!("no Zstandard frame, at byte {start} of the file"));
            }
        }
        Ok(true)
    }

    /// Gets ready to read a frame in steps.
    fn begin(&mut self, rest: Range<u64>, unfinished: bool) -> io::Result<Frame> {
        self.decoder.reinit()?;
        Ok(Frame { rest, unfinished })
    }

    /// Decompresses a frame, into `output` if it is not too large.
    fn whole(&mut self, mut rest: Range<u64>) -> io::Result<Whole> {
        self.decoder.reinit()?;
        self.output.clear();
        let mut large = false;
        loop {
            let Some(read) = read(&self.log.file, &mut rest, &mut self.input)? else {
                return Ok(if large { Whole::Large } else { Whole::Held });
            };
            let mut input = InBuffer::around(read);
            loop {
                if large {
                    self.output.clear();
                }
                let before = self.output.len();
                self.output.reserve(CHUNK);
                let mut output = OutBuffer::around_pos(&mut self.output, before);
                if let Err(error) = self.decoder.run(&mut input, &mut output) {
                    return Ok(Whole::Corrupt(error));
                }
                let produced = output.pos() > before;
                large |= self.output.len() > HELD;
                if input.pos == read.len() && !produced {
                    break;
                }
            }
        }
    }

    /// Reads on in a frame; what it gives is the frame if there is more of it.
    fn go_on(&mut self, mut frame: Frame, scanner: &mut Scanner) -> io::Result<Option<Frame>> {
        let Some(read) = read(&self.log.file, &mut frame.rest, &mut self.input)? else {
            if frame.unfinished {
                let bytes = self.log.length;
                scanner.skip(&format!("the file ends, at byte {bytes}, within a Zstandard frame"));
            }
            return Ok(None);
        };
        let mut input = InBuffer::around(read);
        loop {
            self.output.clear();
            self.output.reserve(CHUNK);
            let mut output = OutBuffer::around(&mut self.output);
            if let Err(error) = self.decoder.run(&mut input, &mut output) {
                scanner.skip(&format!(
                    "a Zstandard frame is corrupt, before byte {} of the file: {error}",
                    frame.rest.start
                ));
                return Ok(None);
            }
            scanner.feed(&self.output);
            if input.pos == read.len() && self.output.is_empty() {
                return Ok(Some(frame));
            }
        }
    }
}

impl Log {
    fn open(path: &Path, storage: Storage, range: Range<u64>) -> Result<Self> {
        let io = |error: io::Error| Error::io(path, &error);
        let file = File::open(path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        let range = match storage {
            Storage::Frames => range.start.min(length)..range.end.min(length),
            Storage::Lines => {
                let line = |offset| next_line(&file, offset, length).map_err(io);
                line(range.start)?..line(range.end)?
            }
        };
        Ok(Self { path: path.to_owned(), file, storage, range, length })
    }
}

/// What became of a frame.
enum Whole {
    /// It is in memory.
    Held,
    /// It can be decompressed, but is too large for that.
    Large,
    /// It cannot be decompressed.
    Corrupt(io::Error),
}

/// The next bytes of a range of a file; `None` if there are no more.
fn read<'b>(file: &File, range: &mut Range<u64>, buffer: &'b mut Vec<u8>) -> io::Result<Option<&'b [u8]>> {
    if range.start >= range.end {
        return Ok(None);
    }
    buffer.resize(CHUNK, 0);
    let wanted = usize::try_from(range.end - range.start).unwrap_or(CHUNK).min(CHUNK);
    let read = file.read_at(&mut buffer[..wanted], range.start)?;
    // A file that has become shorter ends here.
    range.start = if read == 0 { range.end } else { range.start + read as u64 };
    Ok((read > 0).then_some(&buffer[..read]))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::frame_pieces;
    use super::*;

    struct Place(PathBuf);

    impl Place {
        fn new(name: &str, bytes: &[u8]) -> Self {
            let name = format!("quantum-butler-reader-{}-{name}", std::process::id());
            let place = Self(std::env::temp_dir().join(name));
            fs::write(&place.0, bytes).unwrap();
            place
        }

        /// Offsets of the quanta and of what was rejected, and why, all told from the start of the log.
        fn read(&self, storage: Storage, pieces: &[Range<u64>]) -> (Vec<u64>, Vec<(u64, String)>) {
            let (mut quanta, mut rejected, mut base) = (Vec::new(), Vec::new(), 0);
            for piece in pieces {
                let mut reader = LogReader::open(&self.0, storage, piece.clone()).unwrap();
                let mut scanner = Scanner::default();
                while !reader.advance(&mut scanner).unwrap() {
                    collect(&mut scanner, base, &mut quanta, &mut rejected);
                }
                collect(&mut scanner, base, &mut quanta, &mut rejected);
                base += scanner.position();
            }
            (quanta, rejected)
        }
    }

    fn collect(scanner: &mut Scanner, base: u64, quanta: &mut Vec<u64>, rejected: &mut Vec<(u64, String)>) {
        use arrow_array::cast::AsArray;
        use arrow_array::types::Int64Type;
        let (tables, new) = scanner.take();
        let offsets = tables.quanta["offset"].as_primitive::<Int64Type>().values();
        quanta.extend(offsets.iter().map(|offset| base + *offset as u64));
        rejected.extend(new.into_iter().map(|one| (base + one.offset, one.reason)));
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    /// Lines of quanta, each filled up with so many spaces.
    fn log(lines: usize, spaces: usize) -> Vec<u8> {
        let fields =
            ["predicted_inputs", "available_inputs", "actual_inputs", "predicted_outputs", "actual_outputs"];
        let fields = fields.map(|name| format!("\"{name}\":[],")).concat();
        let line = |n| {
            let spaces = " ".repeat(spaces);
            format!(
                "{{\"quantum_id\":\"00000000-0000-0000-0000-{n:012x}\",{spaces}{fields}\"datastore_records\":{{}}}}\n"
            )
        };
        (0..lines).map(line).collect::<String>().into_bytes()
    }

    fn starts(log: &[u8]) -> Vec<u64> {
        let breaks = log.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at as u64 + 1);
        std::iter::once(0).chain(breaks).filter(|start| *start < log.len() as u64).collect()
    }

    #[test]
    fn every_line_is_in_one_piece_wherever_the_pieces_end() {
        let log = log(9, 3);
        let place = Place::new("lines", &log);
        let expected = starts(&log);
        for size in (1..40).chain([100, 239, 240, 241, 1000, 10_000]) {
            let ends = (0..=log.len() as u64 / size).map(|piece| piece * size);
            let pieces: Vec<_> = ends.map(|start| start..start + size).collect();
            let mut found = Vec::new();
            for piece in pieces {
                let start = LogReader::open(&place.0, Storage::Lines, piece.clone()).unwrap().start();
                let (quanta, rejected) = place.read(Storage::Lines, &[piece]);
                assert_eq!(rejected, []);
                found.extend(quanta.into_iter().map(|offset| start + offset));
            }
            assert_eq!(found, expected, "{size}");
        }
    }

    #[test]
    fn frames_of_ours_are_parted_and_others_are_not() {
        let log = log(40, 3);
        let expected = starts(&log);
        let ours: Vec<u8> = expected
            .chunks(4)
            .flat_map(|lines| {
                let end = expected.get(lines[0] as usize / expected[1] as usize + 4).copied();
                zstd::encode_all(&log[lines[0] as usize..end.unwrap_or(log.len() as u64) as usize], 1)
                    .unwrap()
            })
            .collect();
        let parted: Vec<u8> = log.chunks(1000).flat_map(|part| zstd::encode_all(part, 1).unwrap()).collect();
        for (frames, pieces) in [(&ours, 10), (&parted, 1), (&zstd::encode_all(&log[..], 1).unwrap(), 1)] {
            let place = Place::new("frames", frames);
            let found = frame_pieces(&place.0, 10).unwrap();
            assert_eq!(found.len(), pieces);
            assert_eq!(found.iter().map(|piece| piece.end - piece.start).sum::<u64>(), frames.len() as u64);
            assert_eq!(place.read(Storage::Frames, &found), (expected.clone(), vec![]));
            assert_eq!(
                place.read(Storage::Frames, &frame_pieces(&place.0, 1 << 30).unwrap()),
                (expected.clone(), vec![])
            );
        }
    }

    #[test]
    fn a_frame_larger_than_memory_is_read_in_steps() {
        let log = log(30, 1 << 20);
        let place = Place::new("large", &zstd::encode_all(&log[..], 1).unwrap());
        let pieces = frame_pieces(&place.0, 1).unwrap();
        assert_eq!(place.read(Storage::Frames, &pieces), (starts(&log), vec![]));
    }

    #[test]
    fn a_corrupt_frame_takes_nothing_with_it() {
        for spaces in [3, 1 << 20] {
            let log = log(12, spaces);
            let expected = starts(&log);
            let middle = expected[9] as usize;
            let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
            encoder.include_checksum(true).unwrap();
            io::Write::write_all(&mut encoder, &log[..middle]).unwrap();
            let mut first = encoder.finish().unwrap();
            // The checksum: all has been decompressed when it is found to be wrong.
            *first.last_mut().unwrap() ^= 1;
            let good = zstd::encode_all(&log[..], 1).unwrap();
            let place = Place::new("corrupt", &[&good[..], &first, &good].concat());
            let (quanta, rejected) = place.read(Storage::Frames, &frame_pieces(&place.0, 1 << 30).unwrap());
            let again = expected.iter().map(|offset| offset + log.len() as u64);
            assert_eq!(quanta, expected.iter().copied().chain(again).collect::<Vec<_>>());
            assert_eq!(rejected.len(), 1);
            assert_eq!(rejected[0].0, log.len() as u64);
            assert!(
                rejected[0].1.starts_with(&format!("the Zstandard frame at byte {} of", good.len())),
                "{rejected:?}"
            );
        }
    }

    #[test]
    fn of_an_unfinished_frame_the_whole_lines_are_kept() {
        let log = log(3000, 100);
        let frame = zstd::encode_all(&log[..], 1).unwrap();
        for cut in [1, 3, 5, 20, frame.len() / 2, frame.len() - 1] {
            let place = Place::new("unfinished", &[&frame[..], &frame[..cut]].concat());
            let (quanta, rejected) = place.read(Storage::Frames, &frame_pieces(&place.0, 1 << 30).unwrap());
            assert_eq!(rejected.len(), 1);
            assert!(rejected[0].1.contains("the file ends, at byte"), "{rejected:?}");
            assert!(quanta.len() >= 3000 && quanta.len() < 6000, "{}", quanta.len());
            assert_eq!(rejected[0].0 % (log.len() as u64 / 3000), 0, "the offset of a line");
            assert_eq!(quanta.len() as u64, rejected[0].0 / (log.len() as u64 / 3000));
        }
    }

    #[test]
    fn what_is_no_frame_is_rejected_from_there_on() {
        let log = log(3, 3);
        let frame = zstd::encode_all(&log[..], 1).unwrap();
        for (before, quanta) in [(&frame[..], 3), (b"", 0)] {
            let place = Place::new("foreign", &[before, b"{\"quantum_id\":"].concat());
            let found = place.read(Storage::Frames, &frame_pieces(&place.0, 1).unwrap());
            assert_eq!(found.0.len(), quanta);
            assert_eq!(found.1.len(), 1);
            assert!(
                found.1[0].1.contains(&format!("no Zstandard frame, at byte {}", before.len())),
                "{found:?}"
            );
        }
    }
}
