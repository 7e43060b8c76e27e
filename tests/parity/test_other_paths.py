"""The same scenarios with fast paths switched off, and with debug messages on."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

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
import test_trust
import test_uris
from scenarios import Butler, compare

from repositories import NewRepository

SCENARIOS: list[Callable[..., None]] = [
    test_chained.test_records,
    test_composites.test_broken_disassembled_input,
    test_construction.test_by_the_constructor,
    test_conversion.test_dataset_type_that_has_changed_since,
    test_deferred.test_missing_file_is_found_out_when_read,
    test_existence.test_one_answer_for_each_dataset,
    test_existence.test_datastore_tells_existence_from_knowledge,
    test_extract.test_a_whole_quantum,
    test_extract.test_both_warnings,
    test_get.test_every_kind_of_record_can_be_read,
    test_prune.test_purge,
    test_prune.test_output_that_was_read_by_two,
    test_put.test_every_kind_of_output,
    test_put.test_second_put_fails_and_takes_the_file_away,
    test_put.test_checksums,
    test_records.test_predicted_records,
    test_shared_artifacts.test_in_the_trash_together,
    test_trust.test_output_of_another_butler,
    test_uris.test_some_are_missing,
]


@pytest.mark.parametrize("this", SCENARIOS, ids=lambda test: test.__name__)
@pytest.mark.parametrize("path", ["switched off", "debug"])
def test_scenario(
    our_class: type[Butler],
    stock_class: type[Butler],
    new_repository: NewRepository,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    this: Callable[..., None],
    path: str,
) -> None:
    if path == "switched off":
        monkeypatch.setenv("QUANTUM_BUTLER_NATIVE", "0")
    else:
        caplog.set_level(logging.DEBUG, logger="lsst.daf.butler")
    compare(this, stock_class, our_class, new_repository, tmp_path)


def test_switched_off_means_upstreams_own_records(
    our_class: type[Butler], new_repository: NewRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = new_repository()
    monkeypatch.setenv("QUANTUM_BUTLER_NATIVE", "0")
    with repository.butler(our_class) as butler:
        assert type(butler) is our_class
        assert type(butler._datastore).__module__.startswith("lsst.daf.butler")
        assert type(butler._datastore._table).__module__.startswith("lsst.daf.butler")  # type: ignore[attr-defined]
    monkeypatch.delenv("QUANTUM_BUTLER_NATIVE")
    with repository.butler(our_class) as butler:
        assert type(butler._datastore._table).__module__.startswith("quantum_butler")  # type: ignore[attr-defined]
