//! Zstandard frames of JSON, with or without the graph's own dictionary.

use std::sync::{Mutex, PoisonError};

use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::{self, CParameter};

use super::provenance::BlockKind;

/// Text that a block may have, however small its frame is.
const MOST_BYTES: u64 = 1 << 30;

/// Text may be larger than that if its frame is not much smaller: ids do not compress far.
const MOST_RATIO: u64 = 100;

/// The most that three bytes of a frame, a header of a block of the same byte throughout, can become.
const MOST_OF_BLOCK: u64 = 1 << 17;

/// Kinds of blocks.
const KINDS: usize = 4;

/// Up to the first level, quanta are compressed with the second: most of what they have is ids, in which higher ones find
/// nothing.
const OF_QUANTA: (i32, i32) = (5, 1);

/// The level at which blocks of a kind are compressed, and how long matches are at least.
///
/// Shorter ones come about by chance in ids: they take time, and more room than they save.
fn parameters(kind: BlockKind, level: i32) -> (i32, u32) {
    match kind {
        BlockKind::Quanta if level <= OF_QUANTA.0 => (level.min(OF_QUANTA.1), 7),
        _ => (level, 6),
    }
}

/// Takes frames apart. Any number of threads may use it.
pub(super) struct Frames {
    dictionary: Vec<u8>,
    /// Decompressors that nobody uses at the moment; making one takes longer than its work.
    idle: Option<Mutex<Vec<Decompressor<'static>>>>,
}

impl Frames {
    /// For frames of one dictionary, which is empty if they have none. Decompressors are kept if it is to be fast.
    pub(super) fn new(dictionary: Vec<u8>, keep: bool) -> Self {
        Self { dictionary, idle: keep.then(Mutex::default) }
    }

    /// The dictionary, which is empty if there is none.
    pub(super) fn dictionary(&self) -> &[u8] {
        &self.dictionary
    }

    /// The text of a frame, or what is wrong with it.
    pub(super) fn decompress(&self, frame: &[u8]) -> Result<Vec<u8>, String> {
        let size = match zstd_safe::get_frame_content_size(frame) {
            Ok(Some(size)) => size,
            Ok(None) => return Err("a frame does not tell its size".to_owned()),
            Err(_) => return Err("a block is not a Zstandard frame".to_owned()),
        };
        let frame_size = frame.len() as u64;
        if size > MOST_BYTES.max(frame_size.saturating_mul(MOST_RATIO))
            || size > (frame_size / 3 + 1).saturating_mul(MOST_OF_BLOCK)
        {
            return Err(format!("a frame of {frame_size} bytes says that it becomes {size} bytes"));
        }
        let size = usize::try_from(size).map_err(|error| error.to_string())?;
        let mut text = Vec::new();
        text.try_reserve_exact(size).map_err(|error| error.to_string())?;
        let mut decompressor = self.take().map_err(|error| error.to_string())?;
        let found = decompressor.decompress_to_buffer(frame, &mut text).map_err(|error| error.to_string());
        self.give_back(decompressor);
        if found? != size {
            return Err("a frame becomes other than it says".to_owned());
        }
        Ok(text)
    }

    fn take(&self) -> std::io::Result<Decompressor<'static>> {
        let idle =
            self.idle.as_ref().and_then(|idle| idle.lock().unwrap_or_else(PoisonError::into_inner).pop());
        idle.map_or_else(|| Decompressor::with_dictionary(&self.dictionary), Ok)
    }

    fn give_back(&self, decompressor: Decompressor<'static>) {
        if let Some(idle) = &self.idle {
            idle.lock().unwrap_or_else(PoisonError::into_inner).push(decompressor);
        }
    }
}

impl std::fmt::Debug for Frames {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Frames").field("dictionary", &self.dictionary.len()).finish_non_exhaustive()
    }
}

/// Makes frames, each with its size in it. Any number of threads may use it.
pub(super) struct Compression {
    dictionary: Vec<u8>,
    level: i32,
    /// Compressors that nobody uses at the moment, by kind.
    idle: [Mutex<Vec<Compressor<'static>>>; KINDS],
}

impl Compression {
    /// For frames of one dictionary, which is empty if they have none.
    pub(super) fn new(dictionary: &[u8], level: i32) -> Self {
        Self { dictionary: dictionary.to_owned(), level, idle: Default::default() }
    }

    /// A frame of some bytes, which are what blocks of a kind have.
    pub(super) fn compress(&self, kind: BlockKind, text: &[u8]) -> Vec<u8> {
        let idle = || self.idle[kind as usize].lock().unwrap_or_else(PoisonError::into_inner);
        let kept = idle().pop();
        let compressor = kept.map_or_else(|| self.compressor(kind), Ok);
        let made = compressor.and_then(|mut compressor| Ok((compressor.compress(text)?, compressor)));
        let (frame, compressor) = made.expect("there is room for the largest frame of these bytes");
        idle().push(compressor);
        frame
    }

    /// One that digests the dictionary when it is first used.
    fn compressor(&self, kind: BlockKind) -> std::io::Result<Compressor<'static>> {
        let (level, shortest_match) = parameters(kind, self.level);
        let mut compressor = Compressor::with_dictionary(level, &self.dictionary)?;
        compressor.set_parameter(CParameter::MinMatch(shortest_match))?;
        Ok(compressor)
    }
}
