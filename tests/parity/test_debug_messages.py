"""With debug messages on: some of the scenarios, and the messages, which are upstream's, word for word."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import test_chained
import test_composites
import test_construction
import test_conversion
import test_deferred
import test_existence
import test_extract
import test_get
import test_prune
import test_put
import test_records
import test_shared_artifacts
import test_trash
import test_trust
import test_uris
from lsst.daf.butler import DatasetRef
from scenarios import Butler, compare, plain

from repositories import NewRepository, Repository, example_metrics

SCENARIOS: list[Callable[..., None]] = [
    test_chained.test_records,
    test_composites.test_broken_disassembled_input,
    test_construction.test_by_the_constructor,
    test_conversion.test_dataset_type_that_has_changed_since,
    test_deferred.test_missing_file_is_found_out_when_read,
    test_existence.test_datastore_tells_existence_from_knowledge,
    test_extract.test_a_whole_quantum,
    test_extract.test_both_warnings,
    test_get.test_every_kind_of_record_can_be_read,
    test_prune.test_purge,
    test_prune.test_output_that_was_read_by_two,
    test_put.test_every_kind_of_output,
    test_put.test_object_that_cannot_be_serialized,
    test_put.test_second_put_fails_and_takes_the_file_away,
    test_put.test_checksums,
    test_records.test_predicted_records,
    test_shared_artifacts.test_in_the_trash_together,
    test_trash.test_error_that_is_not_ignored,
    test_trash.test_what_was_in_the_trash_before,
    test_trust.test_output_of_another_butler,
    test_uris.test_every_attribute_of_a_location,
    test_uris.test_some_are_missing,
]


@pytest.fixture(autouse=True)
def levels_of_loggers() -> Iterator[None]:
    """Have every logger pass on what the one above it wants, whatever earlier tests have set up."""
    loggers = {
        name: logger.level
        for name, logger in logging.root.manager.loggerDict.items()
        if isinstance(logger, logging.Logger) and name.startswith(("lsst", "timer"))
    }
    for name in loggers:
        logging.getLogger(name).setLevel(logging.NOTSET)
    yield
    for name, level in loggers.items():
        logging.getLogger(name).setLevel(level)


@pytest.mark.parametrize("this", SCENARIOS, ids=lambda test: test.__name__)
def test_scenario(
    our_class: type[Butler],
    stock_class: type[Butler],
    new_repository: NewRepository,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    this: Callable[..., None],
) -> None:
    caplog.set_level(logging.DEBUG, logger="lsst.daf.butler")
    compare(this, stock_class, our_class, new_repository, tmp_path)


def _told(butler_class: type[Butler], repository: Repository, caplog: pytest.LogCaptureFixture) -> list[Any]:
    """Run a quantum with every kind of call, and return what was said in each."""
    stored = {name: refs[0] for name, refs in repository.stored.items() if name != "external"}
    outputs = {name: refs[0] for name, refs in repository.predicted.items() if "fragile" not in name}
    others = repository.predicted["derived"][1:3]
    unrecorded = [repository.stored["measured"][2], repository.stored["parts"][2]]
    inputs = [*stored.values(), *unrecorded]
    told: list[Any] = []

    def say(call: Callable[..., Any], *args: Any, **options: Any) -> None:
        caplog.clear()
        try:
            call(*args, **options)
        except Exception as error:
            told.append(type(error).__name__)
        told.append(
            [(record.name, record.levelname, _plain(record, repository)) for record in caplog.records]
        )

    with (
        caplog.at_level(logging.DEBUG),
        repository.butler(
            butler_class, inputs=inputs, outputs=[*outputs.values(), *others], recorded=stored.values()
        ) as butler,
    ):
        for ref in inputs:
            say(butler.get, ref)
            say(butler.stored, ref)
            say(butler._datastore.exists, ref)
        for ref in (stored["parts"], stored["whole"]):
            for component in ("data", "counter", "nonsense"):
                say(butler.get, _component(ref, component))
            say(butler.get, ref, parameters={"slice": slice(1)})
            say(butler.get, ref, parameters={"nonsense": 1})
            say(butler.get, ref, storageClass="MetricsModel")
            say(butler.getDeferred(ref).get, component="summary")
        say(butler.stored_many, inputs)
        say(butler.stored_many, [*outputs.values()])
        say(butler.export_predicted_datastore_records, outputs.values())
        say(butler.get_many_uris, [*inputs, *outputs.values()], predict=True)
        say(butler.getURI, outputs["derived"], predict=True)
        for ref in outputs.values():
            composite = ref.datasetType.storageClass_name.startswith("Metrics")
            say(butler.put, example_metrics(1) if composite else {"a": 1}, ref)
            say(butler.get, ref)
        for ref in others:
            say(butler.put, {"a": 1}, ref)
        say(butler.put, {"a": 2}, outputs["derived"])
        say(butler.put, {"a": object()}, outputs["log"])
        prune: dict[str, Any] = {"disassociate": True, "unstore": True, "purge": True}
        say(butler.pruneDatasets, [outputs["plain_out"]], **prune)
        say(butler.pruneDatasets, others, **prune)
        say(butler.pruneDatasets, [outputs["parts_out"]], **prune)
        say(butler.pruneDatasets, [unrecorded[0]], **prune)
        say(butler._file_transfer_source.locate_missing_files_for_transfer, unrecorded, {})
    assert sum(map(len, told)) > 200
    return told


def _component(ref: DatasetRef, name: str) -> DatasetRef:
    return DatasetRef(
        ref.datasetType.makeComponentDatasetType(name) if name != "nonsense" else ref.datasetType,
        ref.dataId,
        ref.run,
        id=ref.id,
    )


def _plain(record: logging.LogRecord, repository: Repository) -> str:
    text = plain(record.getMessage(), {str(repository.root): "<root>"})
    # Where in which code an exception comes from is no matter; that it comes is compared.
    text = re.sub(r"Took \d+\.\d+ seconds( \(timed code.*)?", "Took <time>", text, flags=re.DOTALL)
    text = re.sub(r"(Rolling back transaction: \w+:).*", r"\1 <a function>", text, flags=re.DOTALL)
    return re.sub(r"/[a-z0-9_]{16}(?=[^/]+\.tmp\.)", "/<temporary>", text)


@pytest.mark.parametrize("kind", ["file", "checksum", "cached", "constrained", "chained"])
def test_same_messages_in_same_order(
    our_class: type[Butler],
    stock_class: type[Butler],
    new_repository: NewRepository,
    caplog: pytest.LogCaptureFixture,
    kind: str,
) -> None:
    stock, ours = (_told(cls, new_repository(kind), caplog) for cls in (stock_class, our_class))
    for number, (expected, found) in enumerate(zip(stock, ours, strict=True)):
        assert found == expected, number


def test_what_the_cache_says_when_a_butler_is_made(
    our_class: type[Butler], new_repository: NewRepository, caplog: pytest.LogCaptureFixture
) -> None:
    repository = new_repository("cached")
    with caplog.at_level(logging.DEBUG):
        for _ in range(2):
            caplog.clear()
            repository.butler(our_class).close()
            assert sum("Cache configuration" in text for text in caplog.messages) >= 1
