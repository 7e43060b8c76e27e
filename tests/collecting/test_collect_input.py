"""Every kind of source, and every kind of input that cannot be read."""

from __future__ import annotations

import gzip
import json
import os
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydantic
import pytest
import yaml
from click.testing import CliRunner
from lsst.daf.butler import QuantumProvenanceData
from made_up import CLASS, assert_same, lines, provenance_of, quantum, record, tables, text, write_log

from quantum_butler import QuantumButlerError, _core, collect
from quantum_butler.cli.main import main
from quantum_butler.collecting import sources as sources_module


def quantum_ids(archive: Path) -> list[str]:
    return [str(one) for one in tables(archive)["quanta"]["quantum_id"].to_pylist()]


def ids_of(*numbers: int) -> list[str]:
    return [quantum(n)["quantum_id"] for n in numbers]


ENCODINGS: dict[str, Callable[[dict[str, Any]], bytes]] = {
    ".json": lambda one: json.dumps(one).encode(),
    ".json.zst": lambda one: _core.compress(json.dumps(one, indent=1).encode()),
    ".json.gz": lambda one: gzip.compress(json.dumps(one).encode()),
    ".yaml": lambda one: yaml.safe_dump(one, sort_keys=False).encode(),
    ".yml": lambda one: yaml.safe_dump(one, sort_keys=False).encode(),
}


def test_files_of_one_quantum_take_its_id_from_their_name(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    quanta = [quantum(n, task_label=None, data_id=None) for n in range(20)]
    for one, (ending, encode) in zip(quanta, list(ENCODINGS.items()) * 4, strict=True):
        (folder / f"{one['quantum_id']}{ending}").write_bytes(encode(provenance_of(one)))
    report = collect(folder, tmp_path / "archive")
    assert report.rejections == []
    write_log(tmp_path / "log.jsonl", sorted(quanta, key=lambda one: one["quantum_id"]))
    collect(tmp_path / "log.jsonl", tmp_path / "expected")
    assert_same(tmp_path / "archive", tmp_path / "expected")
    [entry] = json.loads((tmp_path / "archive" / "manifest.json").read_text())["sources"]
    size = sum(path.stat().st_size for path in folder.iterdir())
    assert entry == {"source": str(folder), "bytes": size, "quanta": 20, "rejected": 0}


def test_sources_of_all_kinds_are_taken_in_the_order_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_log(Path("z.jsonl"), [quantum(1)])
    write_log(Path("deep/b/c.jsonl.zst"), [quantum(2)])
    write_log(Path("deep/a.jsonl.gz"), [quantum(3)])
    write_log(Path("deep/.hidden.jsonl"), [quantum(99)])
    Path("deep/notes.txt").write_text("not provenance")
    Path(f"deep/{quantum(4)['quantum_id']}.json").write_bytes(text(provenance_of(quantum(4))))
    write_log(Path("many/1.jsonl"), [quantum(5)])
    write_log(Path("many/2.jsonl"), [quantum(6)])
    write_log(Path("with space.jsonl"), [quantum(7)])
    write_log(Path("odd[1].jsonl"), [quantum(8)])
    given = ["z.jsonl", "deep", "many/*.jsonl", (tmp_path / "with space.jsonl").as_uri(), "odd[1].jsonl"]
    # An archive within a source is not one.
    collect(given, "deep/archive")
    collect(given, "deep/archive", overwrite=True)
    assert quantum_ids(Path("deep/archive")) == ids_of(1, 4, 3, 2, 5, 6, 7, 8)
    manifest = json.loads(Path("deep/archive/manifest.json").read_text())
    assert [entry["source"] for entry in manifest["sources"]] == [
        "z.jsonl", "deep", "deep/a.jsonl.gz", "deep/b/c.jsonl.zst", "many/1.jsonl", "many/2.jsonl",
        str(tmp_path / "with space.jsonl"), "odd[1].jsonl",
    ]  # fmt: skip


def test_sources_elsewhere_are_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "packages" / "elsewhere_with_logs"
    write_log(package / "a.jsonl", [quantum(1), {"quantum_id": 1}])
    write_log(package / "b.jsonl.zst", [quantum(2), quantum(3)], at_once=1)
    (package / f"{quantum(4)['quantum_id']}.json").write_bytes(text(provenance_of(quantum(4))))
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(package.parent))
    root = "resource://elsewhere_with_logs/"
    names = ["b.jsonl.zst", "a.jsonl", f"{quantum(4)['quantum_id']}.json"]
    collect([root + name for name in names], tmp_path / "archive")
    assert quantum_ids(tmp_path / "archive") == ids_of(2, 3, 1, 4)
    [rejected] = lines(tmp_path / "archive" / "rejected.jsonl")
    assert (rejected["source"], rejected["offset"]) == (root + "a.jsonl", len(text(quantum(1))))
    sys.modules.pop("elsewhere_with_logs", None)
    with pytest.raises(FileNotFoundError, match=r"other\.jsonl: there is no such file"):
        collect(root + "other.jsonl", tmp_path / "archive", overwrite=True)


