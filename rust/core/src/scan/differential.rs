//! Whatever is read quickly is read as the lenient reader does.

use proptest::prelude::*;

use super::content::Content;
use super::lenient;
use super::plain::{self, FILE_RECORDS};

/// A line as writers write it, of one of several kinds of quanta.
fn line(n: usize) -> String {
    let id = |k: usize| format!("01a17720-ca00-7{:03x}-b7a6-{:012x}", k % 7, n * 100 + k);
    let list = |ids: Vec<usize>| {
        let ids: Vec<_> = ids.into_iter().map(|k| format!("\"{}\"", id(k))).collect();
        format!("[{}]", ids.join(","))
    };
    let record = |k: usize| {
        let kind = (n + k) % 4;
        let (formatter, class) =
            [("f.Json", "Meta"), ("f.Fits", "Image"), ("f.Fits", "Mask"), ("f.\u{e9}", "A")][kind];
        let component = ["__NULL_STRING__", "wcs"][(n + k) / 4 % 2];
        let checksum = if k == 4 { "\"abc\"" } else { "null" };
        let path =
            if k == 3 { "a/\\u0062\\\"/c" } else { "run/type/\u{e9}/a file of the campaign far down.fits" };
        format!(
            "\"{}\":{{\"table\":[{{\"formatter\":\"{formatter}\",\"path\":\"{path}{k}\",\"storage_class\":\"{class}\",\
             \"component\":\"{component}\",\"checksum\":{checksum},\"file_size\":{}}}]}}",
            id(k).replace('-', ""),
            [n as i64 * 1000 + k as i64, 0, -1][k % 3],
        )
    };
    let datastore = |name: &str, ids: std::ops::Range<usize>| {
        let records: Vec<_> = ids.clone().map(record).collect();
        format!(
            "\"{name}\":{{\"dataset_ids\":{},\"records\":{{\"{}\":{{{}}}}}}}",
            list(ids.collect()),
            FILE_RECORDS[0],
            records.join(",")
        )
    };
    format!(
        "{{\"quantum_id\":\"{}\",\"task_label\":\"isr\",\"data_id\":{{\"instrument\":\"Cam\",\"detector\":{n}}},\
         \"predicted_inputs\":{},\"available_inputs\":{},\"actual_inputs\":{},\"predicted_outputs\":{},\
         \"actual_outputs\":{},\"datastore_records\":{{{},{}}}}}\n",
        id(99),
        list((10..20).collect()),
        list((10..20).collect()),
        list((10..19).filter(|k| k % (n + 2) != 0).collect()),
        list((0..6).collect()),
        list((0..6).rev().collect()),
        datastore("main", 0..5),
        datastore("other", 5..6),
    )
}

/// Content that knows the shapes of some lines, with room for another.
fn taught(lines: usize) -> Content<'static> {
    (0..lines).map(line).fold(Content::default(), |mut content: Content<'static>, line| {
        let mut next: Content<'_> = content.recycle();
        assert_eq!(plain::read_line(line.as_bytes(), &mut next), Some(line.len()));
        content = next.recycle();
        content
    })
}

/// Asserts that a text is read alike whatever was read before it, and as the lenient reader reads it; tells
/// whether it was read quickly.
fn assert_same(text: &[u8], before: &mut Content<'static>) -> bool {
    let mut fresh = Content::default();
    let found = plain::read_line(text, &mut fresh);
    let mut content = std::mem::take(before).recycle();
    assert_eq!(plain::read_line(text, &mut content), found);
    let facts = content.facts();
    *before = content.recycle();
    let Some(length) = found else { return false };
    assert_eq!(text[..length].iter().position(|byte| *byte == b'\n'), Some(length - 1));
    let mut expected = Content::default();
    lenient::read(&text[..length - 1], &mut expected).unwrap();
    assert_eq!(facts, expected.facts());
    assert_eq!(fresh.facts(), expected.facts());
    let mut document = Content::default();
    plain::read(&text[..length], &mut document).unwrap();
    assert_eq!(document.facts(), expected.facts());
    true
}

#[test]
fn what_is_written_is_read_quickly() {
    let mut before = taught(4);
    for n in 0..20 {
        assert!(assert_same(line(n).as_bytes(), &mut before));
    }
}

#[test]
fn a_line_ends_where_its_break_is() {
    let (whole, mut before) = (line(3), taught(4));
    for (at, _) in whole.match_indices([',', ':', '{', '[']) {
        let broken = format!("{}\n{}", &whole[..=at], &whole[at + 1..]);
        assert!(!assert_same(broken.as_bytes(), &mut before), "{broken}");
        assert!(plain::read(broken.as_bytes(), &mut Content::default()).is_some());
        let spaced = format!("{} \t\r{}", &whole[..=at], &whole[at + 1..]);
        assert!(assert_same(spaced.as_bytes(), &mut before), "{spaced}");
    }
    assert!(!assert_same(whole.trim_end().as_bytes(), &mut before));
}

/// A change of some bytes from a place on.
#[derive(Debug, Clone)]
enum Change {
    Replace(u8),
    Insert(u8),
    Remove(usize),
    Repeat(usize),
    Exchange(usize),
}

fn change() -> impl Strategy<Value = Change> {
    let byte = prop_oneof![
        3 => prop::sample::select(b"\"{}[]:,\\ \n-0a9fAF.eun\x1f\x80\xff".to_vec()),
        1 => any::<u8>(),
    ];
    prop_oneof![
        byte.clone().prop_map(Change::Replace),
        byte.prop_map(Change::Insert),
        (1..40_usize).prop_map(Change::Remove),
        (1..400_usize).prop_map(Change::Repeat),
        (1..200_usize).prop_map(Change::Exchange),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]
    #[test]
    fn no_change_is_missed(
        n in 0..20_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), change()), 1..3),
    ) {
        let mut text = line(n).into_bytes();
        for (at, change) in changes {
            let at = at.index(text.len());
            let end = |length: usize| text.len().min(at + length);
            match change {
                Change::Replace(byte) => text[at] = byte,
                Change::Insert(byte) => text.insert(at, byte),
                Change::Remove(length) => drop(text.drain(at..end(length))),
                Change::Repeat(length) => {
                    let part = text[at..end(length)].to_vec();
                    text.splice(at..at, part);
                }
                Change::Exchange(length) => {
                    let end = end(length);
                    text[at..end].rotate_left((end - at) / 2);
                }
            }
        }
        assert_same(&text, &mut taught(4));
    }
}

#[test]
fn no_changed_byte_is_missed() {
    let (whole, mut before) = (line(5).into_bytes(), taught(4));
    for at in 0..whole.len() {
        for change in [1, 0x20, 0x80] {
            let mut text = whole.clone();
            text[at] ^= change;
            assert_same(&text, &mut before);
        }
    }
}
