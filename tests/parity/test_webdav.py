"""A repository on a WebDAV server: the same answers, files and errors, and not one request more.

The server is a real one, `wsgidav`, on the loopback interface.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lsst.daf.butler import DatasetRef, QuantumBackedButler
from lsst.resources.http import HttpResourcePath
from scenarios import Butler, Run, scenario
from urllib3.connection import HTTPConnection

from interpreters import collected_here
from quantum_butler.switches import native_enabled
from repositories import Repository, example_metrics
from webdav import WebDavServer, serving

PRUNE: dict[str, Any] = {"disassociate": True, "unstore": True, "purge": True}


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WebDavServer]:
    """Return a server; what its client remembers of servers, it forgets."""
    connections = []

    def connect(pool: HTTPConnection, make: Callable[[Any], Any] = HTTPConnection._new_conn) -> Any:
        # The client leaves some open where it is refused, and Python warns of these whenever it finds them.
        connections.append(make(pool))
        return connections[-1]

    monkeypatch.setattr(HTTPConnection, "_new_conn", connect)
    monkeypatch.setenv("LSST_HTTP_BACKOFF_MIN", "0")
    monkeypatch.setenv("LSST_HTTP_BACKOFF_MAX", "0")
    monkeypatch.setattr("time.sleep", lambda _: None)
    # A response that nobody has read to its end keeps a closed connection's file open.
    with collected_here(), serving(tmp_path) as server:
        yield server
        HttpResourcePath._metadata_session_store.clear()
        HttpResourcePath._data_session_store.clear()
        for connection in connections:
            connection.close()


def _butler(
    run: Run, server: WebDavServer, inputs: Iterable[DatasetRef], outputs: Iterable[DatasetRef]
) -> Butler:
    """Initialize a butler for the run's repository as the server has it."""
    server.serve(run.repository.root)
    butler: Butler = run.butler_class.initialize(
        server.root,
        run.repository.quantum(inputs, outputs),
        run.repository.universe,
        dataset_types=run.repository.dataset_types,
    )
    run.watch(butler)
    return butler


def _a_whole_quantum(run: Run, server: WebDavServer) -> None:
    # One lies in a folder that no server has, and a chain's member in memory is empty.
    inputs = [refs[0] for name, refs in run.repository.stored.items() if name != "external"]
    outputs = [refs[0] for name, refs in run.repository.predicted.items() if "fragile" not in name]
    butler = _butler(run, server, inputs, outputs)
    stored = run(butler.stored_many, inputs)
    there = [ref for ref in inputs if stored[ref]]
    assert len(there) >= 5, "Hardly anything is there."
    for ref in there:
        assert run(butler.get, ref) == run.value(ref)
    assert run(butler.stored_many, outputs) == dict.fromkeys(outputs, False)
    for number, ref in enumerate(outputs):
        metrics = ref.datasetType.storageClass_name.startswith("Metrics")
        run(butler.put, example_metrics(number) if metrics else {"number": number}, ref)
        assert run(butler.stored, ref) is True
        run(butler.get, ref)
    run(butler.get_many_uris, [*inputs, *outputs], predict=True)
    run(butler.pruneDatasets, outputs[::2], **PRUNE)
    assert run(butler.stored_many, outputs) == {ref: n % 2 == 1 for n, ref in enumerate(outputs)}


@scenario
def test_a_whole_quantum(run: Run, server: WebDavServer) -> None:
    _a_whole_quantum(run, server)


@scenario("cached")
def test_a_whole_quantum_with_a_cache(run: Run, server: WebDavServer) -> None:
    _a_whole_quantum(run, server)


@scenario("chained")
def test_a_whole_quantum_in_a_chain(run: Run, server: WebDavServer) -> None:
    _a_whole_quantum(run, server)


REFUSALS = [
    pytest.param("403 Forbidden", id="forbidden"),
    pytest.param("404 Not Found", id="gone"),
    pytest.param("423 Locked", id="locked", marks=pytest.mark.proof),
    pytest.param("507 Insufficient Storage", id="full", marks=pytest.mark.proof),
]


@pytest.mark.parametrize("status", REFUSALS)
@scenario
def test_refused_writes(run: Run, server: WebDavServer, status: str) -> None:
    outputs = [run.ref(name) for name in ("log", "plain_out", "parts_out")]
    butler = _butler(run, server, [], outputs)
    for ref in outputs:
        dataset = {"a": 1} if ref.datasetType.name == "log" else example_metrics(1)
        server.refusals["PUT"] = status
        _say(run, butler.put, dataset, ref)
        assert server.refused["PUT"] and not butler._actual_output_refs & {ref}
        assert run(butler._datastore.knows, ref) is False
        server.refusals.clear()
        server.refused.clear()
        run(butler.put, dataset, ref)
        assert run(butler.stored, ref) is True


