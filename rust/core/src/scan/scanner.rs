//! Lines and documents on their way into the tables.

use super::columns::{Columns, Tables};
use super::content::Content;
use super::{lenient, plain};
use crate::uuid_text;

/// The most bytes that one line of a log, or the document of one quantum, may have.
pub const MOST_BYTES: usize = 1 << 28;

/// The tables are full, to be taken, when they hold so many bytes, quanta or rejected entries.  With more, their
/// memory would come from the operating system anew each time.
const FULL_BYTES: usize = 1 << 22;
const FULL_QUANTA: usize = 1 << 16;
const FULL_REJECTED: usize = 1 << 12;

/// Input that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Number of the source.
    pub source: u32,
    /// Where it starts, in bytes of the source's content.
    pub offset: u64,
    /// Why it could not be read.
    pub reason: String,
}

/// Reads the provenance of quanta, from pieces of logs and from documents of one quantum each.
#[derive(Default)]
pub struct Scanner {
    columns: Columns,
    /// Memory for what is read next.
    content: Content<'static>,
    rejected: Vec<Rejected>,
    source: u32,
    /// The line that has begun.
    pending: Vec<u8>,
    /// Whether the rest of that line is passed over because it is too long.
    overlong: bool,
    /// Where that line begins.
    offset: u64,
    /// Bytes of the sources before.
    before: u64,
    /// How many entries of one source are rejected before the rest of it is not read.
    most_rejected: Option<usize>,
    /// How many of this source were, and whether the rest of it is not read.
    rejected_here: usize,
    given_up: bool,
}

impl Scanner {
    /// One that leaves off reading a source when so many entries of it were rejected.
    ///
    /// Gigabytes of lines can be compressed to a few bytes, and each that is rejected takes more room than it has.
    pub fn with_most_rejected(most: usize) -> Self {
        Self { most_rejected: Some(most), ..Self::default() }
    }

    /// Keeps contents of metadata and logs from now on.
    pub fn keep_contents(&mut self) {
        self.columns.keep_contents();
    }

    /// Goes on with another source, from its beginning.
    pub fn start(&mut self, source: u32) {
        self.before += self.position();
        (self.rejected_here, self.given_up) = (0, false);
        self.source = source;
        self.offset = 0;
        self.pending.clear();
        self.overlong = false;
    }

    /// How many bytes of the source have come, lines that have only begun included.
    pub fn position(&self) -> u64 {
        self.offset + self.pending.len() as u64
    }

    /// How many bytes of all sources have come.
    pub fn content(&self) -> u64 {
        self.before + self.position()
    }

    /// Whether the rest of the source is not read, since too much of it was rejected.
    pub fn has_given_up(&self) -> bool {
        self.given_up
    }

