//! JSON to provenance, for the plain form only.
//!
//! Plain is what upstream's model itself writes, with any white space and any
//! order of keys.  All else that pydantic may accept or refuse (other spellings
//! of ids, numbers that are not whole, repeated or unknown keys) is left to it:
//! the answer here is `None`.  What is accepted means the same to pydantic.
//!
//! The shape is fixed, so nothing here goes deeper than the shape does,
//! whatever the input.

use super::{
    DATASET_IDS, DATASTORE_RECORDS, Field, Key, Provenance, RECORDS, RecordsBuilder, Value, tokens::Scanner,
};

impl Provenance {
    /// Reads the plain form; `None` for anything else.
    pub fn from_json(text: &str) -> Option<Self> {
        Self::with_other_members(text, |_, _| None)
    }

    /// Reads the plain form among other members of the same object: `other` is called after the key of
    /// each, and reads its value.
    pub(crate) fn with_other_members(
        text: &str,
        other: impl FnMut(&mut Scanner<'_>, &str) -> Option<()>,
    ) -> Option<Self> {
        let mut scanner = Scanner::new(text.as_bytes());
        let builder = RecordsBuilder::for_json(text.len());
        let mut reader = Reader { builder, scratch: Vec::with_capacity(32), ..Reader::default() };
        reader.provenance(&mut scanner, other)?;
        (scanner.at_end()).then(|| reader.finish())?
    }

    /// Reads the plain form from UTF-8; `None` for anything else.
    pub fn from_json_bytes(bytes: &[u8]) -> Option<Self> {
        Self::from_json(std::str::from_utf8(bytes).ok()?)
    }
}

#[derive(Default)]
struct Reader {
    ids: [Option<Vec<u128>>; 5],
    builder: RecordsBuilder,
    records_seen: bool,
    /// Room for an array of ids before its length is known.
    scratch: Vec<u128>,
}

impl Reader {
    fn finish(self) -> Option<Provenance> {
        let [Some(a), Some(b), Some(c), Some(d), Some(e)] = self.ids else { return None };
        let records = self.records_seen.then(|| self.builder.finish())??;
        Some(Provenance::new([a, b, c, d, e], records))
    }

    fn provenance(
        &mut self,
        scanner: &mut Scanner<'_>,
        mut other: impl FnMut(&mut Scanner<'_>, &str) -> Option<()>,
    ) -> Option<()> {
        scanner.object(|scanner, key| {
            if let Some(field) = Field::from_name(&key) {
                self.id_array(scanner)?;
                return first(&mut self.ids[field as usize], self.scratch.clone());
            }
            if key != DATASTORE_RECORDS {
                return other(scanner, &key);
            }
            if std::mem::replace(&mut self.records_seen, true) {
                return None;
            }
            scanner.object(|scanner, name| {
                self.builder.datastore(&name);
                self.datastore(scanner)
            })
        })
    }

    fn datastore(&mut self, scanner: &mut Scanner<'_>) -> Option<()> {
        let (mut ids_seen, mut records_seen) = (None, None);
        scanner.object(|scanner, key| {
            if key == DATASET_IDS {
                first(&mut ids_seen, ())?;
                self.id_array(scanner)?;
                self.builder.dataset_ids(&self.scratch);
                Some(())
            } else if key == RECORDS {
                first(&mut records_seen, ())?;
                self.classes(scanner)
            } else {
                None
            }
        })?;
        ids_seen.and(records_seen)
    }

    fn classes(&mut self, scanner: &mut Scanner<'_>) -> Option<()> {
        let builder = &mut self.builder;
        scanner.object(|scanner, class| {
            builder.class(&class);
            scanner.object(|scanner, key| {
                builder.dataset(Key::from_text(&key));
                scanner.object(|scanner, table| {
                    builder.table(&table);
                    scanner.array(|scanner| row(scanner, builder))
                })
            })
        })
    }

    /// Reads an array of ids into `scratch`.
    fn id_array(&mut self, scanner: &mut Scanner<'_>) -> Option<()> {
        self.scratch.clear();
        scanner.ids(&mut self.scratch)
    }
}

fn row(scanner: &mut Scanner<'_>, builder: &mut RecordsBuilder) -> Option<()> {
    builder.row();
    scanner.object(|scanner, column| {
        match scanner.peek()? {
            b'"' => builder.cell(&column, Value::Text(&scanner.string()?)),
            b'n' => {
                scanner.null()?;
                builder.cell(&column, Value::Null);
            }
            _ => builder.cell(&column, Value::Int(scanner.integer()?)),
        }
        Some(())
    })?;
    builder.end_row();
    Some(())
}

/// Fills an empty place; `None` if something is there.
pub(crate) fn first<T>(place: &mut Option<T>, value: T) -> Option<()> {
    place.replace(value).is_none().then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01234567-89ab-cdef-0123-456789abcdef";

    /// A document with `ids` as predicted inputs and `row` as the only row.
    fn document(ids: &str, row: &str) -> String {
        format!(
            r#"{{"predicted_inputs":{ids},"available_inputs":[],"actual_inputs":[],"predicted_outputs":[],
            "actual_outputs":[],"datastore_records":{{"d":{{"dataset_ids":["{ID}"],
            "records":{{"c":{{"k":{{"t":[{row}]}}}}}}}}}}}}"#
        )
    }

