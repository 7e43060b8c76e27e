//! What graphs tell, as tuples and dictionaries.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use quantum_butler_core::graph::{
    Attempt, Connections, Dataset, Dimensions, Exception, Files, InitQuantum, Key, Pipeline, PlannedDataset,
    PlannedQuantum, Quantum, Resources, Scalar, Uuid,
};

use super::detached;
use crate::dataset_id::uuid_to_python;

type Any<'py> = Bound<'py, PyAny>;
type Dict<'py> = Bound<'py, PyDict>;

/// Names of dimensions, and how many of them are required.
type DimensionsTuple = (Vec<String>, usize);

/// By label: class, dimensions, and types of inputs and outputs by connection.
type Tasks<'py> = Vec<(String, (String, DimensionsTuple, Dict<'py>, Dict<'py>))>;

/// Tasks; and by name: storage class and dimensions of dataset types.
pub(super) type Types<'py> = (Tasks<'py>, Vec<(String, (String, DimensionsTuple))>);

/// Full name of the type, message, and metadata.
type ExceptionTuple<'py> = (String, String, Dict<'py>);

/// Memory, start, and seconds of preparation, setting up, running, and of the processor.
type ResourcesTuple = (f64, String, f64, f64, f64, f64);

/// Number, status, caveats, exception, resources, and quanta that came before in the process.
type AttemptTuple<'py> =
    (i64, i8, Option<u32>, Option<ExceptionTuple<'py>>, Option<ResourcesTuple>, Vec<Any<'py>>);

/// Id, task, data ID, run, inputs, outputs, attempts, and the number of the file.
pub(super) type QuantumTuple<'py> =
    (Any<'py>, String, Dict<'py>, String, Dict<'py>, Dict<'py>, Vec<AttemptTuple<'py>>, usize);

/// Id, type, data ID, run, whether it was produced, producer, consumers, and the number of the file.
pub(super) type DatasetTuple<'py> =
    (Any<'py>, String, Dict<'py>, String, bool, Option<Any<'py>>, Vec<Any<'py>>, usize);

/// Id, task, inputs, outputs, and the number of the file.
pub(super) type InitTuple<'py> = (Any<'py>, String, Dict<'py>, Dict<'py>, usize);

/// Id, task, data ID, run, inputs, outputs, and the number of the file.
pub(super) type PlannedTuple<'py> = (Any<'py>, String, Dict<'py>, String, Dict<'py>, Dict<'py>, usize);

fn id(py: Python<'_>, id: Uuid) -> PyResult<Any<'_>> {
    uuid_to_python(py, id.0)
}

fn ids<'py>(py: Python<'py>, all: &[Uuid]) -> PyResult<Vec<Any<'py>>> {
    all.iter().map(|one| id(py, *one)).collect()
}

fn dict<'py, T, V: IntoPyObject<'py>>(
    py: Python<'py>,
    items: &Connections<T>,
    value: impl Fn(&T) -> PyResult<V>,
) -> PyResult<Dict<'py>> {
    let dict = PyDict::new(py);
    for (name, item) in items {
        // Names of connections are few.
        dict.set_item(PyString::intern(py, name), value(item)?)?;
    }
    Ok(dict)
}

pub(super) fn key<'py>(py: Python<'py>, key: &Key) -> PyResult<Any<'py>> {
    Ok(match key {
        Key::Int(value) => value.into_pyobject(py)?.into_any(),
        Key::Text(value) => value.into_pyobject(py)?.into_any(),
    })
}

/// A data ID with names, which a task or a type of the pipeline has.
fn data_id<'py>(
    py: Python<'py>,
    files: &Files,
    file: usize,
    name: &str,
    values: &[Key],
    dimensions: impl for<'a> Fn(&'a Pipeline, &str) -> Option<&'a Dimensions> + Sync,
) -> PyResult<Dict<'py>> {
    let pipeline = detached(py, || files.pipeline(file))?;
    let dict = PyDict::new(py);
    // What the graph itself writes has neither a task nor dimensions.
    let none = Dimensions::default();
    let dimensions = dimensions(pipeline, name).or_else(|| values.is_empty().then_some(&none));
    let named = dimensions.ok_or_else(|| format!("the pipeline does not have {name:?}"));
    let named = named.and_then(|dimensions| dimensions.named(values));
    for (name, value) in named.map_err(|what| crate::error::to_python(files.damaged(file, &what)))? {
        dict.set_item(PyString::intern(py, name), key(py, value)?)?;
    }
    Ok(dict)
}

fn of_task<'a>(pipeline: &'a Pipeline, name: &str) -> Option<&'a Dimensions> {
    pipeline.tasks.get(name).map(|task| &task.dimensions)
}

fn of_type<'a>(pipeline: &'a Pipeline, name: &str) -> Option<&'a Dimensions> {
    pipeline.dataset_types.get(name).map(|found| &found.dimensions)
}

