//! Writing a provenance graph: blocks as they come, in memory that does not grow with them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use hashbrown::HashSet;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::addresses::Address;
use super::frames::Compression;
use super::provenance::BlockKind;
use super::sorting::Sorter;
use crate::scratch::nameless_file;
use crate::{Error, Result, parallel};

/// Bytes of an integer.
const INT_SIZE: usize = 8;

/// Kinds of blocks, which are kinds of addresses.
const KINDS: usize = 4;

/// The order in which upstream has them in the file.
const MEMBERS: [BlockKind; KINDS] =
    [BlockKind::Logs, BlockKind::Metadata, BlockKind::Datasets, BlockKind::Quanta];

/// Blocks that are worth a thread of their own.
const SHARE: usize = 64;

/// What is to be a block: its kind, the ids that find it, and its text.
#[derive(Debug, Clone)]
pub struct Block {
    /// Its kind.
    pub kind: BlockKind,
    /// The id of a quantum or a dataset.
    pub id: u128,
    /// The dataset that a log or metadata is of.
    pub dataset: Option<u128>,
    /// JSON.
    pub text: Vec<u8>,
}

/// A member of blocks that is being written.
struct Blocks {
    file: BufWriter<File>,
    size: u64,
}

/// A dictionary that is yet to be trained.
#[derive(Debug, Clone, Copy)]
pub struct Training {
    /// About so many bytes; with 0 there is none.
    pub bytes: usize,
    /// Quanta to wait for, and blocks of each kind that it is trained with.
    pub samples: usize,
}

/// Blocks that wait for the dictionary.
struct Waiting {
    training: Training,
    blocks: Vec<Block>,
}

/// Writes a provenance graph.
///
/// Until it is finished there is nothing of that name but what was there before.
pub struct GraphWriter {
    path: PathBuf,
    folder: PathBuf,
    level: i32,
    compression: Compression,
    dictionary: Vec<u8>,
    waiting: Option<Waiting>,
    blocks: [Blocks; KINDS],
    addresses: Sorter,
    datasets: HashSet<u128>,
}

impl GraphWriter {
    /// Begins a graph whose frames have a dictionary, which may be empty.
    ///
    /// About so many bytes of memory are used; what is more is in files without names, in a folder.
    pub fn new(path: &Path, folder: &Path, dictionary: Vec<u8>, level: i32, memory: usize) -> Result<Self> {
        let make = || {
            let file = nameless_file(folder, "graph").map_err(|error| Error::io(folder, &error))?;
            Ok(Blocks { file: BufWriter::with_capacity(1 << 20, file), size: 0 })
        };
        let compression = Compression::new(&dictionary, level);
        Ok(Self {
            path: path.to_owned(),
            folder: folder.to_owned(),
            level,
            compression,
            dictionary,
            waiting: None,
            blocks: [make()?, make()?, make()?, make()?],
            addresses: Sorter::new(folder, memory),
            datasets: HashSet::new(),
        })
    }

    /// Begins a graph whose dictionary is trained with the first blocks.
    pub fn with_training(
        path: &Path,
        folder: &Path,
        training: Training,
        level: i32,
        memory: usize,
    ) -> Result<Self> {
        let waiting = Some(Waiting { training, blocks: Vec::new() });
        Ok(Self { waiting, ..Self::new(path, folder, Vec::new(), level, memory)? })
    }

    /// Writes blocks, in order.
    pub fn add(&mut self, blocks: &[Block]) -> Result<()> {
        self.datasets.extend(blocks.iter().filter(|one| one.kind == BlockKind::Datasets).map(|one| one.id));
        if let Some(waiting) = &mut self.waiting {
            let all = waiting.blocks.iter().chain(blocks);
            if all.filter(|one| one.kind == BlockKind::Quanta).count() < waiting.training.samples {
                waiting.blocks.extend_from_slice(blocks);
                return Ok(());
            }
            self.train(blocks)?;
        }
        self.compress(blocks)
    }

    /// How many datasets there are.
    pub fn datasets(&self) -> usize {
        self.datasets.len()
    }

    /// Whether a dataset is there.
    pub fn has_dataset(&self, id: u128) -> bool {
        self.datasets.contains(&id)
    }

    /// Trains the dictionary with what has waited for it and what comes next, and writes what has waited.
    fn train(&mut self, next: &[Block]) -> Result<()> {
        let Some(Waiting { training, blocks }) = self.waiting.take() else { return Ok(()) };
        if training.bytes > 0 {
            let mut taken = [0; KINDS];
            let mut samples = Vec::new();
            for block in blocks.iter().chain(next) {
                let taken = &mut taken[block.kind as usize];
                *taken += 1;
                if *taken <= training.samples {
                    samples.push(block.text.clone());
                }
            }
            self.dictionary = train_dictionary(&samples, training.bytes);
            self.compression = Compression::new(&self.dictionary, self.level);
        }
        self.compress(&blocks)
    }

    fn compress(&mut self, blocks: &[Block]) -> Result<()> {
        let compression = &self.compression;
        // The frames of a share are in one piece of memory: each for itself would take as much as its text.
        let compress = |range: std::ops::Range<usize>| {
            let (mut frames, mut ends) = (Vec::new(), Vec::with_capacity(range.len()));
            for block in &blocks[range] {
                frames.extend_from_slice(&compression.compress(block.kind, &block.text));
                ends.push(frames.len());
            }
            (frames, ends)
        };
        let mut blocks = blocks.iter();
        for (frames, ends) in parallel::busy_shares(blocks.len(), SHARE, compress) {
            let mut start = 0;
            for (end, block) in ends.into_iter().zip(blocks.by_ref()) {
                let address = self.add_frame(block.kind, &frames[start..end])?;
                start = end;
                self.point(block.kind, block.id, address)?;
                if let Some(dataset) = block.dataset {
                    self.point(block.kind, dataset, address)?;
                }
            }
        }
        Ok(())
    }

