//! Local files: writing one as a whole or not at all.

mod existence;
mod removal;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use nix::errno::Errno;

use crate::{Error, Result};

pub use existence::{datasets_exist, file_of_dataset, files_exist};
pub use removal::remove_files;

/// Writes a file so that others see all of it, or what was there before.
///
/// The bytes go to a new file in the same folder, called `temporary`, which then takes the file's
/// name; the folder must exist.
pub fn write_file(path: &Path, temporary: &str, bytes: &[u8]) -> Result<()> {
    let written = path.with_file_name(temporary);
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&written)
        .and_then(|file| {
            write_and_close(file, bytes).and_then(|()| fs::rename(&written, path)).inspect_err(|_| {
                // Whatever is left of it must not be taken for a dataset.
                let _ = fs::remove_file(&written);
            })
        })
        .map_err(|error| Error::io(path, &error))
}

/// Writes all there is to be in a file.
///
/// Only when the file is closed do network file systems, and some quotas, tell that they cannot keep
/// the bytes; a `File` that is merely dropped keeps that to itself.
fn write_and_close(mut file: File, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)?;
    match nix::unistd::close(file) {
        // Interrupted, and closed nevertheless.
        Ok(()) | Err(Errno::EINTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("quantum-butler-{}-{name}", std::process::id()));
            fs::create_dir_all(&folder).unwrap();
            Self(folder)
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(&self.0).unwrap();
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_file_is_written_and_replaced_whole() {
        let folder = Folder::new("written");
        let path = folder.0.join("file.json");
        write_file(&path, "temporary", b"one").unwrap();
        write_file(&path, "temporary", b"2").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"2");
        assert_eq!(folder.names(), ["file.json"]);
    }

    #[test]
    fn a_failed_write_leaves_nothing_and_names_the_file() {
        let folder = Folder::new("failed");
        fs::create_dir(folder.0.join("taken")).unwrap();
        fs::write(folder.0.join("taken/inside"), b"").unwrap();
        let error = write_file(&folder.0.join("taken"), "temporary", b"bytes").unwrap_err();
        assert!(matches!(&error, Error::Io { path, .. } if path.ends_with("taken")), "{error}");
        assert_eq!(folder.names(), ["taken"]);
        for below in ["nowhere/below", "taken/inside/below"] {
            let error = write_file(&folder.0.join(below), "temporary", b"bytes").unwrap_err();
            assert!(error.to_string().contains("below"), "{error}");
        }
        assert_eq!(folder.names(), ["taken"]);
    }

    #[test]
    fn a_temporary_file_of_somebody_else_stays() {
        let folder = Folder::new("occupied");
        fs::write(folder.0.join("temporary"), b"precious").unwrap();
        write_file(&folder.0.join("file.json"), "temporary", b"bytes").unwrap_err();
        assert_eq!(folder.names(), ["temporary"]);
        assert_eq!(fs::read(folder.0.join("temporary")).unwrap(), b"precious");
    }
}
