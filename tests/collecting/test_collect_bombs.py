"""Input that is small where it is stored and large when it is read: rejected, in bounded memory."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_up import lines, provenance_of, quantum, text, write_log

from quantum_butler import _core, collect
from quantum_butler.collecting import pieces

LARGE = 300 << 20
# What a process had before it became this program, its parent's, is not for `VmHWM`; for `ru_maxrss` it is.
PEAK = """
import sys
from quantum_butler import collect
collect(sys.argv[1], sys.argv[2])
[peak] = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(int(peak) >> 10)
"""


def pumped(path: Path, block: bytes, before: bytes = b"", after: bytes = b"") -> None:
    """Write one block again and again."""
    if path.name.endswith(".zst"):
        with pa.CompressedOutputStream(str(path), "zstd") as stream:
            stream.write(before)
            for _ in range(LARGE // len(block)):
                stream.write(block)
            stream.write(after)
    else:
        members = gzip.compress(block, 1) * (LARGE // len(block))
        path.write_bytes(gzip.compress(before) + members + gzip.compress(after))


@pytest.mark.proof
@pytest.mark.parametrize("ending", [".jsonl.zst", ".jsonl.gz"])
def test_a_line_that_is_a_bomb(tmp_path: Path, ending: str) -> None:
    log = tmp_path / f"log{ending}"
    good = text(quantum(1)), b"\n" + text(quantum(2))
    pumped(log, b'{"a":"' + bytes(1 << 20), *good)
    assert log.stat().st_size < 3 << 20
    assert peak(log, tmp_path / "archive") < 800
    [rejected] = lines(tmp_path / "archive" / "rejected.jsonl")
    assert (rejected["offset"], rejected["reason"]) == (len(good[0]), "longer than 256 MiB")
    found = pq.read_table(tmp_path / "archive" / "quanta.parquet")["quantum_id"].to_pylist()
    assert [str(one) for one in found] == [quantum(n)["quantum_id"] for n in (1, 2)]


@pytest.mark.proof
@pytest.mark.parametrize("ending", [".json.zst", ".json.gz", ".json"])
def test_a_file_that_is_a_bomb(tmp_path: Path, ending: str) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    bomb = folder / f"{quantum(1)['quantum_id']}{ending}"
    if ending == ".json":
        with bomb.open("wb") as file:
            file.truncate(LARGE)
    else:
        pumped(bomb, b"[" * (1 << 20))
    (folder / f"{quantum(2)['quantum_id']}.json").write_bytes(text(provenance_of(quantum(2))))
    assert peak(folder, tmp_path / "archive") < 800
    [rejected] = lines(tmp_path / "archive" / "rejected.jsonl")
    assert (rejected["source"], rejected["reason"]) == (str(bomb), "longer than 256 MiB")


@pytest.mark.parametrize(
    "line",
    [b'{"a":[' + b"0," * (8 << 20) + b"0]}", b"[" + b"{}," * (8 << 20) + b"{}]", b'{"a":' * (4 << 20)],
    ids=["numbers", "objects", "deep"],
)
def test_values_that_take_more_memory_than_their_text(tmp_path: Path, line: bytes) -> None:
    log = tmp_path / "log.jsonl.zst"
    log.write_bytes(_core.compress(line + b"\n" + text(quantum(2))))
    assert peak(log, tmp_path / "archive") < 500
    [rejected] = lines(tmp_path / "archive" / "rejected.jsonl")
    assert rejected["offset"] == 0
    assert "values" in rejected["reason"] or "recursion" in rejected["reason"]


def peak(source: Path, archive: Path) -> int:
    """Collect, and return the peak of memory in MiB."""
    command = [sys.executable, "-c", PEAK, str(source), str(archive)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


# Reasons, as regular expressions.
NOT_YAML: dict[str, Callable[[], bytes]] = {
    # PyYAML 6.0.4 and later stop themselves, before they hand the first level on.
    r"nested deeper than 100 levels|not YAML: .* nesting depth": lambda: b"[" * 1_000_000,
    "nested deeper than": lambda: b"- " * 200_000,
    "more than 1048576 values": lambda: (
        b"a: &a [x,x,x,x,x,x,x,x]\n"
        + b"".join(b"%c: &%c [%s]\n" % (c, c, b",".join([b"*%c" % (c - 1)] * 8)) for c in range(98, 110))
    ),
    "more than 1048576": lambda: (
        b"a: &a {x: 1}\n"
        + b"".join(
            b"%c: &%c {<<: [%s]}\n" % (c, c, b",".join([b"*%c" % (c - 1)] * 8)) for c in range(98, 110)
        )
    ),
    "longer than 64 MiB": lambda: b"a" * ((1 << 26) + 1),
    "not YAML: could not determine a constructor": lambda: b"!!python/object/apply:os.getcwd []",
}


@pytest.mark.parametrize("reason", NOT_YAML)
def test_yaml_that_would_take_the_process_with_it(tmp_path: Path, reason: str) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / f"{quantum(1)['quantum_id']}.yaml").write_bytes(NOT_YAML[reason]())
    (folder / f"{quantum(2)['quantum_id']}.yaml").write_bytes(json.dumps(provenance_of(quantum(2))).encode())
    collect(folder, tmp_path / "archive")
    [rejected] = lines(tmp_path / "archive" / "rejected.jsonl")
    assert re.match(f"the file cannot be read: (?:{reason})", rejected["reason"])


def test_aliases_and_depth_that_are_harmless() -> None:
    data = b"a: &a [1, 2]\nb: *a\nc: " + b"[" * 50 + b"]" * 50
    assert json.loads(pieces._json_of_yaml(data))["b"] == [1, 2]


@pytest.mark.proof
@pytest.mark.parametrize("ending", [".jsonl.zst", ".jsonl.gz", ".jsonl"])
def test_endless_rejections_end(tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "_MOST_REJECTED", 10_000)
    log = tmp_path / f"log{ending}"
    block = b"x\n" * 50_000
    compress = {".jsonl.zst": _core.compress, ".jsonl.gz": gzip.compress, ".jsonl": bytes}[ending]
    log.write_bytes(compress(block) * 20)
    other = write_log(tmp_path / "other.jsonl", [quantum(1)])
    report = collect([log, other], tmp_path / "archive")
    rejected = lines(tmp_path / "archive" / "rejected.jsonl")
    assert 10_000 < len(rejected) == report.rejected < 1_000_000
    assert rejected[-1]["reason"] == "more than 10000 lines were rejected; what follows is not read"
    assert len(pq.read_table(tmp_path / "archive" / "quanta.parquet")) == 1
