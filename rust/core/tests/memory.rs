//! How much room many records take.

use quantum_butler_core::{
    ColumnSpec, DatasetId, FileRecord, FileRecords, Filter, Kind, Locations, Mode, Schema, Table, Value,
};

/// The most bytes for a record, with its place in the locations and all indexes, beyond its file name.
const MOST: usize = 120;

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

fn id(number: usize) -> DatasetId {
    let spread = (number as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    DatasetId::Uuid(spread ^ (spread >> 61))
}

/// Folder and name of a file, as upstream's default template has them: eight files to a folder.
fn place(number: usize) -> (String, String) {
    let (tract, patch) = (number / 800, number / 8 % 100);
    (
        format!("u/someone/step3/20260101T000000Z/deepCoadd_calexp/{tract}/{patch}/i/"),
        format!("deepCoadd_calexp_{tract}_{patch}_i_{number}_hsc_rings_v1_u_someone_step3.fits"),
    )
}

/// Bytes for each record beyond the file names: after records were imported in batches of so many, and once
/// they were looked for by their paths.
fn bytes_each(count: usize, batch_size: usize) -> [usize; 2] {
    let schema = schema();
    let columns = FileRecords::new(&schema).expect("the schema is that of file records");
    let (mut table, mut locations) = (Table::new(schema), Locations::new("FileDatastore@<butlerRoot>"));
    let mut names = 0;
    for start in (0..count).step_by(batch_size) {
        let mut batch = columns.batch(table.schema(), batch_size);
        for number in start..(start + batch_size).min(count) {
            let (folder, name) = place(number);
            names += name.len();
            let record = FileRecord {
                path: (folder + &name).into(),
                formatter: "lsst.obs.base.formatters.fitsExposure.FitsExposureFormatter".into(),
                storage_class: "ExposureF".into(),
                component: None,
                checksum: None,
                file_size: Some(10_000_000 + number as i64),
            };
            batch.record(table.schema(), id(number), record).expect("the id is a UUID");
        }
        FileRecords::add(&mut table, &mut locations, &batch, Mode::Insert).expect("nothing is repeated");
    }
    let each = |table: &Table| (table.memory() + locations.memory() - names) / count;
    let imported = each(&table);
    let (folder, name) = place(count / 2);
    let path = table.schema().position("path").expect("it is a column");
    let found = table.fetch(&[(path, Filter::Equals(Value::Text((folder + &name).into())))]);
    assert_eq!(found.expect("it is a text").len(), 1);
    [imported, each(&table)]
}

#[test]
fn a_hundred_thousand_records_are_small() {
    // At once, and as they come one butler after the other.
    for batch_size in [100_000, 7, 1] {
        let [imported, looked_for] = bytes_each(100_000, batch_size);
        println!("in batches of {batch_size}: {imported}, with an index of paths {looked_for}");
        assert!(imported <= looked_for && looked_for <= MOST, "{imported} {looked_for}");
    }
}

/// Just above and below a size at which hash tables grow, too.
#[test]
#[cfg_attr(debug_assertions, ignore = "slow without optimization")]
fn a_million_records_are_small() {
    for count in [1_000_000, 917_504, 917_505] {
        let [imported, looked_for] = bytes_each(count, count);
        println!("{count}: {imported}, with an index of paths {looked_for}");
        assert!(imported <= looked_for && looked_for <= MOST, "{imported} {looked_for}");
    }
}
