//! Files that vanish with the process.

use std::fs::{File, OpenOptions, remove_file};
use std::io;
use std::path::Path;
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

/// A new file of a folder, without a name any more; until that is taken away it tells what the file is for.
pub(crate) fn nameless_file(folder: &Path, what: &str) -> io::Result<File> {
    static MADE: AtomicU64 = AtomicU64::new(0);
    loop {
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("{what}-{}-{number}.tmp", process::id()));
        match OpenOptions::new().read(true).write(true).create_new(true).open(&path) {
            Ok(file) => {
                remove_file(&path)?;
                return Ok(file);
            }
            // Left behind by a process of that number.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}
