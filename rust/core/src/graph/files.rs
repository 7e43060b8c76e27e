//! Any number of files of one kind, and what is asked of all of them.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use hashbrown::HashSet;
use serde::de::DeserializeOwned;

use super::addresses::{Address, Row, number};
use super::blocks::Blocks;
use super::file::{GraphFile, Kind};
use super::models::Header;
use super::names::{Index, Named, Wanted, fingerprint, matches, whole};
use super::pipeline::{Dimensions, Pipeline};
use super::shared::Pipelines;
use crate::{Error, Result};

/// So many files stay open; of more, each is opened again for each read.
const MOST_OPEN: usize = 64;

/// Files in the order in which they were given.
#[derive(Debug)]
pub struct Files {
    files: Vec<GraphFile>,
    pipelines: Pipelines,
}

impl Files {
    pub(super) fn open(paths: &[PathBuf], kind: &Kind) -> Result<Self> {
        let hold = paths.len() <= MOST_OPEN;
        let files = paths.iter().map(|path| GraphFile::open(path, kind, hold)).collect::<Result<_>>()?;
        Ok(Self { files, pipelines: Pipelines::default() })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    pub(super) fn get(&self, number: usize) -> &GraphFile {
        &self.files[number]
    }

    /// Where they are.
    pub fn paths(&self) -> impl ExactSizeIterator<Item = &Path> {
        self.files.iter().map(GraphFile::path)
    }

    /// The error for something in a file that is not as it should be.
    pub fn damaged(&self, file: usize, what: &str) -> Error {
        self.files[file].damaged(what)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &GraphFile)> {
        self.files.iter().enumerate()
    }

    /// What a file says of itself, and the text of that.
    pub fn header(&self, file: usize) -> (&Header, &[u8]) {
        let file = &self.files[file];
        (&file.header, &file.header_text)
    }

    /// The pipeline of a file.
    pub fn pipeline(&self, file: usize) -> Result<&Arc<Pipeline>> {
        self.files[file].pipeline(&self.pipelines)
    }

    /// The text of a member of a file that is one frame, such as `packages`.
    pub fn member(&self, file: usize, name: &str) -> Result<Vec<u8>> {
        self.files[file].text(name)
    }

    /// Rows of all tables of addresses.
    pub fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.addresses.len()).sum()
    }

    /// The rows of an id, with the numbers of their files.
    pub(super) fn rows_of(&self, id: u128) -> Result<Vec<(usize, Row)>> {
        let mut rows = Vec::new();
        for (number, file) in self.files.iter().enumerate() {
            if let Some(row) = file.addresses.find(file.container(), id)? {
                rows.push((number, row));
            }
        }
        Ok(rows)
    }

    /// Ids of all of a task or a type that have some values in their data ID, in order.
    ///
    /// With an index, names with values of all required dimensions are looked up there; it is made when it is
    /// first needed, from all blocks.
    pub(super) fn find<T: Named>(
        &self,
        member: &str,
        index: Option<&OnceLock<Index>>,
        name: &str,
        wanted: &Wanted,
    ) -> Result<Vec<u128>> {
        // A name may have other dimensions in another pipeline.
        let mut of_files = Vec::with_capacity(self.files.len());
        for number in 0..self.files.len() {
            of_files.push(T::SUBJECT.dimensions(self.pipeline(number)?, name));
        }
        let mut found = Vec::new();
        let mut add = |file: usize, block: &T| {
            let Some(dimensions) = of_files[file] else { return };
            let named = block.names().filter(|(other, ..)| *other == name);
            found.extend(
                named.filter(|(_, values, _)| matches(dimensions, values, wanted)).map(|(.., id)| id),
            );
        };
        match index.zip(fingerprints(&of_files, name, wanted)) {
            Some((index, fingerprints)) => {
                let index = self.index::<T>(member, index)?;
                for (file, offset) in fingerprints.into_iter().flat_map(|one| index.find(one)) {
                    add(file as usize, &self.block_at(member, file as usize, offset)?);
                }
            }
            None => {
                for number in (0..self.files.len()).filter(|number| of_files[*number].is_some()) {
                    let file = &self.files[number];
                    let mut blocks = file.blocks(member)?;
                    while let Some((_, block)) = file.next_model::<T>(&mut blocks)? {
                        add(number, &block);
                    }
                }
            }
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    fn index<'a, T: Named>(&self, member: &str, index: &'a OnceLock<Index>) -> Result<&'a Index> {
        if let Some(index) = index.get() {
            return Ok(index);
        }
        let mut made = Index::default();
        for (number, file) in self.files.iter().enumerate() {
            let pipeline = self.pipeline(number)?;
            let mut blocks = file.blocks(member)?;
            while let Some((offset, block)) = file.next_model::<T>(&mut blocks)? {
                for (name, values, _) in block.names() {
                    // What the pipeline does not know cannot be asked for.
                    if let Some(dimensions) = T::SUBJECT.dimensions(pipeline, name) {
                        let values = values.iter().take(dimensions.required);
                        made.push(fingerprint(name, values), number as u32, offset);
                    }
                }
            }
        }
        made.sort();
        Ok(index.get_or_init(|| made))
    }

    fn block_at<T: Named>(&self, member: &str, file: usize, offset: u64) -> Result<T> {
        let file = &self.files[file];
        let member = file.container().member(&format!("{member}.mb"))?;
        let int_size = file.header.int_size;
        let length = file.container().read(member, offset, int_size)?;
        file.model(member, Address { offset, size: number(&length).saturating_add(int_size as u64) })
    }
}

/// The fingerprints that a name may have in some files, if values of all required dimensions are given.
fn fingerprints(of_files: &[Option<&Dimensions>], name: &str, wanted: &Wanted) -> Option<HashSet<u64>> {
    let of_file = |dimensions: &&Dimensions| {
        whole(dimensions, wanted).map(|values| fingerprint(name, values.into_iter()))
    };
    of_files.iter().flatten().map(of_file).collect()
}

/// Goes through all blocks of a member, file by file.
pub(super) struct Walk {
    member: &'static str,
    file: usize,
    blocks: Option<Blocks>,
}

impl Walk {
    pub(super) fn new(member: &'static str) -> Self {
        Self { member, file: 0, blocks: None }
    }

    /// What the next block tells, and the number of the file that it is in.
    pub(super) fn next<T: DeserializeOwned>(&mut self, files: &Files) -> Result<Option<(usize, T)>> {
        while self.file < files.len() {
            let file = files.get(self.file);
            let blocks = match &mut self.blocks {
                Some(blocks) => blocks,
                none => none.insert(file.blocks(self.member)?),
            };
            if let Some((_, model)) = file.next_model(blocks)? {
                return Ok(Some((self.file, model)));
            }
            self.blocks = None;
            self.file += 1;
        }
        Ok(None)
    }
}
