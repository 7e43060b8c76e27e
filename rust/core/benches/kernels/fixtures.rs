//! Datasets and records like those of a real repository.

use arrow_array::RecordBatch;
use quantum_butler_core::provenance::Extraction;
use quantum_butler_core::{
    Batch, ColumnSpec, DatasetId, FileRecord, FileRecords, Kind, Locations, Mode, Schema, Table, Tracker,
};

/// An id that looks random and is the same in every run.
pub(crate) fn id(number: usize) -> DatasetId {
    // An odd factor keeps different numbers different.
    let spread = (number as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    DatasetId::Uuid(spread ^ (spread >> 61))
}

pub(crate) fn ids(count: usize) -> Vec<DatasetId> {
    (0..count).map(id).collect()
}

/// Where upstream's default template puts such a dataset.
pub(crate) fn path(number: usize) -> String {
    format!("u/someone/run/20260101T000000Z/measured/measured_Cam_R{:02}_{number}_run.json", number % 100)
}

fn record(number: usize) -> FileRecord<'static> {
    FileRecord {
        path: path(number).into(),
        formatter: "lsst.daf.butler.formatters.json.JsonFormatter".into(),
        storage_class: "StructuredDataDict".into(),
        component: None,
        checksum: None,
        file_size: Some(number as i64),
    }
}

/// The table that upstream's file datastore asks for.
fn schema() -> Schema {
    let column = |name: &str, kind, nullable| ColumnSpec { name: name.to_owned(), kind, nullable };
    let columns = vec![
        column("dataset_id", Kind::Guid, false),
        column("path", Kind::Text, false),
        column("formatter", Kind::Text, false),
        column("storage_class", Kind::Text, false),
        column("component", Kind::Text, false),
        column("checksum", Kind::Text, true),
        column("file_size", Kind::Integer, true),
    ];
    let schema = Schema::new("file_datastore_records", columns);
    let schema = schema.with_primary_key(&["dataset_id", "component"]).expect("both are columns");
    schema.with_index(&["path"]).expect("it is a column")
}

/// One datastore's table and locations.
pub(crate) struct Store {
    pub(crate) table: Table,
    pub(crate) locations: Locations,
    pub(crate) records: FileRecords,
}

impl Store {
    pub(crate) fn empty() -> Self {
        let schema = schema();
        let records = FileRecords::new(&schema).expect("the schema is that of file records");
        Self { table: Table::new(schema), locations: Locations::new("FileDatastore@root"), records }
    }

    pub(crate) fn with(count: usize) -> Self {
        let mut store = Self::empty();
        let batch = store.batch(count);
        store.add(&batch);
        store
    }

    pub(crate) fn batch(&self, count: usize) -> Batch<'static> {
        let mut batch = self.records.batch(self.table.schema(), count);
        for number in 0..count {
            batch.record(self.table.schema(), id(number), record(number)).expect("the id is a UUID");
        }
        batch
    }

    pub(crate) fn add(&mut self, batch: &Batch<'_>) {
        FileRecords::add(&mut self.table, &mut self.locations, batch, Mode::Insert)
            .expect("no record is there already");
    }

    pub(crate) fn export_table(&self, ids: &[DatasetId]) -> Vec<RecordBatch> {
        let Self { table, locations, records } = self;
        records.export_table(table, locations, ids.iter().copied()).expect("paths are short")
    }

    pub(crate) fn import_table(&mut self, batches: &[RecordBatch]) {
        let Self { table, locations, records } = self;
        records.import_table(table, locations, batches).expect("no record is there already");
    }
}

/// A quantum that has read all its inputs and written all its outputs.
pub(crate) struct Quantum {
    tracker: Tracker,
    store: Store,
}

impl Quantum {
    pub(crate) fn done(inputs: usize, outputs: usize) -> Self {
        let written = ids(outputs);
        let read: Vec<_> = (outputs..outputs + inputs).map(id).collect();
        let mut tracker = Tracker::new(read.iter().copied().collect(), written.iter().copied().collect());
        for id in read {
            tracker.note_existence(id, true);
            tracker.note_read(id);
        }
        written.into_iter().for_each(|id| tracker.note_written(id));
        Self { tracker, store: Store::with(outputs) }
    }

    /// The JSON form of its provenance.
    pub(crate) fn extract(&self) -> String {
        let Store { table, locations, records } = &self.store;
        let mut extraction = Extraction::new(&self.tracker, None).expect("every id is a UUID");
        extraction.datastore(locations.datastore(), table, locations, *records).expect("there is but one");
        extraction.finish()
    }
}
