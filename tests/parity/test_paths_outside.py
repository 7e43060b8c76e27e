"""Records of strangers whose paths lead out of the datastore: absolute, by "..", encoded, or over a link."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from lsst.daf.butler import DatasetRef
from scenarios import Butler, Run, scenario

from quantum_butler.switches import native_enabled
from repositories import NewRepository, Repository

PURGE = {"disassociate": True, "unstore": True, "purge": True}
_TABLE = "file_datastore_records"

# "{outside}" is a folder beside the datastore's, and so is what $OUTSIDE says.
_UP = (
    "../outside/a.json",
    "a/../../outside/a.json",
    "./../outside/a.json",
    "%2e%2e/outside/a.json",
    "..%2Foutside%2Fa.json",
    "a/%2E%2E/%2e%2e/outside/a.json",
    "$OUTSIDE/a.json",
    "../outside/a.zip#zip-path=a.json",
)
_ABSOLUTE = (
    "{outside}/a.json",
    "file://{outside}/a.json",
    "/{outside}/a.json",
    "file://localhost{outside}/a.json",
    "{outside}/a.zip#zip-path=a.json",
)
_LINKS = ("linked/a.json", "linked.json", "linked/../a.json")
_WITHIN = ("a/../inside.json", "%2e/inside.json", "..outside/a.json", "a..json")


def _prepare(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make files outside the datastore, and links to them in it."""
    root = repository.root
    outside = root.parent / "outside"
    shutil.rmtree(outside, ignore_errors=True)
    outside.mkdir()
    for name in ("a.json", "a.zip", "b.json"):
        (outside / name).write_text('{"a": "secret"}')
    monkeypatch.setenv("OUTSIDE", "../outside")
    (root / "linked").symlink_to(outside)
    (root / "linked.json").symlink_to(outside / "a.json")
    for name in ("inside.json", "..outside/a.json", "a..json"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("{}")
    (root / "a").mkdir()
    return outside


def _contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def _record(butler: Butler, refs: list[DatasetRef], path: str) -> None:
    """Give each dataset a record with that path."""
    records = butler._datastore.export_predicted_records(refs)
    for data in records.values():
        for ref in refs:
            tables = data.records[ref.id]
            tables[_TABLE] = [info.update(path=path, file_size=-1) for info in tables[_TABLE]]
    butler._datastore.import_records(records)


def _attempt(run: Run, function: Callable[..., object], *args: object, **options: object) -> None:
    """Call a function, which may refuse."""
    with contextlib.suppress(Exception):
        run(function, *args, **options)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("several", [False, True], ids=["one", "several"])
@pytest.mark.parametrize("path", [*_ABSOLUTE, *_LINKS, *_WITHIN])
@scenario
def test_prune(run: Run, path: str, several: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    outside = _prepare(run.repository, monkeypatch)
    before = _contents(outside)
    refs = run.refs("derived", 0, 1) if several else run.refs("derived", 0)
    butler = run.butler(outputs=refs)
    _record(butler, refs[:1], path.format(outside=outside))
    _attempt(run, butler.pruneDatasets, refs, **PURGE)
    after = _contents(outside)
    run.note("outside", after)
    # Links in the datastore belong to whoever owns that.
    assert before.keys() - after.keys() == ({"a.json"} if path == "linked/a.json" else set())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("several", [False, True], ids=["one", "several"])
@pytest.mark.parametrize("path", _UP)
def test_prune_upwards(
    butler_class: type[Butler],
    stock_class: type[Butler],
    new_repository: NewRepository,
    path: str,
    several: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    repository = new_repository()
    outside = _prepare(repository, monkeypatch)
    before = _contents(outside)
    refs = list(repository.predicted["derived"])[: 1 + several]
    with repository.butler(butler_class, outputs=refs) as butler:
        _record(butler, refs[:1], path)
        butler.pruneDatasets(refs, **PURGE)
        # The dataset goes, whatever becomes of the file.
        assert butler._datastore.knows_these(refs) == dict.fromkeys(refs, False)
        assert butler._datastore.emptyTrash() == set()
    removed = before.keys() - _contents(outside).keys()
    if butler_class is stock_class or not native_enabled():
        assert removed == {"a.zip" if "#" in path else "a.json"}
    else:
        assert removed == set()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("preserve_path", [True, False])
@pytest.mark.parametrize("path", [*_UP, *_ABSOLUTE, *_LINKS, *_WITHIN])
@scenario
def test_retrieve(run: Run, path: str, preserve_path: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    outside = _prepare(run.repository, monkeypatch)
    before = _contents(outside)
    refs = run.refs("derived", 0)
    butler = run.butler(outputs=refs)
    _record(butler, refs, path.format(outside=outside))
    beside, target = run.folder / "beside", run.folder / "target"
    beside.mkdir()
    (beside / "a.json").write_text("mine")
    target.mkdir()
    (target / "linked.json").symlink_to(beside / "a.json")
    options = {"preserve_path": preserve_path, "overwrite": True}
    for transfer in ("auto", "copy", "hardlink", "symlink", "relsymlink", "direct", "move"):
        _attempt(run, butler.retrieve_artifacts, refs, str(target), transfer=transfer, **options)
    _attempt(run, butler.retrieve_artifacts_zip, refs, str(target))
    assert _contents(beside) == {"a.json": "mine"}
    assert _contents(outside) == before
    assert sorted(one.name for one in run.folder.iterdir()) == ["beside", "target"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", [*_UP, *_ABSOLUTE, *_LINKS, *_WITHIN])
@scenario
def test_everything_else(run: Run, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    outside = _prepare(run.repository, monkeypatch)
    before = _contents(outside)
    [ref, other] = run.refs("derived", 0, 1)
    butler = run.butler(outputs=[ref, other])
    _record(butler, [ref], path.format(outside=outside))
    _attempt(run, butler.stored, ref)
    _attempt(run, butler.stored_many, [ref, other])
    _attempt(run, butler.get, ref)
    _attempt(run, butler.get_many_uris, [ref, other], predict=True)
    _attempt(run, butler._datastore.get_file_info_for_transfer, [ref.id])
    _attempt(run, butler._datastore.export_records, [ref])
    # The place to write to is predicted, whatever records say.
    _attempt(run, butler.put, {"a": "new"}, ref)
    _attempt(run, butler.put, {"a": "new"}, other)
    assert _contents(outside) == before