    /// Writes a block that is a frame already.
    pub(super) fn add_frame(&mut self, kind: BlockKind, frame: &[u8]) -> Result<Address> {
        let blocks = &mut self.blocks[kind as usize];
        let length = (frame.len() as u64).to_be_bytes();
        let written = blocks.file.write_all(&length).and_then(|()| blocks.file.write_all(frame));
        written.map_err(|error| Error::io(&self.folder, &error))?;
        let address = Address { offset: blocks.size, size: (INT_SIZE + frame.len()) as u64 };
        blocks.size += address.size;
        Ok(address)
    }

    /// Writes a block that is text.
    pub(super) fn add_text(&mut self, kind: BlockKind, text: &[u8]) -> Result<Address> {
        self.add_frame(kind, &self.compression.compress(kind, text))
    }

    /// Has an id find a block.
    pub(super) fn point(&mut self, kind: BlockKind, id: u128, address: Address) -> Result<()> {
        let mut record = [0; 17];
        record[0] = kind as u8;
        record[1..9].copy_from_slice(&address.offset.to_be_bytes());
        record[9..].copy_from_slice(&address.size.to_be_bytes());
        self.addresses.push(id, &record)
    }

    /// The dictionary of all frames.
    pub(super) fn dictionary(&self) -> &[u8] {
        &self.dictionary
    }

    /// Writes the file: what it says of itself, and other members that are one frame each, of a name and a text.
    pub fn finish(mut self, header: &[u8], members: &[(&str, &[u8])]) -> Result<()> {
        self.train(&[])?;
        let Self { path, folder, compression, dictionary, mut blocks, addresses, .. } = self;
        let (mut table, rows) = write_rows(addresses, &folder)?;
        let temporary = temporary_name(&path);
        let written = (|| {
            let file = OpenOptions::new().write(true).create_new(true).open(&temporary)?;
            let mut archive = ZipWriter::new(BufWriter::with_capacity(1 << 20, file));
            let options =
                SimpleFileOptions::default().compression_method(CompressionMethod::Stored).large_file(true);
            let mut put = |name: &str, bytes: &[u8]| {
                archive.start_file(name, options)?;
                archive.write_all(bytes)
            };
            put("header.json.zst", &compression.compress(BlockKind::Metadata, header))?;
            put("compression_dict", &dictionary)?;
            for (name, text) in members {
                put(&format!("{name}.json.zst"), &compression.compress(BlockKind::Metadata, text))?;
            }
            for kind in MEMBERS {
                archive.start_file(format!("{}.mb", kind.member()), options)?;
                let file = &mut blocks[kind as usize].file;
                file.flush()?;
                copy(file.get_mut(), &mut archive)?;
            }
            archive.start_file("nodes.addr", options)?;
            archive.write_all(&[INT_SIZE as u8])?;
            archive.write_all(&rows.to_be_bytes())?;
            archive.write_all(&(KINDS as u64).to_be_bytes())?;
            copy(&mut table, &mut archive)?;
            let file = archive.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
            file.sync_all()?;
            fs::rename(&temporary, &path)
        })();
        written.map_err(|error: io::Error| {
            // Whatever is left of it must not be taken for a graph.
            let _ = fs::remove_file(&temporary);
            Error::io(&path, &error)
        })
    }
}

/// A name beside that of a file, of this process alone.
fn temporary_name(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    path.with_file_name(name)
}

fn copy(from: &mut File, to: &mut impl Write) -> io::Result<()> {
    from.seek(SeekFrom::Start(0))?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            bytes => to.write_all(&buffer[..bytes])?,
        }
    }
}

/// Writes the rows of the table of addresses to a file without a name, and counts them.
fn write_rows(addresses: Sorter, folder: &Path) -> Result<(File, u64)> {
    let fail = |error: io::Error| Error::io(folder, &error);
    let mut file = BufWriter::with_capacity(1 << 20, nameless_file(folder, "graph").map_err(fail)?);
    let mut sorted = addresses.finish()?;
    let mut rows: u64 = 0;
    let mut current: Option<(u128, [u8; 16 * KINDS])> = None;
    let mut write = |id: u128, addresses: &[u8; 16 * KINDS]| {
        file.write_all(&id.to_be_bytes())
            .and_then(|()| file.write_all(&rows.to_be_bytes()))
            .and_then(|()| file.write_all(addresses))
            .map_err(fail)?;
        rows += 1;
        Ok::<_, Error>(())
    };
    while let Some((id, record)) = sorted.next()? {
        if current.as_ref().is_some_and(|(other, _)| *other != id) {
            let (other, addresses) = current.take().expect("it has just been looked at");
            write(other, &addresses)?;
        }
        let (_, addresses) = current.get_or_insert((id, [0; 16 * KINDS]));
        let (kind, address) = record.split_first().expect("a record begins with its kind");
        let place = 16 * usize::from(*kind);
        addresses[place..place + 16].copy_from_slice(address);
    }
    if let Some((id, addresses)) = current {
        write(id, &addresses)?;
    }
    file.into_inner().map(|file| (file, rows)).map_err(|error| fail(error.into_error()))
}

/// A dictionary of about so many bytes for blocks like these; an empty one if they are too few.
pub fn train_dictionary(samples: &[Vec<u8>], size: usize) -> Vec<u8> {
    // Fewer are refused by the library, or not worth it; upstream draws the line here, too.
    if samples.len() < 10 || size == 0 {
        return Vec::new();
    }
    zstd::dict::from_samples(samples, size).unwrap_or_default()
}
