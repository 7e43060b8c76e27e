"""`ProvenanceLog`: what a log holds, who may write it, and what survives what."""

from __future__ import annotations

import enum
import errno
import json
import logging
import os
import resource
import signal
import subprocess
import sys
import threading
import types
import uuid
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy
import pyarrow
import pytest
from lsst.daf.butler import QuantumBackedButler as StockButler
from lsst.daf.butler.logging import ButlerLogRecords
from lsst.pipe.base import TaskMetadata

from provenance_lines import as_sets
from quantum_butler import ProvenanceLog, QuantumBackedButler, QuantumProvenanceData, collect
from repositories import Repository

ENDINGS = (".jsonl", ".jsonl.zst")
QUANTUM = uuid.UUID("b7e1a0c4-3f0e-4f5a-8a57-0c1d2e3f4a5b")


@pytest.fixture(params=ENDINGS)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return where to put a log, of each kind in turn."""
    return tmp_path / f"log{request.param}"


def lines(path: Path) -> list[dict[str, Any]]:
    """Read a log with nothing of ours."""
    compression = "zstd" if path.suffix == ".zst" else None
    with pyarrow.input_stream(str(path), compression=compression) as stream:
        text = stream.read().decode()
    assert not text or text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def used(butler: Any, repository: Repository) -> Any:
    """Return a butler after it has read and written."""
    inputs, outputs = repository.stored["measured"], repository.predicted["derived"]
    butler.stored_many(inputs)
    butler.get(inputs[0])
    butler.put({"a": 1}, outputs[0])
    return butler


def butler_of(repository: Repository, cls: type[Any] = QuantumBackedButler) -> Any:
    inputs, outputs = repository.stored["measured"], repository.predicted["derived"]
    return used(repository.butler(cls, inputs=inputs, outputs=outputs), repository)


def provenance(n: int) -> QuantumProvenanceData:
    """Return provenance that differs for each number."""
    ids = [uuid.UUID(int=n * 100 + i) for i in range(3)]
    return QuantumProvenanceData.direct(
        predicted_inputs=ids,
        available_inputs=ids[:2],
        actual_inputs=ids[:1],
        predicted_outputs=[],
        actual_outputs=[],
        datastore_records={},
    )


def test_a_line_has_the_heading_and_the_documented_fields(path: Path, repository: Repository) -> None:
    before = datetime.now(UTC)
    butler = butler_of(repository)
    data_id = repository.predicted["derived"][0].dataId
    with ProvenanceLog(path) as log:
        assert log.path == str(path)
        log.append(QUANTUM, butler, task_label="isr", data_id=data_id)
    (line,) = lines(path)
    heading = {name: line.pop(name) for name in ("quantum_id", "task_label", "data_id", "failed")}
    assert heading == {
        "quantum_id": str(QUANTUM), "task_label": "isr", "data_id": dict(data_id.required), "failed": None,
    }  # fmt: skip
    # Since the butler was made.
    begin, end = (datetime.fromisoformat(line.pop(name)) for name in ("begin", "end"))
    assert before <= begin < end <= datetime.now(UTC)
    details = [line.pop(name) for name in ("execution", "datasets")]
    assert details[0]["status"] is None and details[0]["process"] == os.getpid()
    assert line == json.loads(butler.extract_provenance_data().model_dump_json())
    assert line["actual_outputs"], "something was written"


@pytest.mark.parametrize("cls", [QuantumBackedButler, StockButler])
@pytest.mark.parametrize("extracted", [False, True])
def test_butlers_and_what_they_extract_give_one_line(
    path: Path, repository: Repository, cls: type[Any], extracted: bool
) -> None:
    butler = butler_of(repository, cls)
    expected = as_sets(json.loads(butler.extract_provenance_data().model_dump_json()))
    with ProvenanceLog(path) as log:
        log.append(QUANTUM, butler.extract_provenance_data() if extracted else butler)
    (line,) = lines(path)
    assert line.pop("quantum_id") == str(QUANTUM)
    assert line.pop("task_label") is None
    assert line.pop("data_id") is None
    begin, end, failed = (line.pop(name) for name in ("begin", "end", "failed"))
    # Of what was extracted, nobody knows.
    assert (begin is None) == (extracted or cls is StockButler)
    assert (end is None) == extracted and failed is None
    assert as_sets(line) == expected


def test_what_an_executor_knows_can_be_told(path: Path, repository: Repository) -> None:
    """Of a stock butler, and of what was extracted from one."""
    quantum = repository.quantum(repository.stored["measured"], repository.predicted["derived"])
    metadata = TaskMetadata()
    metadata["quantum"] = TaskMetadata()
    for name, seconds in (("prep", 1), ("init", 2), ("start", 4), ("end", 9)):
        metadata["quantum"].add(f"{name}Utc", f"2026-11-30T00:00:{seconds:02}+00:00")
        metadata["quantum"].add(f"{name}CpuTime", seconds / 2)
    metadata["quantum"]["endMaxResidentSetSize"] = 4096.0
    metadata["quantum"]["caveats"] = 4.0
    metadata["quantum"]["nodeName"] = "sdf1"
    logs = ButlerLogRecords([])
    connections = {"inputs": {"images": "measured"}}
    with ProvenanceLog(path) as log:
        log.append(QUANTUM, provenance(1), task_label="isr", metadata=metadata, logs=logs, quantum=quantum)
        log.append(QUANTUM, provenance(1), connections=connections, failed=True, error=("a.B", "no \udc80"))
        log.append(QUANTUM, provenance(1), failed=True, error=ZeroDivisionError("a"))
        log.append(QUANTUM, provenance(1), failed=True)
    known, told, raised, nothing = lines(path)
    execution = known["execution"]
    wanted = {"status": 1, "caveats": 4, "attempt": 0, "memory": 4096, "host": "sdf1", "process": None}
    assert {name: execution[name] for name in wanted} == wanted
    times = ("prep_time", "init_time", "run_time", "run_time_cpu", "start_time_cpu")
    assert [execution[name] for name in times] == [1, 2, 5, 2.5, 0.5]
    assert execution["start"] == "2026-11-30T00:00:01.000000Z"
    called = {id_: (group["type"], group["run"]) for group in known["datasets"] for id_ in group["ids"]}
    refs = [*repository.stored["measured"], *repository.predicted["derived"]]
    assert called == {str(ref.id): (ref.datasetType.name, ref.run) for ref in refs}
    assert told["execution"]["exception"] == {"type": "a.B", "message": "no \\udc80"}
    assert (told["connections"], told["execution"]["status"]) == (connections, -1)
    assert raised["execution"]["exception"] == {"type": "ZeroDivisionError", "message": "a"}
    assert "execution" not in nothing


def test_a_model_that_was_changed_is_written_as_it_is(path: Path) -> None:
    changed = provenance(1)
    changed.actual_inputs.add(QUANTUM)
    with ProvenanceLog(path) as log:
        log.append(QUANTUM, changed)
    assert str(QUANTUM) in lines(path)[0]["actual_inputs"]


def test_a_model_that_is_not_valid_is_refused(path: Path) -> None:
    odd = provenance(1)
    odd.datastore_records["d"] = {"x": 1.5}  # type: ignore[assignment]
    with ProvenanceLog(path) as log, pytest.raises(ValueError, match="QuantumProvenanceData holds values"):
        log.append(QUANTUM, odd)
    assert lines(path) == []


def test_what_append_returned_for_is_in_the_file(path: Path) -> None:
    log = ProvenanceLog(path)
    for n in range(10):
        log.append(uuid.UUID(int=n), provenance(n))
        if path.suffix == ".zst":
            log.flush()
        assert [line["quantum_id"] for line in lines(path)] == [str(uuid.UUID(int=i)) for i in range(n + 1)]
    log.close()


def test_a_log_is_gone_on_with(path: Path) -> None:
    for n in range(3):
        with ProvenanceLog(path, fsync=bool(n)) as log:
            log.append(uuid.UUID(int=n), provenance(n))
    assert [line["quantum_id"] for line in lines(path)] == [str(uuid.UUID(int=n)) for n in range(3)]


def test_an_empty_log_is_readable(path: Path) -> None:
    ProvenanceLog(path).close()
    assert lines(path) == []


def test_after_close_there_is_one_clear_error(path: Path) -> None:
    log = ProvenanceLog(path)
    log.close()
    log.close()
    for use in (log.flush, lambda: log.append(QUANTUM, provenance(1))):
        with pytest.raises(ValueError, match=r"log\.jsonl.*closed"):
            use()


@pytest.mark.parametrize("name", ["log.json", "log", "log.jsonl.gz", "log.zst", "log.jsonl "])
def test_another_ending_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"ends with \.jsonl or \.jsonl\.zst"):
        ProvenanceLog(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"quantum_id": "b7e1a0c4"}, "id of a quantum is a uuid.UUID, not str"),
        ({"quantum_id": 1}, "not int"),
        ({"task_label": 1}, "str"),
        ({"data_id": {"detector": 1.5}}, "value of detector is wrong: .* is an int or a str, not float"),
        ({"data_id": {"detector": numpy.True_}}, "not bool"),
        ({"data_id": {1: 2}}, "a dimension is a str, not int"),
        ({"task_label": True}, "not bool"),
        ({"data_id": {"detector": None}}, "not NoneType"),
        ({"task_label": b"isr"}, "the label of a task is an int or a str, not bytes"),
        ({"source": {}}, "QuantumBackedButler or a QuantumProvenanceData, not dict"),
    ],
)
def test_arguments_of_other_types_leave_the_log_as_it_was(
    path: Path, arguments: dict[str, Any], message: str
) -> None:
    with ProvenanceLog(path) as log:
        log.append(QUANTUM, provenance(1))
        with pytest.raises(TypeError, match=message):
            log.append(**{"quantum_id": QUANTUM, "source": provenance(2), **arguments})
    assert len(lines(path)) == 1


@pytest.mark.parametrize(
    ("value", "logged"),
    [
        (numpy.int64(7), 7),
        (numpy.uint8(255), 255),
        (enum.IntEnum("Detector", {"A": 3})(3), 3),
        # As in a `DataCoordinate`.
        (True, 1),
        (numpy.str_("r"), "r"),
        (enum.StrEnum("Band", {"R": "r"})("r"), "r"),
        (-(2**63), -(2**63)),
        (2**63 - 1, 2**63 - 1),
    ],
)
def test_values_are_texts_and_whole_numbers_whatever_their_type(path: Path, value: Any, logged: Any) -> None:
    with ProvenanceLog(path) as log:
        log.append(QUANTUM, provenance(1), data_id={"x": value})
        log.append(QUANTUM, provenance(1), data_id=types.MappingProxyType({"x": value}))
    found = [line["data_id"]["x"] for line in lines(path)]
    assert found == [logged] * 2 and {type(one) for one in found} == {type(logged)}
    assert collect(path, path.parent / "archive").rejections == []


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, numpy.uint64(2**63), 10**30, "\udc80"])
def test_values_that_no_line_can_have_are_refused(path: Path, value: Any) -> None:
    with ProvenanceLog(path) as log:
        with pytest.raises(ValueError, match=r"the value of detector has more than 64 bits|surrogates"):
            log.append(QUANTUM, provenance(1), data_id={"detector": value})
    assert lines(path) == []


def test_attempts_are_told_apart_by_what_the_caller_says(path: Path) -> None:
    begin = datetime(2026, 11, 30, 2, 56, 43, 123456, tzinfo=UTC)
    elsewhere = (begin + timedelta(minutes=5)).astimezone(timezone(timedelta(hours=-3)))
    with ProvenanceLog(path) as log:
        log.append(QUANTUM, provenance(1), begin=begin, end=elsewhere, failed=True)
        log.append(QUANTUM, provenance(1), begin=datetime(1, 1, 1, tzinfo=UTC), failed=False)
        with pytest.raises(ValueError, match="has no time zone"):
            log.append(QUANTUM, provenance(1), begin=begin.replace(tzinfo=None))
    found = [[line[name] for name in ("begin", "end", "failed")] for line in lines(path)]
    assert found == [
        ["2026-11-30T02:56:43.123456Z", "2026-11-30T03:01:43.123456Z", True],
        ["0001-01-01T00:00:00.000000Z", None, False],
    ]


def test_what_is_logged_while_an_exception_is_handled_has_failed(path: Path, repository: Repository) -> None:
    butler = butler_of(repository)
    with ProvenanceLog(path) as log:
        try:
            1 / 0  # noqa: B018
        except ZeroDivisionError:
            log.append(QUANTUM, butler)
            log.append(QUANTUM, butler, failed=False)
            # The exception is not this one's.
            log.append(QUANTUM, butler_of(repository))
    assert [line["failed"] for line in lines(path)] == [True, False, None]


def test_integer_ids_are_refused(path: Path, repository: Repository) -> None:
    butler = repository.butler(QuantumBackedButler)
    butler._predicted_inputs.add(7)
    with ProvenanceLog(path) as log, pytest.raises(ValueError, match="UUID"):
        log.append(QUANTUM, butler)
    assert lines(path) == []


def test_whatever_is_torn_off_is_told_and_nothing_else_lost(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with ProvenanceLog(path) as log:
        log.append(QUANTUM, provenance(1))
        log.flush()
        whole = path.stat().st_size
        log.append(QUANTUM, provenance(2))
    with path.open("r+b") as stream:
        stream.truncate(path.stat().st_size - 3)
    torn = path.stat().st_size - whole
    with caplog.at_level(logging.WARNING), ProvenanceLog(path) as log:
        log.append(QUANTUM, provenance(3))
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith(f"{path}: the last {torn} bytes, from offset {whole},")
    assert [line["predicted_inputs"][0][-3:] for line in lines(path)] == ["064", "12c"]


def test_a_file_that_is_no_log_is_left_alone(path: Path) -> None:
    path.write_bytes(b"PAR1, or whatever else has that name")
    with pytest.raises(ValueError, match=r"log\.jsonl.*not a provenance log"):
        ProvenanceLog(path)
    assert path.read_bytes().startswith(b"PAR1")


def test_two_writers_of_one_log_are_refused(path: Path) -> None:
    with ProvenanceLog(path), pytest.raises(ValueError, match=r"log\.jsonl.*another process or object"):
        ProvenanceLog(path)
    ProvenanceLog(path).close()


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        ProvenanceLog(tmp_path / "missing" / "log.jsonl")
    assert caught.value.filename == str(tmp_path / "missing" / "log.jsonl")


def test_threads_share_a_log(path: Path) -> None:
    with ProvenanceLog(path) as log:

        def append(first: int) -> None:
            for n in range(first, first + 200):
                log.append(uuid.UUID(int=n), provenance(n))

        threads = [threading.Thread(target=append, args=(1000 * t,)) for t in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    found = {uuid.UUID(line["quantum_id"]).int: line["predicted_inputs"] for line in lines(path)}
    assert sorted(found) == sorted(1000 * t + n for t in range(8) for n in range(200))
    assert all(uuid.UUID(ids[0]).int == 100 * n for n, ids in found.items())


def test_a_fork_does_not_write_its_parents_log(path: Path) -> None:
    with ProvenanceLog(path) as log:
        log.append(QUANTUM, provenance(1))
        child = os.fork()
        if child == 0:
            try:
                log.append(QUANTUM, provenance(2))
            except ValueError as error:
                os._exit(17 if f"process {os.getppid()}" in str(error) else 1)
            os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 17
        log.append(QUANTUM, provenance(3))
    assert len(lines(path)) == 2


def test_a_full_disk_loses_nothing_that_was_acknowledged(path: Path) -> None:
    """A limit on file size stands for the disk: the system call fails in the same way."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    acknowledged = []
    with ProvenanceLog(path) as log:
        log.append(uuid.UUID(int=0), provenance(0))
        log.flush()
        acknowledged.append(0)
        limited = path.stat().st_size + (1500 if path.suffix == ".jsonl" else 100)
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limited, hard))
            failed = 0
            for n in range(1, 20):
                try:
                    log.append(uuid.UUID(int=n), provenance(n))
                    acknowledged.append(n)
                    log.flush()
                except OSError as error:
                    assert (error.errno, error.filename) == (errno.EFBIG, str(path))
                    failed += 1
            assert failed
            # What is in the file is whole.
            assert {line["quantum_id"] for line in lines(path)} <= {
                str(uuid.UUID(int=n)) for n in acknowledged
            }
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            signal.signal(signal.SIGXFSZ, handler)
        log.append(uuid.UUID(int=99), provenance(99))
        acknowledged.append(99)
    assert [line["quantum_id"] for line in lines(path)] == [str(uuid.UUID(int=n)) for n in acknowledged]


def test_the_module_does_not_need_lsst(tmp_path: Path) -> None:
    code = (
        "import sys, quantum_butler; log = quantum_butler.ProvenanceLog(sys.argv[1]); log.close(); "
        "sys.exit(any(name.startswith('lsst') for name in sys.modules))"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "log.jsonl")], check=True)
