//! Which quanta of a graph can run now.

use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;
use quantum_butler_core as core;

use crate::error;
use crate::lock::Shared;

fn numbers(array: &Bound<'_, PyAny>) -> PyResult<Vec<u32>> {
    // Python gives an empty array any address, which may be none of a number.
    if array.len()? == 0 { Ok(Vec::new()) } else { PyBuffer::get(array)?.to_vec(array.py()) }
}

/// The quanta of a graph, by their numbers, and which of them can run.
#[pyclass(frozen, module = "quantum_butler._core")]
pub(crate) struct Frontier(Shared<core::Frontier>);

#[pymethods]
impl Frontier {
    #[new]
    #[pyo3(signature = (quanta, before, after, /))]
    fn new(quanta: u32, before: &Bound<'_, PyAny>, after: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = before.py();
        let (before, after) = (numbers(before)?, numbers(after)?);
        let frontier = py.detach(|| core::Frontier::new(quanta, &before, &after));
        Ok(Self(Shared::new(frontier.map_err(error::to_python)?)))
    }

    #[getter]
    fn left(&self, py: Python<'_>) -> u32 {
        self.0.read(py, 1, core::Frontier::left)
    }

    #[getter]
    fn has_ready(&self, py: Python<'_>) -> bool {
        self.0.write(py, 1, core::Frontier::has_ready)
    }

    #[pyo3(signature = (most, /))]
    fn take(&self, py: Python<'_>, most: usize) -> Vec<u32> {
        self.0.write(py, most, |frontier| frontier.take(most))
    }

    #[pyo3(signature = (numbers, /))]
    fn give_back(&self, py: Python<'_>, numbers: Vec<u32>) -> PyResult<()> {
        self.0.write(py, numbers.len(), |frontier| frontier.give_back(&numbers)).map_err(error::to_python)
    }

    #[pyo3(signature = (numbers, /))]
    fn finish(&self, py: Python<'_>, numbers: Vec<u32>) -> PyResult<()> {
        self.0.write(py, numbers.len(), |frontier| frontier.finish(&numbers)).map_err(error::to_python)
    }

    /// Numbers of the quanta that cannot run because this one has failed.
    #[pyo3(signature = (number, /))]
    fn fail(&self, py: Python<'_>, number: u32) -> PyResult<Vec<u32>> {
        // Everything may come after it.
        self.0.write(py, usize::MAX, |frontier| frontier.fail(number)).map_err(error::to_python)
    }
}
