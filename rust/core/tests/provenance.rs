//! Provenance JSON against serde_json, on documents that nobody thought of.

use std::collections::BTreeSet;
use std::fmt;

use proptest::collection::{hash_map, vec};
use proptest::prelude::*;
use proptest::sample::Index;
use quantum_butler_core::provenance::{Field, Key, Provenance, RecordsBuilder, Value};
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value as Json;

/// A map without order that a strategy gives in some order.
type Pairs<T> = Vec<(String, T)>;

#[derive(Debug, Clone)]
enum Item {
    Null,
    Int(i64),
    Text(String),
}

type Classes = Pairs<Pairs<Pairs<Vec<Pairs<Item>>>>>;

#[derive(Debug, Clone)]
struct Document {
    ids: [Vec<u128>; 5],
    datastores: Pairs<(Vec<u128>, Classes)>,
}

impl Document {
    fn provenance(&self) -> Provenance {
        let mut builder = RecordsBuilder::default();
        for (name, (ids, classes)) in &self.datastores {
            builder.datastore(name);
            builder.dataset_ids(ids);
            for (name, datasets) in classes {
                builder.class(name);
                for (key, tables) in datasets {
                    builder.dataset(Key::from_text(key));
                    for (name, rows) in tables {
                        builder.table(name);
                        for row in rows {
                            builder.row();
                            for (column, item) in row {
                                let value = match item {
                                    Item::Null => Value::Null,
                                    Item::Int(number) => Value::Int(*number),
                                    Item::Text(text) => Value::Text(text),
                                };
                                builder.cell(column, value);
                            }
                            builder.end_row();
                        }
                    }
                }
            }
        }
        Provenance::new(self.ids.clone(), builder.finish().expect("keys are unique"))
    }

    fn json(&self) -> Json {
        let mut fields: Pairs<Json> = Vec::new();
        for (field, ids) in Field::ALL.iter().zip(&self.ids) {
            let ids: BTreeSet<u128> = ids.iter().copied().collect();
            fields.push((field.name().to_owned(), ids.into_iter().map(hyphenated).collect()));
        }
        let datastores = object(&self.datastores, |(ids, classes)| {
            let records = object(classes, |datasets| {
                object(datasets, |tables| {
                    object(tables, |rows| {
                        let row = |row| {
                            object(row, |item| match item {
                                Item::Null => Json::Null,
                                Item::Int(number) => Json::from(*number),
                                Item::Text(text) => Json::from(text.as_str()),
                            })
                        };
                        rows.iter().map(row).collect()
                    })
                })
            });
            let ids = ids.iter().copied().map(hyphenated).collect::<Json>();
            Json::from_iter([("dataset_ids", ids), ("records", records)])
        });
        fields.push(("datastore_records".to_owned(), datastores));
        Json::from_iter(fields)
    }
}

fn object<T>(pairs: &Pairs<T>, convert: impl Fn(&T) -> Json) -> Json {
    pairs.iter().map(|(key, value)| (key.clone(), convert(value))).collect()
}

fn hyphenated(id: u128) -> Json {
    let hex = format!("{id:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-").into()
}

/// Mostly texts as they really are, some that are hard to escape.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("__NULL_STRING__".to_owned()),
        "[a-z0-9_/.]{0,40}",
        "[0-9a-fA-F]{32}",
        any::<[u8; 16]>().prop_map(|id| format!("{:032x}", u128::from_be_bytes(id))),
        "[\\x00-\\x20\"\\\\/\\x7f\u{80}\u{2028}\u{ffff}\u{10000}\u{10ffff}]{0,12}",
        any::<String>(),
    ]
}

fn ids() -> impl Strategy<Value = Vec<u128>> {
    vec(prop_oneof![any::<u128>(), 0..4u128], 0..6)
}

fn map<T: fmt::Debug>(value: impl Strategy<Value = T>, most: usize) -> impl Strategy<Value = Pairs<T>> {
    hash_map(text(), value, 0..=most).prop_map(|map| map.into_iter().collect())
}

/// Rows that mostly have the columns of the row above.
fn rows() -> impl Strategy<Value = Vec<Pairs<Item>>> {
    let item =
        || prop_oneof![Just(Item::Null), any::<i64>().prop_map(Item::Int), text().prop_map(Item::Text)];
    let alike = (map(Just(()), 4), vec(vec(item(), 4), 0..4)).prop_map(|(columns, rows)| {
        let names = || columns.iter().map(|(name, ())| name.clone());
        rows.into_iter().map(|items| names().zip(items).collect()).collect()
    });
    prop_oneof![3 => alike, 1 => vec(map(item(), 3), 0..4)]
}

fn document() -> impl Strategy<Value = Document> {
    let classes = map(map(map(rows(), 2), 3), 2);
    (prop::array::uniform5(ids()), map((ids(), classes), 2))
        .prop_map(|(ids, datastores)| Document { ids, datastores })
}

/// What serde_json reads, but for objects with repeated keys.
struct WithoutRepeats(Json);

impl<'de> Deserialize<'de> for WithoutRepeats {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyJson;

