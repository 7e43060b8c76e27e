//! One file: its header, its pipeline, and its members as text.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use serde::de::DeserializeOwned;

use super::addresses::{Address, Addresses};
use super::blocks::{self, Blocks};
use super::container::{Container, Member};
use super::frames::Frames;
use super::json;
use super::models::Header;
use super::pipeline::Pipeline;
use super::shared::Pipelines;
use crate::{Error, Result};

/// Sizes that integers of address tables may have here.
const INT_SIZES: std::ops::RangeInclusive<usize> = 1..=8;

/// The largest header; it is read whenever a file is opened.
const MOST_HEADER: u64 = 1 << 26;

/// What distinguishes the kinds of graphs.
#[derive(Debug)]
pub(super) struct Kind {
    /// What the header calls it.
    pub(super) name: &'static str,
    /// Versions of the format that are read.
    pub(super) versions: std::ops::RangeInclusive<i64>,
    /// The table of addresses, and how many it has for each id.
    pub(super) addresses: (&'static str, usize),
    /// What else reads it.
    pub(super) upstream: &'static str,
}

/// An open graph.
#[derive(Debug)]
pub(super) struct GraphFile {
    container: Container,
    frames: Frames,
    pub(super) header: Header,
    pub(super) header_text: Vec<u8>,
    pub(super) addresses: Addresses,
    pipeline: OnceLock<Arc<Pipeline>>,
}

impl GraphFile {
    /// Opens a file, which has to be of a kind. Nothing of it is read but the header.
    pub(super) fn open(path: &Path, kind: &Kind, hold: bool) -> Result<Self> {
        let container = Container::open(path, hold)?;
        let dictionary = match container.member_if_any("compression_dict") {
            Some(member) => container.read(member, 0, fitting(&container, member, MOST_HEADER)?)?,
            None => Vec::new(),
        };
        let frames = Frames::new(dictionary, container.is_held());
        let (name, kinds) = kind.addresses;
        let text = read_text(&container, &frames, "header")?;
        let header: Header =
            json::parse(&text).map_err(|what| container.damaged(format!("the header: {what}")))?;
        if header.graph_type != kind.name {
            let what = format!("this is a {:?} graph, not a {:?} one", header.graph_type, kind.name);
            return Err(container.damaged(what));
        }
        if !kind.versions.contains(&header.version) {
            return Err(container.damaged(format!(
                "this graph is of format version {}, which this release does not read; {} of lsst-pipe-base may",
                header.version, kind.upstream
            )));
        }
        if !INT_SIZES.contains(&header.int_size) {
            return Err(container.damaged(format!("integers of {} bytes are not read here", header.int_size)));
        }
        let addresses = Addresses::open(&container, &format!("{name}.addr"), header.int_size, kinds)?;
        Ok(Self { container, frames, header, header_text: text, addresses, pipeline: OnceLock::new() })
    }

    pub(super) fn path(&self) -> &Path {
        self.container.path()
    }

    pub(super) fn container(&self) -> &Container {
        &self.container
    }

    /// The error for something in this file that is not as it should be.
    pub(super) fn damaged(&self, what: impl Into<String>) -> Error {
        self.container.damaged(what)
    }

    pub(super) fn frames(&self) -> &Frames {
        &self.frames
    }

    /// The text of a member that is one frame.
    pub(super) fn text(&self, name: &str) -> Result<Vec<u8>> {
        read_text(&self.container, &self.frames, name)
    }

    /// What a member that is one frame tells.
    pub(super) fn document<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        let text = self.text(name)?;
        json::parse(&text).map_err(|what| self.damaged(format!("{name}: {what}")))
    }

    /// The pipeline, which files of the same one share.
    pub(super) fn pipeline(&self, known: &Pipelines) -> Result<&Arc<Pipeline>> {
        if let Some(pipeline) = self.pipeline.get() {
            return Ok(pipeline);
        }
        let text = self.text("pipeline_graph")?;
        let found = known.get(text).map_err(|what| self.damaged(format!("pipeline_graph: {what}")))?;
        Ok(self.pipeline.get_or_init(|| found))
    }

    /// The text of the block at an address.
    pub(super) fn block(&self, member: Member, address: Address) -> Result<Vec<u8>> {
        let frame = blocks::read(&self.container, member, self.header.int_size, address)?;
        self.frames.decompress(&frame).map_err(|what| self.damaged(what))
    }

    /// What the block at an address tells.
    pub(super) fn model<T: DeserializeOwned>(&self, member: Member, address: Address) -> Result<T> {
        let text = self.block(member, address)?;
        self.parse(&text)
    }

    /// All blocks of a member.
    pub(super) fn blocks(&self, name: &str) -> Result<Blocks> {
        Ok(Blocks::new(self.container.member(&format!("{name}.mb"))?, self.header.int_size))
    }

    /// What the next block tells, and where it begins.
    pub(super) fn next_model<T: DeserializeOwned>(&self, blocks: &mut Blocks) -> Result<Option<(u64, T)>> {
        let offset = blocks.offset();
        let Some(frame) = blocks.next(&self.container)? else { return Ok(None) };
        let text = self.frames.decompress(frame).map_err(|what| self.damaged(what))?;
        Ok(Some((offset, self.parse(&text)?)))
    }

    /// What the text of a block tells.
    pub(super) fn parse<T: DeserializeOwned>(&self, text: &[u8]) -> Result<T> {
        json::parse(text).map_err(|what| self.damaged(format!("a block: {what}")))
    }
}

fn read_text(container: &Container, frames: &Frames, name: &str) -> Result<Vec<u8>> {
    let name = format!("{name}.json.zst");
    let member = container.member(&name)?;
    let frame = container.read(member, 0, fitting(container, member, u64::MAX)?)?;
    frames.decompress(&frame).map_err(|what| container.damaged(format!("{name}: {what}")))
}

fn fitting(container: &Container, member: Member, most: u64) -> Result<usize> {
    let size = usize::try_from(member.size).ok().filter(|_| member.size <= most);
    size.ok_or_else(|| container.damaged("a member is larger than it can be"))
}