class _NoCredentialsError(Exception):
    """What no part of this package knows, as the errors of libraries of stores."""


@pytest.mark.parametrize("failing", ["exists", "size", "as_local", "findFileResources"])
def test_whatever_a_store_raises_names_the_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    from lsst.resources import ResourcePath
    from lsst.resources.packageresource import PackageResourcePath

    def fail(*arguments: object, **options: object) -> None:
        raise _NoCredentialsError("Unable to locate\ncredentials")

    package = tmp_path / "packages" / "store_without_credentials"
    write_log(package / "a.jsonl", [quantum(1)])
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(package.parent))
    is_folder = failing == "findFileResources"
    monkeypatch.setattr(ResourcePath if is_folder else PackageResourcePath, failing, fail)
    source = "resource://store_without_credentials/" + ("" if is_folder else "a.jsonl")
    done = CliRunner().invoke(main, ["collect", source, "-o", str(tmp_path / "archive")])
    assert done.exit_code == 1 and isinstance(done.exception, SystemExit)
    assert f"{source} cannot be read: Unable to locate credentials" in done.stderr
    if failing != "as_local":
        with pytest.raises(QuantumButlerError, match=source) as caught:
            collect(source, tmp_path / "other")
        assert isinstance(caught.value, OSError) and isinstance(caught.value.__cause__, _NoCredentialsError)
    sys.modules.pop("store_without_credentials", None)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ([], FileNotFoundError, "no source"),
        (["missing.jsonl"], FileNotFoundError, "missing.jsonl: there is no such file"),
        (["missing/*.jsonl"], FileNotFoundError, "nothing matches"),
        (["empty"], FileNotFoundError, "empty: there is no provenance"),
        (["there.txt"], ValueError, "there.txt: the name of a source ends with"),
    ],
)
def test_sources_that_are_none_are_told_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: list[str], error: type[Exception], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("there.txt").touch()
    with pytest.raises(error, match=message):
        collect(given, "archive")
    assert sorted(os.listdir()) == ["empty", "there.txt"]


SPELLINGS: list[Callable[[str], str]] = [
    lambda one: uuid.UUID(one).hex,
    lambda one: f"urn:uuid:{one}",
    lambda one: f"{{{one}}}",
    str.upper,
]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_ids_in_every_spelling_that_upstream_takes(tmp_path: Path, spelling: Callable[[str], str]) -> None:
    one = next(quantum(n) for n in range(99) if quantum(n)["actual_outputs"])
    roles = {name: [spelling(id) for id in ids] for name, ids in one.items() if isinstance(ids, list)}
    other = {**one, **roles, "quantum_id": spelling(one["quantum_id"]), "more": [{}]}
    assert QuantumProvenanceData.model_validate_json(text(provenance_of(other))).predicted_inputs == {
        uuid.UUID(id) for id in one["predicted_inputs"]
    }
    for name, quanta in (("ours", [other]), ("expected", [one])):
        collect(write_log(tmp_path / f"{name}.jsonl", quanta), tmp_path / name)
    assert_same(tmp_path / "ours", tmp_path / "expected")


