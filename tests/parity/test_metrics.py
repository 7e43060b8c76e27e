"""`ButlerMetrics`: what is counted, and into which object."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pydantic
from lsst.daf.butler import ButlerMetrics
from scenarios import Run, scenario


@scenario
def test_counts(run: Run) -> None:
    inputs, outputs = run.refs("measured"), run.refs("derived")
    metrics = ButlerMetrics()
    butler = run.butler(inputs=inputs, outputs=outputs, metrics=metrics)
    assert butler._metrics is metrics
    run(butler.stored_many, inputs)
    for ref in inputs[:3]:
        run(butler.get, ref)
    handle = run(butler.getDeferred, inputs[3])
    assert (metrics.n_get, metrics.n_put, metrics.n_ingest) == (3, 0, 0)
    run(handle.get)
    run(butler.put, {}, outputs[0])
    assert (metrics.n_get, metrics.n_put, metrics.n_ingest) == (4, 1, 0)
    assert metrics.time_in_get > 0.0 and metrics.time_in_put > 0.0


@scenario
def test_failures_are_not_counted(run: Run) -> None:
    ref, output = run.ref("measured"), run.ref("derived")
    run.remove(ref)
    butler = run.butler(inputs=[ref], outputs=[output])
    run.error(butler.get, ref)
    run.error(butler.put, [1], output)
    run.error(butler.put, {}, run.ref("derived", 1))
    assert butler._metrics == ButlerMetrics()


@scenario
def test_record_metrics_for_a_while(run: Run) -> None:
    ref = run.ref("measured")
    butler = run.butler(inputs=[ref])
    outer = butler._metrics
    run(butler.get, ref)
    with butler.record_metrics() as inner:
        assert butler._metrics is inner is not outer
        run(butler.get, ref)
        run(butler.get, ref)
    assert butler._metrics is outer
    assert (outer.n_get, inner.n_get) == (1, 2)
    mine = ButlerMetrics()
    try:
        with butler.record_metrics(mine) as given:
            assert given is mine
            run(butler.get, ref)
            raise LookupError
    except LookupError:
        pass
    assert butler._metrics is outer
    assert (outer.n_get, mine.n_get) == (1, 1)


@scenario
def test_metrics_can_be_set(run: Run) -> None:
    # As executors do.
    ref = run.ref("measured")
    butler = run.butler(inputs=[ref])
    mine = ButlerMetrics()
    butler._metrics = mine
    run(butler.get, ref)
    assert butler._metrics is mine
    assert mine.n_get == 1
    mine.reset()
    assert butler._metrics.n_get == 0


class _Loud(ButlerMetrics):
    """Metrics that are told when something begins, too."""

    begun: list[str] = pydantic.Field(default_factory=list)

    @contextlib.contextmanager
    def instrument_get(self, *args: Any, **options: Any) -> Iterator[None]:
        self.begun.append("get")
        with super().instrument_get(*args, **options):
            yield

    @contextlib.contextmanager
    def instrument_put(self, *args: Any, **options: Any) -> Iterator[None]:
        self.begun.append("put")
        with super().instrument_put(*args, **options):
            yield


@scenario
def test_metrics_of_another_class(run: Run) -> None:
    ref, output = run.ref("measured"), run.ref("derived")
    mine = _Loud()
    butler = run.butler(inputs=[ref], outputs=[output], metrics=mine)
    run(butler.get, ref)
    run(butler.put, {}, output)
    run.error(butler.get, run.ref("log"))
    run(butler.getDeferred(ref).get)
    assert mine.begun == ["get", "put", "get", "get"]
    assert (mine.n_get, mine.n_put) == (2, 1)
