//! Whether files exist, asked of the file system by several threads where that pays.

use std::fs;
use std::path::Path;

use crate::parallel::map;

/// Tells of each path below a folder whether there is a file; one that cannot be asked about is none.
pub fn files_exist(root: &Path, paths: &[String]) -> Vec<bool> {
    map(paths, |path| exists(root, path))
}

/// Tells of each dataset whether all its files exist below a folder; `None` for one without paths.
pub fn datasets_exist(root: &Path, datasets: &[Option<Vec<String>>]) -> Vec<Option<bool>> {
    map(datasets, |paths| paths.as_ref().map(|paths| paths.iter().all(|path| exists(root, path))))
}

fn exists(root: &Path, path: &str) -> bool {
    fs::metadata(root.join(path)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_folders_exist_and_other_things_do_not() {
        let name = format!("quantum-butler-{}-existence", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(folder.join("a/b")).unwrap();
        fs::write(folder.join("a/b/file.json"), b"").unwrap();
        let paths = ["a/b/file.json", "a/b", "a/c", "a/b/file.json/x"].map(String::from);
        assert_eq!(files_exist(&folder, &paths), [true, true, false, false]);
        let [file, _, missing, _] = paths;
        let datasets = [
            None,
            Some(vec![file.clone()]),
            Some(vec![file, missing.clone()]),
            Some(vec![missing]),
            Some(vec![]),
        ];
        let expected = [None, Some(true), Some(false), Some(false), Some(true)];
        assert_eq!(datasets_exist(&folder, &datasets), expected);
        let many: Vec<_> = datasets.iter().cycle().take(20_003).cloned().collect();
        let found = datasets_exist(&folder, &many);
        assert!(found.iter().eq(expected.iter().cycle().take(many.len())));
        fs::remove_dir_all(&folder).unwrap();
    }
}