        impl<'de> Visitor<'de> for AnyJson {
            type Value = Json;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON without repeated keys")
            }
            fn visit_unit<E>(self) -> Result<Json, E> {
                Ok(Json::Null)
            }
            fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
                Ok(value.into())
            }
            fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
                Ok(value.into())
            }
            fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
                Ok(value.into())
            }
            fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
                Ok(value.into())
            }
            fn visit_str<E>(self, value: &str) -> Result<Json, E> {
                Ok(value.into())
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
                let mut items = Vec::new();
                while let Some(WithoutRepeats(item)) = seq.next_element()? {
                    items.push(item);
                }
                Ok(items.into())
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
                let mut members = serde_json::Map::new();
                while let Some((key, WithoutRepeats(value))) = map.next_entry::<String, _>()? {
                    if members.insert(key, value).is_some() {
                        return Err(de::Error::custom("repeated key"));
                    }
                }
                Ok(members.into())
            }
        }
        deserializer.deserialize_any(AnyJson).map(WithoutRepeats)
    }
}

/// The JSON with the five sets sorted, each id once, all ids in lower case.
fn normal(mut json: Json) -> Json {
    fn lower(id: &Json) -> String {
        id.as_str().expect("an id is text").to_ascii_lowercase()
    }
    for field in Field::ALL {
        let ids: BTreeSet<String> =
            json[field.name()].as_array().expect("a list").iter().map(lower).collect();
        json[field.name()] = ids.into_iter().collect();
    }
    for (_, datastore) in json["datastore_records"].as_object_mut().expect("an object") {
        datastore["dataset_ids"] =
            datastore["dataset_ids"].as_array().expect("a list").iter().map(lower).collect();
    }
    json
}

/// One change somewhere in the bytes.
#[derive(Debug, Clone)]
enum Change {
    Set(Index, u8),
    Insert(Index, String),
    Remove(Index, usize),
    Repeat(Index, usize, Index),
    Cut(Index),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let piece = |at: usize, length: usize| at..(at + length).min(bytes.len());
        match self {
            Change::Set(at, byte) => *at.get_mut(bytes) = *byte,
            Change::Insert(at, text) => {
                let at = at.index(bytes.len());
                bytes.splice(at..at, text.bytes());
            }
            Change::Remove(at, length) => {
                let range = piece(at.index(bytes.len()), *length);
                bytes.drain(range);
            }
            Change::Repeat(from, length, to) => {
                let copy = bytes[piece(from.index(bytes.len()), *length)].to_vec();
                let to = to.index(bytes.len());
                bytes.splice(to..to, copy);
            }
            Change::Cut(at) => bytes.truncate(at.index(bytes.len())),
        }
    }
}

fn change() -> impl Strategy<Value = Change> {
    let tokens = vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\\",
        " ",
        "\n",
        "null",
        "true",
        "0",
        "-",
        "-0",
        ".5",
        "e3",
        "1",
        "\\u0041",
        "\\ud83d",
        "\\ude00",
        "\\n",
        "\u{0}",
        "\u{feff}",
        "é",
        "99999999999999999999",
        "//",
        "NaN",
    ];
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        (any::<Index>(), prop::sample::select(tokens)).prop_map(|(at, text)| Change::Insert(at, text.into())),
        (any::<Index>(), 1..40usize).prop_map(|(at, length)| Change::Remove(at, length)),
        (any::<Index>(), 1..90usize, any::<Index>()).prop_map(|(from, n, to)| Change::Repeat(from, n, to)),
        any::<Index>().prop_map(Change::Cut),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_what_serde_json_reads(document in document(), indent in prop::option::of(0..5usize)) {
        let json = document.provenance().to_json(indent);
        let read: Json = serde_json::from_str(&json).expect("valid");
        prop_assert_eq!(&read, &document.json());
        // Same order of keys and same escapes, which the comparison of values does not see.
        if indent.is_none() {
            prop_assert_eq!(json, document.json().to_string());
        }
    }

    #[test]
    fn what_is_written_is_read_again(document in document(), indent in prop::option::of(0..5usize)) {
        let provenance = document.provenance();
        let json = provenance.to_json(indent);
        let again = Provenance::from_json(&json).expect("plain");
        prop_assert_eq!(&again, &provenance);
        prop_assert_eq!(again.to_json(indent), json);
    }

    #[test]
    fn what_serde_json_writes_is_read(document in document()) {
        let json = serde_json::to_string_pretty(&document.json()).expect("valid");
        prop_assert_eq!(Provenance::from_json(&json), Some(document.provenance()));
    }

    #[test]
    fn equality_is_that_of_the_values(one in document(), other in document()) {
        prop_assert_eq!(one.provenance() == other.provenance(), one.json() == other.json());
        let mut turned = one.clone();
        turned.datastores.reverse();
        for (_, (_, classes)) in &mut turned.datastores {
            classes.reverse();
            for (_, datasets) in classes {
                datasets.reverse();
                datasets.iter_mut().for_each(|(_, tables)| tables.reverse());
            }
        }
        prop_assert_eq!(turned.provenance(), one.provenance());
    }

    #[test]
    fn what_is_accepted_means_the_same(document in document(), changes in vec(change(), 1..3)) {
        let mut bytes = document.provenance().to_json(None).into_bytes();
        changes.iter().for_each(|change| change.apply(&mut bytes));
        if let Some(provenance) = Provenance::from_json_bytes(&bytes) {
            let WithoutRepeats(expected) = serde_json::from_slice(&bytes).expect("accepted, so valid");
            let written: Json = serde_json::from_str(&provenance.to_json(None)).expect("valid");
            prop_assert_eq!(written, normal(expected));
        }
    }
}
