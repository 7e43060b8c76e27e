//! Where the Zstandard frames of a file end, found without decompressing anything (RFC 8878, section 3.1).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

const MAGIC: u32 = 0xFD2F_B528;
/// All but the lowest four bits of the magic numbers of frames that hold no data.
const SKIPPABLE: u32 = 0x184D_2A50;

/// Bytes of the largest header: magic number, descriptor, window, dictionary and content size.
const MOST_HEADER: usize = 4 + 1 + 1 + 4 + 8;

/// What is found at one place of a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A frame, which ends there.
    Frame(u64),
    /// The beginning of one that the file ends within.
    Unfinished,
    /// Anything else.
    Foreign,
}

/// Looks for a frame at `start` in a file of `length` bytes.
pub(crate) fn frame_at(file: &File, start: u64, length: u64) -> io::Result<Found> {
    let mut header = [0; MOST_HEADER];
    let read = usize::try_from(length - start).unwrap_or(MOST_HEADER).min(MOST_HEADER);
    file.read_exact_at(&mut header[..read], start)?;
    let magic = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
    if read < 4 {
        let begins = header[..read] == MAGIC.to_le_bytes()[..read];
        return Ok(if begins { Found::Unfinished } else { Found::Foreign });
    }
    let within = |end: u64| if end <= length { Found::Frame(end) } else { Found::Unfinished };
    if magic & !0xF == SKIPPABLE {
        let size = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
        return Ok(if read < 8 { Found::Unfinished } else { within(start + 8 + u64::from(size)) });
    }
    if magic != MAGIC {
        return Ok(Found::Foreign);
    }
    if read < 5 {
        return Ok(Found::Unfinished);
    }
    let descriptor = header[4];
    let single_segment = descriptor & 0x20 != 0;
    let dictionary_id = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let content_size = match descriptor >> 6 {
        0 => u64::from(single_segment),
        1 => 2,
        2 => 4,
        _ => 8,
    };
    let mut at = start + 5 + u64::from(!single_segment) + dictionary_id + content_size;
    loop {
        if at + 3 > length {
            return Ok(Found::Unfinished);
        }
        let mut block = [0; 4];
        file.read_exact_at(&mut block[..3], at)?;
        let block = u32::from_le_bytes(block);
        let size = match block >> 1 & 3 {
            // One byte, to be repeated.
            1 => 1,
            3 => return Ok(Found::Foreign),
            _ => u64::from(block >> 3),
        };
        at += 3 + size;
        if block & 1 != 0 {
            break;
        }
    }
    let checksum = if descriptor & 4 != 0 { 4 } else { 0 };
    Ok(within(at + checksum))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file(bytes: &[u8]) -> File {
        let path = std::env::temp_dir().join(format!(
            "quantum-butler-frames-{}-{:?}",
            std::process::id(),
            std::thread::current().id()
        ));
        let mut file =
            File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn found(bytes: &[u8]) -> Found {
        frame_at(&file(bytes), 0, bytes.len() as u64).unwrap()
    }

    fn compressed(content: &[u8], checksum: bool, size: bool) -> Vec<u8> {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.include_checksum(checksum).unwrap();
        encoder.include_contentsize(size).unwrap();
        if size {
            encoder.set_pledged_src_size(Some(content.len() as u64)).unwrap();
        }
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_frame_ends_where_its_bytes_do() {
        let mixed: Vec<u8> =
            (0..700_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        for content in [&b""[..], b"x", &[b'a'; 1000], &[b'a'; 400_000], &mixed[..70_000], &mixed] {
            for checksum in [false, true] {
                for size in [false, true] {
                    let mut bytes = compressed(content, checksum, size);
                    let whole = bytes.len();
                    assert_eq!(found(&bytes), Found::Frame(whole as u64));
                    for cut in (1..whole.min(40)).chain([whole - 1]) {
                        assert_eq!(found(&bytes[..cut]), Found::Unfinished, "{cut} of {whole}");
                    }
                    bytes.extend_from_slice(b"after");
                    assert_eq!(found(&bytes), Found::Frame(whole as u64));
                }
            }
        }
    }

    #[test]
    fn frames_without_data_are_passed_over() {
        let skippable = [&0x184D_2A53_u32.to_le_bytes()[..], &3_u32.to_le_bytes(), b"abc"].concat();
        assert_eq!(found(&skippable), Found::Frame(11));
        assert_eq!(found(&skippable[..10]), Found::Unfinished);
        assert_eq!(found(&skippable[..6]), Found::Unfinished);
    }

    #[test]
    fn anything_else_is_foreign() {
        for bytes in [&b"{\"quantum_id\":"[..], b"PAR1", b"{", &[0x28, 0xB5, 0x2F, 0xFE, 0, 0, 0, 0]] {
            assert_eq!(found(bytes), Found::Foreign, "{bytes:?}");
        }
    }
}
