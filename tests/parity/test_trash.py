"""Emptying the trash: what is logged, what cannot be removed, peculiar paths."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from lsst.daf.butler import DatasetRef
from lsst.daf.butler.datastore.record_data import DatastoreRecordData
from lsst.resources import ResourcePath
from lsst.utils.logging import VERBOSE
from scenarios import Butler, Run, scenario

from repositories import example_metrics

PURGE = {"disassociate": True, "unstore": True, "purge": True}
_TABLE = "file_datastore_records"


class _Messages(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.kept.append(f"{record.levelname}: {record.getMessage()}")


@contextlib.contextmanager
def _logged(run: Run, level: int) -> Iterator[list[str]]:
    """Note what upstream's file datastore logs from some level on."""
    logger, handler = logging.getLogger("lsst.daf.butler.datastores.fileDatastore"), _Messages()
    logger.addHandler(handler)
    logger.setLevel(level)
    try:
        yield handler.kept
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
    run.note("log", handler.kept)


def _describe(uris: set[ResourcePath]) -> list[tuple[object, ...]]:
    """Return all that there is to a URI; they are equal if their text is."""
    return sorted((type(uri).__name__, *uri._uri, str(uri.dirLike), uri.isTemporary) for uri in uris)


def _all_put(run: Run, refs: list[DatasetRef]) -> Butler:
    butler = run.butler(outputs=refs)
    for number, ref in enumerate(refs):
        metrics = ref.datasetType.name in ("parts_out", "whole_out")
        run(butler.put, example_metrics(number) if metrics else {"a": number}, ref)
    return butler


@pytest.mark.parametrize("level", [logging.INFO, VERBOSE, logging.DEBUG])
@scenario
def test_what_is_logged(run: Run, level: int) -> None:
    inputs = [*run.refs("measured"), *run.refs("zipped"), *run.refs("grouped"), *run.refs("external")]
    outputs = [*run.refs("derived"), run.ref("parts_out")]
    butler = run.butler(inputs=inputs, outputs=outputs, recorded=inputs[1:])
    for ref in outputs[:3]:
        run(butler.put, {}, ref)
    run(butler.put, example_metrics(1), outputs[-1])
    run.remove(inputs[2])
    with _logged(run, level) as messages:
        run(butler.pruneDatasets, outputs[:1], **PURGE)
        run(butler.pruneDatasets, outputs[1:], **PURGE)
        # Not recorded, missing, and neither.
        run(butler.pruneDatasets, inputs[:1], **PURGE)
        run(butler.pruneDatasets, inputs[2:3], **PURGE)
        run(butler.pruneDatasets, [outputs[0], inputs[1]], **PURGE)
        for shared in (4, 8):
            run(butler.pruneDatasets, inputs[shared : shared + 1], **PURGE)
            run(butler.pruneDatasets, inputs[shared + 1 : shared + 3], **PURGE)
        run(butler.pruneDatasets, inputs[12:14], **PURGE)
        run(butler._datastore.trash, inputs)
        run(butler._datastore.emptyTrash, dry_run=True)
        run(butler._datastore.emptyTrash)
        run(butler._datastore.emptyTrash)
    assert any("Removed 1 file artifact from" in message for message in messages)
    assert any("because of association" in message for message in messages) == (level <= VERBOSE)
    assert any("is missing" in message for message in messages)


@scenario
def test_uris_of_what_was_removed(run: Run) -> None:
    outputs = [*run.refs("derived", 0, 1), run.ref("parts_out"), run.ref("log")]
    butler = _all_put(run, outputs)
    run(butler._datastore.trash, outputs)
    would_be = run(butler._datastore.emptyTrash, dry_run=True)
    removed = run(butler._datastore.emptyTrash)
    assert len(removed) == 6
    assert _describe(removed) == _describe(would_be)
    run.note("described", [str(one).replace(str(run.repository.root), "") for one in _describe(removed)])


def _in_the_way(run: Run, butler: Butler, ref: DatasetRef, way: str) -> Path:
    """Make a dataset's file impossible, or unusual, to remove."""
    path = Path(butler.getURI(ref).ospath)
    path.unlink()
    match way:
        case "folder":
            path.mkdir()
        case "full folder":
            path.mkdir()
            (path / "inside").touch()
        case "link":
            target = run.folder / path.name
            target.write_text("{}")
            path.symlink_to(target)
        case "broken link":
            path.symlink_to(run.folder / "nowhere")
        case "link to a folder":
            path.symlink_to(run.folder)
    return path


