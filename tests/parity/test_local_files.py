"""Files as a file system has them: links, permissions, odd names and contents."""

from __future__ import annotations

import collections
import enum
import functools
import os
from typing import Any

import pytest
from lsst.daf.butler import DatasetRef
from scenarios import Run, scenario

import failing_formatters
from repositories import dataset_id


class _Colour(enum.Enum):
    RED = "red"


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
@scenario
def test_permissions_follow_the_mask(run: Run, mask: int) -> None:
    # The journals compare permissions after every step.
    outputs = [run.ref("derived"), run.ref("fragile_out"), run.ref("fragile_v1_out")]
    butler = run.butler(outputs=outputs)
    before = os.umask(mask)
    try:
        for ref in outputs:
            run(butler.put, {"a": 1}, ref)
    finally:
        os.umask(before)


@scenario
def test_links_are_followed_for_reading(run: Run) -> None:
    ref, broken, recorded = run.refs("measured", 0, 1, 2)
    for number, dataset in enumerate((ref, broken, recorded)):
        (path,) = run.repository.paths(dataset)
        target = run.folder / f"target{number}.json"
        target.write_bytes(path.read_bytes())
        path.unlink()
        path.symlink_to(target)
    (run.folder / "target1.json").unlink()
    butler = run.butler(inputs=[ref, broken, recorded], recorded=[recorded])
    assert run(butler.stored_many, [ref, broken, recorded]) == {ref: True, broken: False, recorded: True}
    assert run(butler.get, ref) == run.value(ref)
    assert run(butler.get, recorded) == run.value(recorded)
    assert type(run.error(butler.get, broken)) is FileNotFoundError
    run(butler.pruneDatasets, [ref, recorded], disassociate=True, unstore=True, purge=True)
    # The link goes, not what it points to.
    assert sorted(path.name for path in run.folder.iterdir()) == ["target0.json", "target2.json"]


@pytest.mark.parametrize("kind", ["symbolic", "broken", "hard"])
@scenario
def test_link_in_place_of_an_output(run: Run, kind: str) -> None:
    ref = run.ref("derived")
    path = run.repository.root / "observed/night1/derived/derived_Cam_D0_observed_night1.json"
    path.parent.mkdir()
    precious = run.folder / "precious.json"
    precious.write_text("precious")
    if kind == "hard":
        path.hardlink_to(precious)
    else:
        path.symlink_to(precious if kind == "symbolic" else run.folder / "nowhere.json")
    butler = run.butler(outputs=[ref])
    run(butler.put, {"a": 1}, ref)
    run.note("precious", precious.read_text())
    run.note("a link still", path.is_symlink())
    run.note("nowhere", (run.folder / "nowhere.json").exists())
    assert run(butler.get, ref) == {"a": 1}


@scenario
def test_folder_that_is_a_link(run: Run) -> None:
    ref = run.ref("derived")
    (run.repository.root / "observed/night1/derived").symlink_to(run.folder)
    butler = run.butler(outputs=[ref])
    run(butler.put, {"a": 1}, ref)
    assert [path.name for path in run.folder.iterdir()] == ["derived_Cam_D0_observed_night1.json"]
    assert run(butler.get, ref) == {"a": 1}
    run(butler.pruneDatasets, [ref], disassociate=True, unstore=True, purge=True)
    assert not any(run.folder.iterdir())


@scenario
def test_root_that_is_a_link(run: Run) -> None:
    ref, output = run.ref("measured"), run.ref("derived")
    link = run.folder / "link"
    link.symlink_to(run.repository.root)
    arguments = (str(link), [ref.id], [output.id], run.repository.universe, run.repository.records_of([ref]))
    butler = run(run.butler_class.from_predicted, *arguments)
    run.watch(butler)
    assert run(butler.get, ref) == run.value(ref)
    run(butler.put, {"a": 1}, output)
    assert run(butler.stored_many, [ref, output]) == {ref: True, output: True}
    run(butler.getURI, output)


@pytest.mark.parametrize(
    "name",
    ["u/some one/run", "100%", "ümläut", "a#b", "a?b=c", "plus+and&", "dots..", "a/../b", "%20", "tilde~"],
)
@scenario
def test_names_of_runs(run: Run, name: str) -> None:
    # They become folders and parts of file names.
    refs = [
        DatasetRef(ref.datasetType, ref.dataId, name, id=dataset_id(name, number))
        for number, ref in enumerate(run.refs("derived", 0, 1))
    ]
    butler = run.butler(outputs=refs)
    for attempt in (
        lambda: butler.put({"a": 1}, refs[0]),
        lambda: butler.stored(refs[0]),
        lambda: butler.stored_many(refs),
        lambda: butler.get(refs[0]),
        lambda: butler.getURI(refs[0]),
        lambda: butler.getURI(refs[1], predict=True),
        lambda: butler.export_predicted_datastore_records(refs),
    ):
        try:
            run(attempt)
        except Exception as error:
            run.note("refused", type(error).__name__)
    # A butler that only predicts finds the same.
    other = run.butler(inputs=refs)
    for attempt in (lambda: other.stored_many(refs), lambda: other.get(refs[0])):
        try:
            run(attempt)
        except Exception as error:
            run.note("refused", type(error).__name__)


