//! Local files: whether they exist, and writing one as a whole or not at all.

use std::collections::hash_map::RandomState;
use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Error, Result};

/// Counts the temporary files of this process.
static WRITTEN: AtomicU64 = AtomicU64::new(0);

/// Whether each of these files exists below a folder; one that cannot be asked about does not.
pub fn files_exist<'a>(root: &Path, paths: impl IntoIterator<Item = &'a str>) -> Vec<bool> {
    paths.into_iter().map(|path| fs::metadata(root.join(path)).is_ok()).collect()
}

/// Writes a file so that others see all of it, or what was there before.
///
/// The bytes go to a temporary file in the same folder, which then takes the file's name. Missing
/// folders are made, but only looked for once writing has failed: for most files they exist.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let opened = match create_beside(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_parent(path).and_then(|()| create_beside(path))
        }
        opened => opened,
    };
    let (temporary, mut file) = opened.map_err(|error| Error::io(path, &error))?;
    file.write_all(bytes).and_then(|()| fs::rename(&temporary, path)).map_err(|error| {
        // Whatever is left of it must not be taken for a dataset.
        let _ = fs::remove_file(&temporary);
        Error::io(path, &error)
    })
}

/// Makes a new file in the folder of another.
///
/// Process numbers repeat between containers that share a file system, so the name is drawn at
/// random, and a name that is taken is never used.
fn create_beside(path: &Path) -> io::Result<(PathBuf, File)> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // Long names must stay within what a file system takes.
    let stem: String = name.chars().take(32).collect();
    loop {
        let number = WRITTEN.fetch_add(1, Ordering::Relaxed);
        let mut random = RandomState::new().build_hasher();
        random.write_u64(number);
        let temporary = path.with_file_name(format!(".{stem}.{:016x}.part", random.finish()));
        match OpenOptions::new().write(true).create_new(true).open(&temporary) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            opened => return opened.map(|file| (temporary, file)),
        }
    }
}

fn make_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)
}

#[cfg(test)]
mod tests {
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
    fn a_file_is_written_with_its_folders_and_replaced_whole() {
        let folder = Folder::new("written");
        let path = folder.0.join("a/b/file.json");
        write_file(&path, b"one").unwrap();
        write_file(&path, b"2").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"2");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        assert_eq!(
            files_exist(&folder.0, ["a/b/file.json", "a/b", "a/c", "a/b/file.json/x"]),
            [true, true, false, false]
        );
    }

    #[test]
    fn a_failed_write_leaves_nothing_and_names_the_file() {
        let folder = Folder::new("failed");
        fs::create_dir(folder.0.join("taken")).unwrap();
        fs::write(folder.0.join("taken/inside"), b"").unwrap();
        let error = write_file(&folder.0.join("taken"), b"bytes").unwrap_err();
        assert!(matches!(&error, Error::Io { path, .. } if path.ends_with("taken")), "{error}");
        assert_eq!(folder.names(), ["taken"]);
        let error = write_file(&folder.0.join("taken/inside/below"), b"bytes").unwrap_err();
        assert!(error.to_string().contains("below"), "{error}");
        assert_eq!(folder.names(), ["taken"]);
    }
}
