//! Reads provenance of the form that writers give it, quickly.
//!
//! Plain is what `provenance::read` calls so, with file records only, one table for each dataset. Whatever
//! else there may be, `None` leaves it to `lenient`.

use std::borrow::Cow;
use std::ops::Range;

use hashbrown::HashSet;

use super::content::{Content, DataIdText, Ids, Record};
use super::kinds::{Kinds, Texts};
use super::shapes::{Places, Shapes};
use crate::log::{connections_text, contents, execution, names, read_time};
use crate::provenance::{Field, Scanner};
use crate::records::NO_COMPONENT;

/// Names of the class of file records: upstream's, and what it was called before.
pub(super) const FILE_RECORDS: [&str; 2] = [
    "lsst.daf.butler.datastore.stored_file_info.StoredFileInfo",
    "lsst.daf.butler.core.storedFileInfo.StoredFileInfo",
];

/// Columns of a file record, in the order in which they are written.
pub(super) const COLUMNS: [&str; 6] =
    ["formatter", "path", "storage_class", "component", "checksum", "file_size"];

/// Real data IDs have up to five.
const MOST_DIMENSIONS: usize = 8;

/// Real quanta write to one or two datastores.
const MOST_DATASTORES: usize = 8;

/// Keys of a quantum in the order in which they are written: what logs have before, then what the model has.
const KEYS: [&str; 17] = [
    "\"quantum_id\":",
    "\"task_label\":",
    "\"data_id\":",
    "\"begin\":",
    "\"end\":",
    "\"failed\":",
    "\"execution\":",
    "\"earlier_attempts\":",
    "\"connections\":",
    "\"datasets\":",
    "\"contents\":",
    "\"predicted_inputs\":",
    "\"available_inputs\":",
    "\"actual_inputs\":",
    "\"predicted_outputs\":",
    "\"actual_outputs\":",
    "\"datastore_records\":",
];
/// Numbers of those that must be there.
const REQUIRED: Range<usize> = 11..17;
/// Up to so many records are compared with one another without looking them up.
const FEW: usize = 256;

/// Reads one quantum into empty content; `None` for anything but the plain form.
///
/// The id of the quantum may be missing.
pub(super) fn read<'a>(text: &'a [u8], content: &mut Content<'a>) -> Option<()> {
    let mut scanner = Scanner::new(text);
    quantum(&mut scanner, content)?;
    scanner.at_end().then_some(())
}

/// Reads the quantum of the first line, and tells how long that is with its break.
pub(super) fn read_line<'a>(text: &'a [u8], content: &mut Content<'a>) -> Option<usize> {
    let mut scanner = Scanner::of_line(text);
    quantum(&mut scanner, content)?;
    scanner.line_break()?;
    Some(scanner.at())
}

fn quantum<'a>(scanner: &mut Scanner<'a>, content: &mut Content<'a>) -> Option<()> {
    let mut seen = Seen::default();
    let mut arrays = Arrays::default();
    scanner.members(&KEYS, |scanner, key| {
        seen.first(key)?;
        match key {
            0 => content.quantum_id = Some(scanner.id()?),
            1 => content.task_label = nullable_text(scanner)?,
            2 => content.data_id = data_id(scanner)?,
            3 => content.attempt.begin = nullable_time(scanner)?,
            4 => content.attempt.end = nullable_time(scanner)?,
            5 if scanner.peek()? == b'n' => scanner.null()?,
            5 => content.attempt.failed = Some(scanner.boolean()?),
            6..9 | 10 if scanner.peek()? == b'n' => scanner.null()?,
            6 => content.execution = execution::read(scanner)?,
            7 => scanner.array(|scanner| {
                content.earlier.push(execution::read(scanner)?);
                Some(())
            })?,
            8 => content.connections = Some(Cow::Borrowed(connections_text(scanner)?)),
            9 => names::read(scanner, &mut content.datasets)?,
            10 => content.contents = Some(contents::read(scanner)?),
            11..16 => arrays.read(scanner, Field::ALL[key - 11], &mut content.ids)?,
            _ => {
                let Content { records, kinds, shapes, .. } = &mut *content;
                datastores(scanner, &arrays, &mut Records { records, kinds, shapes })?;
            }
        }
        Some(())
    })?;
    seen.has_all(REQUIRED).then_some(())
}

/// Which members of an object were there.
#[derive(Default)]
struct Seen(u32);

impl Seen {
    /// Notes a member; `None` if it was there before.
    fn first(&mut self, member: usize) -> Option<()> {
        let bit = 1 << member;
        let new = self.0 & bit == 0;
        self.0 |= bit;
        new.then_some(())
    }

    /// Whether all of these were there.
    fn has_all(&self, members: Range<usize>) -> bool {
        members.into_iter().all(|member| self.0 & 1 << member != 0)
    }
}

/// The texts of the arrays of ids so far: of what was predicted mostly all is there, and all is written.
#[derive(Default)]
struct Arrays<'a>([Option<&'a [u8]>; 5]);

