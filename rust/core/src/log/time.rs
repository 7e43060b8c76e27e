//! Points in time as logs have them: texts of RFC 3339 in UTC, with microseconds.
//!
//! Here they are microseconds since 1970; before that, negative.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, Timelike};

/// How long the text of a time is: `2026-11-30T02:56:43.123456Z`.
const LENGTH: usize = 27;

/// The years that four digits tell.
const YEARS: std::ops::Range<i64> = -62_167_219_200_000_000..253_402_300_800_000_000;

/// Appends the text of a time, in quotes; `false` for one that such a text cannot tell.
pub(super) fn write(line: &mut Vec<u8>, time: i64) -> bool {
    let Some(moment) = DateTime::from_timestamp_micros(time).filter(|_| YEARS.contains(&time)) else {
        return false;
    };
    let (date, clock) = (moment.date_naive(), moment.time());
    let mut text = *b"\"0000-00-00T00:00:00.000000Z\"";
    let mut digits = |end: usize, count: usize, mut number: u32| {
        for digit in text[end - count..end].iter_mut().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
        }
    };
    digits(5, 4, date.year().unsigned_abs());
    digits(8, 2, date.month());
    digits(11, 2, date.day());
    digits(14, 2, clock.hour());
    digits(17, 2, clock.minute());
    digits(20, 2, clock.second());
    digits(27, 6, clock.nanosecond() / 1000);
    line.extend_from_slice(&text);
    true
}

/// Reads a time of the form that is written here; `None` for anything else.
pub(crate) fn read(text: &str) -> Option<i64> {
    let text: &[u8; LENGTH] = text.as_bytes().try_into().ok()?;
    let form = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (19, b'.'), (26, b'Z')];
    if form.iter().any(|&(at, byte)| text[at] != byte) {
        return None;
    }
    let number = |range: std::ops::Range<usize>| {
        text[range].iter().try_fold(0_u32, |number, byte| {
            byte.is_ascii_digit().then(|| number * 10 + u32::from(byte - b'0'))
        })
    };
    let date = NaiveDate::from_ymd_opt(number(0..4)? as i32, number(5..7)?, number(8..10)?)?;
    let moment =
        date.and_hms_micro_opt(number(11..13)?, number(14..16)?, number(17..19)?, number(20..26)?)?;
    Some(moment.and_utc().timestamp_micros())
}

/// Reads a time of RFC 3339, whatever its zone and its fraction; what is finer than microseconds is cut off.
pub(crate) fn read_any(text: &str) -> Option<i64> {
    DateTime::parse_from_rfc3339(text).ok().map(|moment| moment.timestamp_micros())
}

/// Reads a time as Python writes it, with its zone or else in UTC.
pub(super) fn read_iso(text: &str) -> Option<i64> {
    let utc = || NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").ok();
    let written = text.strip_suffix("+00:00").and_then(|start| {
        // The usual form but for the name of the zone.
        (start.len() == LENGTH - 1).then(|| read(&format!("{start}Z")))?
    });
    written.or_else(|| read_any(text)).or_else(|| utc().map(|moment| moment.and_utc().timestamp_micros()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(time: i64) -> String {
        let mut line = Vec::new();
        assert!(write(&mut line, time));
        String::from_utf8(line).unwrap()
    }

    proptest! {
        #[test]
        fn a_time_is_written_as_chrono_does_and_comes_back(time in YEARS) {
            let found = text(time);
            let moment = DateTime::from_timestamp_micros(time).unwrap();
            prop_assert_eq!(&found, &format!("\"{}\"", moment.format("%Y-%m-%dT%H:%M:%S%.6fZ")));
            let bare = found.trim_matches('"');
            prop_assert_eq!(read(bare), Some(time));
            prop_assert_eq!(read_any(bare), Some(time));
        }
    }

    #[test]
    fn the_ends_of_what_four_digits_tell() {
        assert_eq!(text(YEARS.start), "\"0000-01-01T00:00:00.000000Z\"");
        assert_eq!(text(YEARS.end - 1), "\"9999-12-31T23:59:59.999999Z\"");
        for time in [YEARS.start - 1, YEARS.end, i64::MIN, i64::MAX] {
            let mut line = Vec::new();
            assert!(!write(&mut line, time) && line.is_empty());
        }
    }

    #[test]
    fn other_spellings_are_read_alike() {
        let time = read("2026-11-30T02:56:43.120000Z");
        assert!(time.is_some());
        for other in [
            "2026-11-30T02:56:43.12Z",
            "2026-11-30t02:56:43.1200009z",
            "2026-11-30T02:56:43.12+00:00",
            "2026-11-30T04:26:43.12+01:30",
            "2026-11-30 02:56:43.12Z",
        ] {
            assert_eq!(read(other), None, "{other}");
            assert_eq!(read_any(other), time, "{other}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for other in [
            "",
            "2026-11-30",
            "2026-11-30T02:56:43",
            "2026-11-30T02:56:43.123456",
            "2026-02-30T02:56:43.123456Z",
            "2026-11-30T24:56:43.123456Z",
            "2026-11-30T02:56:43.12345xZ",
            "2026-11-30T02:56:43.123456\u{e9}",
        ] {
            assert_eq!((read(other), read_any(other)), (None, None), "{other}");
        }
    }
}
