"""Files that are cut, changed, or lie about sizes are errors that name the file, never more."""

from __future__ import annotations

import json
import random
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pytest
import zstandard
from lsst.pipe.base.quantum_graph import ProvenanceQuantumGraphReader

from graph_zips import Change, changed, frame, unframe
from mixed_run import MixedRun
from quantum_butler import PredictedGraph, ProvenanceGraph, QuantumGraphError, UnknownNameError

# What a damaged file may lead to: it is an error, or what is damaged is not looked at.
REFUSED = (QuantumGraphError, OSError)


def read_all(path: Path, run: MixedRun) -> None:
    """Read everything in a provenance graph in each way."""
    graph = ProvenanceGraph(path)
    graph.to_arrow()
    for quantum_id in run.quanta.values():
        graph.quantum(quantum_id)
        graph.logs(quantum_id)
        graph.metadata(quantum_id)
    graph.find_quanta("one", detector=1)
    _ = (graph.init_quanta, graph.packages(), graph.headers)


def test_a_cut_file(plain_graph: Path, mixed_run: MixedRun, tmp_path: Path) -> None:
    data = plain_graph.read_bytes()
    path = tmp_path / "cut.qg"
    for size in range(0, len(data), len(data) // 50):
        path.write_bytes(data[:size])
        with pytest.raises(REFUSED, match=r"cut\.qg"):
            read_all(path, mixed_run)


@pytest.mark.parametrize("kind", ["provenance", "predicted"])
def test_changed_bytes(plain_graph: Path, mixed_run: MixedRun, tmp_path: Path, kind: str) -> None:
    source = plain_graph if kind == "provenance" else mixed_run.graph_file
    data = source.read_bytes()
    path = tmp_path / "changed.qg"
    chance = random.Random(14)
    refused = 0
    for _ in range(150):
        copy = bytearray(data)
        for _ in range(chance.choice((1, 1, 4, 50))):
            copy[chance.randrange(len(copy))] = chance.choice((0, 0x7F, 0xFF, chance.randrange(256)))
        path.write_bytes(copy)
        try:
            if kind == "provenance":
                read_all(path, mixed_run)
            else:
                graph = PredictedGraph(path)
                assert list(graph.quanta_tables()) and list(graph.datasets_tables())
                _ = (graph.edges, graph.init_quanta)
        except REFUSED:
            refused += 1
    assert refused > 50


def number(value: int) -> bytes:
    return value.to_bytes(8)


def header(**members: object) -> Change:
    """Return a change that makes another header."""
    return lambda _: frame(json.dumps({"graph_type": "provenance", **members}).encode())


LARGE = 2**63
NO_ID = b'[{"quantum_id": "x", "task_label": "y"}]'


@pytest.mark.parametrize(
    ("member", "change", "message"),
    [
        ("nodes.addr", lambda data: data[:1] + number(2**60) + data[9:], "not as many rows as it says"),
        ("nodes.addr", lambda data: data[:1] + number(LARGE) + data[9:], "not as many rows as it says"),
        ("nodes.addr", lambda data: data[:9] + number(5) + data[17:], "does not fit the header"),
        ("nodes.addr", lambda data: b"\x04" + data[1:], "does not fit the header"),
        ("nodes.addr", lambda _: b"", "points behind the end"),
        ("nodes.addr", None, r"no member nodes\.addr"),
        ("quanta.mb", lambda data: number(LARGE) + data[8:], "larger than any can be"),
        ("quanta.mb", lambda data: number(2**28) + data[8:], "goes on behind the end"),
        ("quanta.mb", lambda data: data[:8] + b"\0\0\0\0" + data[12:], "not a Zstandard frame"),
        ("quanta.mb", lambda data: data[:-1], "behind the end"),
        ("quanta.mb", None, r"no member quanta\.mb"),
        ("init_quanta.json.zst", lambda _: frame(b"[{"), "EOF while parsing"),
        ("init_quanta.json.zst", lambda _: frame(b"[" * 10000), "expected a UUID"),
        ("init_quanta.json.zst", lambda _: frame(NO_ID), '"x" is not a UUID'),
        ("header.json.zst", header(int_size=0), "integers of 0 bytes"),
        ("header.json.zst", header(int_size=-1), "the header"),
        ("header.json.zst", header(version=7), "format version 7"),
        ("header.json.zst", None, "no member header"),
        ("pipeline_graph.json.zst", lambda _: frame(b"{}"), "missing field"),
    ],
)
def test_a_lie(
    plain_graph: Path, mixed_run: MixedRun, tmp_path: Path, member: str, change: Change | None, message: str
) -> None:
    path = changed(plain_graph, tmp_path / "lie.qg", {member: change})
    with pytest.raises(QuantumGraphError, match=rf"lie\.qg: .*{message}"):
        read_all(path, mixed_run)


def lying_frame(size: int) -> bytes:
    """Return a frame of few bytes that says that it becomes so many."""
    # A header with a size of eight bytes and no window, then one block of a byte that is repeated.
    return (
        b"\x28\xb5\x2f\xfd"
        + b"\xe0"
        + size.to_bytes(8, "little")
        + (1 | 1 << 1 | 1000 << 3).to_bytes(3, "little")
        + b"x"
    )


@pytest.mark.parametrize("size", [2**40, 2**63, 2**20])
def test_a_frame_that_says_to_become_large(
    plain_graph: Path, mixed_run: MixedRun, tmp_path: Path, size: int
) -> None:
    path = changed(plain_graph, tmp_path / "bomb.qg", {"packages.json.zst": lambda _: lying_frame(size)})
    with pytest.raises(QuantumGraphError, match=r"bomb\.qg: packages\.json\.zst: .*"):
        ProvenanceGraph(path).packages()


def test_a_bomb(plain_graph: Path, tmp_path: Path) -> None:
    # Zeros become small: this says the truth, and is refused for what it says.
    data = zstandard.ZstdCompressor().compressobj(size=2**31)
    bomb = b"".join(data.compress(bytes(2**24)) for _ in range(2**7)) + data.flush()
    assert len(bomb) < 2**18
    path = changed(plain_graph, tmp_path / "bomb.qg", {"packages.json.zst": lambda _: bomb})
    with pytest.raises(QuantumGraphError, match=f"a frame of {len(bomb)} bytes says"):
        ProvenanceGraph(path).packages()


def test_members_that_are_compressed(plain_graph: Path, tmp_path: Path) -> None:
    path = tmp_path / "deflated.qg"
    with zipfile.ZipFile(plain_graph) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    with pytest.raises(QuantumGraphError, match=r"deflated\.qg: member .* is not stored as it is"):
        ProvenanceGraph(path)


def test_blocks_of_another_graph(plain_graph: Path, mixed_run: MixedRun, tmp_path: Path) -> None:
    def rename(data: bytes) -> bytes:
        pipeline = json.loads(unframe(data))
        pipeline["tasks"]["other"] = pipeline["tasks"].pop("one")
        return frame(json.dumps(pipeline).encode())

    path = changed(plain_graph, tmp_path / "other.qg", {"pipeline_graph.json.zst": rename})
    graph = ProvenanceGraph(path)
    with pytest.raises(QuantumGraphError, match='the pipeline does not have "one"'):
        graph.quantum(mixed_run.quanta["one", 0])
    with pytest.raises(QuantumGraphError, match='the pipeline has no task "one"'):
        graph.to_arrow()
    with pytest.raises(UnknownNameError):
        graph.find_quanta("one")


def test_a_file_that_changes(plain_graph: Path, mixed_run: MixedRun, tmp_path: Path) -> None:
    # Of many files each is opened again when something of it is read.
    paths = []
    for name in range(65):
        paths.append(tmp_path / f"{name}.qg")
        paths[-1].write_bytes(plain_graph.read_bytes())
    graph = ProvenanceGraph(*paths)
    assert graph.quantum(mixed_run.quanta["one", 0]) == ProvenanceGraph(plain_graph).quantum(
        mixed_run.quanta["one", 0]
    )
    with paths[7].open("ab") as file:
        file.write(b"more")
    with pytest.raises(QuantumGraphError, match=r"7\.qg: the file has changed since it was opened"):
        graph.quantum(mixed_run.quanta["one", 0])


class Sparse:
    """A file in which blocks of zeros become holes."""

    def __init__(self, path: Path):
        self._file = path.open("w+b")

    def write(self, data: Any) -> int:
        if len(data) > 2**16 and not any(data[:64]):
            self._file.seek(len(data), 1)
            self._file.truncate()
            return len(data)
        return self._file.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@pytest.mark.proof
def test_more_than_two_gibibytes(
    plain_graph: Path, mixed_run: MixedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    holes = 2**31 + 2**24
    path = tmp_path / "large.qg"
    sparse = Sparse(path)
    zeros = bytes(2**24)
    # Who reads part of a member has no use for its checksum, which takes long.
    monkeypatch.setattr(zipfile, "crc32", lambda data, crc=0: crc if data is zeros else zlib.crc32(data, crc))
    with zipfile.ZipFile(plain_graph) as source, zipfile.ZipFile(sparse, "w") as target:  # type: ignore[call-overload]
        for name in source.namelist():
            data = source.read(name)
            if name == "nodes.addr":
                data = _shifted(data, 3, holes)
            with target.open(zipfile.ZipInfo(name), "w", force_zip64=True) as member:
                if name == "metadata.mb":
                    for _ in range(holes // len(zeros)):
                        member.write(zeros)
                member.write(data)
    sparse.close()
    assert path.stat().st_size > 2**31 and path.stat().st_blocks * 512 < 2**25
    graph = ProvenanceGraph(path)
    small = ProvenanceGraph(plain_graph)
    for quantum_id in mixed_run.quanta.values():
        assert repr(graph.metadata(quantum_id)) == repr(small.metadata(quantum_id))
    # Upstream's reader takes its time to go so far.
    quantum_id = mixed_run.quanta["one", 1]
    with ProvenanceQuantumGraphReader.open(str(path)) as reader:
        ((expected, *_),) = reader.fetch_metadata([quantum_id]).values()
    assert graph.metadata(quantum_id)[0] == expected.model_dump()
    assert len(graph.to_arrow()["quanta"]) == len(mixed_run.quanta)


def _shifted(data: bytes, kind: int, by: int) -> bytes:
    """Return a table of addresses with one kind of them moved."""
    row = 88
    table = bytearray(data)
    for start in range(17, len(table), row):
        place = start + 24 + 16 * kind
        if int.from_bytes(table[place + 8 : place + 16]):
            table[place : place + 8] = number(int.from_bytes(table[place : place + 8]) + by)
    return bytes(table)
