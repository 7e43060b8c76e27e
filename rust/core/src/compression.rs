//! Zstandard frames (RFC 8878) of what is to be written to files.

use std::io;

/// The fastest of zstd's usual levels: ids are most of what we write, and do not compress further.
const LEVEL: i32 = 1;

/// Makes frames, one after the other.
pub(crate) struct Compressor(zstd::bulk::Compressor<'static>);

impl Compressor {
    pub(crate) fn new() -> io::Result<Self> {
        let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
        compressor.include_checksum(true)?;
        Ok(Self(compressor))
    }

    /// Makes `frame` the frame of these bytes.
    pub(crate) fn compress(&mut self, bytes: &[u8], frame: &mut Vec<u8>) -> io::Result<()> {
        frame.clear();
        frame.reserve(zstd::zstd_safe::compress_bound(bytes.len()));
        self.0.compress_to_buffer(bytes, frame).map(drop)
    }
}

/// These bytes as one frame.
pub fn compress(bytes: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    let made = Compressor::new().and_then(|mut compressor| compressor.compress(bytes, &mut frame));
    made.expect("there is room for the largest frame of these bytes");
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back() {
        for bytes in [&b""[..], b"x", &[7; 300_000]] {
            assert_eq!(zstd::decode_all(&compress(bytes)[..]).unwrap(), bytes);
        }
    }
}
