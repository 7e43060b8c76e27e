"""How often an object store is asked: never more often than by upstream, and what that is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from lsst.daf.butler import DatasetRef, QuantumBackedButler
from lsst.resources.s3utils import getS3Client
from stores import Bucket

from quantum_butler.switches import native_enabled
from repositories import Repository, example_metrics

PRUNE: dict[str, Any] = {"disassociate": True, "unstore": True, "purge": True}

# What ours asks for if few types are cached (by default all are), to be sure that it is counted.
EXPECTED: dict[str, dict[str, int]] = {
    "get": {"GetObject": 1},
    "get, from a handle": {"GetObject": 1},
    "get, put together": {"HeadObject": 4, "GetObject": 3},
    "get, summary of parts": {"HeadObject": 3, "GetObject": 1},
    "get, to be cached": {"HeadObject": 1, "GetObject": 1},
    "get, cached": {},
    "get, cached when it was put": {},
    "put": {"PutObject": 1},
    "put, of a cached type": {"PutObject": 1},
    "put, taken apart": {"PutObject": 3},
    "put, by a formatter of local files": {"PutObject": 1},
    "stored": {"HeadObject": 1},
    "stored, cached": {},
    "stored_many": {"HeadObject": 4},
    "stored_many, predicted": {"HeadObject": 4},
    "URIs": {},
    "prune of one": {"HeadObject": 1, "DeleteObjects": 1},
    "prune of several": {"DeleteObjects": 1},
}


@contextmanager
def counting() -> Iterator[Counter[str]]:
    """Count what is asked of the store, by the kind of request."""
    asked: Counter[str] = Counter()

    def note(event_name: str, **_: Any) -> None:
        asked[event_name.rpartition(".")[2]] += 1

    events = getS3Client().meta.events
    # Before the handler that plays the store, which ends the round.
    events.register_first("before-send.s3", note)
    try:
        yield asked
    finally:
        events.unregister("before-send.s3", note)


def _requests(
    butler_class: type[QuantumBackedButler], repository: Repository, kind: str
) -> dict[str, Counter[str]]:
    """Do a little of everything; return what was asked by each operation."""
    store = Bucket(butler_class.__module__.partition(".")[0].replace("_", "-"))
    store.restore(repository)
    stored = {name: refs[0] for name, refs in repository.stored.items()}
    outputs = {name: refs[0] for name, refs in repository.predicted.items()}
    derived, measured = repository.predicted["derived"], repository.stored["measured"]
    quantum = repository.quantum(
        [*stored.values(), *measured], [*outputs.values(), *derived], recorded=[*stored.values(), *measured]
    )
    found: dict[str, Counter[str]] = {}

    def count(name: str, call: Callable[..., Any], *args: Any, **options: Any) -> Any:
        with counting() as asked:
            value = call(*args, **options)
        found[name] = asked
        return value

    def component(ref: DatasetRef, name: str) -> DatasetRef:
        return ref.makeComponentRef(name)

    with butler_class.initialize(
        store.root, quantum, repository.universe, dataset_types=repository.dataset_types
    ) as butler:
        count("get", butler.get, stored["exposed"])
        count("get, pickled", butler.get, stored["plain"])
        count("get, converted", butler.get, stored["plain"], storageClass="MetricsAsDict")
        count("get, a whole of YAML", butler.get, stored["whole"])
        count("get, put together", butler.get, stored["parts"])
        count("get, with parameters", butler.get, stored["series"], parameters={"slice": slice(1)})
        count("get, from a handle", butler.getDeferred(stored["calibration"]).get)
        for whole in ("whole", "parts"):
            for name in ("data", "summary", "counter"):
                count(f"get, {name} of {whole}", butler.get, component(stored[whole], name))
        count("put", butler.put, {"a": 1}, outputs["log"])
        count("put, of a cached type", butler.put, {"a": 1}, derived[0])
        count("put, taken apart", butler.put, example_metrics(1), outputs["parts_out"])
        count("put, by a formatter of local files", butler.put, example_metrics(1), outputs["whole_out"])
        count("put, by one of the first generation", butler.put, {"a": 1}, outputs["fragile_v1_out"])
        for ref in derived[1:]:
            butler.put({"a": 1}, ref)
        count("stored", butler.stored, stored["exposed"])
        count("stored, several files", butler.stored, stored["parts"])
        count("stored, a component", butler.stored, component(stored["whole"], "data"))
        count("stored_many", butler.stored_many, measured)
        count("stored_many, predicted", butler.stored_many, repository.predicted["dict_out"])
        count("exists", butler._datastore.exists, stored["parts"])
        count("URIs", butler.get_many_uris, [*stored.values(), *outputs.values()], predict=True)
        count("prune of one", butler.pruneDatasets, [outputs["log"]], **PRUNE)
        count("prune of several", butler.pruneDatasets, derived[1:], **PRUNE)
        unrecorded = repository.predicted["dict_out"]
        count("prune of what is not recorded", butler.pruneDatasets, unrecorded, **PRUNE)
        count("get, to be cached", butler.get, measured[0])
        if kind == "cached":
            count("get, cached", butler.get, measured[0])
            count("stored, cached", butler.stored, measured[0])
            count("get, cached when it was put", butler.get, derived[0])
    return found


@pytest.mark.usefixtures("object_store")
@pytest.mark.parametrize("kind", ["file", "cached", "checksum"])
def test_requests(
    our_class: type[QuantumBackedButler],
    stock_class: type[QuantumBackedButler],
    template: Callable[[str], Repository],
    kind: str,
) -> None:
    stock, ours = (_requests(cls, template(kind), kind) for cls in (stock_class, our_class))
    for name, asked in stock.items():
        print(f"{name:40} stock {dict(asked)}, ours {dict(ours[name])}")
    assert ours.keys() == stock.keys()
    assert sum(stock["get"].values()) and sum(stock["put"].values()), "Nothing was counted."
    for name, asked in stock.items():
        more = ours[name] - asked
        assert not more, f"{name} asks for more: {more}"
    if native_enabled():
        if kind == "cached":
            assert {name: dict(ours[name]) for name in EXPECTED} == EXPECTED
        # Upstream asks how long it is what it has just written.
        assert sum(ours["put"].values()) < sum(stock["put"].values())
