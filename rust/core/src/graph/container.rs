//! The zip archive that a graph is: where its members lie in the file, and positioned reads of them.
//!
//! Every member is stored as it is, so that any part of it can be read in place. Nothing is kept in memory but the
//! table of members.

use std::fs::{File, Metadata};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use zip::{CompressionMethod, ZipArchive};

use crate::{Error, Result};

/// Members of a graph are some ten; an archive of more than this is something else.
const MOST_MEMBERS: usize = 1024;

/// Where a member lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Member {
    start: u64,
    pub(super) size: u64,
}

/// What tells that a file is still the one that was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Identity([u64; 3], [i64; 2]);

impl Identity {
    fn of(found: &Metadata) -> Self {
        Self([found.dev(), found.ino(), found.size()], [found.mtime(), found.mtime_nsec()])
    }
}

/// An open archive, or one that is opened again for each read.
#[derive(Debug)]
pub(super) struct Container {
    path: PathBuf,
    identity: Identity,
    held: Option<File>,
    members: Vec<(String, Member)>,
}

impl Container {
    /// Reads the table of members. Unless the file is to be held, it is closed until something of it is read.
    pub(super) fn open(path: &Path, hold: bool) -> Result<Self> {
        let file = File::open(path).map_err(|error| Error::io(path, &error))?;
        let found = file.metadata().map_err(|error| Error::io(path, &error))?;
        if !found.is_file() {
            return Err(Error::graph(path, "this is not a file"));
        }
        let mut archive = ZipArchive::new(&file)
            .map_err(|error| Error::graph(path, format!("this is not a quantum graph: {error}")))?;
        if archive.len() > MOST_MEMBERS {
            return Err(Error::graph(path, "this is a zip archive of many files, not a quantum graph"));
        }
        let mut members = Vec::with_capacity(archive.len());
        for number in 0..archive.len() {
            let entry =
                archive.by_index_raw(number).map_err(|error| Error::graph(path, error.to_string()))?;
            let name = entry.name().map_err(|error| Error::graph(path, error.to_string()))?.into_owned();
            let size = entry.size();
            if entry.compression() != CompressionMethod::Stored || entry.compressed_size() != size {
                return Err(Error::graph(path, format!("member {name} is not stored as it is")));
            }
            let start = entry
                .data_start()
                .filter(|start| start.checked_add(size).is_some_and(|end| end <= found.size()))
                .ok_or_else(|| Error::graph(path, format!("member {name} is not within the file")))?;
            members.push((name, Member { start, size }));
        }
        drop(archive);
        let identity = Identity::of(&found);
        Ok(Self { path: path.to_owned(), identity, held: hold.then_some(file), members })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the file stays open.
    pub(super) fn is_held(&self) -> bool {
        self.held.is_some()
    }

    /// The error for something in this file that is not as it should be.
    pub(super) fn damaged(&self, what: impl Into<String>) -> Error {
        Error::graph(&self.path, what)
    }

    pub(super) fn member_if_any(&self, name: &str) -> Option<Member> {
        // Of a name that is there twice, the last counts, as in Python.
        self.members.iter().rev().find(|(known, _)| known == name).map(|(_, member)| *member)
    }

    pub(super) fn member(&self, name: &str) -> Result<Member> {
        self.member_if_any(name).ok_or_else(|| self.damaged(format!("there is no member {name}")))
    }

    /// Fills a buffer with what is in a member from some place on.
    pub(super) fn read_at(&self, member: Member, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let end = offset.checked_add(buffer.len() as u64);
        if end.is_none_or(|end| end > member.size) {
            return Err(self.damaged("an address points behind the end of its member"));
        }
        let reopened;
        let file = match &self.held {
            Some(file) => file,
            None => {
                reopened = self.reopen()?;
                &reopened
            }
        };
        file.read_exact_at(buffer, member.start + offset).map_err(|error| Error::io(&self.path, &error))
    }

    /// The bytes of a part of a member.
    pub(super) fn read(&self, member: Member, offset: u64, size: usize) -> Result<Vec<u8>> {
        // Not more than is there is made room for.
        if size as u64 > member.size {
            return Err(self.damaged("an address points behind the end of its member"));
        }
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(size).map_err(|error| self.damaged(error.to_string()))?;
        bytes.resize(size, 0);
        self.read_at(member, offset, &mut bytes)?;
        Ok(bytes)
    }

    /// The same archive, held open until it is dropped.
    pub(super) fn hold(&self) -> Result<Self> {
        let held = Some(self.reopen()?);
        let (path, members) = (self.path.clone(), self.members.clone());
        Ok(Self { path, identity: self.identity.clone(), held, members })
    }

    fn reopen(&self) -> Result<File> {
        let file = File::open(&self.path).map_err(|error| Error::io(&self.path, &error))?;
        let found = file.metadata().map_err(|error| Error::io(&self.path, &error))?;
        if Identity::of(&found) != self.identity {
            return Err(self.damaged("the file has changed since it was opened"));
        }
        Ok(file)
    }
}
