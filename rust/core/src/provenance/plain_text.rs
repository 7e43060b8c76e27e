//! Text that stands in JSON as it is, without escapes.

/// The byte, eight times.
const fn eight(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// How many bytes go before the first quote, backslash or control character.
///
/// It is quick where that is a quote; before a control character it may look far ahead.
pub(super) fn length_of_plain(bytes: &[u8]) -> usize {
    let end = memchr::memchr2(b'"', b'\\', bytes).unwrap_or(bytes.len());
    let plain = &bytes[..end];
    match plain.iter().fold(u8::MAX, |least, &byte| least.min(byte)) < b' ' {
        false => end,
        true => length(plain),
    }
}

/// The same, in time that grows with the result.
pub(super) fn length(bytes: &[u8]) -> usize {
    // Paths are long; this much at a time the compiler turns into a few instructions.
    let (blocks, _) = bytes.as_chunks::<32>();
    let is_special = |byte: &u8| u8::from(*byte < b' ') | u8::from(*byte == b'"') | u8::from(*byte == b'\\');
    let has_special = |block: &[u8; 32]| block.iter().fold(0, |found, byte| found | is_special(byte)) != 0;
    let plain_blocks = blocks.iter().take_while(|block| !has_special(block)).count();
    let start = plain_blocks * 32;
    start + length_of_words(&bytes[start..])
}

/// The same, eight bytes at a time.
fn length_of_words(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, &word) in words.iter().enumerate() {
        let found = special(u64::from_le_bytes(word));
        if found != 0 {
            return index * 8 + found.trailing_zeros() as usize / 8;
        }
    }
    let plain = rest.iter().take_while(|&&byte| byte >= b' ' && byte != b'"' && byte != b'\\').count();
    bytes.len() - rest.len() + plain
}

/// Marks the special bytes of eight; above the lowest mark others may be wrong.
fn special(word: u64) -> u64 {
    let below = |limit: u8, word: u64| word.wrapping_sub(eight(limit)) & !word & eight(0x80);
    let equal = |byte: u8| below(1, word ^ eight(byte));
    below(b' ', word) | equal(b'"') | equal(b'\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_special_byte_is_found_wherever_it_is() {
        for first in 0..=255u8 {
            let special = first < 0x20 || first == b'"' || first == b'\\';
            for at in [0, 1, 2, 5, 7, 8, 9, 15, 16, 19, 30, 31, 32, 33, 63, 64, 70] {
                for next in [b'a', b'"', 0x80, 0xff, 0x1f, 0x21, first.wrapping_add(1)] {
                    let mut bytes = [b'a'; 77];
                    bytes[at] = first;
                    bytes[at + 1] = next;
                    let expected = if special {
                        at
                    } else if next < 0x20 || next == b'"' || next == b'\\' {
                        at + 1
                    } else {
                        77
                    };
                    assert_eq!(length(&bytes), expected, "{first} {next} at {at}");
                    assert_eq!(length_of_plain(&bytes), expected, "{first} {next} at {at}");
                }
            }
        }
        assert_eq!((length(b""), length_of_plain(b"")), (0, 0));
    }
}
