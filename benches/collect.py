#!/usr/bin/env python3
"""Time `collect` on a made-up campaign, beside the stock way to read provenance.

The campaign is made by ``rust/core/examples/campaign.rs``.  Reading is timed on
the same bytes in memory: ours into columns, pydantic's ``model_validate_json``,
and ``direct(**json.loads(...))``.  The stock path to what an archive holds is
the last of these, ``DatastoreRecordData.from_simple`` and ``update``, for each
quantum.  Before anything is timed, what both have read is compared.  `collect`
runs in processes of their own, so that each has its own peak of memory.  The
last of them read logs of one line each, as a job for each quantum leaves.
"""

from __future__ import annotations

__all__ = ("main",)

import argparse
import gc
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from quantum_butler import _core, collect

ROOT = Path(__file__).resolve().parent.parent
HEADING = ("quantum_id", "task_label", "data_id", "begin", "end", "failed")


def make_campaign(folder: Path, quanta: int, *, compressed: bool) -> int:
    """Write the logs of a campaign, and return how many quanta they have."""
    command = ["cargo", "run", "--release", "--locked", "--quiet", "-p", "quantum-butler-core"]
    command += ["--example", "campaign", "--", str(folder), str(quanta), *([] if compressed else ["--lines"])]
    return int(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout)


def seconds(work: Callable[[], object]) -> float:
    """Return how long some work of one thread keeps a processor."""
    gc.collect()
    gc.disable()
    start = time.process_time()
    work()
    elapsed = time.process_time() - start
    gc.enable()
    return elapsed


def in_pieces(data: bytes) -> list[bytes]:
    """Return what is read from a log at a time."""
    step = 1 << 19
    return [data[start : start + step] for start in range(0, len(data), step)]


def scan(pieces: Sequence[bytes]) -> Iterator[list[pa.Table]]:
    """Read lines into columns, as `collect` does: some thousands of quanta at a time."""
    scanner = _core.ProvenanceScanner()
    scanner.start(0)
    for piece in pieces:
        scanner.feed(piece)
        if scanner.is_full:
            yield [pa.table(table) for table in scanner.take()[0][:3]]
    scanner.finish()
    yield [pa.table(table) for table in scanner.take()[0][:3]]


def provenance(line: bytes) -> dict[str, Any]:
    """Return the fields of upstream's model on a line."""
    fields: dict[str, Any] = json.loads(line)
    for name in HEADING:
        del fields[name]
    return fields


def compare(lines: Sequence[bytes], tables: Sequence[pa.Table]) -> None:
    """Stop if upstream's model reads something else than we do."""
    from lsst.daf.butler import QuantumProvenanceData

    quanta, edges, records = tables
    models = [QuantumProvenanceData.model_validate_json(line) for line in lines]
    sets = [
        [
            model.predicted_inputs,
            model.available_inputs,
            model.actual_inputs,
            model.predicted_outputs,
            model.actual_outputs,
        ]
        for model in models
    ]
    expected = [
        (one, sum(1 << bit for bit, ids in enumerate(of_quantum) if one in ids))
        for of_quantum in sets
        for one in sorted(set().union(*of_quantum))
    ]
    found = list(zip(edges["dataset_id"].to_pylist(), edges["roles"].to_pylist(), strict=True))
    paths = [
        row["path"]
        for model in models
        for datastore in model.datastore_records.values()
        for by_dataset in datastore.records.values()
        for by_table in by_dataset.values()
        for rows in by_table.values()
        for row in rows
    ]
    if len(quanta) != len(lines) or found != expected or records["path"].to_pylist() != paths or not paths:
        raise SystemExit("Upstream reads something else; nothing was timed.")


def measure_reading(folder: Path, quanta: int, rounds: int) -> dict[str, float]:
    """Time reading, in turns."""
    from lsst.daf.butler import QuantumProvenanceData
    from lsst.daf.butler.datastore.record_data import DatastoreRecordData

    data = b""
    for path in sorted(folder.glob("*.jsonl")):
        data += path.read_bytes()
    lines = data.splitlines(keepends=True)[:quanta]
    data = b"".join(lines)
    [tables] = scan(in_pieces(b"".join(lines[:500])))
    compare(lines[:500], tables)
    pieces = in_pieces(data)

    def stock() -> None:
        summary: dict[str, DatastoreRecordData] = {}
        for line in lines:
            model = QuantumProvenanceData.direct(**provenance(line))
            for name, simple in model.datastore_records.items():
                summary.setdefault(name, DatastoreRecordData()).update(
                    DatastoreRecordData.from_simple(simple)
                )

    def validate() -> None:
        for line in lines:
            QuantumProvenanceData.model_validate_json(line)

    def direct() -> None:
        for line in lines:
            QuantumProvenanceData.direct(**provenance(line))

    def columns() -> None:
        # As with the models, nothing is kept.
        for _ in scan(pieces):
            pass

    ways = {"columns": columns, "validate": validate, "direct": direct, "stock": stock}
    times: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, work in ways.items():
            times[way].append(seconds(work) / len(lines) * 1e6)
    ratio = {
        f"ratio_{way}": statistics.median(
            theirs / ours for theirs, ours in zip(times[way], times["columns"], strict=True)
        )
        for way in ("validate", "direct")
    }
    medians = {f"{way}_us": statistics.median(values) for way, values in times.items()}
    return {"lines": len(lines), "bytes_per_quantum": len(data) / len(lines), **medians, **ratio}


