//! A log of frames, as a file: any bytes, or frames of any content with some bytes changed.
#![no_main]

use std::cell::RefCell;
use std::fs::File;
use std::io::{Seek, Write};
use std::ops::Range;
use std::path::Path;

use arrow_array::RecordBatch;
use libfuzzer_sys::fuzz_target;
use quantum_butler_core::Error;
use quantum_butler_core::log::{LogWriter, Storage};
use quantum_butler_core::scan::{LogReader, Rejected, Scanner, frame_pieces};
use quantum_butler_fuzz::Bytes;
use tempfile::NamedTempFile;
use zstd::bulk::Compressor;
use zstd::stream::raw::{Decoder, InBuffer, Operation, OutBuffer};

thread_local! {
    static PLACE: RefCell<NamedTempFile> = RefCell::new(NamedTempFile::new().expect("a folder for temporary files"));
    /// One for all cases: to make one takes longer than most of them.
    static COMPRESSOR: RefCell<Compressor<'static>> = RefCell::new(compressor());
    static DECODER: RefCell<Decoder<'static>> = RefCell::new(Decoder::new().expect("memory"));
}

/// It makes frames as logs have them, with checksums.
fn compressor() -> Compressor<'static> {
    let mut compressor = Compressor::new(1).expect("memory");
    compressor.include_checksum(true).expect("a parameter of zstd's");
    compressor
}

/// The file that a case describes.
fn file_of(bytes: &mut Bytes<'_>) -> Vec<u8> {
    if bytes.byte() & 1 == 0 {
        return bytes.0.to_vec();
    }
    let changes: Vec<_> = (0..bytes.below(3)).map(|_| (bytes.word(), bytes.byte())).collect();
    let cut = bytes.byte();
    let mut file = Vec::new();
    // Frames end wherever the case says.
    for part in bytes.0.split(|byte| *byte == 0xFF) {
        let frame = COMPRESSOR.with_borrow_mut(|compressor| compressor.compress(part));
        file.extend(frame.expect("room for the largest frame"));
    }
    for (place, byte) in changes {
        let length = file.len();
        file[place as usize % length] ^= byte;
    }
    file.truncate(file.len().saturating_sub(usize::from(cut & 0x1F)));
    file
}

/// What all frames of a file hold, if they are whole.
fn decode(content: &[u8]) -> Option<Vec<u8>> {
    DECODER.with_borrow_mut(|decoder| {
        decoder.reinit().expect("a parameter of zstd's");
        let (mut input, mut decoded) = (InBuffer::around(content), Vec::new());
        loop {
            decoded.reserve(1 << 16);
            let before = decoded.len();
            let mut output = OutBuffer::around_pos(&mut decoded, before);
            let hint = decoder.run(&mut input, &mut output).ok()?;
            let produced = output.pos() > before;
            if input.pos == content.len() && hint == 0 {
                return Some(decoded);
            }
            if input.pos == content.len() && !produced {
                // It waits for more.
                return None;
            }
        }
    })
}

fn read(path: &Path, range: Range<u64>) -> (Vec<RecordBatch>, Vec<Rejected>) {
    let mut reader = LogReader::open(path, Storage::Frames, range).expect("the file can be opened");
    let mut scanner = Scanner::default();
    let (mut quanta, mut rejected) = (Vec::new(), Vec::new());
    loop {
        let done = reader.advance(&mut scanner).expect("the file can be read");
        let (tables, more) = scanner.take();
        quanta.push(tables.quanta);
        rejected.extend(more);
        if done {
            return (quanta, rejected);
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut bytes = Bytes(bytes);
    let (size, checks) = (1 + u64::from(bytes.byte()), bytes.byte());
    let content = file_of(&mut bytes);
    let path = PLACE.with_borrow_mut(|place| {
        let file: &mut File = place.as_file_mut();
        file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(&content)).expect("room");
        place.path().to_owned()
    });
    let length = content.len() as u64;

    let pieces = frame_pieces(&path, size).expect("the file can be read");
    assert_eq!(pieces.first().map(|piece| piece.start), Some(0));
    assert_eq!(pieces.last().map(|piece| piece.end), Some(length));
    assert!(pieces.windows(2).all(|pair| pair[0].end == pair[1].start && pair[0].start < pair[0].end));
    // With one piece, that comes next.
    if pieces.len() > 1 && checks & 3 == 0 {
        pieces.into_iter().for_each(|piece| drop(read(&path, piece)));
    }

    let (quanta, rejected) = read(&path, 0..length);
    // Of a file that is whole, the frames do not matter. Others decide what to do with less than a frame.
    if let Some(decoded) = decode(&content)
        && length > 0
    {
        let mut scanner = Scanner::default();
        scanner.feed(&decoded);
        scanner.finish();
        let (tables, expected) = scanner.take();
        // It passes over some frames whose length is not the one that they tell.
        let all = !rejected.iter().any(|one| one.reason.contains("Zstandard"));
        if all && quanta.len() == 1 {
            assert_eq!(quanta[0], tables.quanta);
            assert_eq!(rejected, expected);
        }
    }

    if checks & 0xC == 0 {
        append(&path, &content);
    }
});

/// Opens the file as a log to write to: it is refused and stays as it is, or loses its incomplete end.
fn append(path: &Path, content: &[u8]) {
    let length = content.len() as u64;
    for storage in [Storage::Frames, Storage::Lines] {
        match LogWriter::open(path, storage, false) {
            Err(error) => assert_eq!(error, Error::NotALog { path: path.to_owned() }),
            Ok((log, torn)) => {
                drop(log);
                let kept = torn.map_or(length, |torn| torn.offset);
                assert_eq!(kept + torn.map_or(0, |torn| torn.bytes), length);
                assert_eq!(std::fs::metadata(path).expect("it is there").len(), kept);
                let again = LogWriter::open(path, storage, false).expect("what was kept is a log").1;
                assert_eq!(again, None);
                return;
            }
        }
        assert_eq!(std::fs::read(path).expect("it is there"), content);
    }
}
