//! Whether files exist, asked of the file system by several threads where that pays.

use std::fs;
use std::path::Path;

use crate::DatasetId;
use crate::parallel::map;

/// Tells of each path below a folder whether there is a file; one that cannot be asked about is none.
pub fn files_exist(root: &Path, paths: &[String]) -> Vec<bool> {
    map(paths, |path| exists(root, path))
}

/// Tells of each dataset whether all its files exist below a folder; `None` for one without paths.
pub fn datasets_exist(root: &Path, datasets: &[Option<Vec<String>>]) -> Vec<Option<bool>> {
    map(datasets, |paths| paths.as_ref().map(|paths| paths.iter().all(|path| exists(root, path))))
}

/// The name of a dataset's file in a folder where files are named by ids, if there is one.
pub fn file_of_dataset(
    folder: &Path,
    id: DatasetId,
    component: Option<&str>,
    extension: &str,
) -> Option<String> {
    let name = match component {
        Some(component) => format!("{id}_{component}{extension}"),
        None => format!("{id}{extension}"),
    };
    exists(folder, &name).then_some(name)
}

fn exists(root: &Path, path: &str) -> bool {
    fs::metadata(root.join(path)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_by_the_ids_of_their_datasets() {
        let folder = std::env::temp_dir().join(format!("quantum-butler-{}-by-id", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let whole = "00000000-0000-0000-0000-000000000007.fits.gz";
        let part = "00000000-0000-0000-0000-000000000007_part.json";
        fs::write(folder.join(whole), b"").unwrap();
        fs::write(folder.join(part), b"").unwrap();
        let find =
            |id, component, extension| file_of_dataset(&folder, DatasetId::Uuid(id), component, extension);
        assert_eq!(find(7, None, ".fits.gz").as_deref(), Some(whole));
        assert_eq!(find(7, Some("part"), ".json").as_deref(), Some(part));
        assert_eq!(find(7, None, ".json"), None);
        assert_eq!(find(8, None, ".fits.gz"), None);
        fs::remove_dir_all(&folder).unwrap();
    }

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