def make_small_logs(folder: Path, count: int) -> None:
    """Write logs of one line each."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        make_campaign(Path(name), count * 21 // 20, compressed=False)
        lines = (line for path in sorted(Path(name).iterdir()) for line in path.open("rb"))
        folder.mkdir()
        written = 0
        for number, line in zip(range(count), lines, strict=False):
            (folder / f"20261130T000000Z-host-{number:07d}.jsonl").write_bytes(line)
            written += 1
    if written != count:
        raise SystemExit("The campaign has too few quanta.")


def collect_once(source: Path, archive: Path, jobs: int) -> dict[str, Any]:
    """Collect in a process of its own."""
    command = [sys.executable, __file__, "--child", str(source), str(archive), str(jobs)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def peak_memory() -> int:
    """Return the most KiB that this process ever had in memory."""
    # `ru_maxrss` counts what the process had before it became this program, which is its parent's.
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))


def child(source: str, archive: str, jobs: str) -> None:
    """Collect, and print figures."""
    report = collect(source, archive, jobs=int(jobs), overwrite=True)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    sizes = {path.name: path.stat().st_size for path in Path(archive).iterdir()}
    figures = {
        "quanta": report.quanta,
        "edges": report.edges,
        "us": report.seconds / report.read * 1e6,
        "cpu_us": (usage.ru_utime + usage.ru_stime) / report.read * 1e6,
        "peak_mib": peak_memory() / 1024,
        "share": report.archive_bytes / report.content_bytes,
        "bytes": sizes,
    }
    if pq.read_metadata(Path(archive) / "quanta.parquet").num_rows != report.read or report.rejected:
        raise SystemExit("Not everything was collected.")
    print(json.dumps(figures))


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        return child(*sys.argv[2:])
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quanta", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--logs", type=int, nargs="*", default=[100_000], help="logs of one line (100,000)")
    parser.add_argument("--stock", type=int, default=20_000, help="quanta of the stock path (20,000)")
    parser.add_argument("--rounds", type=int, default=3, help="times that reading is timed (3)")
    parser.add_argument("--jobs", type=int, default=2, help="threads that read (2)")
    parser.add_argument("--compressed", action="store_true", help="collect logs of Zstandard frames")
    parser.add_argument("--folder", type=Path, help="where to work (a temporary folder)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures, too")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        folder = Path(name)
        make_campaign(folder / "stock", args.stock * 21 // 20, compressed=False)
        reading = measure_reading(folder / "stock", args.stock, args.rounds)
        print(
            f"reading {reading['lines']} quanta of {reading['bytes_per_quantum']:.0f} bytes, each: columns "
            f"{reading['columns_us']:.2f} us, model_validate_json {reading['validate_us']:.0f} us "
            f"({reading['ratio_validate']:.0f} times), direct(**json.loads) {reading['direct_us']:.0f} us "
            f"({reading['ratio_direct']:.0f} times); the whole stock path {reading['stock_us']:.0f} us",
            flush=True,
        )
        runs = []
        for quanta in args.quanta:
            make_campaign(folder / str(quanta), quanta * 51 // 50, compressed=args.compressed)
            # Small ones are over before the machine has settled.
            repeats = max(1, min(5, 200_000 // quanta))
            found = [
                collect_once(folder / str(quanta), folder / "archive", args.jobs) for _ in range(repeats)
            ]
            run = sorted(found, key=lambda one: one["us"])[len(found) // 2]
            runs.append(run)
            subprocess.run(["rm", "-rf", str(folder / str(quanta))], check=True)
            ratio = reading["stock_us"] / run["us"]
            print(
                f"collect {run['quanta']:,} quanta, {run['edges']:,} edges, each: {run['us']:.1f} us "
                f"({run['cpu_us']:.1f} us of processors; {ratio:.0f} times the stock rate), "
                f"peak {run['peak_mib']:.0f} MiB, archive {run['share']:.1%} of the JSON",
                flush=True,
            )
        small = []
        for count in args.logs:
            make_small_logs(folder / "logs", count)
            run = collect_once(folder / "logs", folder / "archive", args.jobs)
            small.append(run)
            subprocess.run(["rm", "-rf", str(folder / "logs")], check=True)
            print(
                f"collect {count:,} logs of one line, each: {run['us']:.1f} us ({run['cpu_us']:.1f} us of "
                f"processors), peak {run['peak_mib']:.0f} MiB",
                flush=True,
            )
    load = " ".join(f"{average:.1f}" for average in os.getloadavg())
    print(f"load of the machine: {load}")
    if args.json is not None:
        args.json.write_text(
            json.dumps({"reading": reading, "collect": runs, "small": small, "load": load}, indent=1)
        )


if __name__ == "__main__":
    main()
