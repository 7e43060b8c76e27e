//! Appends to a log.

use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::line::write_line;
use super::{Heading, Storage, Torn, tail};
use crate::compression::Compressor;
use crate::{Error, Result};

/// Lines of so many bytes together make a frame; more would compress hardly better.
const FRAME: usize = 1 << 18;

/// What Linux says beside `EOPNOTSUPP` and `ENOSYS` where there are no locks, as on some NFS and Lustre
/// mounts: that there are none to be had, and a number that C libraries do not know (`ENOTSUPP`).
const NO_LOCKS: [i32; 2] = [Errno::ENOLCK as i32, 524];

/// A log that this process, and no other, appends to.
pub struct LogWriter {
    path: PathBuf,
    file: File,
    storage: Storage,
    sync: bool,
    locked: bool,
    /// Bytes of the file that are complete; it has more only if a failed write could not be taken back.
    length: u64,
    overlong: bool,
    /// Lines that are not in the file yet; of a log of lines, only the newest.
    pending: Vec<u8>,
    compressor: Option<Compressor>,
    frame: Vec<u8>,
    process: u32,
}

impl LogWriter {
    /// Opens a log to append to, made if there is none, and tells what incomplete end was cut off.
    ///
    /// With `sync` whatever is written goes to the disk at once.
    pub fn open(path: &Path, storage: Storage, sync: bool) -> Result<(Self, Option<Torn>)> {
        let io = |error: io::Error| Error::io(path, &error);
        let file = File::options().read(true).append(true).create(true).open(path).map_err(io)?;
        let locked = match file.try_lock() {
            Err(TryLockError::WouldBlock) => return Err(Error::LogInUse { path: path.to_owned() }),
            Err(TryLockError::Error(error)) if has_no_locks(&error) => false,
            Err(TryLockError::Error(error)) => return Err(io(error)),
            Ok(()) => true,
        };
        let found = file.metadata().map_err(io)?.len();
        let complete = tail::complete(&file, found, storage).map_err(io)?;
        let length = complete.ok_or_else(|| Error::NotALog { path: path.to_owned() })?;
        let torn = (length < found).then_some(Torn { offset: length, bytes: found - length });
        if torn.is_some() {
            file.set_len(length).map_err(io)?;
        }
        let compressor = match storage {
            Storage::Lines => None,
            Storage::Frames => Some(Compressor::new().map_err(io)?),
        };
        let writer = Self {
            path: path.to_owned(),
            file,
            storage,
            sync,
            locked,
            length,
            overlong: false,
            pending: Vec::new(),
            compressor,
            frame: Vec::new(),
            process: std::process::id(),
        };
        Ok((writer, torn))
    }

    /// Whether another writer is kept out; not where the file system has no locks.
    pub fn is_locked(&self) -> bool {
        self.locked
    }

    /// Appends the line of one quantum, whose provenance is the JSON form without line breaks.
    ///
    /// It is then with the operating system, in a log of lines; in one of frames it is after the next
    /// `flush`. After an error the log has nothing of it, nor has a later `flush`.
    pub fn append(&mut self, heading: Heading<'_>, provenance: &str) -> Result<()> {
        self.require_own()?;
        let before = self.pending.len();
        write_line(&mut self.pending, heading, provenance);
        if self.storage == Storage::Lines || self.pending.len() >= FRAME {
            self.write_pending().inspect_err(|_| self.pending.truncate(before))?;
        }
        Ok(())
    }

    /// Hands over what the operating system does not have yet.
    pub fn flush(&mut self) -> Result<()> {
        self.require_own()?;
        if self.pending.is_empty() { Ok(()) } else { self.write_pending() }
    }

    /// Lines that have been appended and are not in the file, which this no longer has afterwards.
    pub fn take_pending(&mut self) -> Result<Vec<u8>> {
        self.require_own()?;
        Ok(std::mem::take(&mut self.pending))
    }

    /// Adds lines that another log of this kind had pending; they are in the file after the next `flush`.
    pub fn add_pending(&mut self, lines: &[u8]) -> Result<()> {
        self.require_own()?;
        self.pending.extend_from_slice(lines);
        Ok(())
    }

    /// Does what is left to do before the log is let go of.
    pub fn finish(&mut self) -> Result<()> {
        self.flush()?;
        // Nothing at all is not a compressed file.
        if self.storage == Storage::Frames && self.length == 0 { self.write_pending() } else { Ok(()) }
    }

    fn write_pending(&mut self) -> Result<()> {
        let io = |error: io::Error| Error::io(&self.path, &error);
        let bytes = match &mut self.compressor {
            None => &self.pending,
            Some(compressor) => {
                compressor.compress(&self.pending, &mut self.frame).map_err(io)?;
                &self.frame
            }
        };
        if self.overlong {
            self.file.set_len(self.length).map_err(io)?;
            self.overlong = false;
        }
        let written = self.file.write_all(bytes);
        let synced = written.and_then(|()| if self.sync { self.file.sync_data() } else { Ok(()) });
        match synced {
            Ok(()) => {
                self.length += bytes.len() as u64;
                self.pending.clear();
                Ok(())
            }
            Err(error) => {
                // Part of it may be there, and nothing may come after that.
                self.overlong = self.file.set_len(self.length).is_err();
                Err(io(error))
            }
        }
    }

