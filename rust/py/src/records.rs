//! One file datastore's records: a table and the locations, changed together.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use arrow_array::RecordBatch;
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple, PyType};
use quantum_butler_core::provenance::Extraction;
use quantum_butler_core::{self as core, DatasetId, FileRecord, IdSet, Mode, Schema, record_table_schema};

use crate::arrow_columns::{ArrowTable, read_table};
use crate::dataset_id::{dataset_id, dataset_ids, id_to_python, room_for, uuid_to_python};
use crate::error;
use crate::existence;
use crate::file_info::{FileInfo, FileInfoClass};
use crate::locations::Locations;
use crate::lock::{Pair, Shared};
use crate::new_objects::CollectionPause;
use crate::table::Table;
use crate::trash::Trash;
use crate::undo::{Change, Undo};
use crate::value::{self, hexadecimal};

/// One file datastore's records: a table and the locations, changed together.
#[pyclass(frozen, module = "quantum_butler._core")]
pub(crate) struct FileRecords {
    both: Pair<core::Table, core::Locations>,
    shape: Arc<Shape>,
}

/// What the records of a datastore have in common, however many butlers have some.
struct Shape {
    schema: Arc<Schema>,
    names: Arc<[Py<PyString>]>,
    table_name: Py<PyString>,
    columns: core::FileRecords,
    class: FileInfoClass,
}

/// Component and path of one record.
type Artifact = (Option<String>, String);

/// Records by dataset, as the core returns them.
type ByDataset = Vec<(u128, Vec<FileRecord<'static>>)>;

/// A dataset in a datastore, as a row of SQLite.
type Located<'py> = (Bound<'py, PyString>, String);

/// What `core::RecordChanges` has, as rows of SQLite.
type Changed<'py> = (
    Vec<(String,)>,
    Vec<Bound<'py, PyTuple>>,
    Vec<Located<'py>>,
    Vec<Located<'py>>,
    Vec<Located<'py>>,
    (u64, u64),
);

#[pymethods]
impl FileRecords {
    #[new]
    fn new(table: &Table, locations: &Locations, record_class: &Bound<'_, PyType>) -> PyResult<Self> {
        let (schema, names) = (table.schema.clone(), table.names.clone());
        let columns = core::FileRecords::new(&schema).map_err(error::to_python)?;
        let table_name = PyString::intern(record_class.py(), schema.name()).unbind();
        let class = FileInfoClass::new(record_class)?;
        let shape = Shape { schema, names, table_name, columns, class };
        let both = Pair(table.table.clone(), locations.locations.clone());
        Ok(Self { both, shape: Arc::new(shape) })
    }

    fn empty_copy(&self, py: Python<'_>) -> Self {
        let empty = self.both.read(py, 1, |table, locations| {
            Pair(Shared::new(table.empty_copy()), Shared::new(core::Locations::new(locations.datastore())))
        });
        Self { both: empty, shape: self.shape.clone() }
    }

    #[getter]
    fn table(&self) -> Table {
        let Shape { schema, names, .. } = &*self.shape;
        Table { table: self.both.0.clone(), schema: schema.clone(), names: names.clone() }
    }

    #[getter]
    fn locations(&self, py: Python<'_>) -> Locations {
        let datastore = self.both.1.read(py, 1, |locations| locations.datastore().to_owned());
        Locations { locations: self.both.1.clone(), datastore }
    }

    #[pyo3(signature = (datasets, infos, mode="insert", /))]
    fn add(&self, datasets: &Bound<'_, PyAny>, infos: &Bound<'_, PyAny>, mode: &str) -> PyResult<Undo> {
        let mode = match mode {
            "insert" => Mode::Insert,
            "ensure" => Mode::Ensure,
            "replace" => Mode::Replace,
            _ => return Err(PyValueError::new_err(format!("unknown insert mode {mode:?}"))),
        };
        let ids = dataset_ids(datasets)?;
        let mut records = Vec::with_capacity(ids.len());
        for info in infos.try_iter()? {
            records.push(self.shape.class.info(&info?)?);
        }
        if records.len() != ids.len() {
            let (records, ids) = (records.len(), ids.len());
            return Err(PyValueError::new_err(format!("{records} records were given for {ids} datasets")));
        }
        self.put(datasets.py(), [], ids.into_iter().zip(&records), records.len(), mode)
    }

