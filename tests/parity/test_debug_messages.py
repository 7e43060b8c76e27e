"""With debug messages on, which upstream alone gives: some of the scenarios, and the messages."""

from __future__ import annotations

import logging
import re
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
import test_trash
import test_trust
import test_uris
from scenarios import Butler, compare, plain

from repositories import NewRepository

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


def test_messages_of_get_and_put(
    our_class: type[Butler],
    stock_class: type[Butler],
    new_repository: NewRepository,
    caplog: pytest.LogCaptureFixture,
) -> None:
    told = []
    for butler_class in (stock_class, our_class):
        repository = new_repository()
        ref, output = repository.stored["measured"][0], repository.predicted["derived"][0]
        with repository.butler(butler_class, inputs=[ref], outputs=[output]) as butler:
            with caplog.at_level(logging.DEBUG, logger="lsst.daf.butler"):
                caplog.clear()
                butler.get(ref)
                butler.put({"a": 1}, output)
            told.append(
                [
                    (record.name, re.sub(r"/[a-z0-9_]{16}(?=derived)", "/<temporary>", text))
                    for record in caplog.records
                    if record.name.startswith("lsst.daf.butler.datastore")
                    and (text := plain(record.getMessage(), {str(repository.root): "<root>"}))
                    # Told when the manager is made, which may be later here.
                    and not text.startswith("Cache configuration")
                ]
            )
    stock, ours = told
    assert ours == stock
    assert len(stock) >= 5