@pytest.mark.parametrize(
    "dataset",
    [
        {},
        {"nested": {"list": [1, [2, [3]]], "none": None, "true": True}},
        {"text": 'ü ☃ \U0001f600 \x00 \u2028 " \\'},
        {"big": 2**100, "negative": -(2**63), "float": 1e300, "small": 5e-324, "minus": -0.0},
        {"nan": float("nan"), "inf": float("inf")},
        {2: "integer", None: "none", False: "false", 1.5: "float"},
        {"tuple": (1, 2)},
        {"surrogate": "\ud800"},
        {"set": {1}},
        {"bytes": b"x"},
        {"enum": _Colour.RED},
        {(1, 2): "tuple"},
        collections.OrderedDict(b=1, a=2),
        collections.defaultdict(list, a=[1]),
        collections.Counter("aab"),
        {"deep": functools.reduce(lambda inner, _: [inner], range(90), [])},
        {"long": "x" * 300_000},
    ],
    ids=lambda dataset: str(dataset)[:30].encode("ascii", "replace").decode(),
)
@scenario
def test_contents_of_an_output(run: Run, dataset: dict[Any, Any]) -> None:
    ref = run.ref("derived")
    butler = run.butler(outputs=[ref])
    for attempt in (
        lambda: butler.put(dataset, ref),
        lambda: repr(butler.get(ref)),
        lambda: butler.stored(ref),
    ):
        try:
            run(attempt)
        except Exception as error:
            run.note("refused", type(error).__name__)


@pytest.mark.parametrize(
    "contents",
    [
        b"",
        b" ",
        b"{}",
        b'{"a": 1} ',
        b'{"a": 1} x',
        b'{"a": NaN, "b": Infinity, "c": -Infinity}',
        b'{"a": 1, "a": 2}',
        b'{"a": 1e400}',
        b'{"a": 123456789012345678901234567890}',
        b'{"a": "\\ud800"}',
        b'{"a": "\xe9"}',
        b'\xef\xbb\xbf{"a": 1}',
        b"[1, 2]",
        b"null",
        b"3",
        b'"text"',
        b'{"a": 1',
        b"{'a': 1}",
        b'{"a": ' + b"[" * 300 + b"]" * 300 + b"}",
        b"\x00",
    ],
    ids=lambda contents: str(contents)[2:30],
)
@scenario
def test_contents_of_an_input(run: Run, contents: bytes) -> None:
    ref = run.ref("measured")
    run.repository.paths(ref)[0].write_bytes(contents)
    butler = run.butler(inputs=[ref], recorded=[])
    assert run(butler.stored, ref) is True
    try:
        run(lambda: repr(butler.get(ref)))
    except Exception as error:
        run.note("refused", type(error).__name__)


@scenario
def test_formatter_is_asked_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    for name in ("_read", "_write"):
        original = getattr(failing_formatters, name)

        def counting(*args: Any, name: str = name, original: Any = original) -> Any:
            calls.append(name)
            return original(*args)

        monkeypatch.setattr(failing_formatters, name, counting)
    refs = [run.ref("fragile_out"), run.ref("fragile_v1_out"), run.ref("fragile_direct_out")]
    butler = run.butler(outputs=refs)
    for ref in refs:
        run.error(butler.put, {"fail_write": "OSError"}, ref)
        run(butler.put, {"fail_read": "KeyError"}, ref)
        run.error(butler.get, ref)
        run(butler.pruneDatasets, [ref], disassociate=True, unstore=True, purge=True)
        run(butler.put, {"a": 1}, ref)
        run(butler.get, ref)
    monkeypatch.undo()
    run.note("calls", list(calls))
    assert calls == ["_write", "_write", "_read", "_write", "_read"] * 3


@scenario
def test_file_that_may_not_be_read(run: Run) -> None:
    if os.geteuid() == 0:
        run.note("root may read everything", None)
        return
    ref = run.ref("measured")
    run.repository.paths(ref)[0].chmod(0)
    butler = run.butler(inputs=[ref])
    run(butler.stored, ref)
    run.error(butler.get, ref)
    run.repository.paths(ref)[0].chmod(0o600)


@scenario
def test_folder_that_cannot_be_written(run: Run) -> None:
    # Also for the superuser: a file is where the folder should be.
    ref = run.ref("derived")
    (run.repository.root / "observed/night1/derived").write_text("")
    butler = run.butler(outputs=[ref])
    run.error(butler.put, {}, ref)
    run.error(butler.get, ref)
    assert run(butler.stored, ref) is False
    assert run(butler.stored_many, [ref]) == {ref: False}
    run(butler.pruneDatasets, [ref], disassociate=True, unstore=True, purge=True)
