//! Finds the tokens of JSON text.
//!
//! Every function gives `None` for what is not plain (see `read`), and then the
//! scanner's position no longer matters.

use std::borrow::Cow;

use super::plain_text;
use crate::uuid_text;

/// Bytes of a key that is an id: its digits, quotes and colon.
const ID_KEY: usize = 35;

/// A position in JSON text: whatever is not within a string is looked at as ASCII, and what is, as UTF-8.
#[derive(Clone)]
pub(crate) struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    /// White space as well: a line break, or the space again where lines are apart.
    line_break: u8,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0, line_break: b'\n' }
    }

    /// A scanner of what starts with a line, and does not go beyond its end.
    pub(crate) fn of_line(text: &'a [u8]) -> Self {
        Self { line_break: b' ', ..Self::new(text) }
    }

    /// Whether nothing but white space is left.
    pub(crate) fn at_end(&mut self) -> bool {
        self.skip_space();
        self.at == self.text.len()
    }

    /// Passes over a line break, if nothing but white space goes before it.
    pub(crate) fn line_break(&mut self) -> Option<()> {
        self.skip_space();
        self.take(b'\n')
    }

    /// Reads an object; `member` is called after each key and reads its value.
    pub(crate) fn object(
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

    /// Reads an object whose keys are all known, each with its quotes and colon; `member` is called with the number
    /// of each.  It is quickest where they are in this order.
    pub(crate) fn members(
        &mut self,
        keys: &[&str],
        mut member: impl FnMut(&mut Self, usize) -> Option<()>,
    ) -> Option<()> {
        let mut next = 0;
        self.list(b'{', b'}', |scanner| {
            let found = match keys.get(next) {
                Some(key) if scanner.passes(key.as_bytes()) => next,
                _ => {
                    let name = scanner.string()?;
                    scanner.skip_space();
                    scanner.take(b':')?;
                    keys.iter().position(|key| key[1..key.len() - 2] == *name)?
                }
            };
            next = found + 1;
            scanner.skip_space();
            member(scanner, found)
        })
    }

    /// Reads an object whose keys are ids without hyphens; `member` is called with each.
    pub(crate) fn members_by_id(
        &mut self,
        mut member: impl FnMut(&mut Self, u128) -> Option<()>,
    ) -> Option<()> {
        self.list(b'{', b'}', |scanner| {
            let id = match scanner.text[scanner.at..].first_chunk::<ID_KEY>() {
                Some([b'"', digits @ .., b'"', b':']) => {
                    scanner.at += ID_KEY;
                    uuid_text::parse_digits(digits)?
                }
                _ => {
                    let key = scanner.string()?;
                    scanner.skip_space();
                    scanner.take(b':')?;
                    uuid_text::parse_hex(&key)?
                }
            };
            scanner.skip_space();
            member(scanner, id)
        })
    }

    /// Reads an array; `item` reads each item.
    pub(crate) fn array(&mut self, item: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
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
    pub(crate) fn id(&mut self) -> Option<u128> {
        let quoted: &[u8; 38] = self.text.get(self.at..self.at + 38)?.try_into().ok()?;
        let [b'"', text @ .., b'"'] = quoted else { return None };
        self.at += 38;
        uuid_text::parse_hyphenated(text)
    }

    /// Passes over the rest of a string that has begun, up to its closing quote; `None` if anything is escaped.
    pub(crate) fn plain(&mut self) -> Option<&'a str> {
        let (plain, next) = self.unescaped()?;
        (next == b'"').then_some(plain)
    }

    /// Reads an array of ids.
    pub(crate) fn ids(&mut self, ids: &mut Vec<u128>) -> Option<()> {
        let (start, before) = (self.at, ids.len());
        if self.ids_in_a_row(ids).is_some() {
            return Some(());
        }
        self.at = start;
        ids.truncate(before);
        self.array(|scanner| {
            ids.push(scanner.id()?);
            Some(())
        })
    }

    /// Reads an array of ids without white space, and at least one.
    fn ids_in_a_row(&mut self, ids: &mut Vec<u128>) -> Option<()> {
        self.take(b'[')?;
        loop {
            let item: &[u8; 39] = self.text.get(self.at..self.at + 39)?.try_into().ok()?;
            let [b'"', text @ .., b'"', next] = item else { return None };
            ids.push(uuid_text::parse_hyphenated(text)?);
            self.at += 39;
            match next {
                b',' => (),
                b']' => return Some(()),
                _ => return None,
            }
        }
    }

    /// Reads a string.
    pub(crate) fn string(&mut self) -> Option<Cow<'a, str>> {
        self.take(b'"')?;
        let (plain, next) = self.unescaped()?;
        if next == b'"' {
            self.at += 1;
            return Some(Cow::Borrowed(plain));
        }
        self.string_with_escapes(plain.to_owned()).map(Cow::Owned)
    }

    /// Passes over what goes before the next quote, backslash or control character, and tells which that is.
    fn unescaped(&mut self) -> Option<(&'a str, u8)> {
        let rest = &self.text[self.at..];
        let (plain, after) = rest.split_at(plain_text::length_of_plain(rest));
        self.at += plain.len();
        Some((std::str::from_utf8(plain).ok()?, *after.first()?))
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
            decoded.push_str(self.unescaped()?.0);
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
        self.at += 4;
        digits.iter().try_fold(0, |unit, &digit| Some(unit << 4 | (digit as char).to_digit(16)?))
    }

    /// Reads a whole number that fits 64 bits; not -0, which not all readers take for 0.
    pub(crate) fn integer(&mut self) -> Option<i64> {
        let negative = self.peek() == Some(b'-');
        self.at += usize::from(negative);
        let digits = &self.text[self.at..];
        let (mut magnitude, mut count) = (0_u64, 0);
        while let Some(digit) =
            digits.get(count).map(|byte| byte.wrapping_sub(b'0')).filter(|&digit| digit < 10)
        {
            // What is too long is refused; up to there, it cannot overflow.
            magnitude = magnitude.wrapping_mul(10).wrapping_add(u64::from(digit));
            count += 1;
        }
        // Nineteen digits fit an u64 always, and an i64 has no more.
        if count == 0 || count > 19 || (digits[0] == b'0' && (count > 1 || negative)) {
            return None;
        }
        self.at += count;
        if negative { 0i64.checked_sub_unsigned(magnitude) } else { magnitude.try_into().ok() }
    }

    /// Reads a number.
    pub(crate) fn number(&mut self) -> Option<f64> {
        let rest = &self.text[self.at..];
        let is_part = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E');
        let length = rest.iter().take_while(|byte| is_part(byte)).count();
        let text = std::str::from_utf8(&rest[..length]).ok()?;
        // What is read as a number begins and ends with a digit in JSON.
        let digits = text.strip_prefix('-').unwrap_or(text).as_bytes();
        if !digits.first()?.is_ascii_digit() || !digits.last()?.is_ascii_digit() {
            return None;
        }
        self.at += length;
        text.parse().ok().filter(|number: &f64| number.is_finite())
    }

    /// Reads `null`.
    pub(crate) fn null(&mut self) -> Option<()> {
        self.text[self.at..].starts_with(b"null").then(|| self.at += 4)
    }

    /// Reads `true` or `false`.
    pub(crate) fn boolean(&mut self) -> Option<bool> {
        let truth = self.passes(b"true");
        (truth || self.passes(b"false")).then_some(truth)
    }

    /// Passes over exactly this text, if it is next.
    pub(crate) fn passes(&mut self, expected: &[u8]) -> bool {
        let found = self.text[self.at..].starts_with(expected);
        self.at += if found { expected.len() } else { 0 };
        found
    }

    /// The text from a position on up to here.
    pub(crate) fn since(&self, start: usize) -> &'a [u8] {
        &self.text[start..self.at]
    }

    /// The whole text.
    pub(crate) fn text(&self) -> &'a [u8] {
        self.text
    }

    /// Where it is.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// The next byte, which stays.
    pub(crate) fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn take(&mut self, expected: u8) -> Option<()> {
        (self.peek() == Some(expected)).then(|| self.at += 1)
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(|byte| matches!(byte, b' ' | b'\r' | b'\t') || byte == self.line_break)
        {
            self.at += 1;
        }
    }
}