@pytest.mark.parametrize("recorded", [True, False], ids=["recorded", "not-recorded"])
@pytest.mark.parametrize("way", ["folder", "full folder", "link", "broken link", "link to a folder"])
@scenario
def test_things_in_the_place_of_a_file(run: Run, way: str, recorded: bool) -> None:
    refs = run.refs("derived", 0, 1, 2)
    path = _in_the_way(run, _all_put(run, refs), refs[0], way)
    butler = _all_put(run, [run.ref("log")])
    if recorded:
        records = run(butler._datastore.export_predicted_records, refs)
        run(butler._datastore.import_records, records)
    run(butler.pruneDatasets, [refs[0], refs[1]], **PURGE)
    run.note("left", (path.is_symlink(), path.is_dir(), sorted(os.listdir(run.folder))))
    run(butler._datastore.knows_these, refs)
    # By itself, upstream makes sure first that it is there.
    run(butler.pruneDatasets, [refs[0]], **PURGE)
    run.note("left", (path.is_symlink(), path.is_dir(), sorted(os.listdir(run.folder))))
    assert path.is_dir() == ("folder" in way and "link" not in way)


@scenario
def test_error_that_is_not_ignored(run: Run) -> None:
    refs = run.refs("derived")
    butler = _all_put(run, refs)
    for ref in refs[:2]:
        _in_the_way(run, butler, ref, "folder")
    datastore = butler._datastore
    run(datastore.trash, refs[:3])
    for again in range(2):
        error = run.error(datastore.emptyTrash, ignore_errors=False)
        assert isinstance(error, ExceptionGroup)
        assert str(error) == "Errors removing 2 artifacts (2 sub-exceptions)"
        assert {type(one) for one in error.exceptions} <= {IsADirectoryError, PermissionError}, again
        # The file that could be removed is gone, its record is not.
        assert run(datastore.knows_these, refs) == dict.fromkeys(refs, True)
    assert len(run(datastore.emptyTrash, dry_run=True)) == 3
    assert len(run(datastore.emptyTrash)) == 1
    assert run(datastore.knows_these, refs) == {**dict.fromkeys(refs[:3], False), refs[3]: True}


@scenario
def test_file_in_the_place_of_a_folder(run: Run) -> None:
    refs = run.refs("derived", 0, 1)
    butler = _all_put(run, refs)
    folder = Path(butler.getURI(refs[0]).ospath).parent
    folder.rename(run.folder / "away")
    folder.touch()
    run(butler._datastore.trash, refs)
    error = run.error(butler._datastore.emptyTrash, ignore_errors=False)
    assert isinstance(error, ExceptionGroup)
    assert {type(one) for one in error.exceptions} == {NotADirectoryError}
    run(butler._datastore.emptyTrash)
    assert len(os.listdir(run.folder / "away")) == 2


@pytest.mark.parametrize("recorded", [True, False], ids=["recorded", "not-recorded"])
@scenario
def test_folder_that_is_write_protected(run: Run, recorded: bool) -> None:
    refs = run.refs("measured")
    butler = run.butler(inputs=refs, recorded=refs if recorded else [])
    folder = run.repository.paths(refs[0])[0].parent
    folder.chmod(0o555)
    if os.access(folder, os.W_OK):
        pytest.skip("Nothing is forbidden to this user.")
    try:
        run(butler.pruneDatasets, refs[:2], **PURGE)
        run(butler._datastore.trash, refs[2:])
        try:
            run(butler._datastore.emptyTrash, ignore_errors=False)
        except ExceptionGroup as error:
            assert {type(one) for one in error.exceptions} == {PermissionError}
    finally:
        folder.chmod(0o755)
    assert all(path.exists() for ref in refs for path in run.repository.paths(ref))


@scenario
def test_error_about_an_unrecorded_file_that_is_not_ignored(run: Run) -> None:
    ref, other = run.refs("derived", 0, 1)
    _in_the_way(run, _all_put(run, [ref]), ref, "folder")
    butler = run.butler(outputs=[ref])
    error = run.error(butler._datastore.trash, [ref, other], ignore_errors=False)
    assert isinstance(error, OSError)
    run(butler._datastore.trash, [ref, other])


