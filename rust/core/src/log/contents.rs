//! The contents of a quantum's metadata and log in its line: what was put, compressed, as text.
//!
//! Each is a Zstandard frame in Base64 (RFC 4648). Such texts are small and much alike, so all frames share a
//! dictionary: without it metadata takes twice the bytes, and a trained one saves little more than an example.

use std::borrow::Cow;
use std::cell::RefCell;
use std::io;
use std::sync::LazyLock;

use zstd::bulk::{Compressor, Decompressor};
use zstd::dict::{DecoderDictionary, EncoderDictionary};

use crate::provenance::{Scanner, first, write_text};

/// The dictionary that is used now; a later one gets another number, and this one stays.
pub(crate) const DICTIONARY: i64 = 1;

/// An example of metadata and of a log, without values.
const EXAMPLE: &[u8] = include_bytes!("contents.txt");

/// The fastest of the usual levels: with the dictionary, others save nothing.
const LEVEL: i32 = 1;

/// The most bytes that are read of one text, and the most that one is written with in Base64: lines have a limit.
const MOST_BYTES: usize = 1 << 30;
const MOST_TEXT: usize = 1 << 26;

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static FOR_WRITING: LazyLock<EncoderDictionary<'static>> =
    LazyLock::new(|| EncoderDictionary::copy(EXAMPLE, LEVEL));
static FOR_READING: LazyLock<DecoderDictionary<'static>> = LazyLock::new(|| DecoderDictionary::copy(EXAMPLE));

thread_local! {
    // To make one takes longer than to compress what is usual.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Keys in the order in which they are written.
const KEYS: [&str; 3] = ["\"dictionary\":", "\"metadata\":", "\"log\":"];

/// What a line has of the contents.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Contents<'a> {
    /// Number of the dictionary.
    pub dictionary: i64,
    /// The metadata, packed.
    pub metadata: Option<Cow<'a, str>>,
    /// The log, packed.
    pub log: Option<Cow<'a, str>>,
}

impl Contents<'static> {
    /// Packs what was put; `None` if that is nothing, or too much for a line.
    pub fn pack(metadata: Option<&[u8]>, log: Option<&[u8]>) -> Option<Self> {
        let packed = |text: Option<&[u8]>| text.map(|text| pack(text).map(Cow::Owned)).transpose();
        // One without the other would be taken for what is left of an attempt that was aborted.
        let (metadata, log) = (packed(metadata).ok()?, packed(log).ok()?);
        (metadata.is_some() || log.is_some()).then_some(Self { dictionary: DICTIONARY, metadata, log })
    }
}

impl Contents<'_> {
    /// The same, with texts of its own.
    pub(crate) fn into_owned(self) -> Contents<'static> {
        let owned = |text: Option<Cow<'_, str>>| text.map(|text| Cow::Owned(text.into_owned()));
        Contents { dictionary: self.dictionary, metadata: owned(self.metadata), log: owned(self.log) }
    }

    /// Bytes of the texts.
    pub(crate) fn bytes(&self) -> usize {
        [&self.metadata, &self.log].into_iter().flatten().map(|text| text.len()).sum()
    }
}

/// Appends contents.
pub(super) fn write(line: &mut Vec<u8>, contents: &Contents<'_>) {
    line.extend_from_slice(format!("{{\"dictionary\":{}", contents.dictionary).as_bytes());
    for (key, text) in KEYS[1..].iter().zip([&contents.metadata, &contents.log]) {
        line.push(b',');
        line.extend_from_slice(key.as_bytes());
        match text {
            Some(text) => write_text(line, text),
            None => line.extend_from_slice(b"null"),
        }
    }
    line.push(b'}');
}

/// Reads contents of the form that is written here; `None` for anything else.
pub(crate) fn read<'a>(scanner: &mut Scanner<'a>) -> Option<Contents<'a>> {
    let mut dictionary = None;
    let mut texts = [const { None }; 2];
    scanner.members(&KEYS, |scanner, key| match key {
        0 => first(&mut dictionary, scanner.integer()?),
        _ if scanner.peek()? == b'n' => {
            scanner.null()?;
            first(&mut texts[key - 1], None)
        }
        _ => first(&mut texts[key - 1], Some(scanner.string()?)),
    })?;
    let [metadata, log] = texts;
    Some(Contents { dictionary: dictionary?, metadata: metadata.flatten(), log: log.flatten() })
}

/// A text, compressed and in Base64.
fn pack(text: &[u8]) -> io::Result<String> {
    let frame = COMPRESSOR.with_borrow_mut(|compressor| {
        let compressor = match compressor {
            Some(compressor) => compressor,
            none => {
                let mut new = Compressor::with_prepared_dictionary(&FOR_WRITING)?;
                new.include_checksum(true)?;
                none.insert(new)
            }
        };
        compressor.compress(text)
    })?;
    let packed = encode(&frame);
    if packed.len() > MOST_TEXT {
        return Err(io::Error::other("too long for a line"));
    }
    Ok(packed)
}

