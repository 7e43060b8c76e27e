//! The datastore records of many quanta, each once.
//!
//! What counts is upstream's `DatastoreRecordData.update`: the first records of
//! a dataset in an opaque table stay, later ones are dropped.  Only ids are
//! remembered, so that the records themselves can be let go as soon as they are
//! where they should be.

use hashbrown::{HashMap, HashSet};

use super::extract::RECORD_CLASS;
use super::{DatastoreRecords, Key, Records, Row, Value};
use crate::FileRecord;
use crate::records::NO_COMPONENT;

/// Which records have been seen.
#[derive(Debug, Default)]
pub struct RecordMerge {
    datastores: Vec<(String, Seen)>,
}

/// What has been seen of one datastore.
#[derive(Debug, Default)]
struct Seen {
    datasets: HashSet<u128>,
    /// For each opaque table, the datasets that have records in it.  There is hardly ever more than one.
    tables: Vec<(String, HashSet<u128>)>,
}

/// A dataset, with its records by opaque table.
pub type OfDataset<T, R> = (u128, Vec<(T, Vec<R>)>);

/// The same, as it stands in one quantum's provenance.
type InProvenance<'a> = OfDataset<&'a str, FileRecord<'a>>;

impl RecordMerge {
    /// The records of a quantum that are new, by datastore; from now on they have been seen.
    ///
    /// `None`, and nothing has changed, if they are not all file records of
    /// datasets with well-written ids.
    pub fn add<'a>(&mut self, records: &'a Records) -> Option<Vec<(&'a str, Vec<InProvenance<'a>>)>> {
        let read: Vec<_> = records
            .datastores()
            .map(|datastore| Some((datastore.name(), file_records(datastore)?)))
            .collect::<Option<_>>()?;
        Some(read.into_iter().map(|(name, datasets)| (name, self.keep_new(name, datasets))).collect())
    }

    /// Drops what has been seen of a datastore, and remembers the rest.  A
    /// dataset stays, without tables, if it is new itself.
    pub fn keep_new<T: AsRef<str>, R>(
        &mut self,
        datastore: &str,
        datasets: Vec<OfDataset<T, R>>,
    ) -> Vec<OfDataset<T, R>> {
        let seen = entry(&mut self.datastores, datastore);
        let mut kept = Vec::with_capacity(datasets.len());
        for (id, mut tables) in datasets {
            let is_new = seen.datasets.insert(id);
            tables.retain(|(table, rows)| {
                !rows.is_empty() && entry(&mut seen.tables, table.as_ref()).insert(id)
            });
            if is_new || !tables.is_empty() {
                kept.push((id, tables));
            }
        }
        kept
    }
}

/// The entry of that name, made if there is none.  There are very few names.
fn entry<'a, T: Default>(entries: &'a mut Vec<(String, T)>, name: &str) -> &'a mut T {
    let position = entries.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
        entries.push((name.to_owned(), T::default()));
        entries.len() - 1
    });
    &mut entries[position].1
}

/// The records of one datastore by dataset, those that are only listed included.
fn file_records<'a>(datastore: DatastoreRecords<'a>) -> Option<Vec<InProvenance<'a>>> {
    let mut datasets: Vec<InProvenance<'a>> = Vec::with_capacity(datastore.dataset_ids().len());
    let mut positions = HashMap::with_capacity(datastore.dataset_ids().len());
    let mut position = |id, datasets: &mut Vec<InProvenance<'a>>| {
        *positions.entry(id).or_insert_with(|| {
            datasets.push((id, Vec::new()));
            datasets.len() - 1
        })
    };
    for &id in datastore.dataset_ids() {
        position(id, &mut datasets);
    }
    for class in datastore.classes() {
        if class.name() != RECORD_CLASS {
            return None;
        }
        for dataset in class.datasets() {
            let Key::Id(id) = dataset.key() else { return None };
            let position = position(id, &mut datasets);
            for table in dataset.tables() {
                let rows = table.rows().map(file_record).collect::<Option<_>>()?;
                datasets[position].1.push((table.name(), rows));
            }
        }
    }
    Some(datasets)
}

