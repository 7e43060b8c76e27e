//! Provenance of what a quantum did, from its bookkeeping and the records of what it wrote.
//!
//! It goes straight into JSON, which most callers want and nobody can change: no other copy of the records is
//! made. Who asks for a field gets it from there.

use super::write::Writer;
use super::{DATASET_IDS, DATASTORE_RECORDS, Field, RECORDS, sorted_set};
use crate::records::{NO_COMPONENT, Slots};
use crate::table::column::Column;
use crate::{DatasetId, Error, FileRecords, IdSet, Locations, Result, Role, Table, Tracker};

/// The class that reads file records back; upstream imports it by this name.
pub(super) const RECORD_CLASS: &str = "lsst.daf.butler.datastore.stored_file_info.StoredFileInfo";

/// About how many bytes of JSON an id takes, and a dataset with one record.
const JSON_OF_AN_ID: usize = 40;
const JSON_OF_A_RECORD: usize = 512;

/// The JSON form of the provenance of a quantum as it stands, in the making.
#[derive(Debug)]
pub struct Extraction {
    writer: Writer,
    outputs: Box<[u128]>,
    datastores: Vec<String>,
}

impl Extraction {
    /// Begins with the five sets of ids. An integer in any of them is an error.
    ///
    /// What was written is what the tracker was told of, unless it is given.
    pub fn new(tracker: &Tracker, actual_outputs: Option<&IdSet>) -> Result<Self> {
        Self::in_buffer(tracker, actual_outputs, Vec::new())
    }

    /// The same, in the memory of an earlier one.
    pub fn in_buffer(tracker: &Tracker, actual_outputs: Option<&IdSet>, mut buffer: Vec<u8>) -> Result<Self> {
        let written = actual_outputs.unwrap_or(tracker.written());
        let outputs = uuids(Field::ActualOutputs, written)?;
        // What turns out to be too much is not touched and costs nothing.
        let bytes = JSON_OF_AN_ID * (tracker.len() + outputs.len()) + JSON_OF_A_RECORD * outputs.len();
        buffer.clear();
        buffer.reserve(bytes + JSON_OF_A_RECORD);
        let mut writer = Writer::in_buffer(buffer);
        writer.open(b'{');
        for (field, role) in [
            (Field::PredictedInputs, Role::PredictedInputs),
            (Field::AvailableInputs, Role::AvailableInputs),
            (Field::ActualInputs, Role::ActualInputs),
            (Field::PredictedOutputs, Role::PredictedOutputs),
        ] {
            writer.key(field.name());
            writer.ids(&uuids(field, tracker.set(role))?);
        }
        writer.key(Field::ActualOutputs.name());
        writer.ids(&outputs);
        writer.key(DATASTORE_RECORDS);
        writer.open(b'{');
        Ok(Self { writer, outputs, datastores: Vec::new() })
    }

    /// Adds what a datastore has of the datasets that were written, except of those in its trash.
    pub fn datastore(
        &mut self,
        name: &str,
        table: &Table,
        locations: &Locations,
        columns: FileRecords,
    ) -> Result<()> {
        if self.datastores.iter().any(|earlier| earlier == name) {
            return Err(Error::RepeatedDatastore { name: name.to_owned() });
        }
        self.datastores.push(name.to_owned());
        let here = self.outputs.iter().filter(|id| locations.present().contains(DatasetId::Uuid(**id)));
        let (ids, slots): (Vec<_>, Vec<_>) = here
            .map(|id| (*id, columns.slots(table, DatasetId::Uuid(*id))))
            .filter(|(_, slots)| !slots.is_empty())
            .unzip();
        let writer = &mut self.writer;
        writer.key(name);
        writer.open(b'{');
        writer.key(DATASET_IDS);
        writer.ids(&ids);
        writer.key(RECORDS);
        writer.open(b'{');
        if !ids.is_empty() {
            writer.key(RECORD_CLASS);
            writer.open(b'{');
            Rows::new(table, columns).write(writer, &ids, &slots);
            writer.close(b'}');
        }
        writer.close(b'}');
        writer.close(b'}');
        Ok(())
    }

    /// The JSON form.
    pub fn finish(mut self) -> String {
        self.writer.close(b'}');
        self.writer.close(b'}');
        self.writer.finish()
    }
}

fn uuids(field: Field, ids: &IdSet) -> Result<Box<[u128]>> {
    match ids.any_integer() {
        Some(id) => Err(Error::IntegerId { role: field.name(), id }),
        None => Ok(sorted_set(ids.uuids().collect())),
    }
}

/// Writes rows that are mostly alike: the same formatter, storage class and component again and again.
struct Rows<'t> {
    table: &'t Table,
    columns: FileRecords,
    /// What goes before a row's path, and between it and the size, each with what it was made of.
    before: (Option<u32>, Vec<u8>),
    between: (Option<[u32; 2]>, Vec<u8>),
}

impl<'t> Rows<'t> {
    fn new(table: &'t Table, columns: FileRecords) -> Self {
        Self { table, columns, before: Default::default(), between: Default::default() }
    }