    /// A fork has the file, the lock and the pending lines of its parent, which will write them.
    fn require_own(&self) -> Result<()> {
        let process = self.process;
        if std::process::id() == process {
            Ok(())
        } else {
            Err(Error::LogOfParent { path: self.path.clone(), process })
        }
    }
}

/// Whether a lock cannot be had because the file system has none.
fn has_no_locks(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Unsupported
        || error.raw_os_error().is_some_and(|code| NO_LOCKS.contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provenance::{Provenance, Records};
    use std::fs;

    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Self {
            let name = format!("quantum-butler-log-{}-{name}", std::process::id());
            let place = Self(std::env::temp_dir().join(name));
            let _ = fs::remove_file(&place.0);
            place
        }

        fn open(&self, storage: Storage) -> (LogWriter, Option<Torn>) {
            LogWriter::open(&self.0, storage, false).unwrap()
        }

        /// Ids of the quanta in the log, read with nothing of ours.
        fn quanta(&self, storage: Storage) -> Vec<u128> {
            let bytes = fs::read(&self.0).unwrap();
            let text = match storage {
                Storage::Lines => bytes,
                Storage::Frames => zstd::decode_all(&bytes[..]).unwrap(),
            };
            let text = String::from_utf8(text).unwrap();
            assert!(text.is_empty() || text.ends_with('\n'));
            let parsed = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
            let id = |line: serde_json::Value| line["quantum_id"].as_str().unwrap().replace('-', "");
            parsed.map(|line| u128::from_str_radix(&id(line), 16).unwrap()).collect()
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    fn append(log: &mut LogWriter, quantum_id: u128) -> Result<()> {
        // Ids that do not compress fill frames soon.
        let ids =
            (0..8_u128).map(|n| (n + quantum_id).wrapping_mul(0x2545_F491_4F6C_DD1D_9E37_79B9_7F4A_7C15));
        let provenance =
            Provenance::new([ids.collect(), vec![], vec![], vec![], vec![quantum_id]], Records::default());
        let heading = Heading { quantum_id, task_label: Some("isr"), ..Heading::default() };
        log.append(heading, &provenance.to_json(None))
    }

    #[test]
    fn lines_are_in_the_file_at_once_and_frames_after_a_flush() {
        for storage in [Storage::Lines, Storage::Frames] {
            let place = Place::new(&format!("order-{storage:?}"));
            let (mut log, torn) = place.open(storage);
            assert_eq!(torn, None);
            for id in 0..10 {
                append(&mut log, id).unwrap();
                if storage == Storage::Lines {
                    assert_eq!(place.quanta(storage).len(), id as usize + 1);
                }
            }
            log.flush().unwrap();
            assert_eq!(place.quanta(storage), (0..10).collect::<Vec<_>>());
            append(&mut log, 10).unwrap();
            log.finish().unwrap();
            drop(log);
            let (mut log, torn) = place.open(storage);
            assert_eq!(torn, None);
            append(&mut log, 11).unwrap();
            log.finish().unwrap();
            assert_eq!(place.quanta(storage), (0..12).collect::<Vec<_>>());
        }
    }

    #[test]
    fn frames_are_written_without_being_asked_when_they_are_full() {
        let place = Place::new("full");
        let (mut log, _) = place.open(Storage::Frames);
        for id in 0..1000 {
            append(&mut log, id).unwrap();
        }
        assert!(log.pending.len() < FRAME);
        let early = place.quanta(Storage::Frames);
        assert!(early.len() > 800, "{}", early.len());
        log.finish().unwrap();
        assert_eq!(place.quanta(Storage::Frames), (0..1000).collect::<Vec<_>>());
    }

    #[test]
    fn an_empty_log_can_be_read() {
        for storage in [Storage::Lines, Storage::Frames] {
            let place = Place::new(&format!("empty-{storage:?}"));
            for _ in 0..2 {
                place.open(storage).0.finish().unwrap();
                assert_eq!(place.quanta(storage), [0_u128; 0]);
            }
        }
    }

    #[test]
    fn whatever_a_killed_process_leaves_only_the_torn_end_is_lost() {
        for storage in [Storage::Lines, Storage::Frames] {
            let place = Place::new(&format!("torn-{storage:?}"));
            let (mut log, _) = place.open(storage);
            let mut ends = vec![0];
            for id in 0..3 {
                append(&mut log, id).unwrap();
                log.flush().unwrap();
                ends.push(log.length);
            }
            drop(log);
            let whole = fs::read(&place.0).unwrap();
            for cut in 0..=whole.len() {
                fs::write(&place.0, &whole[..cut]).unwrap();
                let (mut log, torn) = place.open(storage);
                let complete = ends.iter().rposition(|end| *end <= cut as u64).unwrap();
                let lost = cut as u64 - ends[complete];
                let expected = (lost > 0).then_some(Torn { offset: ends[complete], bytes: lost });
                assert_eq!(torn, expected, "{cut} bytes");
                append(&mut log, 7).unwrap();
                log.finish().unwrap();
                let kept = (0..complete as u128).chain([7]).collect::<Vec<_>>();
                assert_eq!(place.quanta(storage), kept, "{cut} bytes");
            }
        }
    }

    #[test]
    fn a_line_longer_than_one_step_back_is_found_whole() {
        let place = Place::new("long");
        let (mut log, _) = place.open(Storage::Lines);
        append(&mut log, 1).unwrap();
        let first = log.length;
        let many = Provenance::new([(0..9000).collect(), vec![], vec![], vec![], vec![]], Records::default());
        let heading = Heading { quantum_id: 2, ..Heading::default() };
        log.append(heading, &many.to_json(None)).unwrap();
        drop(log);
        let whole = fs::read(&place.0).unwrap();
        assert!(whole.len() > 300_000);
        fs::write(&place.0, &whole[..whole.len() - 1]).unwrap();
        let (_, torn) = place.open(Storage::Lines);
        assert_eq!(torn, Some(Torn { offset: first, bytes: whole.len() as u64 - 1 - first }));
    }

    #[test]
    fn other_files_are_left_alone() {
        let foreign = [
            &b"PAR1 some other file"[..],
            b"{\"a\": 1}\n{\"b\"",
            b"{\"quantum_id\":\"0\"}\nnotes",
            b"\n",
            &zstd::encode_all(&b"text"[..], 1).unwrap(),
        ];
        for bytes in foreign {
            for storage in [Storage::Lines, Storage::Frames] {
                let place = Place::new(&format!("foreign-{storage:?}"));
                fs::write(&place.0, bytes).unwrap();
                let refused = LogWriter::open(&place.0, storage, false).err();
                assert_eq!(refused, Some(Error::NotALog { path: place.0.clone() }), "{bytes:?} {storage:?}");
                assert_eq!(fs::read(&place.0).unwrap(), bytes);
            }
        }
    }

    #[test]
    fn what_is_pending_goes_over_to_another_log() {
        let (one, two) = (Place::new("from"), Place::new("to"));
        let ((mut from, _), (mut to, _)) = (one.open(Storage::Frames), two.open(Storage::Frames));
        append(&mut from, 1).unwrap();
        from.flush().unwrap();
        append(&mut from, 2).unwrap();
        append(&mut to, 3).unwrap();
        to.add_pending(&from.take_pending().unwrap()).unwrap();
        from.finish().unwrap();
        to.finish().unwrap();
        assert_eq!((one.quanta(Storage::Frames), two.quanta(Storage::Frames)), (vec![1], vec![3, 2]));
    }

    #[test]
    fn two_writers_do_not_share_a_log() {
        let place = Place::new("shared");
        let (log, _) = place.open(Storage::Lines);
        let refused = LogWriter::open(&place.0, Storage::Lines, false).err();
        assert_eq!(refused, Some(Error::LogInUse { path: place.0.clone() }));
        drop(log);
        place.open(Storage::Lines);
    }

    #[test]
    fn a_line_that_cannot_be_written_is_not_written_later_either() {
        for storage in [Storage::Lines, Storage::Frames] {
            let place = Place::new(&format!("refused-{storage:?}"));
            let (mut log, _) = place.open(storage);
            append(&mut log, 1).unwrap();
            log.flush().unwrap();
            // The same log on a file that cannot be written.
            let writable = std::mem::replace(&mut log.file, File::open(&place.0).unwrap());
            if storage == Storage::Frames {
                append(&mut log, 2).unwrap();
                assert!(log.flush().is_err());
            }
            let mut refused = 0;
            for id in 100..1000 {
                refused += usize::from(append(&mut log, id).is_err());
            }
            assert!(refused > 100);
            assert!(log.pending.len() < 2 * FRAME);
            log.file = writable;
            append(&mut log, 3).unwrap();
            log.finish().unwrap();
            let quanta = place.quanta(storage);
            assert_eq!(quanta.last(), Some(&3));
            assert_eq!(quanta.len() + refused, 902 + usize::from(storage == Storage::Frames), "{storage:?}");
        }
    }

    #[test]
    fn only_file_systems_without_locks_go_without() {
        let none = [Errno::ENOLCK, Errno::ENOSYS, Errno::EOPNOTSUPP].map(|errno| errno as i32);
        for code in none.into_iter().chain([524]) {
            assert!(has_no_locks(&io::Error::from_raw_os_error(code)), "{code}");
        }
        for errno in [Errno::EIO, Errno::EACCES, Errno::ENOSPC, Errno::EWOULDBLOCK] {
            assert!(!has_no_locks(&io::Error::from_raw_os_error(errno as i32)), "{errno}");
        }
        assert!(Place::new("locked").open(Storage::Lines).0.is_locked());
    }

    #[test]
    fn errors_name_the_file() {
        let path = std::env::temp_dir().join("no such folder/log.jsonl");
        let refused = LogWriter::open(&path, Storage::Lines, false).err().unwrap();
        assert!(refused.to_string().contains("no such folder/log.jsonl"), "{refused}");
    }
}