    /// Reads the next bytes of a log; no more than a few megabytes before asking whether it `is_full`.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.given_up {
            self.offset += bytes.len() as u64;
            return;
        }
        let mut start = 0;
        if !self.pending.is_empty() || self.overlong {
            let Some(end) = memchr::memchr(b'\n', bytes) else { return self.keep(bytes) };
            self.keep(&bytes[..end]);
            self.end_line(1);
            start = end + 1;
        }
        let mut content = std::mem::take(&mut self.content).recycle();
        while start < bytes.len() && !self.given_up {
            let rest = &bytes[start..];
            // Where the line ends is found by reading it, if that can be done in the plain way.
            let length = match plain::read_line(rest, &mut content) {
                Some(length) => {
                    self.push_content(&mut content, None);
                    length
                }
                None => {
                    let Some(end) = memchr::memchr(b'\n', rest) else { break };
                    content = self.line(&rest[..end], content.recycle());
                    end + 1
                }
            };
            content = content.recycle();
            self.offset += length as u64;
            start += length;
            self.give_up_in_time();
        }
        self.content = content.recycle();
        match self.given_up {
            true => self.offset += (bytes.len() - start) as u64,
            false => self.keep(&bytes[start..]),
        }
    }

    /// Reads what is left when a log has ended.
    pub fn finish(&mut self) {
        if !self.pending.is_empty() || self.overlong {
            let before = self.rejected.len();
            self.end_line(0);
            if let Some(torn) = self.rejected.get_mut(before) {
                torn.reason = format!("the log ends within this line; {}", torn.reason);
            }
        }
    }

    /// Rejects what comes next in a log and cannot even be told to be lines, with the line before it that has
    /// begun.
    pub fn skip(&mut self, reason: &str) {
        self.reject(reason.to_owned());
        self.offset = self.position();
        self.pending.clear();
        self.overlong = false;
    }

    /// Reads the document of one quantum, whose id it may leave to the file's name.
    pub fn document(&mut self, name: &str, bytes: &[u8]) {
        if bytes.len() > MOST_BYTES {
            return self.reject(too_long());
        }
        let mut content = std::mem::take(&mut self.content).recycle();
        match read(bytes, &mut content) {
            Err(reason) => self.reject(reason),
            Ok(()) => self.push_content(&mut content, Some(name)),
        }
        self.content = content.recycle();
        self.offset += bytes.len() as u64;
    }

    /// Rejects what is next.
    pub fn reject(&mut self, reason: String) {
        self.rejected.push(Rejected { source: self.source, offset: self.offset, reason });
        self.rejected_here += 1;
    }

    /// Leaves off reading if too much was rejected.
    fn give_up_in_time(&mut self) {
        if let Some(most) = self.most_rejected.filter(|most| self.rejected_here >= *most) {
            self.reject(format!("more than {most} lines were rejected; what follows is not read"));
            self.given_up = true;
        }
    }

    /// Whether it is time to take what has been read.
    pub fn is_full(&self) -> bool {
        self.columns.bytes() >= FULL_BYTES
            || self.columns.quanta() >= FULL_QUANTA
            || self.rejected.len() >= FULL_REJECTED
    }

    /// What has been read since the last time.
    pub fn take(&mut self) -> (Tables, Vec<Rejected>) {
        let tables = self.columns.take(&self.content.kinds);
        self.content.forget_kinds();
        (tables, std::mem::take(&mut self.rejected))
    }

    fn keep(&mut self, bytes: &[u8]) {
        if !self.overlong && self.pending.len() + bytes.len() <= MOST_BYTES {
            self.pending.extend_from_slice(bytes);
            return;
        }
        if !self.overlong {
            self.reject(too_long());
            self.overlong = true;
        }
        self.offset += (self.pending.len() + bytes.len()) as u64;
        self.pending = Vec::new();
    }

    /// Reads the line that had begun, now that it has ended, with so many bytes for its line break.
    fn end_line(&mut self, line_break: u64) {
        let line = std::mem::take(&mut self.pending);
        if !std::mem::take(&mut self.overlong) {
            let content = std::mem::take(&mut self.content).recycle();
            self.content = self.line(&line, content).recycle();
        }
        self.offset += line.len() as u64 + line_break;
        self.pending = line;
        self.pending.clear();
        self.give_up_in_time();
    }

    fn line<'a>(&mut self, line: &'a [u8], mut content: Content<'a>) -> Content<'a> {
        if line.trim_ascii().is_empty() {
            return content;
        }
        match read(line, &mut content) {
            Err(reason) => self.reject(reason),
            Ok(()) => self.push_content(&mut content, None),
        }
        content
    }

    /// Adds what was read, of a line or of a file whose name may have the id.
    fn push_content(&mut self, content: &mut Content<'_>, name: Option<&str>) {
        match content.quantum_id.or_else(|| uuid_text::parse_any(name?)) {
            Some(id) => self.push(id, content),
            None if name.is_none() => self.reject("quantum_id is missing".to_owned()),
            None => self.reject("neither the content nor the file's name has the id of a quantum".to_owned()),
        }
    }

    fn push(&mut self, quantum_id: u128, content: &mut Content<'_>) {
        content.settle();
        match self.columns.has_room(content) {
            Ok(()) => self.columns.push(quantum_id, content, self.source, self.offset),
            Err(reason) => self.reject(reason.to_owned()),
        }
    }
}

