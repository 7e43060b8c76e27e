//! How an attempt went, from the metadata of its task.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};
use quantum_butler_core::log::{Exception, Execution, Steps};

/// Scalars and arrays of one part of the metadata.
type Section<'py> = Option<(Bound<'py, PyDict>, Bound<'py, PyDict>)>;

/// Numbers of datasets that were read and written, and the seconds that took.
type Counted = (i64, i64, f64, f64);

/// Status, attempt, process and number of earlier quanta; whether there are caveats; host, and type and message of
/// the exception; what the butler has counted; and what the metadata has of the quantum, the butler and the job.
pub(crate) type ExecutionTuple<'py> = (
    [Option<i64>; 4],
    bool,
    Option<String>,
    Option<(String, String)>,
    Option<Counted>,
    Section<'py>,
    Section<'py>,
    Section<'py>,
);

/// Makes of it what the core writes.
pub(crate) fn execution_of(
    py: Python<'_>,
    (known, with_caveats, host, exception, counted, quantum, io, job): &ExecutionTuple<'_>,
) -> PyResult<Execution<'static>> {
    let [status, attempt, process, earlier_quanta] = *known;
    let moment = |name| text(quantum, name);
    let steps = Steps {
        prep: moment(intern!(py, "prepUtc"))?,
        init: moment(intern!(py, "initUtc"))?,
        start: moment(intern!(py, "startUtc"))?,
        end: moment(intern!(py, "endUtc"))?,
        start_cpu: seconds(quantum, intern!(py, "startCpuTime"))?,
        end_cpu: seconds(quantum, intern!(py, "endCpuTime"))?,
    };
    let mut execution = Execution::of_steps(&steps);
    let caveats = if *with_caveats { whole(quantum, intern!(py, "caveats"))? } else { None };
    let memory = whole(quantum, intern!(py, "endMaxResidentSetSize"))?;
    let (mut gets, mut puts) = (whole(io, intern!(py, "n_get"))?, whole(io, intern!(py, "n_put"))?);
    let mut in_get = seconds(io, intern!(py, "time_in_get"))?;
    let mut in_put = seconds(io, intern!(py, "time_in_put"))?;
    if let (None, Some((n_get, n_put, time_in_get, time_in_put))) = (gets, *counted) {
        (gets, puts, in_get, in_put) = (Some(n_get), Some(n_put), Some(time_in_get), Some(time_in_put));
    }
    execution.whole = [status, caveats, attempt, process, memory, earlier_quanta, gets, puts];
    let [.., time_in_get, time_in_put, start_time_cpu, graph_read_time] = &mut execution.seconds;
    (*time_in_get, *time_in_put) = (in_get, in_put);
    *start_time_cpu = seconds(quantum, intern!(py, "prepCpuTime"))?;
    *graph_read_time = seconds(job, intern!(py, "qg_read_time"))?;
    execution.host = text(quantum, intern!(py, "nodeName"))?.or_else(|| host.clone()).map(Into::into);
    execution.exception = exception
        .clone()
        .map(|(type_name, message)| Exception { type_name: type_name.into(), message: message.into() });
    Ok(execution)
}

/// A value of a part of the metadata; of an array the last.
fn value<'py>(section: &Section<'py>, name: &Bound<'py, PyString>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let Some((scalars, arrays)) = section else { return Ok(None) };
    if let Some(value) = scalars.get_item(name)? {
        return Ok(Some(value));
    }
    let Some(values) = arrays.get_item(name)? else { return Ok(None) };
    let values = values.cast::<PyList>()?;
    values.len().checked_sub(1).map(|last| values.get_item(last)).transpose()
}

fn text<'py>(section: &Section<'py>, name: &Bound<'py, PyString>) -> PyResult<Option<String>> {
    let text = value(section, name)?;
    Ok(text.as_ref().and_then(|text| text.cast::<PyString>().ok()?.to_str().ok().map(str::to_owned)))
}

/// A number; what is none is taken for not known.
fn seconds<'py>(section: &Section<'py>, name: &Bound<'py, PyString>) -> PyResult<Option<f64>> {
    Ok(value(section, name)?.and_then(|number| number.extract().ok()))
}

/// A whole number, which may have become one with a fraction of zero.
fn whole<'py>(section: &Section<'py>, name: &Bound<'py, PyString>) -> PyResult<Option<i64>> {
    let number = value(section, name)?;
    let number = number.as_ref();
    Ok(number
        .and_then(|number| number.extract().ok())
        .or_else(|| number?.extract::<f64>().ok().map(|number| number as i64)))
}