/// What was packed; the error is the reason why that cannot be told.
pub fn unpack(dictionary: i64, packed: &[u8]) -> Result<Vec<u8>, String> {
    if dictionary != DICTIONARY {
        return Err(format!("there is no dictionary {dictionary} yet"));
    }
    let frame = decode(packed).ok_or("it is not Base64")?;
    let size = zstd::zstd_safe::get_frame_content_size(&frame).ok().flatten();
    let size = size.and_then(|size| usize::try_from(size).ok()).ok_or("it is no Zstandard frame of ours")?;
    if size > MOST_BYTES {
        return Err(format!("it has {size} bytes"));
    }
    let text = DECOMPRESSOR.with_borrow_mut(|decompressor| {
        let decompressor = match decompressor {
            Some(decompressor) => decompressor,
            none => none.insert(Decompressor::with_prepared_dictionary(&FOR_READING)?),
        };
        decompressor.decompress(&frame, size)
    });
    text.map_err(|error| error.to_string())
}

fn encode(bytes: &[u8]) -> String {
    let mut text = Vec::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let byte = |place: usize| u32::from(three.get(place).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place)) as usize & 63];
            text.push(if place > three.len() { b'=' } else { digit });
        }
    }
    String::from_utf8(text).expect("digits are ASCII")
}

fn decode(text: &[u8]) -> Option<Vec<u8>> {
    static VALUES: LazyLock<[u8; 256]> = LazyLock::new(|| {
        let mut values = [64; 256];
        (0..).zip(DIGITS).for_each(|(value, digit)| values[usize::from(*digit)] = value);
        values
    });
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let padding = text.iter().rev().take(2).take_while(|digit| **digit == b'=').count();
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let values = &*VALUES;
    for four in text[..text.len() - padding].chunks(4) {
        let mut bits = 0;
        for place in 0..4 {
            let value = four.get(place).map_or(0, |digit| values[usize::from(*digit)]);
            if value == 64 {
                return None;
            }
            bits = bits << 6 | u32::from(value);
        }
        bytes.extend_from_slice(&bits.to_be_bytes()[1..four.len()]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bytes_come_back(bytes: Vec<u8>, text in "[{}\":,a-z0-9]{0,400}") {
            prop_assert_eq!(decode(encode(&bytes).as_bytes()), Some(bytes.clone()));
            for content in [&bytes[..], text.as_bytes()] {
                let packed = pack(content).unwrap();
                prop_assert_eq!(unpack(DICTIONARY, packed.as_bytes()), Ok(content.to_vec()));
            }
        }

        #[test]
        fn nothing_is_taken_for_contents_that_is_not(bytes: Vec<u8>) {
            let _ = unpack(DICTIONARY, &bytes);
            let _ = unpack(DICTIONARY, encode(&bytes).as_bytes());
        }
    }

    #[test]
    fn digits_are_those_of_the_standard() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")]
        {
            assert_eq!(encode(bytes.as_bytes()), text);
        }
        for wrong in ["Zg", "Zg=", "Z===", "Zm9v\n", "Zm-_", "=Zm9", "Zg==Zg=="] {
            assert_eq!(decode(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn what_was_packed_is_read_for_ever() {
        // Another example needs another number.
        let metadata =
            br#"{"scalars":{},"arrays":{"prepUtc":["2026-11-30T09:14:39.789861+00:00"]},"metadata":{}}"#;
        let packed = b"KLUv/SRWTQEAuDExLTMwVDA5OjE0OjM5Ljc4OTg2MX19BQC+ZgmClwfMDDPlFiAFMxDE1LTx";
        assert_eq!(unpack(1, packed), Ok(metadata.to_vec()));
        assert!(pack(metadata).unwrap().len() < metadata.len());
    }

    #[test]
    fn damage_is_told() {
        let packed = pack(b"{\"scalars\":{}}").unwrap();
        assert!(unpack(2, packed.as_bytes()).unwrap_err().contains("no dictionary 2"));
        assert!(unpack(DICTIONARY, b"?").unwrap_err().contains("Base64"));
        assert!(unpack(DICTIONARY, b"Zm9v").unwrap_err().contains("Zstandard"));
        let mut frame = decode(packed.as_bytes()).unwrap();
        *frame.last_mut().unwrap() ^= 1;
        assert!(unpack(DICTIONARY, encode(&frame).as_bytes()).is_err());
        assert_eq!(Contents::pack(None, None), None);
    }

    #[test]
    fn they_come_back_from_a_line() {
        for (metadata, log) in [(Some(&b"m"[..]), Some(&b"l"[..])), (None, Some(b"l")), (Some(b""), None)] {
            let contents = Contents::pack(metadata, log).unwrap();
            let mut line = Vec::new();
            write(&mut line, &contents);
            assert_eq!(read(&mut Scanner::new(&line)), Some(contents));
        }
    }
}
