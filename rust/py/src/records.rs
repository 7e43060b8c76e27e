//! One file datastore's records: a table and the locations, changed together.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyType};
use quantum_butler_core::provenance::Exports;
use quantum_butler_core::{self as core, DatasetId, FileRecord, Mode, Schema, files_exist};

use crate::dataset_id::{dataset_id, dataset_ids, room_for, type_name, uuid_to_python};
use crate::error;
use crate::locations::Locations;
use crate::lock::Pair;
use crate::table::Table;
use crate::undo::{Change, Undo};

/// One file datastore's records: a table and the locations, changed together.
#[pyclass(frozen, module = "quantum_butler._core")]
pub(crate) struct FileRecords {
    both: Pair<core::Table, core::Locations>,
    schema: Arc<Schema>,
    columns: core::FileRecords,
    record_class: Py<PyType>,
}

/// Datasets whose files are looked for between two checks for signals.
const AT_ONCE: usize = 1024;

/// Records by dataset, as the core returns them.
type ByDataset = Vec<(u128, Vec<FileRecord<'static>>)>;

#[pymethods]
impl FileRecords {
    #[new]
    fn new(table: &Table, locations: &Locations, record_class: Py<PyType>) -> PyResult<Self> {
        let schema = table.schema.clone();
        let columns = core::FileRecords::new(&schema).map_err(error::to_python)?;
        let both = Pair(table.table.clone(), locations.locations.clone());
        Ok(Self { both, schema, columns, record_class })
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
            records.push(self.info(&info?)?);
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
        let table_name = PyString::intern(py, self.schema.name());
        let (mut located, mut ids, mut infos) =
            (Vec::with_capacity(room_for(records.len()?)), Vec::new(), Vec::new());
        let mut import = |dataset: &Bound<'py, PyAny>, tables: &Bound<'py, PyAny>| {
            let id = dataset_id(dataset)?;
            located.push(id);
            let of_table = match tables.cast::<PyDict>() {
                Ok(tables) => tables.get_item(&table_name)?,
                Err(_) => Some(tables.call_method1(intern!(py, "get"), (&table_name,))?),
            };
            let Some(of_table) = of_table.filter(|records| !records.is_none()) else {
                return Ok(());
            };
            for info in of_table.try_iter()? {
                ids.push(id);
                infos.push(self.info(&info?)?);
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
            self.columns.get(table, id).into_iter().map(FileRecord::into_owned).collect()
        });
        records.iter().map(|record| self.record(py, record)).collect()
    }

    #[pyo3(signature = (datasets, /))]
    fn get_many<'py>(&self, datasets: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
        let (py, ids) = (datasets.py(), dataset_ids(datasets)?);
        let records = self.both.0.read(py, ids.len(), |table| owned(self.columns.get_many(table, ids)));
        self.by_dataset(py, &records)
    }

    #[pyo3(signature = (datasets, /))]
    fn known(&self, datasets: &Bound<'_, PyAny>) -> PyResult<Vec<bool>> {
        let ids = dataset_ids(datasets)?;
        Ok(self.both.0.read(datasets.py(), ids.len(), |table| {
            ids.into_iter().map(|id| self.columns.knows(table, id)).collect()
        }))
    }

    #[pyo3(signature = (datasets, /))]
    fn export<'py>(&self, datasets: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
        let py = datasets.py();
        let ids = dataset_ids(datasets)?;
        let export = |table: &_, locations: &_| owned(self.columns.export(table, locations, ids));
        let records = self.both.read(py, datasets.len().unwrap_or(0), export);
        self.by_dataset(py, &records)
    }

    #[pyo3(signature = (root, datasets, /))]
    fn exist(&self, root: &str, datasets: &Bound<'_, PyAny>) -> PyResult<Vec<Option<bool>>> {
        let (py, ids) = (datasets.py(), dataset_ids(datasets)?);
        let root = Path::new(root);
        let mut existence = Vec::with_capacity(ids.len());
        // The table is free for others while the file system takes its time.
        let paths = self.both.0.read(py, ids.len(), |table| self.columns.unshared_paths(table, &ids));
        let exist = |paths: &Option<Vec<String>>| {
            let paths = paths.as_ref()?;
            Some(files_exist(root, paths.iter().map(String::as_str)).into_iter().all(|exists| exists))
        };
        for paths in paths.chunks(AT_ONCE) {
            existence.extend(py.detach(|| paths.iter().map(exist).collect::<Vec<_>>()));
            py.check_signals()?;
        }
        Ok(existence)
    }
}