impl<'a> Arrays<'a> {
    fn read(&mut self, scanner: &mut Scanner<'a>, field: Field, ids: &mut Ids) -> Option<()> {
        let start = scanner.at();
        match self.pass(scanner) {
            Some(earlier) => ids.same(field, Field::ALL[earlier]),
            None => scanner.ids(ids.list(field))?,
        }
        self.0[field as usize] = Some(scanner.since(start));
        Some(())
    }

    /// Passes over an array whose text is that of an earlier one, and tells which.
    fn pass(&self, scanner: &mut Scanner<'_>) -> Option<usize> {
        self.0.iter().position(|earlier| earlier.is_some_and(|text| scanner.passes(text)))
    }
}

fn nullable_text<'a>(scanner: &mut Scanner<'a>) -> Option<Option<Cow<'a, str>>> {
    if scanner.peek()? == b'n' { scanner.null().map(|()| None) } else { scanner.string().map(Some) }
}

fn nullable_time(scanner: &mut Scanner<'_>) -> Option<Option<i64>> {
    match nullable_text(scanner)? {
        Some(text) => read_time(&text).map(Some),
        None => Some(None),
    }
}

fn data_id<'a>(scanner: &mut Scanner<'a>) -> Option<Option<Cow<'a, str>>> {
    if scanner.peek()? == b'n' {
        return scanner.null().map(|()| None);
    }
    Some(Some(match written_data_id(scanner) {
        Some(text) => Cow::Borrowed(text),
        None => Cow::Owned(read_data_id(scanner)?.finish()),
    }))
}

/// The text of a data ID that is written as an archive has it; at anything else the scanner stays where it was.
fn written_data_id<'a>(scanner: &mut Scanner<'a>) -> Option<&'a str> {
    let mut ahead = scanner.clone();
    let mut dimensions = [""; MOST_DIMENSIONS];
    let mut opening = b"{\"";
    for count in 0..MOST_DIMENSIONS {
        let dimension = if ahead.passes(opening) { ahead.plain()? } else { return None };
        if dimensions[..count].contains(&dimension) || !ahead.passes(b"\":") {
            return None;
        }
        dimensions[count] = dimension;
        if ahead.passes(b"\"") {
            ahead.plain()?;
            ahead.passes(b"\"");
        } else {
            ahead.integer()?;
        }
        if ahead.passes(b"}") {
            let text = std::str::from_utf8(ahead.since(scanner.at())).ok();
            *scanner = ahead;
            return text;
        }
        opening = b",\"";
    }
    None
}

/// Reads a data ID as an archive has it.
pub(super) fn data_id_of(text: &str) -> Option<DataIdText> {
    read_data_id(&mut Scanner::new(text.as_bytes()))
}

fn read_data_id(scanner: &mut Scanner<'_>) -> Option<DataIdText> {
    let mut text = DataIdText::default();
    scanner.object(|scanner, dimension| {
        let new = match scanner.peek()? {
            b'"' => text.push_text(&dimension, &scanner.string()?),
            _ => text.push_integer(&dimension, scanner.integer()?),
        };
        new.then_some(())
    })?;
    Some(text)
}

/// Where records go, and what is known of them.
struct Records<'c, 'a> {
    records: &'c mut Vec<Record<'a>>,
    kinds: &'c mut Kinds,
    shapes: &'c mut Shapes,
}