    #[pyo3(signature = (records, /))]
    fn import_data<'py>(&self, records: &Bound<'py, PyAny>) -> PyResult<Undo> {
        let py = records.py();
        let table_name = self.shape.table_name.bind(py);
        let room = room_for(records.len()?);
        let (mut located, mut ids, mut infos) =
            (Vec::new(), Vec::with_capacity(room), Vec::with_capacity(room));
        let mut import = |dataset: &Bound<'py, PyAny>, tables: &Bound<'py, PyAny>| {
            let id = dataset_id(dataset)?;
            let of_table = match tables.cast::<PyDict>() {
                Ok(tables) => tables.get_item(table_name)?,
                Err(_) => Some(tables.call_method1(intern!(py, "get"), (table_name,))?),
            };
            let of_table = of_table.filter(|records| !records.is_none());
            let known = ids.len();
            let Some(of_table) = of_table else {
                located.push(id);
                return Ok(());
            };
            for info in of_table.try_iter()? {
                ids.push(id);
                infos.push(self.shape.class.info(&info?)?);
            }
            if ids.len() == known {
                located.push(id);
            }
            Ok::<_, PyErr>(())
        };
        if let Ok(records) = records.cast::<PyDict>() {
            for (dataset, tables) in records {
                import(&dataset, &tables)?;
            }
        } else {
            for item in records.call_method0(intern!(py, "items"))?.try_iter()? {
                let (dataset, tables): (Bound<'_, PyAny>, Bound<'_, PyAny>) = item?.extract()?;
                import(&dataset, &tables)?;
            }
        }
        self.put(py, located, ids.into_iter().zip(&infos), infos.len(), Mode::Insert)
    }

    #[pyo3(signature = (dataset, /))]
    fn get<'py>(&self, dataset: &Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let (py, id) = (dataset.py(), dataset_id(dataset)?);
        let records: Vec<_> = self.both.0.read(py, 1, |table| {
            self.shape.columns.get(table, id).into_iter().map(FileRecord::into_owned).collect()
        });
        let mut infos = self.shape.class.infos(py);
        records.iter().map(|record| infos.make(record)).collect()
    }

    #[pyo3(signature = (datasets, /))]
    fn get_many<'py>(&self, datasets: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
        let (py, ids) = (datasets.py(), dataset_ids(datasets)?);
        let records = self.both.0.read(py, ids.len(), |table| owned(self.shape.columns.get_many(table, ids)));
        self.by_dataset(py, &records)
    }

    #[pyo3(signature = (datasets, paths, placements, /))]
    fn predict<'py>(
        &self,
        datasets: &Bound<'py, PyList>,
        paths: &Bound<'py, PyList>,
        placements: &Bound<'py, PyList>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let py = datasets.py();
        if datasets.len() != paths.len() || datasets.len() != placements.len() {
            return Err(PyValueError::new_err("a path and a placement are needed for each artifact"));
        }
        let table_name = self.shape.table_name.bind(py);
        let (none, unknown) = (py.None().into_bound(py), (-1_i64).into_pyobject(py)?.into_any());
        let _pause = CollectionPause::new(py);
        let result = PyDict::new(py);
        // Neighbours mostly have the same placement.
        let mut of: Option<(Bound<'py, PyAny>, [Bound<'py, PyAny>; 3])> = None;
        for ((dataset, path), placement) in datasets.iter().zip(paths).zip(placements) {
            if of.as_ref().is_none_or(|(known, _)| !known.is(&placement)) {
                let names =
                    [intern!(py, "formatter"), intern!(py, "storage_class"), intern!(py, "component")];
                let [formatter, storage_class, component] = names.map(|name| placement.getattr(name));
                of = Some((placement, [formatter?, storage_class?, component?]));
            }
            let Some((_, [formatter, storage_class, component])) = &of else { continue };
            let values = [&path, formatter, storage_class, component, &none, &unknown].map(Clone::clone);
            let info = self.shape.class.make(py, values)?;
            let id = id_to_python(py, dataset_id(&dataset)?)?;
            match result.get_item(&id)? {
                None => {
                    let tables = PyDict::new(py);
                    tables.set_item(table_name, PyList::new(py, [info])?)?;
                    result.set_item(id, tables)?;
                }
                Some(tables) => tables.get_item(table_name)?.cast::<PyList>()?.append(info)?,
            }
        }
        Ok(result)
    }

    #[pyo3(signature = (datasets, /))]
    fn known(&self, datasets: &Bound<'_, PyAny>) -> PyResult<Vec<bool>> {
        let ids = dataset_ids(datasets)?;
        Ok(self.both.0.read(datasets.py(), ids.len(), |table| {
            ids.into_iter().map(|id| self.shape.columns.knows(table, id)).collect()
        }))
    }

    #[pyo3(signature = (datasets, /))]
    fn export<'py>(&self, datasets: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
        let py = datasets.py();
        let ids = dataset_ids(datasets)?;
        let export = |table: &_, locations: &_| owned(self.shape.columns.export(table, locations, ids));
        let records = self.both.read(py, datasets.len().unwrap_or(0), export);
        self.by_dataset(py, &records)
    }

    #[pyo3(signature = (root, dataset, /))]
    fn exists(&self, root: &str, dataset: &Bound<'_, PyAny>) -> PyResult<Option<bool>> {
        let (py, id) = (dataset.py(), dataset_id(dataset)?);
        let paths = self.both.0.read(py, 1, |table| self.shape.columns.plain_paths(table, id));
        Ok(py.detach(|| core::datasets_exist(Path::new(root), &[paths]))[0])
    }

    #[pyo3(signature = (datasets, /))]
    fn export_table(&self, datasets: &Bound<'_, PyAny>) -> PyResult<ArrowTable> {
        let (py, ids) = (datasets.py(), dataset_ids(datasets)?);
        let export = |table: &_, locations: &_| self.shape.columns.export_table(table, locations, ids);
        let batches = self.both.read(py, datasets.len().unwrap_or(0), export).map_err(error::to_python)?;
        Ok(ArrowTable::new(record_table_schema(), batches))
    }

    #[pyo3(signature = (table, /))]
    fn import_table(&self, table: &Bound<'_, PyAny>) -> PyResult<Undo> {
        let batches = read_table(table)?;
        let rows = batches.iter().map(RecordBatch::num_rows).sum();
        let import =
            |table: &mut _, locations: &mut _| self.shape.columns.import_table(table, locations, &batches);
        let undo = self.both.write(table.py(), rows, import).map_err(error::to_python)?;
        Ok(Change::Records(self.both.clone(), undo).into())
    }

    #[pyo3(signature = (root, datasets, /))]
    fn exist(&self, root: &str, datasets: &Bound<'_, PyAny>) -> PyResult<Vec<Option<bool>>> {
        let (py, ids) = (datasets.py(), dataset_ids(datasets)?);
        // The table is free for others while the file system takes its time.
        let paths = self.both.0.read(py, ids.len(), |table| self.shape.columns.unshared_paths(table, &ids));
        existence::detached(py, &paths, |paths| core::datasets_exist(Path::new(root), paths))
    }

    #[pyo3(signature = (datasets, /))]
    fn artifacts(&self, datasets: &Bound<'_, PyAny>) -> PyResult<Vec<Vec<Artifact>>> {
        let ids = dataset_ids(datasets)?;
        let artifact = |record: FileRecord<'_>| (record.component.map(Cow::into_owned), record.path.into());
        Ok(self.both.0.read(datasets.py(), ids.len(), |table| {
            let of = |id| self.shape.columns.get(table, id).into_iter().map(artifact).collect();
            ids.into_iter().map(of).collect()
        }))
    }

    fn watch(&self, py: Python<'_>) {
        self.both.write(py, 1, |table, locations| self.shape.columns.watch(table, locations));
    }

    fn is_settled(&self, py: Python<'_>) -> bool {
        self.both.read(py, 1, |table, locations| table.changes.is_empty() && locations.changes.is_empty())
    }

    #[pyo3(signature = (held, /))]
    fn changes<'py>(&self, held: &Bound<'py, PyAny>) -> PyResult<Changed<'py>> {
        let (py, held) = (held.py(), dataset_ids(held)?.into_iter().collect());
        let items =
            self.both.read(py, 1, |table, locations| table.changes.len().max(locations.changes.len()));
        let changes =
            self.both.read(py, items, |table, locations| self.shape.columns.changes(table, locations, &held));
        let datastore = self.both.1.read(py, 1, |locations| locations.datastore().to_owned());
        let datastore = PyString::new(py, &datastore);
        let located = |ids: Vec<DatasetId>| {
            ids.into_iter().map(|id| (datastore.clone(), hexadecimal(id))).collect::<Vec<_>>()
        };
        let row = |row: Vec<_>| {
            let values = row.iter().map(|value| value::to_sqlite(py, value));
            PyTuple::new(py, values.collect::<PyResult<Vec<_>>>()?)
        };
        Ok((
            changes.less_rows.into_iter().map(|id| (hexadecimal(id),)).collect(),
            changes.rows.into_iter().map(row).collect::<PyResult<_>>()?,
            located(changes.moved),
            located(changes.present),
            located(changes.trashed),
            changes.upto,
        ))
    }

    #[pyo3(signature = (upto, held, /))]
    fn settle(&self, upto: (u64, u64), held: &Bound<'_, PyAny>) -> PyResult<()> {
        let (py, held) = (held.py(), dataset_ids(held)?.into_iter().collect());
        self.both.write(py, 1, |table, locations| core::FileRecords::settle(table, locations, upto, &held));
        Ok(())
    }

    #[pyo3(signature = (selected=None, /))]
    fn trash(&self, py: Python<'_>, selected: Option<&Bound<'_, PyAny>>) -> PyResult<Option<Trash>> {
        let selected: Option<IdSet> =
            selected.map(|ids| Ok::<_, PyErr>(dataset_ids(ids)?.into_iter().collect())).transpose()?;
        let trash =
            self.both.read(py, selected.as_ref().map_or(usize::MAX, IdSet::len), |table, locations| {
                self.shape.columns.trash(table, locations, selected.as_ref())
            });
        Ok(trash.map(|trash| Trash { both: self.both.clone(), columns: self.shape.columns, trash }))
    }
}