fn owned(records: Vec<(u128, Vec<FileRecord<'_>>)>) -> ByDataset {
    let owned = |records: Vec<_>| records.into_iter().map(FileRecord::into_owned).collect();
    records.into_iter().map(|(id, records)| (id, owned(records))).collect()
}

/// A record as Python has it, with its strings held fast so that rows can borrow them.
struct Info<'py> {
    path: Bound<'py, PyString>,
    formatter: Bound<'py, PyString>,
    storage_class: Bound<'py, PyString>,
    component: Option<Bound<'py, PyString>>,
    checksum: Option<Bound<'py, PyString>>,
    file_size: Option<i64>,
}

impl Info<'_> {
    fn to_core(&self) -> PyResult<FileRecord<'_>> {
        fn optional<'a>(text: &'a Option<Bound<'_, PyString>>) -> PyResult<Option<Cow<'a, str>>> {
            text.as_ref().map(|text| text.to_str().map(Cow::Borrowed)).transpose()
        }
        Ok(FileRecord {
            path: self.path.to_str()?.into(),
            formatter: self.formatter.to_str()?.into(),
            storage_class: self.storage_class.to_str()?.into(),
            component: optional(&self.component)?,
            checksum: optional(&self.checksum)?,
            file_size: self.file_size,
        })
    }
}

impl FileRecords {
    /// Name of the table that holds the records.
    /// Adds the records of those datasets that the datastore holds to the provenance of a quantum.
    pub(crate) fn export_to(
        &self,
        py: Python<'_>,
        datastore: &str,
        ids: &[DatasetId],
        exports: &mut Exports,
    ) -> core::Result<()> {
        self.both.read(py, ids.len(), |table, locations| {
            let records = self.columns.export(table, locations, ids.iter().copied());
            exports.add(datastore, self.schema.name(), &records)
        })
    }

    fn info<'py>(&self, info: &Bound<'py, PyAny>) -> PyResult<Info<'py>> {
        let py = info.py();
        let class = self.record_class.bind(py);
        if !info.is_instance(class)? {
            let (wanted, found) = (class.name()?, type_name(info));
            return Err(PyTypeError::new_err(format!("a record must be a {wanted}, not {found}")));
        }
        let text = |name| -> PyResult<_> { Ok(info.getattr(name)?.cast_into::<PyString>()?) };
        let optional = |name| -> PyResult<_> {
            let value = info.getattr(name)?;
            if value.is_none() { Ok(None) } else { Ok(Some(value.cast_into::<PyString>()?)) }
        };
        Ok(Info {
            path: text(intern!(py, "path"))?,
            formatter: text(intern!(py, "formatter"))?,
            storage_class: text(intern!(py, "storage_class_name"))?,
            component: optional(intern!(py, "component"))?,
            checksum: optional(intern!(py, "checksum"))?,
            file_size: info.getattr(intern!(py, "file_size"))?.extract()?,
        })
    }

    fn put<'py: 'a, 'a>(
        &self,
        py: Python<'_>,
        located: impl IntoIterator<Item = DatasetId>,
        records: impl Iterator<Item = (DatasetId, &'a Info<'py>)>,
        count: usize,
        mode: Mode,
    ) -> PyResult<Undo> {
        let mut batch = self.columns.batch(&self.schema, count);
        located.into_iter().for_each(|id| batch.locate(id));
        for (id, info) in records {
            batch.record(&self.schema, id, info.to_core()?).map_err(error::to_python)?;
        }
        let add = |table: &mut _, locations: &mut _| core::FileRecords::add(table, locations, &batch, mode);
        let undo = self.both.write(py, batch.len(), add).map_err(error::to_python)?;
        Ok(Change::Records(self.both.clone(), undo).into())
    }

    fn record<'py>(&self, py: Python<'py>, record: &FileRecord<'_>) -> PyResult<Bound<'py, PyAny>> {
        let keywords = PyDict::new(py);
        keywords.set_item(intern!(py, "formatter"), &record.formatter)?;
        keywords.set_item(intern!(py, "path"), &record.path)?;
        keywords.set_item(intern!(py, "storageClass"), py.None())?;
        keywords.set_item(intern!(py, "component"), record.component.as_deref())?;
        keywords.set_item(intern!(py, "checksum"), record.checksum.as_deref())?;
        keywords.set_item(intern!(py, "file_size"), record.file_size)?;
        keywords.set_item(intern!(py, "storage_class_name"), &record.storage_class)?;
        self.record_class.bind(py).call((), Some(&keywords))
    }

    fn by_dataset<'py>(&self, py: Python<'py>, records: &ByDataset) -> PyResult<Bound<'py, PyDict>> {
        let result = PyDict::new(py);
        for (uuid, records) in records {
            let records: Vec<_> =
                records.iter().map(|record| self.record(py, record)).collect::<PyResult<_>>()?;
            result.set_item(uuid_to_python(py, *uuid)?, records)?;
        }
        Ok(result)
    }
}
