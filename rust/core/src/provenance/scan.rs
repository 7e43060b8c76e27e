//! Finds the tokens of JSON text.
//!
//! Every function gives `None` for what is not plain (see `read`), and then the
//! scanner's position no longer matters.

use std::borrow::Cow;

use super::plain_text;
use crate::uuid_text;

/// A position in JSON text.
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Whether nothing but white space is left.
    pub(super) fn at_end(&mut self) -> bool {
        self.skip_space();
        self.at == self.text.len()
    }

    /// Reads an object; `member` is called after each key and reads its value.
    pub(super) fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, Cow<'a, str>) -> Option<()>,
    ) -> Option<()> {
        self.list(b'{', b'}', |scanner| {
            let key = scanner.string()?;
            scanner.skip_space();
            scanner.take(b':')?;
            scanner.skip_space();
            member(scanner, key)
        })
    }

    /// Reads an array; `item` reads each item.
    pub(super) fn array(&mut self, item: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.list(b'[', b']', item)
    }

    fn list(&mut self, open: u8, close: u8, mut item: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.skip_space();
        self.take(open)?;
        self.skip_space();
        if self.peek() == Some(close) {
            self.at += 1;
            return Some(());
        }
        loop {
            self.skip_space();
            item(self)?;
            self.skip_space();
            let found = self.peek()?;
            self.at += 1;
            if found == close {
                return Some(());
            }
            if found != b',' {
                return None;
            }
        }
    }

    /// Reads an id: 36 characters between quotes, none of them escaped.
    pub(super) fn id(&mut self) -> Option<u128> {
        let quoted: &[u8; 38] = self.text.as_bytes().get(self.at..self.at + 38)?.try_into().ok()?;
        let [b'"', text @ .., b'"'] = quoted else { return None };
        self.at += 38;
        uuid_text::parse_hyphenated(text)
    }

    /// Reads a string.
    pub(super) fn string(&mut self) -> Option<Cow<'a, str>> {
        self.take(b'"')?;
        let start = self.at;
        self.at += plain_text::length(&self.text.as_bytes()[start..]);
        let plain = self.text.get(start..self.at)?;
        if self.peek()? == b'"' {
            self.at += 1;
            return Some(Cow::Borrowed(plain));
        }
        self.string_with_escapes(plain.to_owned()).map(Cow::Owned)
    }

    #[cold]
    fn string_with_escapes(&mut self, mut decoded: String) -> Option<String> {
        loop {
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Some(decoded);
                }
                b'\\' => {
                    self.at += 1;
                    decoded.push(self.escape()?);
                }
                _ => return None,
            }
            let start = self.at;
            self.at += plain_text::length(&self.text.as_bytes()[start..]);
            decoded.push_str(self.text.get(start..self.at)?);
        }
    }

    /// Reads what follows a backslash.
    fn escape(&mut self) -> Option<char> {
        let letter = self.peek()?;
        self.at += 1;
        Some(match letter {
            b'"' | b'\\' | b'/' => letter as char,
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let unit = self.code_unit()?;
                if !(0xd800..0xdc00).contains(&unit) {
                    return char::from_u32(unit);
                }
                self.take(b'\\')?;
                self.take(b'u')?;
                let low = self.code_unit()?;
                if !(0xdc00..0xe000).contains(&low) {
                    return None;
                }
                return char::from_u32(0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00));
            }
            _ => return None,
        })
    }

    /// Reads four hexadecimal digits.
    fn code_unit(&mut self) -> Option<u32> {
        let digits = self.text.get(self.at..self.at + 4)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        self.at += 4;
        u32::from_str_radix(digits, 16).ok()
    }

    /// Reads a whole number that fits 64 bits; not -0, which not all readers take for 0.
    pub(super) fn integer(&mut self) -> Option<i64> {
        let negative = self.peek() == Some(b'-');
        self.at += usize::from(negative);
        let digits = &self.text.as_bytes()[self.at..];
        let count = digits.iter().take_while(|digit| digit.is_ascii_digit()).count();
        // Nineteen digits fit an u64 always, and an i64 has no more.
        if count == 0 || count > 19 || (digits[0] == b'0' && (count > 1 || negative)) {
            return None;
        }
        self.at += count;
        let magnitude = digits[..count].iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
        if negative { 0i64.checked_sub_unsigned(magnitude) } else { magnitude.try_into().ok() }
    }

    /// Reads `null`.
    pub(super) fn null(&mut self) -> Option<()> {
        self.text.as_bytes()[self.at..].starts_with(b"null").then(|| self.at += 4)
    }

    /// The next byte, which stays.
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, expected: u8) -> Option<()> {
        (self.peek() == Some(expected)).then(|| self.at += 1)
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }
}