@pytest.mark.parametrize("status", REFUSALS)
@scenario
def test_refused_reads(run: Run, server: WebDavServer, status: str) -> None:
    inputs = [run.ref(name) for name in ("measured", "plain", "whole", "parts", "series")]
    butler = _butler(run, server, inputs, [])
    server.refusals |= dict.fromkeys(("GET", "HEAD", "PROPFIND"), status)
    for ref in inputs:
        _say(run, butler.get, ref)
        _say(run, butler.stored, ref)
    _say(run, butler.stored_many, inputs)
    assert server.refused["GET"]
    server.refusals.clear()
    for ref in inputs:
        assert run(butler.get, ref) == run.value(ref)


@pytest.mark.parametrize("status", REFUSALS)
@scenario
def test_refused_removals(run: Run, server: WebDavServer, status: str) -> None:
    outputs = run.refs("derived")
    butler = _butler(run, server, [], outputs)
    for ref in outputs:
        run(butler.put, {"a": 1}, ref)
    server.refusals["DELETE"] = status
    _say(run, butler.pruneDatasets, outputs[:1], **PRUNE)
    _say(run, butler.pruneDatasets, outputs[1:], **PRUNE)
    assert server.refused["DELETE"]
    server.refusals.clear()
    run(butler.stored_many, outputs)


def _say(run: Run, call: Callable[..., Any], *args: Any, **options: Any) -> None:
    """Make a call that may fail, and note what comes of it."""
    try:
        run(call, *args, **options)
    except Exception as error:
        run.note("failed", type(error).__name__)


def _requests(
    butler_class: type[QuantumBackedButler], repository: Repository, server: WebDavServer
) -> dict[str, Counter[str]]:
    """Do a little of everything; return what was asked by each operation."""
    server.serve(repository.root)
    stored = {name: refs[0] for name, refs in repository.stored.items()}
    outputs = {name: refs[0] for name, refs in repository.predicted.items()}
    derived, measured = repository.predicted["derived"], repository.stored["measured"]
    found: dict[str, Counter[str]] = {}

    def count(name: str, call: Callable[..., Any], *args: Any, **options: Any) -> None:
        server.asked.clear()
        call(*args, **options)
        found[name] = Counter(server.asked)

    quantum = repository.quantum([*stored.values(), *measured], [*outputs.values(), *derived])
    with butler_class.initialize(
        server.root, quantum, repository.universe, dataset_types=repository.dataset_types
    ) as butler:
        # The first request to a server also asks what kind it is.
        butler.get(stored["exposed"])
        count("get", butler.get, stored["measured"])
        count("get, pickled", butler.get, stored["plain"])
        count("get, put together", butler.get, stored["parts"])
        count("get, from a handle", butler.getDeferred(stored["calibration"]).get)
        count("get, a component", butler.get, stored["whole"].makeComponentRef("data"))
        count("put", butler.put, {"a": 1}, outputs["log"])
        count("put, taken apart", butler.put, example_metrics(1), outputs["parts_out"])
        for ref in derived:
            butler.put({"a": 1}, ref)
        count("stored", butler.stored, stored["exposed"])
        count("stored_many", butler.stored_many, measured)
        count("URIs", butler.get_many_uris, [*stored.values(), *outputs.values()], predict=True)
        count("prune of one", butler.pruneDatasets, [outputs["log"]], **PRUNE)
        count("prune of several", butler.pruneDatasets, derived, **PRUNE)
    return found


def test_requests(
    our_class: type[QuantumBackedButler],
    stock_class: type[QuantumBackedButler],
    new_repository: Callable[[str], Repository],
    server: WebDavServer,
) -> None:
    stock, ours = (_requests(cls, new_repository("file"), server) for cls in (stock_class, our_class))
    for name, asked in stock.items():
        print(f"{name:40} stock {dict(asked)}, ours {dict(ours[name])}")
    assert ours.keys() == stock.keys()
    assert sum(stock["get"].values()) and sum(stock["put"].values()), "Nothing was counted."
    for name, asked in stock.items():
        assert sum(ours[name].values()) <= sum(asked.values()), f"{name} asks more: {ours[name] - asked}"
    if native_enabled():
        assert sum(ours["put"].values()) < sum(stock["put"].values())
