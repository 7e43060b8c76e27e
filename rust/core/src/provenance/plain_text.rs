//! Text that stands in JSON as it is, without escapes.

/// The byte, eight times.
const fn eight(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// How many bytes go before the first quote, backslash or control character.
pub(super) fn length(bytes: &[u8]) -> usize {
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
            for at in 0..20 {
                for next in [b'a', b'"', 0x80, 0xff, 0x1f, 0x21, first.wrapping_add(1)] {
                    let mut bytes = [b'a'; 27];
                    bytes[at] = first;
                    bytes[at + 1] = next;
                    let expected = if special {
                        at
                    } else if next < 0x20 || next == b'"' || next == b'\\' {
                        at + 1
                    } else {
                        27
                    };
                    assert_eq!(length(&bytes), expected, "{first} {next} at {at}");
                }
            }
        }
        assert_eq!(length(b""), 0);
    }
}
