"""The local file cache, switched on by configuration and environment."""

from __future__ import annotations

from pathlib import Path

import pytest
from lsst.daf.butler import DatasetRef
from scenarios import Butler, Run, scenario


def _cached(run: Run, ref: DatasetRef, contents: bytes, component: str = "", extension: str = "json") -> Path:
    # As if a remote file had been kept.
    name = f"{ref.id}_{component}" if component else str(ref.id)
    path = run.folder / f"{name}.{extension}"
    path.write_bytes(contents)
    return path


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Give the scenario the means to say where the cache is."""
    return monkeypatch


def _scan(butler: Butler) -> None:
    # As happens when something is moved into the cache.
    butler._datastore.cacheManager.scan_cache()  # type: ignore[attr-defined]


@scenario("cached")
def test_cache_stands_in_for_the_file(run: Run, cache: pytest.MonkeyPatch) -> None:
    cache.setenv("DAF_BUTLER_CACHE_DIRECTORY", str(run.folder))
    ref, other = run.refs("measured", 0, 1)
    contents = run.repository.paths(ref)[0].read_bytes()
    cached = _cached(run, ref, contents)
    run.remove(ref)
    butler = run.butler(inputs=[ref, other])
    # Reading finds it; existence is a question to those known to be cached.
    assert run(butler.get, ref) == run.value(ref)
    assert run(butler.stored, ref) is False
    _scan(butler)
    assert run(butler.stored, ref) is True
    assert run(butler.stored_many, [ref, other]) == {ref: True, other: True}
    assert run(butler._datastore.exists, ref) is True
    cached.unlink()
    run(butler.stored, ref)
    run.error(butler.get, ref)


@pytest.mark.parametrize("name", ["grouped", "zipped"])
@scenario("cached")
def test_one_of_several_datasets_in_a_file_is_cached(run: Run, cache: pytest.MonkeyPatch, name: str) -> None:
    # Upstream answers for one of them, and looks for the others where they would be alone.
    cache.setenv("DAF_BUTLER_CACHE_DIRECTORY", str(run.folder))
    refs, other = run.refs(name), run.ref("measured")
    path = run.repository.paths(refs[0])[0]
    _cached(run, refs[0], b"{}", extension=path.name.partition("#")[0].rpartition(".")[2])
    butler = run.butler(inputs=[*refs, other])
    _scan(butler)
    for asked in ([*refs, other], [other, *reversed(refs)], refs[:1], refs[1:], [refs[0], other]):
        assert any(run(butler.stored_many, asked).values())


@scenario("cached")
def test_cache_is_read_before_the_file(run: Run, cache: pytest.MonkeyPatch) -> None:
    cache.setenv("DAF_BUTLER_CACHE_DIRECTORY", str(run.folder))
    ref = run.ref("measured")
    contents = run.repository.paths(ref)[0].read_bytes()
    _cached(run, ref, contents.replace(b'"number"', b'"NUMBER"'))
    butler = run.butler(inputs=[ref])
    assert run(butler.stored, ref) is True
    assert set(run(butler.get, ref)) == {"type", "NUMBER"}


@scenario("cached")
def test_cached_file_of_a_wrong_size(run: Run, cache: pytest.MonkeyPatch) -> None:
    cache.setenv("DAF_BUTLER_CACHE_DIRECTORY", str(run.folder))
    ref = run.ref("measured")
    _cached(run, ref, b"{}")
    butler = run.butler(inputs=[ref])
    run(butler.stored, ref)
    run.error(butler.get, ref)


@pytest.mark.parametrize("recorded", [True, False], ids=["recorded", "not-recorded"])
@scenario("cached")
def test_cached_component(run: Run, cache: pytest.MonkeyPatch, recorded: bool) -> None:
    cache.setenv("DAF_BUTLER_CACHE_DIRECTORY", str(run.folder))
    ref = run.ref("parts")
    (data,) = (path for path in run.repository.paths(ref) if ".data/" in path.as_posix())
    _cached(run, ref, data.read_bytes(), "data", "yaml")
    data.unlink()
    butler = run.butler(inputs=[ref], recorded=[ref] if recorded else [])
    run(butler.stored, ref)
    _scan(butler)
    run(butler.stored, ref)
    run(butler.stored_many, [ref])
    run(butler._datastore.exists, ref)
    run(butler._datastore.exists, ref.makeComponentRef("data"))
    run(butler.stored, ref.makeComponentRef("summary"))
    for seen in (ref, ref.makeComponentRef("data"), ref.makeComponentRef("summary")):
        try:
            run(butler.get, seen)
        except Exception as error:
            run.note("refused", type(error).__name__)


@scenario("cached")
def test_prune_empties_the_cache_too(run: Run, cache: pytest.MonkeyPatch) -> None:
    cache.setenv("DAF_BUTLER_CACHE_DIRECTORY", str(run.folder))
    ref, other = run.refs("measured", 0, 1)
    contents = run.repository.paths(ref)[0].read_bytes()
    kept = [_cached(run, dataset, contents) for dataset in (ref, other)]
    butler = run.butler(inputs=[ref, other])
    _scan(butler)
    run(butler.pruneDatasets, [ref], disassociate=True, unstore=True, purge=True)
    assert [path.exists() for path in kept] == [False, True]
    assert run(butler.stored_many, [ref, other]) == {ref: False, other: True}


@scenario("cached")
def test_outputs_on_local_disk_are_not_cached(run: Run, cache: pytest.MonkeyPatch) -> None:
    cache.setenv("DAF_BUTLER_CACHE_DIRECTORY", str(run.folder))
    ref, measured = run.ref("derived"), run.ref("measured")
    butler = run.butler(inputs=[measured], outputs=[ref])
    run(butler.put, {"a": 1}, ref)
    run(butler.get, ref)
    run(butler.get, measured)
    run.note("in the cache", sorted(path.name for path in run.folder.rglob("*.*")))


@pytest.mark.parametrize("mode", ["disabled", "files=1", "datasets=2", "nonsense"])
@scenario("cached")
def test_expiration_from_the_environment(run: Run, cache: pytest.MonkeyPatch, mode: str) -> None:
    cache.setenv("DAF_BUTLER_CACHE_DIRECTORY", str(run.folder))
    cache.setenv("DAF_BUTLER_CACHE_EXPIRATION_MODE", mode)
    ref = run.ref("measured")
    contents = run.repository.paths(ref)[0].read_bytes()
    _cached(run, ref, contents)
    run.remove(ref)
    butler = run.butler(inputs=[ref])
    _scan(butler)
    assert run(butler._datastore.exists, ref) is (mode != "disabled")
    assert run(butler.stored, ref) is (mode != "disabled")
    if mode == "disabled":
        run.error(butler.get, ref)
    else:
        assert run(butler.get, ref) == run.value(ref)


@pytest.mark.parametrize("mode", ["unknown=3", "files=some"])
@scenario("cached")
def test_bad_expiration(run: Run, cache: pytest.MonkeyPatch, mode: str) -> None:
    cache.setenv("DAF_BUTLER_CACHE_EXPIRATION_MODE", mode)
    assert type(run.error(run.repository.butler, run.butler_class)) is ValueError


@scenario("cached")
def test_environment_that_changes_between_butlers(run: Run, cache: pytest.MonkeyPatch) -> None:
    # Nothing of the first environment may be left in the second butler.
    ref = run.ref("measured")
    _cached(run, ref, run.repository.paths(ref)[0].read_bytes())
    run.remove(ref)
    answers = []
    for folder in (None, run.folder, run.folder / "empty", run.folder, None):
        if folder is None:
            cache.delenv("DAF_BUTLER_CACHE_DIRECTORY", raising=False)
        else:
            cache.setenv("DAF_BUTLER_CACHE_DIRECTORY", str(folder))
        butler = run.butler(inputs=[ref])
        try:
            run(butler.get, ref)
        except FileNotFoundError:
            answers.append(False)
        else:
            answers.append(True)
    assert answers == [False, True, False, True, False]


@scenario
def test_fallback_directory(run: Run, cache: pytest.MonkeyPatch) -> None:
    cache.setenv("DAF_BUTLER_CACHE_DIRECTORY_IF_UNSET", str(run.folder))
    ref = run.ref("measured")
    _cached(run, ref, run.repository.paths(ref)[0].read_bytes())
    run.remove(ref)
    butler = run.butler(inputs=[ref])
    run(butler.stored, ref)