fn exception<'py>(py: Python<'py>, exception: Exception) -> PyResult<ExceptionTuple<'py>> {
    let metadata = PyDict::new(py);
    for (name, value) in exception.metadata {
        match value {
            Scalar::Null => metadata.set_item(name, py.None()),
            Scalar::Bool(value) => metadata.set_item(name, value),
            Scalar::Int(value) => metadata.set_item(name, value),
            Scalar::Large(digits) => {
                metadata.set_item(name, py.get_type::<pyo3::types::PyInt>().call1((digits,))?)
            }
            Scalar::Float(value) => metadata.set_item(name, value),
            Scalar::Text(value) => metadata.set_item(name, value),
        }?;
    }
    Ok((exception.type_name, exception.message, metadata))
}

fn attempt<'py>(py: Python<'py>, attempt: Attempt) -> PyResult<AttemptTuple<'py>> {
    let resources = |usage: Resources| {
        (usage.memory, usage.start.text, usage.prep_time, usage.init_time, usage.run_time, usage.run_time_cpu)
    };
    Ok((
        attempt.attempt,
        attempt.status,
        attempt.caveats,
        attempt.exception.map(|found| exception(py, found)).transpose()?,
        attempt.resource_usage.map(resources),
        ids(py, &attempt.previous_process_quanta)?,
    ))
}

pub(super) fn quantum<'py>(
    py: Python<'py>,
    files: &Files,
    file: usize,
    quantum: Quantum,
) -> PyResult<QuantumTuple<'py>> {
    Ok((
        id(py, quantum.quantum_id)?,
        quantum.task_label.clone(),
        data_id(py, files, file, &quantum.task_label, &quantum.data_coordinate, of_task)?,
        files.header(file).0.output_run.clone(),
        dict(py, &quantum.inputs, |all| ids(py, all))?,
        dict(py, &quantum.outputs, |all| ids(py, all))?,
        quantum.attempts.into_iter().map(|one| attempt(py, one)).collect::<PyResult<_>>()?,
        file,
    ))
}

pub(super) fn dataset<'py>(
    py: Python<'py>,
    files: &Files,
    file: usize,
    dataset: Dataset,
) -> PyResult<DatasetTuple<'py>> {
    let data_id = data_id(py, files, file, &dataset.dataset_type_name, &dataset.data_coordinate, of_type)?;
    Ok((
        id(py, dataset.dataset_id)?,
        dataset.dataset_type_name,
        data_id,
        dataset.run,
        dataset.produced,
        dataset.producer.map(|producer| id(py, producer)).transpose()?,
        ids(py, &dataset.consumers)?,
        file,
    ))
}

pub(super) fn init_quantum<'py>(
    py: Python<'py>,
    file: usize,
    quantum: InitQuantum,
) -> PyResult<InitTuple<'py>> {
    Ok((
        id(py, quantum.quantum_id)?,
        quantum.task_label,
        dict(py, &quantum.inputs, |one| id(py, *one))?,
        dict(py, &quantum.outputs, |one| id(py, *one))?,
        file,
    ))
}

/// A quantum, or what its task needs before all of them, which has no data ID.
pub(super) fn planned<'py>(
    py: Python<'py>,
    files: &Files,
    file: usize,
    quantum: PlannedQuantum,
    is_init: bool,
) -> PyResult<PlannedTuple<'py>> {
    let dataset = |one: &PlannedDataset| {
        let data_id = data_id(py, files, file, &one.dataset_type_name, &one.data_coordinate, of_type)?;
        Ok::<_, PyErr>((id(py, one.dataset_id)?, one.dataset_type_name.clone(), data_id, one.run.clone()))
    };
    let datasets = |all: &Vec<PlannedDataset>| all.iter().map(dataset).collect::<PyResult<Vec<_>>>();
    let own = match is_init {
        true => PyDict::new(py),
        false => data_id(py, files, file, &quantum.task_label, &quantum.data_coordinate, of_task)?,
    };
    Ok((
        id(py, quantum.quantum_id)?,
        quantum.task_label,
        own,
        files.header(file).0.output_run.clone(),
        dict(py, &quantum.inputs, datasets)?,
        dict(py, &quantum.outputs, datasets)?,
        file,
    ))
}

pub(super) fn types<'py>(py: Python<'py>, pipeline: &Pipeline) -> PyResult<Types<'py>> {
    let dimensions = |found: &Dimensions| (found.names.clone(), found.required);
    let mut tasks = Vec::with_capacity(pipeline.tasks.len());
    for (label, task) in &pipeline.tasks {
        let inputs = dict(py, &task.inputs, |name| Ok(name.clone()))?;
        let outputs = dict(py, &task.outputs, |name| Ok(name.clone()))?;
        tasks.push((label.clone(), (task.class.clone(), dimensions(&task.dimensions), inputs, outputs)));
    }
    let dataset_types = pipeline
        .dataset_types
        .iter()
        .map(|(name, found)| (name.clone(), (found.storage_class.clone(), dimensions(&found.dimensions))));
    Ok((tasks, dataset_types.collect()))
}
