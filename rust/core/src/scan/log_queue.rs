//! Many small logs, one after the other.

use std::path::PathBuf;

use super::log_reader::LogReader;
use super::scanner::Scanner;
use crate::Error;
use crate::log::Storage;

/// A whole log that is to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WholeLog {
    /// Number of the source that it is.
    pub source: u32,
    /// The file.
    pub path: PathBuf,
    /// How its lines are stored.
    pub storage: Storage,
    /// How many bytes of it are read.
    pub bytes: u64,
}

/// Reads whole logs, of which one at a time is open; one that cannot be read is rejected.
#[derive(Default)]
pub struct LogQueue {
    /// The last of them comes first.
    waiting: Vec<WholeLog>,
    reader: Option<LogReader>,
    /// Whether the reader is in the middle of a log.
    reading: bool,
}

impl LogQueue {
    /// Logs to be read in this order.
    pub fn new(mut logs: Vec<WholeLog>) -> Self {
        logs.reverse();
        Self { waiting: logs, ..Self::default() }
    }

    /// Reads on until the scanner is full or, which is `true`, everything has been read.
    pub fn advance(&mut self, scanner: &mut Scanner) -> bool {
        while !scanner.is_full() {
            if !self.reading {
                let Some(next) = self.waiting.pop() else { return true };
                scanner.start(next.source);
                match self.open(&next) {
                    Ok(()) => self.reading = true,
                    Err(error) => scanner.skip(&refusal(&error)),
                }
            } else if let Some(reader) = &mut self.reader {
                self.reading = match reader.advance(scanner) {
                    Ok(ended) => !ended,
                    Err(error) => {
                        scanner.skip(&refusal(&error));
                        false
                    }
                };
            }
        }
        false
    }

    fn open(&mut self, log: &WholeLog) -> Result<(), Error> {
        let range = 0..log.bytes;
        match &mut self.reader {
            Some(reader) => reader.reopen(&log.path, log.storage, range),
            none => {
                *none = Some(LogReader::open(&log.path, log.storage, range)?);
                Ok(())
            }
        }
    }
}

/// What is said of a log that cannot be read; which one it is, the source tells.
fn refusal(error: &Error) -> String {
    match error {
        Error::Io { message, .. } => format!("the log cannot be read: {message}"),
        other => format!("the log cannot be read: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use arrow_array::cast::AsArray;
    use arrow_array::types::{Int32Type, Int64Type};

    use super::*;

    fn line(id: usize) -> String {
        let fields =
            ["predicted_inputs", "available_inputs", "actual_inputs", "predicted_outputs", "actual_outputs"];
        let fields = fields.map(|name| format!("\"{name}\":[],")).concat();
        format!(
            "{{\"quantum_id\":\"00000000-0000-0000-0000-{id:012x}\",{fields}\"datastore_records\":{{}}}}\n"
        )
    }

    #[test]
    fn each_log_is_a_source_of_its_own() {
        let folder = std::env::temp_dir().join(format!("quantum-butler-queue-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let mut logs = Vec::new();
        for source in 0..300 {
            let content = match source % 7 {
                0 => String::new(),
                1 => line(source) + &line(source)[..20],
                _ => line(source) + &line(source + 1000),
            };
            let storage = if source % 2 == 0 { Storage::Lines } else { Storage::Frames };
            let stored = match storage {
                Storage::Lines => content.into_bytes(),
                Storage::Frames => zstd::encode_all(content.as_bytes(), 1).unwrap(),
            };
            let path = folder.join(source.to_string());
            if source != 200 {
                fs::write(&path, &stored).unwrap();
            }
            logs.push(WholeLog { source: source as u32, path, storage, bytes: stored.len() as u64 });
        }
        // What is added after it was found is not read.
        fs::write(&logs[4].path, (line(4) + &line(1004)).repeat(2)).unwrap();
        let mut scanner = Scanner::default();
        assert!(LogQueue::new(logs).advance(&mut scanner));
        let (tables, rejected) = scanner.take();
        let sources = tables.quanta["source"].as_primitive::<Int32Type>().values();
        let offsets = tables.quanta["offset"].as_primitive::<Int64Type>().values();
        let found: Vec<_> = sources.iter().copied().zip(offsets.iter().copied()).collect();
        let length = line(0).len() as i64;
        let expected: Vec<_> = (0..300)
            .filter(|source| *source != 200)
            .flat_map(|source| (0..(source % 7).min(2)).map(move |n| (source, i64::from(n) * length)))
            .collect();
        assert_eq!(found, expected);
        let torn = rejected.iter().filter(|one| one.reason.starts_with("the log ends within this line"));
        assert!(torn.map(|one| one.source).eq((0..300).filter(|source| source % 7 == 1)));
        let missing: Vec<_> = rejected.iter().filter(|one| one.source == 200).collect();
        assert_eq!(missing.len(), 1);
        assert_eq!(missing[0].reason, "the log cannot be read: No such file or directory");
        fs::remove_dir_all(&folder).unwrap();
    }
}
