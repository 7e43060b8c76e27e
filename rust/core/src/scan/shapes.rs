//! How the records of a kind are written, by which the next of them are read.
//!
//! A writer has one form for all records of a kind, but for the path and the size.  Where text is the same as
//! text before it, in the same place, it means the same and need not be parsed again.

use crate::provenance::Scanner;

/// More would take longer to look through than parsing does.
const MOST_SHAPES: usize = 64;
/// Longer ones are no names of anybody's.
const MOST_TEXT: usize = 1 << 10;

/// What there is between the key of a dataset, with its colon, and the end of its only record.
#[derive(Debug)]
struct Shape {
    /// What goes before the path, with its quote.
    before: Box<[u8]>,
    /// What goes after it, from its quote to the size.
    after: Box<[u8]>,
    /// Number of the first shape with the same text before.
    like: usize,
    datastore: String,
    kind: u32,
}

/// What goes after the size.
const END: &[u8] = b"}]}";

/// The shapes so far.
#[derive(Debug, Default)]
pub(super) struct Shapes(Vec<Shape>);

/// Where the parts of the only record of a dataset are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Places {
    pub(super) path: usize,
    pub(super) after: usize,
    pub(super) size: usize,
    pub(super) end: usize,
}

impl Shapes {
    /// Reads path, kind and size of the only record of a dataset, if it is like one before; at anything else the
    /// scanner stays where it was.
    pub(super) fn read<'a>(&self, scanner: &mut Scanner<'a>, datastore: &str) -> Option<(&'a str, u32, i64)> {
        let mut ahead = scanner.clone();
        let mut shapes = self.0.iter().enumerate();
        let first = shapes.find(|(at, shape)| shape.like == *at && ahead.passes(&shape.before))?.0;
        let path = ahead.plain()?;
        let candidates = self.0[first..].iter().filter(|shape| shape.like == first);
        let mut candidates = candidates.filter(|shape| shape.datastore == datastore);
        let kind = candidates.find(|shape| ahead.passes(&shape.after))?.kind;
        let size = ahead.integer()?;
        if !ahead.passes(END) {
            return None;
        }
        *scanner = ahead;
        Some((path, kind, size))
    }

    /// Takes the shape of a record, which starts somewhere in a text and has been read in full.
    pub(super) fn learn(
        &mut self,
        text: &[u8],
        start: usize,
        end: usize,
        places: Places,
        datastore: &str,
        kind: u32,
    ) {
        let Places { path, after, size, end: row_end } = places;
        let fits = self.0.len() < MOST_SHAPES && path - start <= MOST_TEXT && size - after <= MOST_TEXT;
        if !fits || text[row_end..end] != END[1..] {
            return;
        }
        let (before, after) = (Box::from(&text[start..path]), Box::from(&text[after..size]));
        let like = self.0.iter().position(|shape| shape.before == before).unwrap_or(self.0.len());
        self.0.push(Shape { before, after, like, datastore: datastore.to_owned(), kind });
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
