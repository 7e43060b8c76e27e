//! `RecordMerge`: the datastore records of many quanta, each handed over once.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyMapping, PyType};
use quantum_butler_core::provenance::{self as core, OfDataset};

use super::Provenance;
use crate::dataset_id::{type_name, uuid_number, uuid_to_python};
use crate::file_info::FileInfoClass;
use crate::lock::Shared;
use crate::new_objects::CollectionPause;

/// The datastore records of many quanta, each handed over once.
#[pyclass(frozen, module = "quantum_butler._core")]
pub(crate) struct RecordMerge {
    merge: Shared<core::RecordMerge>,
    class: FileInfoClass,
}

#[pymethods]
impl RecordMerge {
    #[new]
    #[pyo3(signature = (record_class, /))]
    fn new(record_class: &Bound<'_, PyType>) -> PyResult<Self> {
        Ok(Self {
            merge: Shared::new(core::RecordMerge::default()),
            class: FileInfoClass::new(record_class)?,
        })
    }

    #[pyo3(signature = (provenance, /))]
    fn add<'py>(&self, py: Python<'py>, provenance: &Provenance) -> PyResult<Option<Bound<'py, PyDict>>> {
        let records = provenance.content(py)?.records();
        let Some(new) = self.merge.write(py, records.size(), |merge| merge.add(records)) else {
            return Ok(None);
        };
        let _pause = CollectionPause::new(py);
        let (result, mut infos) = (PyDict::new(py), self.class.infos(py));
        for (datastore, datasets) in &new {
            let datasets = by_dataset(py, datasets, |record| infos.make(record))?;
            result.set_item(datastore, datasets)?;
        }
        Ok(Some(result))
    }

    #[pyo3(signature = (datastore, records, /))]
    fn add_other<'py>(
        &self,
        py: Python<'py>,
        datastore: &str,
        records: &Bound<'py, PyMapping>,
    ) -> PyResult<Bound<'py, PyDict>> {
        // The core gets the place of each record in this list.
        let (mut datasets, mut infos) = (Vec::new(), Vec::new());
        for item in records.items()? {
            let (dataset, tables): (Bound<'py, PyAny>, Bound<'py, PyMapping>) = item.extract()?;
            let Some(id) = uuid_number(&dataset)? else {
                let found = type_name(&dataset);
                return Err(PyTypeError::new_err(format!("records belong to a uuid.UUID, not {found}")));
            };
            let mut of_dataset = Vec::new();
            for item in tables.items()? {
                let (table, rows): (String, Bound<'py, PyAny>) = item.extract()?;
                let start = infos.len();
                for info in rows.try_iter()? {
                    infos.push(info?);
                }
                of_dataset.push((table, (start..infos.len()).collect::<Vec<_>>()));
            }
            datasets.push((id, of_dataset));
        }
        let new = self.merge.write(py, infos.len(), |merge| merge.keep_new(datastore, datasets));
        by_dataset(py, &new, |&place| Ok(infos[place].clone()))
    }
}

fn by_dataset<'a, 'py, T: AsRef<str>, R>(
    py: Python<'py>,
    datasets: &'a [OfDataset<T, R>],
    mut record: impl FnMut(&'a R) -> PyResult<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let result = PyDict::new(py);
    for (id, tables) in datasets {
        let by_table = PyDict::new(py);
        for (table, rows) in tables {
            let rows = rows.iter().map(&mut record).collect::<PyResult<Vec<_>>>()?;
            by_table.set_item(table.as_ref(), PyList::new(py, rows)?)?;
        }
        result.set_item(uuid_to_python(py, *id)?, by_table)?;
    }
    Ok(result)
}