def with_records(changes: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    one = quantum(1)
    row = record()
    records = {CLASS: {uuid.UUID(int=5).hex: {"file_datastore_records": [row]}}}
    changes(row)
    return {**one, "datastore_records": {"d": {"dataset_ids": [], "records": records}}}


NOT_READ: dict[str, tuple[bytes, str]] = {
    "nothing of JSON": (b"hello", "not JSON"),
    "zeros": (b"\0" * 100, "not JSON"),
    "an array": (b"[]", "not an object"),
    "not UTF-8": (text(quantum(1)).strip()[:-1] + b'"\xff"}', "not UTF-8 from byte"),
    "cut short": (text(quantum(1))[:-20], "not JSON: EOF"),
    "too deep": (b'{"a":' * 10_000, "recursion limit"),
    "no id": (text({**quantum(1), "quantum_id": None}).strip(), "quantum_id: not a UUID but null"),
    "no such id": (text({**quantum(1), "quantum_id": "7"}).strip(), 'quantum_id: not a UUID but "7"'),
    "id missing": (text(provenance_of(quantum(1))).strip(), "quantum_id is missing"),
    "a role missing": (
        text({k: v for k, v in quantum(1).items() if k != "actual_inputs"}).strip(),
        "actual_inputs is missing",
    ),
    "no dataset": (text(quantum(1, actual_inputs=["x"])).strip(), "actual_inputs[0]: not a UUID"),
    "other data ID": (text(quantum(1, data_id={"a": [1]})).strip(), "data_id.a: not a text"),
    "no text": (text(with_records(lambda row: row.update(path=7))).strip(), ".path: not a text but 7"),
    "no number": (text(with_records(lambda row: row.update(file_size=1.5))).strip(), "not a whole number"),
    "other columns": (text(with_records(lambda row: row.update(more=1))).strip(), 'no column "more"'),
    "column missing": (text(with_records(lambda row: row.pop("path"))).strip(), "path is missing"),
    "other class": (
        text(with_records(lambda row: None)).strip().replace(CLASS.encode(), b"a.B"),
        "no file record but one of another class",
    ),
    "no dataset's key": (
        text(with_records(lambda row: None)).strip().replace(uuid.UUID(int=5).hex.encode(), b"5"),
        "the key is not the id of a dataset",
    ),
}


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.zst", ".jsonl.gz"])
@pytest.mark.parametrize("kind", NOT_READ)
def test_what_cannot_be_read_is_told_and_stops_nothing(tmp_path: Path, kind: str, ending: str) -> None:
    bad, reason = NOT_READ[kind]
    before, after = b"".join(text(quantum(n)) for n in (11, 12)), text(quantum(13))
    content = before + bad + b"\n" + after
    compress = {".jsonl": bytes, ".jsonl.zst": _core.compress, ".jsonl.gz": gzip.compress}[ending]
    log = tmp_path / f"log{ending}"
    log.write_bytes(compress(content))
    report = collect(log, tmp_path / "archive")
    assert quantum_ids(tmp_path / "archive") == ids_of(11, 12, 13)
    [rejected] = lines(tmp_path / "archive" / "rejected.jsonl")
    assert (rejected["source"], rejected["offset"]) == (str(log), len(before))
    assert reason in rejected["reason"]
    assert content[rejected["offset"] :].startswith(bad)
    assert (report.rejected, report.rejections) == (1, [rejected])
    # Upstream's model takes none of them either, but for what it does not look at.
    if kind not in ("id missing", "no id", "no such id", "other data ID", "other columns", "column missing",
                    "other class", "no dataset's key", "zeros", "nothing of JSON"):  # fmt: skip
        with pytest.raises(ValueError):
            QuantumProvenanceData.model_validate_json(bad) if kind != "no text" else _raise_unless_text(bad)


def _raise_unless_text(bad: bytes) -> None:
    """The model allows numbers in any column; a record of a file does not."""
    model = QuantumProvenanceData.model_validate_json(bad)
    [[[row]]] = [list(rows.values()) for rows in model.datastore_records["d"].records[CLASS].values()]
    pydantic.TypeAdapter(str).validate_python(row["path"])


def test_a_torn_end_is_the_only_loss(tmp_path: Path) -> None:
    whole = b"".join(text(quantum(n)) for n in range(3))
    for ending, cut in ((".jsonl", whole[:-9]), (".jsonl.gz", gzip.compress(whole)[:-30])):
        log = tmp_path / f"log{ending}"
        log.write_bytes(cut)
        collect(log, tmp_path / "archive", overwrite=True)
        assert quantum_ids(tmp_path / "archive") in (ids_of(0, 1), ids_of(0, 1, 2))
        [rejected] = lines(tmp_path / "archive" / "rejected.jsonl")
        assert "ends within" in rejected["reason"]
    log = tmp_path / "whole.jsonl"
    log.write_bytes(whole[:-1])
    assert collect(log, tmp_path / "archive", overwrite=True).rejected == 0
    assert quantum_ids(tmp_path / "archive") == ids_of(0, 1, 2)


def test_offsets_are_those_of_the_whole_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In whatever pieces it is read."""
    monkeypatch.setattr(sources_module, "_LINES_PIECE", 2000)
    monkeypatch.setattr(sources_module, "_FRAMES_PIECE", 500)
    entries = [b"bad %d\n" % n if n % 7 == 3 else text(quantum(n)) for n in range(100)]
    starts = [sum(map(len, entries[:n])) for n in range(100)]
    (tmp_path / "log.jsonl").write_bytes(b"".join(entries))
    frames = [_core.compress(b"".join(entries[n : n + 4])) for n in range(0, 100, 4)]
    (tmp_path / "log.jsonl.zst").write_bytes(b"".join(frames))
    for name in ("log.jsonl", "log.jsonl.zst"):
        collect(tmp_path / name, tmp_path / "archive", overwrite=True)
        rejected = lines(tmp_path / "archive" / "rejected.jsonl")
        assert [one["offset"] for one in rejected] == [starts[n] for n in range(100) if n % 7 == 3]
        assert quantum_ids(tmp_path / "archive") == ids_of(*(n for n in range(100) if n % 7 != 3))


def test_of_a_corrupt_frame_nothing_is_taken_and_all_others_are(tmp_path: Path) -> None:
    frames = [_core.compress(text(quantum(n)) * 1) for n in range(3)]
    broken = bytearray(frames[1])
    broken[len(broken) // 2] ^= 0xFF
    log = tmp_path / "log.jsonl.zst"
    log.write_bytes(frames[0] + broken + frames[2])
    collect(log, tmp_path / "archive")
    assert quantum_ids(tmp_path / "archive") == ids_of(0, 2)
    [rejected] = lines(tmp_path / "archive" / "rejected.jsonl")
    assert rejected["offset"] == len(text(quantum(0)))
    assert f"frame at byte {len(frames[0])} of the file is corrupt" in rejected["reason"]
    log.write_bytes(frames[0] + frames[1] + b"rubbish")
    collect(log, tmp_path / "archive", overwrite=True)
    assert quantum_ids(tmp_path / "archive") == ids_of(0, 1)
    [rejected] = lines(tmp_path / "archive" / "rejected.jsonl")
    assert "no Zstandard frame" in rejected["reason"]


BAD_FILES: dict[str, tuple[bytes, str]] = {
    "notes.json": (text(provenance_of(quantum(1))), "neither the content nor the file's name"),
    "00000000-0000-0000-0000-000000000001.json": (b"{", "not JSON: EOF"),
    "00000000-0000-0000-0000-000000000002.json.zst": (b"{}", "cannot be read"),
    "00000000-0000-0000-0000-000000000003.json.gz": (b"{}", "Not a gzipped file"),
    "00000000-0000-0000-0000-000000000004.yaml": (b"a: [", "not YAML"),
    "00000000-0000-0000-0000-000000000005.yaml": (b"a: 2026-01-01", "not JSON: a value of type date"),
    "00000000-0000-0000-0000-000000000006.yml": (b"a: &a [*a]", "cannot be read"),
    "00000000-0000-0000-0000-000000000007.json": (b"", "not JSON: EOF"),
}


def test_files_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    good = folder / f"{quantum(5)['quantum_id']}.json"
    good.write_bytes(text(provenance_of(quantum(5))))
    for name, (data, _) in BAD_FILES.items():
        (folder / name).write_bytes(data)
    (folder / "00000000-0000-0000-0000-000000000008.json").symlink_to("nowhere")
    (folder / "dangling.jsonl").symlink_to("nowhere")
    collect(folder, tmp_path / "archive")
    assert quantum_ids(tmp_path / "archive") == ids_of(5)
    rejected = {Path(one["source"]).name: one for one in lines(tmp_path / "archive" / "rejected.jsonl")}
    reasons = {
        **{name: reason for name, (_, reason) in BAD_FILES.items()},
        "00000000-0000-0000-0000-000000000008.json": "No such file",
        "dangling.jsonl": "No such file",
    }
    assert set(rejected) == set(reasons)
    for name, reason in reasons.items():
        assert reason in rejected[name]["reason"], name
        assert rejected[name]["offset"] == 0
        assert rejected[name]["source"] == str(folder / name)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is no folder where nobody can write")
def test_where_nothing_can_be_written_the_output_is_named(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_bytes(text(quantum(1)))
    with pytest.raises(OSError, match="'/proc/archive'") as caught:
        collect(tmp_path / "log.jsonl", "/proc/archive")
    assert ".partial" not in str(caught.value)
