//! JSON of one quantum. What is accepted must mean to serde_json what it means to us, and come back the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use quantum_butler_core::provenance::{Field, Provenance};
use quantum_butler_fuzz::ids;
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    let Some(found) = Provenance::from_json_bytes(bytes) else { return };
    let mut parsed: Value = serde_json::from_slice(bytes).expect("what was accepted is JSON");
    assert_eq!(parsed.as_object().map(|members| members.len()), Some(6));
    for field in Field::ALL {
        assert!(ids(&parsed[field.name()]).iter().eq(found.ids(field)), "{field:?}");
    }
    // Ids are written in one spelling.
    for (_, datastore) in parsed["datastore_records"].as_object_mut().expect("an object") {
        for id in datastore["dataset_ids"].as_array_mut().expect("an array") {
            *id = id.as_str().expect("a text").to_lowercase().into();
        }
    }
    let text = found.to_json(None);
    let written: Value = serde_json::from_str(&text).expect("what is written is JSON");
    assert_eq!(written["datastore_records"], parsed["datastore_records"]);
    assert_eq!(Provenance::from_json(&text).as_ref(), Some(&found));
    assert_eq!(Provenance::from_json(&found.to_json(Some(1))), Some(found));
});