    /// The value of column `a` of the only row.
    fn value_of(json: &str) -> Option<String> {
        let provenance = Provenance::from_json(&document("[]", &format!(r#"{{"a":{json}}}"#)))?;
        let written = provenance.to_json(None);
        let (_, value) = written.split_once(r#"{"a":"#)?;
        Some(value[..value.find("}]")?].to_owned())
    }

    #[test]
    fn whole_numbers_of_64_bits_are_plain() {
        for plain in ["0", "7", "-1", "-10", "9223372036854775807", "-9223372036854775808"] {
            assert_eq!(value_of(plain).as_deref(), Some(plain));
        }
        let other = ["-0", "00", "01", "-01", "-", "+1", "1.0", "1.5", "1e2", "1E2", ".5", "1.", "0x1"];
        let large = ["9223372036854775808", "-9223372036854775809", "18446744073709551616", "1e400"];
        let words =
            ["NaN", "Infinity", "-Infinity", "true", "false", "nul", "nulll", "Null", "None", "[]", "{}", ""];
        for not_plain in other.into_iter().chain(large).chain(words) {
            assert_eq!(value_of(not_plain), None, "{not_plain}");
        }
        assert_eq!(value_of("null").as_deref(), Some("null"));
        assert_eq!(value_of(&"9".repeat(100_000)), None);
    }

    #[test]
    fn escapes_are_decoded_once() {
        let cases = [
            (r#""\/""#, r#""/""#),
            (r#""\u0041\u00e9\uD83D\ude00""#, r#""Aé😀""#),
            (r#""\b\f\n\r\t\"\\""#, r#""\b\f\n\r\t\"\\""#),
            (r#""\u0000\u001F\u007f""#, "\"\\u0000\\u001f\u{7f}\""),
            (r#""\\u0041""#, r#""\\u0041""#),
            (r#""before \u0041 after""#, r#""before A after""#),
        ];
        for (json, expected) in cases {
            assert_eq!(value_of(json).as_deref(), Some(expected), "{json}");
        }
        let lone = [r#""\ud800""#, r#""\ude00""#, r#""\ud83d\ud83d""#, r#""\ud83dx""#, r#""\ud83d\n""#];
        let wrong =
            [r#""\x41""#, r#""\u004""#, r#""\u+041""#, r#""\u00é""#, r#""\"#, r#"'a'"#, "\"a\nb\"", "\"\0\""];
        for not_plain in lone.into_iter().chain(wrong) {
            assert_eq!(value_of(not_plain), None, "{not_plain}");
        }
    }

    #[test]
    fn ids_have_one_spelling() {
        let read = |ids: &str| Provenance::from_json(&document(ids, ""));
        let ids = |ids: &str| read(ids).map(|provenance| provenance.ids(Field::PredictedInputs).to_vec());
        let id = 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef;
        let upper = ID.to_uppercase();
        assert_eq!(ids(&format!(r#"[ "{ID}" , "{upper}" ]"#)), Some(vec![id]));
        let simple = ID.replace('-', "");
        let spellings = [
            format!("[\"{simple}\"]"),
            format!("[\"{{{ID}}}\"]"),
            format!("[\"urn:uuid:{ID}\"]"),
            format!("[\" {ID}\"]"),
            format!("[\"{}\"]", &ID[1..]),
            format!("[\"\\u0030{}\"]", &ID[1..]),
            format!("[\"g{}\"]", &ID[1..]),
            format!("[\"é{}\"]", &ID[2..]),
            format!("[\"{ID}\",]"),
            format!("[,\"{ID}\"]"),
            format!("[\"{ID}\" \"{ID}\"]"),
            format!("[\"{ID}\""),
            format!("\"{ID}\""),
            "[1]".to_owned(),
            "[null]".to_owned(),
            "null".to_owned(),
            "{}".to_owned(),
        ];
        for not_plain in spellings {
            assert_eq!(read(&not_plain), None, "{not_plain}");
        }
    }

    #[test]
    fn each_key_is_there_once() {
        let whole = document("[]", r#"{"a":1}"#);
        assert!(Provenance::from_json(&whole).is_some());
        for name in ["predicted_inputs", "actual_outputs", "datastore_records", DATASET_IDS, RECORDS] {
            let key = format!("\"{name}\":");
            assert_eq!(Provenance::from_json(&whole.replacen(&key, "\"other\":", 1)), None, "no {name}");
        }
        let changes = [
            (r#""actual_inputs":[],"#, r#""actual_inputs":[],"actual_inputs":[],"#),
            (r#""actual_inputs":[],"#, r#""actual_inputs":[],"extra":[],"#),
            (r#""datastore_records":{"#, r#""datastore_records":{},"datastore_records":{"#),
            (r#""d":{"#, r#""d":{"dataset_ids":[],"records":{}},"d":{"#),
            (r#""dataset_ids":["#, r#""dataset_ids":[],"dataset_ids":["#),
            (r#""dataset_ids":["#, r#""extra":[],"dataset_ids":["#),
            (r#""records":{"#, r#""records":{},"records":{"#),
            (r#""c":{"#, r#""c":{},"c":{"#),
            (r#""k":{"#, r#""k":{},"k":{"#),
            (r#""t":["#, r#""t":[],"t":["#),
            (r#""t":["#, r#""t":[],"\u0074":["#),
            (r#""a":1"#, r#""a":1,"a":1"#),
        ];
        for (from, to) in changes {
            assert!(whole.contains(from), "{from}");
            assert_eq!(Provenance::from_json(&whole.replacen(from, to, 1)), None, "{to}");
        }
    }

    #[test]
    fn only_whole_documents_of_the_shape_are_plain() {
        let whole = document(&format!(r#"["{ID}"]"#), r#"{"a":"é\u0041","b":null,"c":-12}, {}"#);
        assert!(Provenance::from_json(&format!(" \t\r\n{whole} \t\r\n")).is_some());
        for end in 0..whole.len() {
            assert_eq!(Provenance::from_json_bytes(&whole.as_bytes()[..end]), None, "{end}");
        }
        for (before, after) in
            [("", "x"), ("", "{}"), ("\u{feff}", ""), ("\u{b}", ""), ("\u{a0}", ""), ("/**/", "")]
        {
            assert_eq!(Provenance::from_json(&format!("{before}{whole}{after}")), None, "{before}{after}");
        }
        assert_eq!(Provenance::from_json_bytes(&[whole.as_bytes(), b"\xff"].concat()), None);
        for nested in
            ["[".repeat(10_000), "{\"predicted_inputs\":".repeat(10_000), "[]".into(), "null".into()]
        {
            assert_eq!(Provenance::from_json(&nested), None);
        }
        let deep = "{\"a\":".repeat(10_000) + "1" + &"}".repeat(10_000);
        assert_eq!(Provenance::from_json(&document("[]", &deep)), None);
    }
}
