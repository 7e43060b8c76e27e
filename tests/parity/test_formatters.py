"""Formatters of every kind write and read through both butlers alike."""

from __future__ import annotations

from typing import Any

import pytest
from lsst.daf.butler import DatasetProvenance, Formatter, FormatterV2
from scenarios import Run, scenario

import writing_formatters
from writing_formatters import use_formatter


def _attempt(run: Run, function: Any, *args: Any, **options: Any) -> None:
    try:
        run(function, *args, **options)
    except Exception as error:
        run.note("refused", type(error).__name__)


def _formatters() -> list[Any]:
    return [pytest.param(formatter, id=formatter.__name__) for formatter in writing_formatters.FORMATTERS]


def _write_and_read(run: Run, formatter: type[Formatter | FormatterV2]) -> None:
    refs = run.refs(use_formatter(run.repository, formatter))
    butler = run.butler(outputs=refs)
    provenance = DatasetProvenance(quantum_id=refs[1].id)
    _attempt(run, butler.put, {"a": 1}, refs[0])
    _attempt(run, butler.put, {"a": 2}, refs[1], provenance=provenance)
    _attempt(run, butler.put, "no dictionary", refs[2])
    _attempt(run, butler._datastore.export_records, refs)
    _attempt(run, butler.stored_many, refs)
    for ref in refs[:2]:
        _attempt(run, butler.get, ref)
        _attempt(run, butler.getURI, ref)
    # Without records, too.
    other = run.butler(inputs=refs)
    _attempt(run, other.get, refs[0])
    # What is there already is replaced, or removed with what fails.
    again = run.butler(outputs=refs)
    _attempt(run, again.put, {"a": 3}, refs[0])
    _attempt(run, again.put, {"a": 4}, refs[0])
    _attempt(run, again.pruneDatasets, refs, disassociate=True, unstore=True, purge=True)


@pytest.mark.parametrize("formatter", _formatters())
@scenario
def test_writing_and_reading(run: Run, formatter: type[Formatter | FormatterV2]) -> None:
    _write_and_read(run, formatter)


@pytest.mark.parametrize("formatter", _formatters())
@scenario("checksum")
def test_with_checksums(run: Run, formatter: type[Formatter | FormatterV2]) -> None:
    _write_and_read(run, formatter)


@pytest.mark.parametrize("formatter", _formatters())
@scenario("cached")
def test_with_a_file_cache(run: Run, formatter: type[Formatter | FormatterV2]) -> None:
    config = run.repository.root / "butler.yaml"
    config.write_text(config.read_text().replace(" derived: true", " fragile_out: true"))
    assert " fragile_out: true" in config.read_text()
    _write_and_read(run, formatter)


@pytest.mark.parametrize("obstacle", ["file for folder", "folder for file", "full folder for file"])
@pytest.mark.parametrize("name", ["GivesBytes", "WritesFile", "WritesInPlace", "OldGeneration"])
@scenario
def test_something_in_the_way(run: Run, name: str, obstacle: str) -> None:
    formatter = getattr(writing_formatters, name)
    ref = run.ref(use_formatter(run.repository, formatter))
    extension = getattr(formatter, "default_extension", ".json")
    folder = run.repository.root / f"observed/night1/{ref.datasetType.name}"
    file = folder / f"{ref.datasetType.name}_Cam_D0_observed_night1{extension}"
    if obstacle == "file for folder":
        folder.write_text("in the way")
    else:
        file.mkdir(parents=True)
    if obstacle == "full folder for file":
        (file / "in the way").write_text("")
    butler = run.butler(outputs=[ref])
    _attempt(run, butler.put, {"a": 1}, ref)
    _attempt(run, butler._datastore.knows, ref)
    run.note("folder", [folder.is_dir(), file.is_dir()])
