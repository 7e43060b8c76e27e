//! What the datasets of a quantum are called, from its refs.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use quantum_butler_core::log::{DataIdValue, NamedDatasets};
use quantum_butler_core::{DatasetId, IdSet};

use crate::dataset_id::dataset_id;

/// Name of a dataset type, of its storage class and of its required dimensions, and refs of that type.
type OfType<'py> = (String, Option<String>, Vec<String>, Bound<'py, PyAny>);

/// What is named in any case, what is if it is an overall input, and mappings by the ids of these: without any,
/// all inputs are.
pub(crate) type Refs<'py> = (Vec<OfType<'py>>, Vec<OfType<'py>>, Vec<Bound<'py, PyDict>>);

/// The names of a quantum's outputs and overall inputs; `value` makes a value of a data ID of what a ref has.
pub(crate) fn named_datasets<'py>(
    (named, inputs, overall): &Refs<'py>,
    value: impl Fn(&str, &Bound<'py, PyAny>) -> PyResult<DataIdValue<'static>>,
) -> PyResult<Vec<NamedDatasets<'static>>> {
    let mut wanted = IdSet::default();
    for ids in overall {
        for id in ids.keys() {
            wanted.insert(dataset_id(&id)?);
        }
    }
    let mut names = Names { groups: Vec::new(), seen: IdSet::default(), value };
    for of_type in named {
        names.add(of_type, |_| true)?;
    }
    for of_type in inputs {
        names.add(of_type, |id| overall.is_empty() || wanted.contains(id))?;
    }
    Ok(names.groups)
}

struct Names<F> {
    groups: Vec<NamedDatasets<'static>>,
    seen: IdSet,
    value: F,
}

impl<F> Names<F> {
    fn add<'py>(
        &mut self,
        (dataset_type, storage_class, dimensions, refs): &OfType<'py>,
        is_wanted: impl Fn(DatasetId) -> bool,
    ) -> PyResult<()>
    where
        F: Fn(&str, &Bound<'py, PyAny>) -> PyResult<DataIdValue<'static>>,
    {
        let py = refs.py();
        let first = self.groups.len();
        for dataset in refs.try_iter()? {
            let dataset = dataset?;
            // A component is the same dataset again.
            let id = dataset_id(&dataset)?;
            let Some(uuid) = id.as_uuid().filter(|_| is_wanted(id) && self.seen.insert(id)) else { continue };
            let run = dataset.getattr(intern!(py, "run"))?.cast_into::<PyString>()?;
            let run = run.to_str()?;
            let place = self.groups[first..].iter().position(|group| group.run == run);
            let place = place.map_or(self.groups.len(), |place| first + place);
            if place == self.groups.len() {
                self.groups.push(NamedDatasets {
                    dataset_type: dataset_type.clone().into(),
                    run: run.to_owned().into(),
                    storage_class: storage_class.clone().map(Into::into),
                    dimensions: dimensions.iter().cloned().map(Into::into).collect(),
                    ..NamedDatasets::default()
                });
            }
            let data_id = dataset.getattr(intern!(py, "dataId"))?.getattr(intern!(py, "required_values"))?;
            let group = &mut self.groups[place];
            let before = group.values.len();
            for (dimension, found) in dimensions.iter().zip(data_id.cast::<PyTuple>()?) {
                group.values.push((self.value)(dimension, &found)?);
            }
            // Fewer values than dimensions would shift those that follow.
            if group.values.len() - before == dimensions.len() {
                group.ids.push(uuid);
            } else {
                group.values.truncate(before);
            }
        }
        Ok(())
    }
}
