"""The names of the reference page, which upstream has dropped since.

Ours has both generations; each scenario calls ours by the documented name
and the stock class by today's, and nothing else may differ.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from lsst.daf.butler import DeferredDatasetHandle, QuantumBackedButler
from scenarios import Butler, Run, scenario

TODAY = {
    "datasetExistsDirect": "stored",
    "getDirect": "get",
    "getDirectDeferred": "getDeferred",
    "putDirect": "put",
}


def documented(butler: Butler, name: str) -> Callable[..., Any]:
    """Return a method by its documented name, or a stock one by today's.

    Both go by today's name in the journal.
    """
    if type(butler) is QuantumBackedButler:
        return getattr(butler, TODAY[name])  # type: ignore[no-any-return]
    method = getattr(butler, name)

    def call(*args: Any, **options: Any) -> Any:
        return method(*args, **options)

    call.__name__ = TODAY[name]
    return call


@pytest.mark.parametrize("name", TODAY)
def test_ours_has_them_all(our_class: type[Butler], name: str) -> None:
    method = getattr(our_class, name)
    assert callable(method)
    assert inspect.getdoc(method)


@pytest.mark.parametrize(
    ["name", "expected"],
    [
        ("datasetExistsDirect", ["self", "ref"]),
        ("getDirect", ["self", "ref", "*parameters=None", "*storageClass=None"]),
        ("getDirectDeferred", ["self", "ref", "*parameters=None", "*storageClass=None"]),
        ("putDirect", ["self", "obj", "ref"]),
    ],
)
def test_their_signatures(our_class: type[Butler], name: str, expected: list[str]) -> None:
    found = []
    for parameter in inspect.signature(getattr(our_class, name)).parameters.values():
        # Each can be given by its name.
        assert parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        star = "*" if parameter.kind is parameter.KEYWORD_ONLY else ""
        default = "" if parameter.default is parameter.empty else f"={parameter.default}"
        found.append(f"{star}{parameter.name}{default}")
    assert found == expected


@scenario
def test_one_quantum(run: Run) -> None:
    first, gone, third, deferred = run.refs("measured")
    output = run.ref("derived")
    run.remove(gone)
    butler = run.butler(inputs=[first, gone, third, deferred], outputs=[output])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exists, get = documented(butler, "datasetExistsDirect"), documented(butler, "getDirect")
        get_deferred, put = documented(butler, "getDirectDeferred"), documented(butler, "putDirect")
        assert run(exists, first) is True
        assert run(exists, gone) is False
        assert butler._available_inputs == {first.id}
        assert butler._unavailable_inputs == {gone.id}
        assert run(get, first) == run.value(first)
        assert butler._actual_inputs == {first.id}
        assert type(run.error(get, gone)) is FileNotFoundError
        handle = run(get_deferred, deferred)
        assert type(handle) is DeferredDatasetHandle
        assert butler._actual_inputs == {first.id, deferred.id}
        assert butler._available_inputs == {first.id}
        assert run(handle.get) == run.value(deferred)
        assert butler._available_inputs == {first.id, deferred.id}
        assert run(put, {"a": 1}, output) is output
        assert butler._actual_output_refs == {output}
        assert run(exists, output) is True
        assert run(get, output) == {"a": 1}
        assert type(run.error(put, {}, run.ref("derived", 1))) is RuntimeError
    # No step warned; the journals hold this against stock.
    assert all(not step.effects.get("warnings") for step in run.steps)
    assert (butler._metrics.n_get, butler._metrics.n_put) == (3, 1)


@scenario
def test_options(run: Run) -> None:
    whole, series = run.ref("whole"), run.ref("series")
    butler = run.butler(inputs=[whole, series])
    get, get_deferred = documented(butler, "getDirect"), documented(butler, "getDirectDeferred")
    first = {"slice": slice(0, 2)}
    assert run(get, series, parameters=first) == run.value(series)[:2]
    assert run(get, whole, storageClass="MetricsAsDict") == run.value(whole).exportAsDict()
    assert run(run(get_deferred, series, parameters=first).get) == run.value(series)[:2]
    handle = run(get_deferred, whole, storageClass="MetricsAsDict")
    assert run(handle.get) == run.value(whole).exportAsDict()
    assert type(run.error(get, whole, parameters={"unknown": 1})) is KeyError
    assert butler._unavailable_inputs == {whole.id}


def test_by_keyword(our_class: type[Butler], new_repository: Callable[[], Any]) -> None:
    # Today's names take the ref by position only.
    repository = new_repository()
    ref, output = repository.stored["measured"][0], repository.predicted["derived"][0]
    with repository.butler(our_class, inputs=[ref], outputs=[output]) as butler:
        assert butler.datasetExistsDirect(ref=ref) is True
        assert butler.getDirect(ref=ref) == repository.values[ref.id]
        assert butler.getDirectDeferred(ref=ref).ref == ref
        assert butler.putDirect(obj={"a": 1}, ref=output) is output
        assert butler._actual_inputs == butler._available_inputs == {ref.id}


@scenario
def test_generation(run: Run) -> None:
    butler = run.butler()
    assert butler.GENERATION == run.butler_class.GENERATION == 3
    assert run(butler.isWriteable) is True
    assert butler.dimensions is run.repository.universe
    run.note("dimensions", butler.dimensions.version)
