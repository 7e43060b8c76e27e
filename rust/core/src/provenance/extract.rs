//! Provenance of what a quantum did, from its bookkeeping and the records of what it wrote.

use super::{Field, Key, Provenance, RecordsBuilder, Value};
use crate::records::NO_COMPONENT;
use crate::{DatasetId, Error, FileRecord, Result, Role, Tracker};

/// The class that reads file records back; upstream imports it by this name.
const RECORD_CLASS: &str = "lsst.daf.butler.datastore.stored_file_info.StoredFileInfo";

/// About how many bytes of JSON a dataset with one record takes.
const JSON_OF_A_RECORD: usize = 512;

/// What file datastores have of the datasets that were written.
#[derive(Debug, Default)]
pub struct Exports {
    builder: RecordsBuilder,
    datastores: Vec<String>,
}

impl Exports {
    /// Adds a datastore: its name, that of its opaque table, and the datasets
    /// with their records, in order of the ids; none without records.
    pub fn add(
        &mut self,
        datastore: &str,
        table: &str,
        records: &[(u128, Vec<FileRecord<'_>>)],
    ) -> Result<()> {
        if self.datastores.iter().any(|earlier| earlier == datastore) {
            return Err(Error::RepeatedDatastore { name: datastore.to_owned() });
        }
        if self.datastores.is_empty() {
            self.builder = RecordsBuilder::for_json(records.len() * JSON_OF_A_RECORD);
        }
        self.datastores.push(datastore.to_owned());
        add(&mut self.builder, datastore, table, records);
        Ok(())
    }
}

impl Provenance {
    /// Provenance as the quantum stands now.  An id that is an integer, in any
    /// of the five sets, is an error.
    pub fn extract(tracker: &Tracker, actual_outputs: &[DatasetId], exports: Exports) -> Result<Self> {
        let uuid = |field: Field| {
            move |id| match id {
                DatasetId::Uuid(uuid) => Ok(uuid),
                DatasetId::Int(id) => Err(Error::IntegerId { role: field.name(), id }),
            }
        };
        let tracked = |field, role| tracker.set(role).iter().map(uuid(field)).collect::<Result<Vec<u128>>>();
        let ids = [
            tracked(Field::PredictedInputs, Role::PredictedInputs)?,
            tracked(Field::AvailableInputs, Role::AvailableInputs)?,
            tracked(Field::ActualInputs, Role::ActualInputs)?,
            tracked(Field::PredictedOutputs, Role::PredictedOutputs)?,
            actual_outputs.iter().copied().map(uuid(Field::ActualOutputs)).collect::<Result<_>>()?,
        ];
        let records = exports.builder.finish().ok_or(Error::TooManyRecords)?;
        Ok(Self::new(ids, records))
    }
}

fn add(builder: &mut RecordsBuilder, datastore: &str, table: &str, datasets: &[(u128, Vec<FileRecord<'_>>)]) {
    builder.datastore(datastore);
    if datasets.is_empty() {
        return;
    }
    builder.class(RECORD_CLASS);
    for (id, records) in datasets {
        builder.dataset_ids(&[*id]);
        builder.dataset(Key::Id(*id));
        builder.table(table);
        for record in records {
            let component = record.component.as_deref().unwrap_or(NO_COMPONENT);
            builder.row();
            builder.cell("formatter", Value::Text(&record.formatter));
            builder.cell("path", Value::Text(&record.path));
            builder.cell("storage_class", Value::Text(&record.storage_class));
            builder.cell("component", Value::Text(component));
            builder.cell("checksum", record.checksum.as_deref().map_or(Value::Null, Value::Text));
            builder.cell("file_size", record.file_size.map_or(Value::Null, Value::Int));
            builder.end_row();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::IdSet;

    fn tracker() -> Tracker {
        let set = |ids: &[u128]| ids.iter().copied().map(DatasetId::Uuid).collect::<IdSet>();
        let mut tracker = Tracker::new(set(&[2, 1, 3]), set(&[5, 4]));
        tracker.note_read(DatasetId::Uuid(2));
        tracker.note_existence(DatasetId::Uuid(1), true);
        tracker
    }

    fn record(path: &str, component: Option<&str>) -> FileRecord<'static> {
        FileRecord {
            path: path.to_owned().into(),
            formatter: "json".into(),
            storage_class: "Dict".into(),
            component: component.map(|name| name.to_owned().into()),
            checksum: None,
            file_size: Some(7),
        }
    }

    #[test]
    fn everything_is_in_its_place() {
        let both = vec![record("a.json", Some("a")), record("b.json", Some("b"))];
        let records = vec![(4, vec![record("x.json", None)]), (5, both)];
        let mut exports = Exports::default();
        exports.add("one", "records", &records).unwrap();
        exports.add("two", "records", &[]).unwrap();
        let outputs = [5, 4, 5].map(DatasetId::Uuid);
        let provenance = Provenance::extract(&tracker(), &outputs, exports).unwrap();
        assert_eq!(provenance.ids(Field::PredictedInputs), [1, 2, 3]);
        assert_eq!(provenance.ids(Field::AvailableInputs), [1, 2]);
        assert_eq!(provenance.ids(Field::ActualInputs), [2]);
        assert_eq!(provenance.ids(Field::PredictedOutputs), [4, 5]);
        assert_eq!(provenance.ids(Field::ActualOutputs), [4, 5]);
        let row = |path: &str, component: &str| {
            format!(
                r#"{{"formatter":"json","path":"{path}","storage_class":"Dict","component":"{component}","checksum":null,"file_size":7}}"#
            )
        };
        let id = |last: &str| format!("00000000-0000-0000-0000-00000000000{last}");
        let key = |last: &str| format!("{}{last}", "0".repeat(31));
        let (first, second) =
            (row("x.json", "__NULL_STRING__"), [row("a.json", "a"), row("b.json", "b")].join(","));
        let expected = format!(
            r#""datastore_records":{{"one":{{"dataset_ids":["{}","{}"],"records":{{"{RECORD_CLASS}":{{"{}":{{"records":[{first}]}},"{}":{{"records":[{second}]}}}}}}}},"two":{{"dataset_ids":[],"records":{{}}}}}}}}"#,
            id("4"),
            id("5"),
            key("4"),
            key("5"),
        );
        let json = provenance.to_json(None);
        assert!(json.ends_with(&expected), "{json}");
        assert_eq!(Provenance::from_json(&json), Some(provenance));
    }

    #[test]
    fn integer_ids_are_named_with_their_field() {
        let set = |id| std::iter::once(DatasetId::Int(id)).collect::<IdSet>();
        let predicted = Tracker::new(IdSet::default(), set(-7));
        let refused = |tracker: &Tracker, outputs: &[_]| {
            Provenance::extract(tracker, outputs, Exports::default()).unwrap_err()
        };
        assert_eq!(refused(&predicted, &[]), Error::IntegerId { role: "predicted_outputs", id: -7 });
        let written = [DatasetId::Uuid(1), DatasetId::Int(2)];
        assert_eq!(refused(&tracker(), &written), Error::IntegerId { role: "actual_outputs", id: 2 });
        let mut read = tracker();
        read.set_mut(Role::ActualInputs).insert(DatasetId::Int(3));
        assert_eq!(refused(&read, &[]), Error::IntegerId { role: "actual_inputs", id: 3 });
        let mut unavailable = tracker();
        unavailable.note_read_failed(DatasetId::Int(4));
        assert!(Provenance::extract(&unavailable, &[], Exports::default()).is_ok(), "these are not written");
    }

    #[test]
    fn a_datastore_given_twice_is_refused() {
        let mut exports = Exports::default();
        exports.add("one", "records", &[]).unwrap();
        let error = exports.add("one", "records", &[]).unwrap_err();
        assert_eq!(error, Error::RepeatedDatastore { name: "one".to_owned() });
    }
}
