"""`getDeferred`: actual at once, available only when read."""

from __future__ import annotations

from lsst.daf.butler import DeferredDatasetHandle
from lsst.daf.butler.tests import MetricsExampleModel
from scenarios import Run, scenario


@scenario
def test_actual_at_once_and_available_when_read(run: Run) -> None:
    ref = run.ref("measured")
    butler = run.butler(inputs=[ref])
    handle = run(butler.getDeferred, ref)
    assert type(handle) is DeferredDatasetHandle
    assert handle.butler is butler
    assert (handle.ref, handle.parameters, handle.storageClass) == (ref, None, None)
    assert handle.dataId == ref.dataId
    assert butler._actual_inputs == {ref.id}
    assert butler._available_inputs == set()
    assert butler._metrics.n_get == 0
    assert run(handle.get) == run.value(ref)
    assert butler._available_inputs == {ref.id}
    assert butler._metrics.n_get == 1


@scenario
def test_missing_file_is_found_out_when_read(run: Run) -> None:
    ref = run.ref("measured")
    run.remove(ref)
    butler = run.butler(inputs=[ref])
    handle = run(butler.getDeferred, ref)
    assert butler._unavailable_inputs == set()
    assert type(run.error(handle.get)) is FileNotFoundError
    assert butler._unavailable_inputs == {ref.id}
    # Until the provenance is extracted.
    assert butler._actual_inputs == {ref.id}
    assert run(butler.extract_provenance_data).actual_inputs == set()
    assert butler._actual_inputs == set()


@scenario
def test_unused_handle(run: Run) -> None:
    first, second = run.refs("measured", 0, 1)
    butler = run.butler(inputs=[first, second])
    run(butler.getDeferred, first)
    run(butler.getDeferred, second)
    run(butler.markInputUnused, first)
    assert butler._actual_inputs == {second.id}
    assert butler._available_inputs == set()


@scenario
def test_handle_of_what_was_not_predicted(run: Run) -> None:
    predicted, other, output = run.ref("measured"), run.ref("measured", 1), run.ref("derived")
    butler = run.butler(inputs=[predicted], outputs=[output], recorded=[predicted, other])
    assert run(run(butler.getDeferred, other).get) == run.value(other)
    handle = run(butler.getDeferred, output)
    run.error(handle.get)
    run(butler.put, {"a": 1}, output)
    assert run(handle.get) == {"a": 1}
    assert butler._actual_inputs == butler._available_inputs == set()


@scenario
def test_options_of_the_handle_and_of_its_get(run: Run) -> None:
    whole, series = run.ref("whole"), run.ref("series")
    butler = run.butler(inputs=[whole, series])
    handle = run(butler.getDeferred, series, parameters={"slice": slice(0, 3)})
    assert run(handle.get) == run.value(series)[:3]
    assert run(handle.get, parameters={"slice": slice(0, 1)}) == run.value(series)[:1]
    handle = run(butler.getDeferred, whole, storageClass="MetricsModel")
    assert type(run(handle.get)) is MetricsExampleModel
    assert run(handle.get, storageClass="MetricsWhole") == run.value(whole)
    handle = run(butler.getDeferred, whole)
    assert run(handle.get, component="summary") == run.value(whole).summary
    assert run(handle.get, component="counter") == 6
    assert type(run.error(handle.get, component="unknown")).__name__ == "UnknownComponentError"


@scenario
def test_handle_of_a_component(run: Run) -> None:
    parts = run.ref("parts")
    butler = run.butler(inputs=[parts])
    handle = run(butler.getDeferred, parts.makeComponentRef("output"))
    assert butler._actual_inputs == {parts.id}
    assert run(handle.get) == run.value(parts).output
    assert butler._available_inputs == {parts.id}