/// Reads one quantum, in either way; the error is the reason why it cannot be read.
fn read<'a>(bytes: &'a [u8], content: &mut Content<'a>) -> Result<(), String> {
    if plain::read(bytes, content).is_some() {
        return Ok(());
    }
    *content = std::mem::take(content).recycle();
    lenient::read(bytes, content)
}

fn too_long() -> String {
    format!("longer than {} MiB", MOST_BYTES >> 20)
}

#[cfg(test)]
mod tests {
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Int64Type, UInt8Type};
    use proptest::prelude::*;

    use super::*;

    fn line(id: u128) -> String {
        let id = String::from_utf8(uuid_text::hyphenated(id).to_vec()).unwrap();
        format!(
            r#"{{"quantum_id":"{id}","task_label":"isr","data_id":{{"detector":1}},"predicted_inputs":["{id}"],
"available_inputs":["{id}"],"actual_inputs":[],"predicted_outputs":[],"actual_outputs":[],"datastore_records":{{}}}}"#
        )
        .replace('\n', "")
    }

    type Quanta = Vec<(u128, i64)>;

    /// Ids and offsets of the quanta, and offsets and reasons of what was rejected.
    fn taken(scanner: &mut Scanner) -> (Quanta, Vec<(u64, String)>) {
        let (tables, rejected) = scanner.take();
        let ids = tables.quanta["quantum_id"].as_fixed_size_binary();
        let offsets = tables.quanta["offset"].as_primitive::<Int64Type>();
        let quanta = ids.iter().flatten().zip(offsets.values());
        let quanta =
            quanta.map(|(id, offset)| (u128::from_be_bytes(id.try_into().unwrap()), *offset)).collect();
        (quanta, rejected.into_iter().map(|rejected| (rejected.offset, rejected.reason)).collect())
    }

    proptest! {
        #[test]
        fn lines_are_found_however_the_bytes_come(
            kinds in prop::collection::vec(0..5, 0..12),
            sizes in prop::collection::vec(1..400_usize, 1..20),
            ended: bool,
        ) {
            let mut log = Vec::new();
            let (mut quanta, mut rejected) = (Vec::new(), Vec::new());
            for (id, kind) in kinds.iter().enumerate() {
                match kind {
                    0 => (),
                    1 => log.extend_from_slice(b" \r"),
                    2 => {
                        rejected.push(log.len() as u64);
                        log.extend_from_slice(b"{\"quantum_id\":1");
                    }
                    _ => {
                        quanta.push((id as u128, log.len() as i64));
                        log.extend_from_slice(line(id as u128).as_bytes());
                    }
                }
                log.push(b'\n');
            }
            if !ended {
                log.pop();
            }
            let mut scanner = Scanner::default();
            let (mut at, mut sizes) = (0, sizes.into_iter().cycle());
            while at < log.len() {
                let end = log.len().min(at + sizes.next().unwrap());
                scanner.feed(&log[at..end]);
                at = end;
                prop_assert_eq!(scanner.position(), at as u64);
            }
            scanner.finish();
            let found = taken(&mut scanner);
            prop_assert_eq!(found.0, quanta);
            prop_assert_eq!(found.1.into_iter().map(|one| one.0).collect::<Vec<_>>(), rejected);
        }
    }

    #[test]
    fn a_torn_end_is_told_as_one() {
        let mut scanner = Scanner::default();
        scanner.feed(format!("{}\n{}", line(1), &line(2)[..50]).as_bytes());
        scanner.finish();
        let (quanta, rejected) = taken(&mut scanner);
        assert_eq!(quanta, [(1, 0)]);
        assert_eq!(rejected.len(), 1);
        assert_eq!(rejected[0].0, line(1).len() as u64 + 1);
        assert!(rejected[0].1.starts_with("the log ends within this line; not JSON: EOF"), "{rejected:?}");
    }

    #[test]
    fn after_too_many_rejections_the_rest_of_a_source_is_not_read() {
        let mut log = b"x\n".repeat(5);
        log.extend_from_slice(line(1).as_bytes());
        for step in [1, 3, 100_000] {
            let mut scanner = Scanner::with_most_rejected(3);
            for source in 0..2 {
                scanner.start(source);
                log.chunks(step).for_each(|piece| scanner.feed(piece));
                scanner.finish();
                assert!(scanner.has_given_up());
                assert_eq!(scanner.position(), log.len() as u64);
            }
            scanner.start(2);
            scanner.feed(line(2).as_bytes());
            scanner.finish();
            assert_eq!(scanner.content(), 2 * log.len() as u64 + line(2).len() as u64);
            let (quanta, rejected) = taken(&mut scanner);
            assert_eq!(quanta, [(2, 0)]);
            assert_eq!(rejected.iter().map(|one| one.0).collect::<Vec<_>>(), [0, 2, 4, 6, 0, 2, 4, 6]);
            assert_eq!(rejected[3].1, "more than 3 lines were rejected; what follows is not read");
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_over_without_being_kept() {
        let mut scanner = Scanner::default();
        scanner.feed(format!("{}\n", line(1)).as_bytes());
        let megabyte = vec![b'x'; 1 << 20];
        for _ in 0..(MOST_BYTES >> 20) + 3 {
            scanner.feed(&megabyte);
            assert!(scanner.pending.len() <= MOST_BYTES);
        }
        assert!(scanner.pending.is_empty());
        scanner.feed(format!("x\n{}\n", line(2)).as_bytes());
        scanner.finish();
        let (quanta, rejected) = taken(&mut scanner);
        let start = line(1).len() as u64 + 1;
        assert_eq!(rejected, [(start, "longer than 256 MiB".to_owned())]);
        assert_eq!(quanta, [(1, 0), (2, start as i64 + MOST_BYTES as i64 + (3 << 20) + 2)]);
    }

    #[test]
    fn a_document_has_its_id_or_its_name_has() {
        let mut scanner = Scanner::default();
        let (whole, id) = (line(7), "00000000-0000-0000-0000-000000000008");
        let without = whole.replacen("\"quantum_id\":\"00000000-0000-0000-0000-000000000007\",", "", 1);
        let documents = [(id, &whole), (id, &without), ("other", &whole), ("other", &without)];
        for (source, (name, text)) in documents.into_iter().enumerate() {
            scanner.start(source as u32);
            scanner.document(name, text.as_bytes());
        }
        let (tables, rejected) = scanner.take();
        let ids = tables.quanta["quantum_id"].as_fixed_size_binary();
        assert_eq!(ids.iter().map(|id| id.unwrap()[15]).collect::<Vec<_>>(), [7, 8, 7]);
        assert_eq!(rejected.len(), 1);
        assert_eq!((rejected[0].source, rejected[0].offset), (3, 0));
        assert!(rejected[0].reason.contains("file's name"));
        assert_eq!(tables.edges["roles"].as_primitive::<UInt8Type>().values(), &[3, 3, 3]);
    }

    #[test]
    fn more_datastores_than_the_table_takes_are_refused() {
        let class = plain::FILE_RECORDS[0];
        let row = r#"{"formatter":"f","path":"p","storage_class":"s","component":null,"checksum":null,"file_size":1}"#;
        let key = "0".repeat(32);
        let mut scanner = Scanner::default();
        for n in 0..130 {
            let records = format!(
                r#"{{"d{n}":{{"dataset_ids":[],"records":{{"{class}":{{"{key}":{{"t":[{row}]}}}}}}}}}}"#
            );
            let line =
                line(n).replace("\"datastore_records\":{}", &format!("\"datastore_records\":{records}"));
            scanner.feed(line.as_bytes());
            scanner.feed(b"\n");
        }
        let (quanta, rejected) = taken(&mut scanner);
        assert_eq!((quanta.len(), rejected.len()), (128, 2));
        assert!(rejected[0].1.contains("128 datastores"));
    }
}
