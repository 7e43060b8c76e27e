//! UUIDs as text: 36 characters with hyphens, or 32 hexadecimal digits.

const HYPHENS_AT: [usize; 4] = [8, 13, 18, 23];

/// Where each of the sixteen bytes starts in the hyphenated form.
const BYTES_AT: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];

/// Both digits of every byte.
const DIGITS_OF: [[u8; 2]; 256] = {
    let digits = *b"0123456789abcdef";
    let mut table = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = [digits[byte >> 4], digits[byte & 15]];
        byte += 1;
    }
    table
};

/// The bit that tells lower case from upper case.
const LOWER_CASE: u8 = 0x20;

/// The id that is written as 8-4-4-4-12 hexadecimal digits of either case.
pub(crate) fn parse_hyphenated(text: &[u8; 36]) -> Option<u128> {
    let first = eight(text.first_chunk()?);
    let second = four(text, 9) << 32 | four(text, 14);
    let third = four(text, 19) << 32 | four(text, 24);
    let fourth = eight(text.last_chunk()?);
    let hyphenated = HYPHENS_AT.iter().all(|&at| text[at] == b'-');
    decode([first, second, third, fourth], LOWER_CASE).filter(|_| hyphenated)
}

/// The id that is written as exactly 32 lower-case hexadecimal digits.
pub(crate) fn parse_hex(text: &str) -> Option<u128> {
    parse_digits(text.as_bytes().try_into().ok()?)
}

/// The same, of as many bytes as it has.
pub(crate) fn parse_digits(text: &[u8; 32]) -> Option<u128> {
    match text.as_chunks() {
        ([a, b, c, d], []) => decode([eight(a), eight(b), eight(c), eight(d)], 0),
        _ => None,
    }
}

/// The id in any spelling that upstream's model takes, of either case: hyphenated, also in braces or as a
/// URN, or digits alone.
pub(crate) fn parse_any(text: &str) -> Option<u128> {
    let bytes = text.as_bytes();
    let hyphenated = match bytes.len() {
        32 => return parse_hex(&text.to_ascii_lowercase()),
        36 => bytes,
        38 => bytes.strip_prefix(b"{")?.strip_suffix(b"}")?,
        45 => bytes.strip_prefix(b"urn:uuid:")?,
        _ => return None,
    };
    parse_hyphenated(hyphenated.try_into().ok()?)
}

fn eight(digits: &[u8; 8]) -> u64 {
    u64::from_be_bytes(*digits)
}

fn four(text: &[u8; 36], at: usize) -> u64 {
    u64::from(u32::from_be_bytes([text[at], text[at + 1], text[at + 2], text[at + 3]]))
}

/// The id as 8-4-4-4-12 lower-case hexadecimal digits.
pub(crate) fn hyphenated(id: u128) -> [u8; 36] {
    let mut text = [b'-'; 36];
    for (byte, at) in id.to_be_bytes().into_iter().zip(BYTES_AT) {
        [text[at], text[at + 1]] = DIGITS_OF[byte as usize];
    }
    text
}

/// The id as 32 lower-case hexadecimal digits.
pub(crate) fn hex(id: u128) -> [u8; 32] {
    let mut text = [0; 32];
    for (pair, byte) in text.chunks_exact_mut(2).zip(id.to_be_bytes()) {
        pair.copy_from_slice(&DIGITS_OF[byte as usize]);
    }
    text
}