fn datastores<'a>(
    scanner: &mut Scanner<'a>,
    arrays: &Arrays<'a>,
    records: &mut Records<'_, 'a>,
) -> Option<()> {
    let mut names: [Cow<'a, str>; MOST_DATASTORES] = Default::default();
    let mut count = 0;
    scanner.object(|scanner, name| {
        if names[..count].contains(&name) {
            return None;
        }
        let mut seen = Seen::default();
        scanner.members(&["\"dataset_ids\":", "\"records\":"], |scanner, key| {
            seen.first(key)?;
            match (key, arrays.pass(scanner)) {
                (0, Some(_)) => Some(()),
                (0, None) => scanner.array(|scanner| scanner.id().map(drop)),
                _ => records.class(scanner, &name),
            }
        })?;
        *names.get_mut(count)? = name;
        count += 1;
        seen.has_all(0..2).then_some(())
    })
}

impl<'a> Records<'_, 'a> {
    /// Reads the records of the one class.
    fn class(&mut self, scanner: &mut Scanner<'a>, datastore: &str) -> Option<()> {
        let mut seen = Seen::default();
        let first = self.records.len();
        scanner.object(|scanner, class| {
            seen.first(0)?;
            if !FILE_RECORDS.contains(&&*class) {
                return None;
            }
            let (mut newest, mut earlier) = (None, HashSet::new());
            scanner.members_by_id(|scanner, dataset_id| {
                // Mostly they are sorted, and then none comes twice.
                if newest.is_some_and(|newest| dataset_id <= newest)
                    && is_among(&self.records[first..], dataset_id, &mut earlier)
                {
                    return None;
                }
                if !earlier.is_empty() {
                    earlier.insert(dataset_id);
                }
                newest = newest.max(Some(dataset_id));
                match self.shapes.read(scanner, datastore) {
                    Some((path, kind, size)) => {
                        let (path, file_size) = (Cow::Borrowed(path), known_size(Some(size)));
                        self.records.push(Record { dataset_id, path, kind, checksum: None, file_size });
                        Some(())
                    }
                    None => self.tables(scanner, datastore, dataset_id),
                }
            })
        })
    }

    /// Reads the records of a dataset in the one table, and takes their shape.
    fn tables(&mut self, scanner: &mut Scanner<'a>, datastore: &str, dataset_id: u128) -> Option<()> {
        let (start, first) = (scanner.at(), self.records.len());
        let mut seen = Seen::default();
        let mut places = None;
        scanner.object(|scanner, _table| {
            seen.first(0)?;
            scanner.array(|scanner| {
                places = self.record(scanner, datastore, dataset_id)?;
                Some(())
            })
        })?;
        if let ([record], Some(places)) = (&self.records[first..], places) {
            self.shapes.learn(scanner.text(), start, scanner.at(), places, datastore, record.kind);
        }
        // One without any could come again unnoticed.
        (self.records.len() > first).then_some(())
    }

    /// Reads a record, and tells where its parts are if it is written as upstream does.
    fn record(
        &mut self,
        scanner: &mut Scanner<'a>,
        datastore: &str,
        dataset_id: u128,
    ) -> Option<Option<Places>> {
        let Row { texts, file_size, places } = match row_in_order(scanner) {
            Some(row) => row,
            None => row(scanner)?,
        };
        let [formatter, path, storage_class, component, checksum] = texts;
        let kind = self.kinds.number(Texts {
            datastore,
            formatter: &formatter?,
            storage_class: &storage_class?,
            component: component_or_none(component.as_deref()),
        });
        let file_size = known_size(file_size);
        self.records.push(Record { dataset_id, path: path?, kind, checksum, file_size });
        Some(places)
    }
}

/// Whether a dataset has a record already; of many, they are looked up in what was `earlier`.
fn is_among(records: &[Record<'_>], dataset_id: u128, earlier: &mut HashSet<u128>) -> bool {
    let mut ids = records.iter().map(|record| record.dataset_id);
    if records.len() < FEW {
        return ids.any(|id| id == dataset_id);
    }
    if earlier.is_empty() {
        earlier.extend(ids);
    }
    earlier.contains(&dataset_id)
}

/// The texts of a row, and the size.
struct Row<'a> {
    texts: [Option<Cow<'a, str>>; 5],
    file_size: Option<i64>,
    places: Option<Places>,
}

/// Reads a row that is written as upstream does; at anything else the scanner stays where it was.
fn row_in_order<'a>(scanner: &mut Scanner<'a>) -> Option<Row<'a>> {
    const BEFORE: [&str; 5] =
        ["{\"formatter\":", ",\"path\":", ",\"storage_class\":", ",\"component\":", ",\"checksum\":"];
    let mut ahead = scanner.clone();
    let mut texts: [Option<Cow<'a, str>>; 5] = Default::default();
    let mut ends = [0; 5];
    for ((text, end), before) in texts.iter_mut().zip(&mut ends).zip(BEFORE) {
        if !ahead.passes(before.as_bytes()) {
            return None;
        }
        *text = nullable_text(&mut ahead)?;
        *end = ahead.at();
    }
    let size = if ahead.passes(b",\"file_size\":") { ahead.at() } else { return None };
    let file_size = Some(ahead.integer()?);
    if !ahead.passes(b"}") {
        return None;
    }
    // Without escapes, and without a checksum, which would be of this file only.
    let places = match &texts {
        [_, Some(Cow::Borrowed(path)), _, _, None] => {
            let after = ends[1] - 1;
            Some(Places { path: after - path.len(), after, size, end: ahead.at() })
        }
        _ => None,
    };
    *scanner = ahead;
    Some(Row { texts, file_size, places })
}

/// Reads a row whatever its order.
fn row<'a>(scanner: &mut Scanner<'a>) -> Option<Row<'a>> {
    let mut texts: [Option<Cow<'a, str>>; 5] = Default::default();
    let mut file_size = None;
    let mut seen = Seen::default();
    scanner.object(|scanner, column| {
        let position = COLUMNS.iter().position(|name| *name == column)?;
        seen.first(position)?;
        match texts.get_mut(position) {
            Some(text) => *text = nullable_text(scanner)?,
            None if scanner.peek()? == b'n' => scanner.null()?,
            None => file_size = Some(scanner.integer()?),
        }
        Some(())
    })?;
    seen.has_all(0..6).then_some(Row { texts, file_size, places: None })
}

/// Without the numbers that stand for no size.
fn known_size(size: Option<i64>) -> Option<i64> {
    size.filter(|size| *size >= 0)
}

/// Without the texts that stand for no component.
pub(super) fn component_or_none(component: Option<&str>) -> Option<&str> {
    component.filter(|name| !name.is_empty() && *name != NO_COMPONENT)
}