fn owned(records: Vec<(u128, Vec<FileRecord<'_>>)>) -> ByDataset {
    let owned = |records: Vec<_>| records.into_iter().map(FileRecord::into_owned).collect();
    records.into_iter().map(|(id, records)| (id, owned(records))).collect()
}

impl FileRecords {
    /// Adds the records of what was written to the provenance of a quantum with so many ids.
    pub(crate) fn extract(
        &self,
        py: Python<'_>,
        ids: usize,
        datastore: &str,
        extraction: &mut Extraction,
    ) -> core::Result<()> {
        self.both.read(py, ids, |table, locations| {
            extraction.datastore(datastore, table, locations, self.shape.columns)
        })
    }

    fn put<'py: 'a, 'a>(
        &self,
        py: Python<'_>,
        located: impl IntoIterator<Item = DatasetId>,
        records: impl Iterator<Item = (DatasetId, &'a FileInfo<'py>)>,
        count: usize,
        mode: Mode,
    ) -> PyResult<Undo> {
        let mut batch = self.shape.columns.batch(&self.shape.schema, count);
        located.into_iter().for_each(|id| batch.locate(id));
        for (id, info) in records {
            batch.record(&self.shape.schema, id, info.to_core()?).map_err(error::to_python)?;
        }
        let add = |table: &mut _, locations: &mut _| core::FileRecords::add(table, locations, &batch, mode);
        let undo = self.both.write(py, batch.len(), add).map_err(error::to_python)?;
        Ok(Change::Records(self.both.clone(), undo).into())
    }

    fn by_dataset<'py>(&self, py: Python<'py>, records: &ByDataset) -> PyResult<Bound<'py, PyDict>> {
        let _pause = CollectionPause::new(py);
        let (result, mut infos) = (PyDict::new(py), self.shape.class.infos(py));
        for (uuid, records) in records {
            let records: Vec<_> = records.iter().map(|record| infos.make(record)).collect::<PyResult<_>>()?;
            result.set_item(uuid_to_python(py, *uuid)?, records)?;
        }
        Ok(result)
    }
}