    fn write(&mut self, writer: &mut Writer, ids: &[u128], slots: &[Slots]) {
        let mut of_table = Writer::with_capacity(64);
        of_table.string(self.table.schema().name());
        let of_table = of_table.finish();
        for (id, slots) in ids.iter().zip(slots) {
            writer.id_key(*id);
            writer.raw(&[b"{", of_table.as_bytes(), b":["]);
            for (number, slot) in slots.iter().enumerate() {
                if number > 0 {
                    writer.raw(&[b","]);
                }
                self.row(writer, *slot as usize);
            }
            writer.raw(&[b"]}"]);
        }
    }

    fn row(&mut self, writer: &mut Writer, row: usize) {
        let formatter = self.table.column(self.columns.formatter);
        let made_of = formatter.repeated(row);
        if made_of.is_none() || made_of != self.before.0 {
            let mut before = Writer::with_capacity(128);
            before.raw(&[b"{\"formatter\":"]);
            text(&mut before, formatter, row);
            before.raw(&[b",\"path\":"]);
            self.before = (made_of, before.finish().into_bytes());
        }
        writer.raw(&[&self.before.1]);
        text(writer, self.table.column(self.columns.path), row);
        self.between(row);
        writer.raw(&[&self.between.1]);
        match self.table.column(self.columns.file_size).integer(row) {
            Some(size) => writer.integer(size),
            None => writer.raw(&[b"null"]),
        }
        writer.raw(&[b"}"]);
    }

    fn between(&mut self, row: usize) {
        let column = |column: usize| self.table.column(column);
        let (storage_class, component) = (column(self.columns.storage_class), column(self.columns.component));
        let checksum = column(self.columns.checksum);
        let made_of = match (storage_class.repeated(row), component.repeated(row)) {
            (Some(storage_class), Some(component)) if checksum.is_null(row) => {
                Some([storage_class, component])
            }
            _ => None,
        };
        if made_of.is_some() && made_of == self.between.0 {
            return;
        }
        let mut between = Writer::with_capacity(128);
        between.raw(&[b",\"storage_class\":"]);
        text(&mut between, storage_class, row);
        between.raw(&[b",\"component\":"]);
        match component.text(row) {
            Some(name) if !name.is_empty() => between.string(&name),
            _ => between.string(NO_COMPONENT),
        }
        between.raw(&[b",\"checksum\":"]);
        match checksum.is_null(row) {
            true => between.raw(&[b"null"]),
            false => text(&mut between, checksum, row),
        }
        between.raw(&[b",\"file_size\":"]);
        self.between = (made_of, between.finish().into_bytes());
    }
}

