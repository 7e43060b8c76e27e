"""Which datasets upstream's own `get` and `put` never see."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from lsst.daf.butler.datastores.fileDatastore import FileDatastore

import quantum_butler
import writing_formatters
from quantum_butler.datastore.file import NativeFileDatastore
from quantum_butler.upstream.formatters import temporary_suffix
from repositories import NewRepository, Repository, example_metrics
from writing_formatters import use_formatter


class _UpstreamCalledError(Exception):
    """Raised where upstream's method would have been called."""


@pytest.fixture
def _without_upstream(monkeypatch: pytest.MonkeyPatch) -> None:
    def replace(name: str) -> None:
        original = getattr(FileDatastore, name)

        def give_way(datastore: FileDatastore, *args: Any, **options: Any) -> Any:
            if isinstance(datastore, NativeFileDatastore):
                raise _UpstreamCalledError
            return original(datastore, *args, **options)

        monkeypatch.setattr(FileDatastore, name, give_way)

    replace("get")
    replace("put")


@pytest.mark.parametrize("kind", ["file", "checksum", "cached"])
@pytest.mark.parametrize(
    ["name", "value"],
    [
        ("derived", {"a": 1}),
        ("log", {"a": 1}),
        ("exposed_out", {"a": 1}),
        ("whole_out", example_metrics(1)),
        ("plain_out", example_metrics(1)),
        ("fragile_out", {"a": 1}),
    ],
)
@pytest.mark.usefixtures("_without_upstream")
def test_written_and_read(new_repository: NewRepository, kind: str, name: str, value: Any) -> None:
    repository = new_repository(kind)
    ref = repository.predicted[name][0]
    with repository.butler(quantum_butler.QuantumBackedButler, outputs=[ref]) as butler:
        butler.put(value, ref)
        assert butler.get(ref) == value


@pytest.mark.parametrize("name", ["fragile_v1_out", "fragile_direct_out"])
@pytest.mark.usefixtures("_without_upstream")
def test_any_formatter_writes(repository: Repository, name: str) -> None:
    ref = repository.predicted[name][0]
    with repository.butler(quantum_butler.QuantumBackedButler, outputs=[ref]) as butler:
        butler.put({"a": 1}, ref)
        assert butler.stored(ref)


@pytest.mark.parametrize("name", ["ReadsUriOrFile", "ReadsStreamOrFile", "ReadsAnyhow", "PrefersFile"])
@pytest.mark.parametrize("cached", [False, True], ids=["not-cached", "cached"])
@pytest.mark.usefixtures("_without_upstream")
def test_several_ways_of_reading(new_repository: NewRepository, name: str, cached: bool) -> None:
    repository = new_repository("cached")
    dataset_type = use_formatter(repository, getattr(writing_formatters, name))
    if cached:
        config = repository.root / "butler.yaml"
        config.write_text(config.read_text().replace(" derived: true", f" {dataset_type}: true"))
        assert f" {dataset_type}: true" in config.read_text()
    ref = repository.predicted[dataset_type][0]
    with repository.butler(quantum_butler.QuantumBackedButler, outputs=[ref]) as butler:
        butler.put({"a": 1}, ref)
        assert butler.get(ref)["component"] is None


@pytest.mark.usefixtures("_without_upstream")
def test_words_cost_no_fast_path(repository: Repository, caplog: pytest.LogCaptureFixture) -> None:
    whole, parts = repository.predicted["derived"][0], repository.predicted["parts_out"][0]
    with (
        repository.butler(quantum_butler.QuantumBackedButler, outputs=[whole, parts]) as butler,
        caplog.at_level(logging.DEBUG, "lsst.daf.butler"),
    ):
        butler.put({"a": 1}, whole)
        assert butler.get(whole) == {"a": 1}
        butler.put(example_metrics(1), parts)
        assert butler.get(parts) == example_metrics(1)
        assert butler.stored_many([whole, parts]) == {whole: True, parts: True}
    assert any(record.getMessage().startswith("Retrieve ") for record in caplog.records)


@pytest.mark.parametrize("kind", ["file", "cached"])
@pytest.mark.usefixtures("_without_upstream")
def test_no_parameters_are_none(new_repository: NewRepository, kind: str) -> None:
    repository = new_repository(kind)
    ref = repository.stored["whole"][0]
    with repository.butler(quantum_butler.QuantumBackedButler, inputs=[ref]) as butler:
        expected = butler.get(ref)
        assert butler.get(ref, parameters={}) == butler.getDeferred(ref).get() == expected
        # The handle hands these on, empty as they are.
        assert butler.getDeferred(ref, parameters={}).get(parameters={}) == expected
        converted = butler.getDeferred(ref, storageClass="MetricsModel").get()
        assert converted == butler.get(ref, storageClass="MetricsModel")


@pytest.mark.parametrize("kind", ["file", "checksum", "cached"])
@pytest.mark.usefixtures("_without_upstream")
def test_components_and_parts(new_repository: NewRepository, kind: str) -> None:
    repository = new_repository(kind)
    parts, whole = repository.predicted["parts_out"][0], repository.predicted["whole_out"][0]
    metrics = example_metrics(1)
    with repository.butler(quantum_butler.QuantumBackedButler, outputs=[parts, whole]) as butler:
        for ref in (parts, whole):
            butler.put(metrics, ref)
            assert butler.get(ref) == metrics
            assert butler.get(ref.makeComponentRef("summary")) == metrics.summary
            assert butler.get(ref.makeComponentRef("counter")) == len(metrics.data)
            assert butler.get(ref, parameters={"slice": slice(1)}).data == metrics.data[:1]
            assert butler.getDeferred(ref).get(component="data", parameters={"slice": slice(1)}) == [1]


def test_names_of_temporary_files() -> None:
    # Upstream finds them by these if a process is killed.
    assert temporary_suffix(".json") == ".tmp.json"
    assert temporary_suffix(".fits.gz") == ".tmp.fits.gz"
    assert temporary_suffix(".tar.odd") == ".tar.tmp.odd"
