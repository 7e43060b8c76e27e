//! Files of one quantum each.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::scanner::{MOST_BYTES, Scanner};

/// The ending of compressed files.
const COMPRESSED: &str = ".zst";

impl Scanner {
    /// Reads the file of one quantum: JSON, compressed by Zstandard if its name says so.
    ///
    /// What the id is, if the content does not tell, is what the name has before its first dot. Gives the
    /// number of bytes that the file has.
    pub fn file(&mut self, source: u32, path: &Path) -> u64 {
        self.start(source);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let stem = name.split('.').next().unwrap_or_default();
        let read = File::open(path).and_then(|mut file| {
            let stored = file.metadata()?.len();
            let mut content = Vec::new();
            // One byte more than is allowed tells that it is too long.
            let most = MOST_BYTES as u64 + 1;
            if name.ends_with(COMPRESSED) {
                zstd::Decoder::new(file)?.take(most).read_to_end(&mut content)?;
            } else {
                content.reserve(usize::try_from(stored).unwrap_or(0).min(MOST_BYTES) + 1);
                file.by_ref().take(most).read_to_end(&mut content)?;
            }
            io::Result::Ok((stored, content))
        });
        match read {
            Ok((stored, content)) => {
                self.document(stem, &content);
                stored
            }
            Err(error) => {
                self.reject(format!("the file cannot be read: {error}"));
                0
            }
        }
    }
}