@scenario
def test_what_was_in_the_trash_before(run: Run) -> None:
    refs = run.refs("derived")
    butler = _all_put(run, refs)
    run(butler._datastore.trash, refs[:2])
    run(butler.pruneDatasets, refs[2:3], **PURGE)
    assert run(butler._datastore.knows_these, refs) == dict(zip(refs, [True, True, False, True], strict=True))
    run(butler.pruneDatasets, refs[1:2], **PURGE)
    run(butler.pruneDatasets, refs, **PURGE)
    assert run(butler._datastore.emptyTrash) == set()
    run(butler._datastore.knows_these, refs)


@scenario
def test_the_same_dataset_in_several_ways(run: Run) -> None:
    whole, other = run.refs("whole", 0, 1)
    butler = run.butler(inputs=[whole, other], recorded=[whole])
    datastore = butler._datastore
    run(datastore.trash, [whole, whole])
    run(datastore.emptyTrash)
    for ref in (whole, other):
        run(datastore.trash, ref.makeComponentRef("summary"))
        run(datastore.trash, [ref, ref.overrideStorageClass("MetricsModel")])
    run(datastore.emptyTrash)
    run(datastore.trash, [])
    run(datastore.trash, iter([]))


@scenario
def test_rolled_back_and_then_tried_again(run: Run) -> None:
    refs = run.refs("derived", 0, 1)
    butler = _all_put(run, refs)
    with pytest.raises(ZeroDivisionError), butler._datastore.transaction():
        run(butler._datastore.emptyTrash)
        raise ZeroDivisionError
    run(butler.pruneDatasets, refs, **PURGE)
    assert not any("derived" in path for path in run.repository.artifacts())


_PATHS = (
    "plain/a-b_c.1.json",
    "with space/a b.json",
    "quoted/a+b=c,d@e.json",
    "escaped/a%20b.json",
    "question?/a.json",
    "äöü/ß.json",
    "not//normal/./a.json",
    "semi;colon/a;b.json",
    ".hidden/.a.json",
    "dollar/$HOME.json",
    "tilde/~a.json",
    "two#fragments#b.json",
    "archive.zip#zip-path=a.json",
    "archive.zip#a/b.json",
    "archive.zip#",
)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", _PATHS)
@scenario
def test_peculiar_paths(run: Run, path: str) -> None:
    ref, other, third = run.refs("derived", 0, 1, 2)
    butler = run.butler(inputs=[ref, other], outputs=[third])
    predicted = run(butler._datastore.export_predicted_records, [ref])
    for name, data in predicted.items():
        (info,) = data.records[ref.id][_TABLE]
        records = {dataset.id: {_TABLE: [info.update(path=path)]} for dataset in (ref, other)}
        run(butler._datastore.import_records, {name: DatastoreRecordData(records=records)})
    run(butler.put, {}, third)
    for name in (path, path.partition("#")[0]):
        file = run.repository.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    with _logged(run, VERBOSE):
        run(butler.get_many_uris, [ref, third])
        run(butler._datastore.get_file_info_for_transfer, [ref.id])
        run(butler._datastore.trash, [ref, third])
        run(butler._datastore.emptyTrash, dry_run=True)
        run(butler._datastore.emptyTrash)
        run(butler._datastore.trash, [other, third])
        run(butler._datastore.emptyTrash)
    run.note("left", sorted(name for name in run.repository.artifacts() if "/" in name)[:3])


@scenario
def test_archives_whose_names_match_as_patterns(run: Run) -> None:
    # Upstream asks the database for names "like" an archive's.
    paths = ["zips/a_b.zip#zip-path=1", "zips/aXb.zip#zip-path=1", "zips/A_B.zip#zip-path=1", "zips/a_b.zip"]
    refs = run.refs("derived")
    butler = run.butler(inputs=refs)
    for name, data in run(butler._datastore.export_predicted_records, refs).items():
        for ref, path in zip(refs, paths, strict=True):
            tables = data.records[ref.id]
            tables[_TABLE] = [info.update(path=path) for info in tables[_TABLE]]
        run(butler._datastore.import_records, {name: data})
    folder = run.repository.root / "zips"
    folder.mkdir(exist_ok=True)
    for path in paths:
        (run.repository.root / path.partition("#")[0]).touch()
    with _logged(run, VERBOSE):
        for ref in refs:
            run(butler._datastore.trash, [ref])
            run(butler._datastore.trash, [ref, run.ref("log")])
            run(butler._datastore.emptyTrash)