/// The id of 32 hexadecimal digits, eight in each word; of upper-case ones only if `fold` is the bit that
/// makes them lower-case.
fn decode(words: [u64; 4], fold: u8) -> Option<u128> {
    const fn each(byte: u8) -> u64 {
        u64::from_ne_bytes([byte; 8])
    }
    const HIGH: u64 = each(0x80);
    // All eight at a time. Adding 0x80 - n to a byte below 0x80 sets its highest bit if the byte is n or more.
    let from = |word: u64, least: u8| word.wrapping_add(each(0x80 - least));
    let mut invalid = 0;
    let id = words.into_iter().fold(0, |id: u128, word| {
        let ascii = word & !HIGH;
        let folded = ascii | each(fold);
        let number = from(ascii, b'0') & !from(ascii, b'9' + 1);
        let letter = from(folded, b'a') & !from(folded, b'f' + 1) & HIGH;
        invalid |= word | !(number | letter);
        // A letter's low four bits are nine too few.
        let spread = (word & each(0x0f)).wrapping_add(letter >> 7 | letter >> 4);
        let packed = (spread | spread >> 4) & 0x00ff_00ff_00ff_00ff;
        let packed = (packed | packed >> 8) & 0x0000_ffff_0000_ffff;
        id << 32 | u128::from((packed | packed >> 16) & 0xffff_ffff)
    });
    (invalid & HIGH == 0).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: u128 = 0x0123_4567_89ab_cdef_0fed_cba9_8765_4321;
    const HYPHENATED: &[u8; 36] = b"01234567-89ab-cdef-0fed-cba987654321";
    const HEX: &str = "0123456789abcdef0fedcba987654321";

    #[test]
    fn both_forms_go_there_and_back() {
        assert_eq!(&hyphenated(ID), HYPHENATED);
        assert_eq!(parse_hyphenated(HYPHENATED), Some(ID));
        assert_eq!(&hex(ID), HEX.as_bytes());
        assert_eq!(parse_hex(HEX), Some(ID));
    }

    #[test]
    fn case_matters_only_where_the_text_is_a_key() {
        let upper: [u8; 36] = HYPHENATED.to_ascii_uppercase().try_into().unwrap();
        assert_eq!(parse_hyphenated(&upper), Some(ID));
        assert_eq!(parse_hex(&HEX.to_ascii_uppercase()), None);
    }

    #[test]
    fn any_spelling_is_read_and_no_other() {
        let text = String::from_utf8(HYPHENATED.to_vec()).unwrap();
        let spellings = [HEX.to_owned(), text.clone(), format!("{{{text}}}"), format!("urn:uuid:{text}")];
        for spelling in spellings {
            assert_eq!(parse_any(&spelling), Some(ID));
            assert_eq!(parse_any(&spelling[1..]), None);
            assert_eq!(parse_any(&format!("{spelling} ")), None);
        }
        assert_eq!(parse_any(&text.to_uppercase()), Some(ID));
        assert_eq!(parse_any(&HEX.to_uppercase()), Some(ID));
        for other in [format!("[{text}]"), format!("urn.uuid:{text}"), format!("{{{HEX}}}"), String::new()] {
            assert_eq!(parse_any(&other), None, "{other}");
        }
    }

    #[test]
    fn every_place_is_checked() {
        for at in 0..36 {
            for byte in 0..=255u8 {
                let mut text = *HYPHENATED;
                text[at] = byte;
                let fits = if HYPHENS_AT.contains(&at) { byte == b'-' } else { byte.is_ascii_hexdigit() };
                assert_eq!(parse_hyphenated(&text).is_some(), fits, "{byte} at {at}");
            }
        }
        for at in 0..32 {
            for byte in 0..128u8 {
                let mut text = HEX.to_owned();
                text.replace_range(at..=at, char::from(byte).encode_utf8(&mut [0; 4]));
                let fits = byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase();
                assert_eq!(parse_hex(&text).is_some(), fits, "{byte} at {at}");
            }
        }
        assert_eq!(parse_hex(&format!("{}é", &HEX[2..])), None);
        assert_eq!(parse_hex(&HEX[1..]), None);
        assert_eq!(parse_hex(&format!("{HEX}0")), None);
    }

    proptest! {
        #[test]
        fn texts_are_those_of_the_standard_library(id: u128) {
            let digits = format!("{id:032x}");
            prop_assert_eq!(&hex(id), digits.as_bytes());
            prop_assert_eq!(parse_hex(&digits), Some(id));
            let groups = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
            prop_assert_eq!(hyphenated(id).to_vec(), groups.join("-").into_bytes());
            prop_assert_eq!(parse_hyphenated(&hyphenated(id)), Some(id));
        }
    }
}