/// The row as a file record, if it has the columns of one, and maybe others.
fn file_record(row: Row<'_>) -> Option<FileRecord<'_>> {
    let (mut path, mut formatter, mut storage_class) = (None, None, None);
    let (mut component, mut checksum, mut file_size) = (None, None, None);
    for (column, value) in row.cells() {
        let place = match column {
            "path" => &mut path,
            "formatter" => &mut formatter,
            "storage_class" => &mut storage_class,
            "component" => &mut component,
            "checksum" => &mut checksum,
            "file_size" => &mut file_size,
            _ => continue,
        };
        *place = Some(value);
    }
    let text = |value: Option<_>| match value? {
        Value::Text(text) => Some(text.into()),
        Value::Null | Value::Int(_) => None,
    };
    let optional = |value: Option<_>| match value? {
        Value::Text(text) => Some(Some(text)),
        Value::Null => Some(None),
        Value::Int(_) => None,
    };
    Some(FileRecord {
        path: text(path)?,
        formatter: text(formatter)?,
        storage_class: text(storage_class)?,
        component: optional(component)?
            .filter(|text| !text.is_empty() && *text != NO_COMPONENT)
            .map(Into::into),
        checksum: optional(checksum)?.map(Into::into),
        file_size: match file_size? {
            Value::Int(size) => Some(size),
            Value::Null => None,
            Value::Text(_) => return None,
        },
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;

    use super::*;
    use crate::provenance::RecordsBuilder;

    /// By dataset and opaque table: what a row's path is.
    type Model = BTreeMap<u128, BTreeMap<String, Vec<String>>>;

    /// One quantum's records of one datastore.
    fn records(model: &Model) -> Records {
        let mut builder = RecordsBuilder::default();
        builder.datastore("store");
        builder.dataset_ids(&model.keys().copied().collect::<Vec<_>>());
        builder.class(RECORD_CLASS);
        for (id, tables) in model {
            builder.dataset(Key::Id(*id));
            for (table, paths) in tables {
                builder.table(table);
                for path in paths {
                    row(&mut builder, path, Value::Text(NO_COMPONENT), Value::Int(3));
                }
            }
        }
        builder.finish().unwrap()
    }

    fn row(builder: &mut RecordsBuilder, path: &str, component: Value<'_>, size: Value<'_>) {
        builder.row();
        builder.cell("path", Value::Text(path));
        builder.cell("formatter", Value::Text("a.Formatter"));
        builder.cell("storage_class", Value::Text("Thing"));
        builder.cell("component", component);
        builder.cell("checksum", Value::Null);
        builder.cell("file_size", size);
        builder.cell("more", Value::Null);
        builder.end_row();
    }

    fn one(class: &str, key: Key<'_>, component: Value<'_>, size: Value<'_>) -> Records {
        let mut builder = RecordsBuilder::default();
        builder.datastore("store");
        builder.class(class);
        builder.dataset(key);
        builder.table("table");
        row(&mut builder, "a", component, size);
        builder.finish().unwrap()
    }

    fn models() -> impl Strategy<Value = Vec<Model>> {
        let paths = vec("[a-c]", 0..3);
        vec(btree_map(0..5u128, btree_map("[tu]", paths, 0..3), 0..4), 0..6)
    }

    proptest! {
        #[test]
        fn the_first_records_of_a_dataset_in_a_table_stay(quanta in models()) {
            let (mut merge, mut merged, mut expected) = (RecordMerge::default(), Model::new(), Model::new());
            for quantum in &quanta {
                for (id, tables) in quantum {
                    let known = expected.entry(*id).or_default();
                    for (table, paths) in tables.iter().filter(|(_, paths)| !paths.is_empty()) {
                        known.entry(table.clone()).or_insert_with(|| paths.clone());
                    }
                }
                let records = records(quantum);
                for (name, datasets) in merge.add(&records).unwrap() {
                    prop_assert_eq!(name, "store");
                    for (id, tables) in datasets {
                        prop_assert!(!merged.contains_key(&id) || !tables.is_empty());
                        let known = merged.entry(id).or_default();
                        for (table, rows) in tables {
                            let paths = rows.into_iter().map(|row| row.path.into_owned()).collect();
                            // What is handed out is new.
                            prop_assert_eq!(known.insert(table.to_owned(), paths), None);
                        }
                    }
                }
            }
            prop_assert_eq!(merged, expected);
        }
    }

    #[test]
    fn datastores_do_not_mix() {
        let mut merge = RecordMerge::default();
        let of = |path| vec![(7, vec![("table", vec![path])])];
        assert_eq!(merge.keep_new("a", of(1)), of(1));
        assert_eq!(merge.keep_new("b", of(2)), of(2));
        assert_eq!(merge.keep_new("a", of(3)), vec![]);
    }

    #[test]
    fn a_component_that_is_none_is_none() {
        for (stored, read) in [(NO_COMPONENT, None), ("", None), ("wcs", Some("wcs"))] {
            let records = one(RECORD_CLASS, Key::Id(1), Value::Text(stored), Value::Null);
            let new = RecordMerge::default().add(&records).unwrap();
            let record = &new[0].1[0].1[0].1[0];
            assert_eq!((record.component.as_deref(), record.file_size), (read, None));
        }
    }

    #[test]
    fn what_are_no_file_records_is_refused_as_a_whole() {
        let mut merge = RecordMerge::default();
        for odd in [
            one("a.Class", Key::Id(1), Value::Null, Value::Int(1)),
            one(RECORD_CLASS, Key::Text("one"), Value::Null, Value::Int(1)),
            one(RECORD_CLASS, Key::Id(1), Value::Int(0), Value::Int(1)),
            one(RECORD_CLASS, Key::Id(1), Value::Null, Value::Text("1")),
        ] {
            assert_eq!(merge.add(&odd), None);
        }
        let good = one(RECORD_CLASS, Key::Id(1), Value::Null, Value::Int(1));
        assert_eq!(merge.add(&good).unwrap()[0].1.len(), 1);
    }

    #[test]
    fn a_row_without_one_of_the_columns_is_refused() {
        let mut builder = RecordsBuilder::default();
        builder.datastore("store");
        builder.class(RECORD_CLASS);
        builder.dataset(Key::Id(1));
        builder.table("table");
        builder.row();
        builder.cell("path", Value::Text("a"));
        builder.end_row();
        assert_eq!(RecordMerge::default().add(&builder.finish().unwrap()), None);
    }
}