fn text(writer: &mut Writer, column: &Column, row: usize) {
    writer.string_of(column.parts(row));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provenance::Provenance;
    use crate::{ColumnSpec, FileRecord, Kind, Mode, Schema};

    fn tracker() -> Tracker {
        let set = |ids: &[u128]| ids.iter().copied().map(DatasetId::Uuid).collect::<IdSet>();
        let mut tracker = Tracker::new(set(&[2, 1, 3]), set(&[5, 4]));
        tracker.note_read(DatasetId::Uuid(2));
        tracker.note_existence(DatasetId::Uuid(1), true);
        tracker
    }

    struct Store {
        table: Table,
        locations: Locations,
        columns: FileRecords,
    }

    impl Store {
        fn new(records: &[(u128, FileRecord<'_>)]) -> Self {
            let text = |name: &str, nullable| (name.to_owned(), Kind::Text, nullable);
            let columns = vec![
                ("dataset_id".to_owned(), Kind::Guid, false),
                text("path", false),
                text("formatter", false),
                text("storage_class", false),
                text("component", false),
                text("checksum", true),
                ("file_size".to_owned(), Kind::Integer, true),
            ];
            let columns =
                columns.into_iter().map(|(name, kind, nullable)| ColumnSpec { name, kind, nullable });
            let schema = Schema::new("records", columns.collect());
            let schema = schema.with_primary_key(&["dataset_id", "component"]).unwrap();
            let columns = FileRecords::new(&schema).unwrap();
            let (mut table, mut locations) = (Table::new(schema), Locations::new("store"));
            let mut batch = columns.batch(table.schema(), records.len());
            for (id, record) in records {
                batch.record(table.schema(), DatasetId::Uuid(*id), record.clone()).unwrap();
            }
            FileRecords::add(&mut table, &mut locations, &batch, Mode::Insert).unwrap();
            Self { table, locations, columns }
        }
    }

    fn extract(tracker: &Tracker, outputs: &[DatasetId], stores: &[(&str, &Store)]) -> Result<String> {
        let outputs = outputs.iter().copied().collect();
        let mut extraction = Extraction::new(tracker, Some(&outputs))?;
        for (name, Store { table, locations, columns }) in stores {
            extraction.datastore(name, table, locations, *columns)?;
        }
        Ok(extraction.finish())
    }

    fn record<'a>(path: &'a str, component: Option<&'a str>) -> FileRecord<'a> {
        FileRecord {
            path: path.into(),
            formatter: "json".into(),
            storage_class: "Dict".into(),
            component: component.map(Into::into),
            checksum: None,
            file_size: Some(7),
        }
    }

    #[test]
    fn everything_is_in_its_place() {
        let mut first = Store::new(&[
            (5, record("b.json", Some("b"))),
            (4, record("x.json", None)),
            (5, record("a.json", Some("a"))),
            (3, record("not written.json", None)),
            (7, record("in the trash.json", None)),
        ]);
        first.locations.move_to_trash([DatasetId::Uuid(7)]).unwrap();
        let second = Store::new(&[]);
        let outputs = [5, 4, 5, 6, 7].map(DatasetId::Uuid);
        let json = extract(&tracker(), &outputs, &[("one", &first), ("two", &second)]).unwrap();
        let provenance = Provenance::from_json(&json).unwrap();
        assert_eq!(provenance.ids(Field::PredictedInputs), [1, 2, 3]);
        assert_eq!(provenance.ids(Field::AvailableInputs), [1, 2]);
        assert_eq!(provenance.ids(Field::ActualInputs), [2]);
        assert_eq!(provenance.ids(Field::PredictedOutputs), [4, 5]);
        assert_eq!(provenance.ids(Field::ActualOutputs), [4, 5, 6, 7]);
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
        assert!(json.ends_with(&expected), "{json}");
        assert_eq!(provenance.to_json(None), json);
    }

    /// Rows of every kind next to one another, in a column that repeats strings and in one that does not.
    #[test]
    fn rows_that_differ_are_written_as_rows_that_repeat() {
        for many in [1, 300] {
            let texts: Vec<String> = (0..many).map(|number| format!("a/\"{number}\"\\\n")).collect();
            let mut records = Vec::new();
            for (number, text) in texts.iter().enumerate() {
                for (offset, checksum) in [None, Some("sum"), None].into_iter().enumerate() {
                    let mut record = record(text, [None, Some("part")][offset % 2]);
                    record.checksum = checksum.map(Into::into);
                    record.file_size =
                        [None, Some(0), Some(i64::MIN), Some(i64::MAX)].get(number % 5).copied().flatten();
                    if number % 2 == 0 {
                        record.formatter = text.as_str().into();
                        record.storage_class = text.as_str().into();
                    }
                    records.push((2 * (3 * number + offset) as u128, record));
                }
            }
            let store = Store::new(&records);
            let outputs: Vec<_> = records.iter().map(|(id, _)| DatasetId::Uuid(*id)).collect();
            let json = extract(&Tracker::default(), &outputs, &[("store", &store)]).unwrap();
            let provenance = Provenance::from_json(&json).unwrap();
            assert_eq!(provenance.to_json(None), json);
            let mut rows = 0;
            for datastore in provenance.records().datastores() {
                for dataset in datastore.classes().flat_map(|class| class.datasets().collect::<Vec<_>>()) {
                    let row = dataset.tables().next().and_then(|table| table.rows().next()).unwrap();
                    let (_, record) = &records[rows];
                    use crate::provenance::Value::{Int, Null, Text};
                    let expected = [
                        ("formatter", Text(&record.formatter)),
                        ("path", Text(&record.path)),
                        ("storage_class", Text(&record.storage_class)),
                        ("component", Text(record.component.as_deref().unwrap_or(NO_COMPONENT))),
                        ("checksum", record.checksum.as_deref().map_or(Null, Text)),
                        ("file_size", record.file_size.map_or(Null, Int)),
                    ];
                    assert_eq!(row.cells().collect::<Vec<_>>(), expected);
                    rows += 1;
                }
            }
            assert_eq!(rows, records.len());
        }
    }

    #[test]
    fn integer_ids_are_named_with_their_field() {
        let set = |id| std::iter::once(DatasetId::Int(id)).collect::<IdSet>();
        let predicted = Tracker::new(IdSet::default(), set(-7));
        let refused = |tracker: &Tracker, outputs: &[_]| extract(tracker, outputs, &[]).unwrap_err();
        assert_eq!(refused(&predicted, &[]), Error::IntegerId { role: "predicted_outputs", id: -7 });
        let written = [DatasetId::Uuid(1), DatasetId::Int(2)];
        assert_eq!(refused(&tracker(), &written), Error::IntegerId { role: "actual_outputs", id: 2 });
        let mut read = tracker();
        read.insert(Role::ActualInputs, DatasetId::Int(3));
        assert_eq!(refused(&read, &[]), Error::IntegerId { role: "actual_inputs", id: 3 });
        let mut unavailable = tracker();
        unavailable.note_read_failed(DatasetId::Int(4));
        assert!(extract(&unavailable, &[], &[]).is_ok(), "these are not written");
    }

    #[test]
    fn a_datastore_given_twice_is_refused() {
        let store = Store::new(&[]);
        let error = extract(&tracker(), &[], &[("one", &store), ("one", &store)]).unwrap_err();
        assert_eq!(error, Error::RepeatedDatastore { name: "one".to_owned() });
    }
}
