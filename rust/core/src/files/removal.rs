//! Removing many local files.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use crate::parallel::map;
use crate::{Error, Result};

/// Removes files below a folder and returns the positions of those that could not be, with the reason.
///
/// A file that is not there is as good as removed. Of a symbolic link only the link goes.
pub fn remove_files(root: &Path, paths: &[impl AsRef<Path> + Sync]) -> Vec<(usize, Error)> {
    let removed = map(paths, |path| remove_file(root, path));
    removed
        .into_iter()
        .enumerate()
        .filter_map(|(position, removed)| Some((position, removed.err()?)))
        .collect()
}

fn remove_file(root: &Path, path: impl AsRef<Path>) -> Result<()> {
    let path = root.join(path);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io(&path, &error)),
        _ => Ok(()),
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

        fn len(&self) -> usize {
            fs::read_dir(&self.0).unwrap().count()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn what_is_not_a_file_is_told_and_what_is_not_there_is_fine() {
        let folder = Folder::new("removal");
        for name in ["a", "b", "target"] {
            fs::write(folder.0.join(name), b"").unwrap();
        }
        fs::create_dir(folder.0.join("folder")).unwrap();
        std::os::unix::fs::symlink("target", folder.0.join("link")).unwrap();
        std::os::unix::fs::symlink("nowhere", folder.0.join("broken")).unwrap();
        let failures =
            remove_files(&folder.0, &["a", "folder", "gone", "a/b", "target/x", "b", "link", "broken"]);
        let positions: Vec<_> = failures.iter().map(|(position, _)| *position).collect();
        assert_eq!(positions, [1, 4]);
        assert!(matches!(&failures[0].1, Error::Io { path, code: Some(_), .. } if path.ends_with("folder")));
        assert!(folder.0.join("target").exists());
        assert_eq!(folder.len(), 2);
    }

    #[test]
    fn many_files_go_in_several_threads() {
        let folder = Folder::new("many-removals");
        let mut names: Vec<_> = (0..2100).map(|number| number.to_string()).collect();
        names.iter().for_each(|name| fs::write(folder.0.join(name), b"").unwrap());
        for position in [10, 1010, 2010] {
            names.insert(position, ".".to_owned());
        }
        let failures = remove_files(&folder.0, &names);
        let positions: Vec<_> = failures.iter().map(|(position, _)| *position).collect();
        assert_eq!(positions, [10, 1010, 2010]);
        assert_eq!(folder.len(), 0);
        assert_eq!(remove_files(&folder.0, &[] as &[&str]), []);
    }
}
