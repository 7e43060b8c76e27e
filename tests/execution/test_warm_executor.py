"""Quanta in warm processes leave what they leave in upstream's processes."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib
import json
import os
import random
import selectors
import signal
import sys
import threading
import zipfile
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from lsst.pipe.base import InvalidQuantumError, RepeatableQuantumError
from lsst.pipe.base.mp_graph_executor import MPGraphExecutor, MPGraphExecutorError, MPTimeoutError
from lsst.pipe.base.quantum_graph import ProvenanceQuantumGraphReader

import quantum_butler
from graph_runs import Deeds, Left, NewRun, interrupting, left_behind, make_executor, misbehaving
from quantum_butler.execution import ForkRefusedError, Isolation, WarmGraphExecutor, forking
from quantum_butler.upstream import executors

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")]

SEPARATE: tuple[Isolation, ...] = ("fork", "process")


def raise_(error: BaseException) -> None:
    raise error


def run(new_run: NewRun, deeds: Deeds, **options: Any) -> tuple[Left, BaseException | None]:
    """Run the graph in warm processes; return what is left and what was raised."""
    root, graph = new_run()
    executor = WarmGraphExecutor(
        quantum_executor=misbehaving(root, graph, deeds), **{"jobs": 2, "timeout": 60.0} | options
    )
    raised = None
    try:
        executor.execute(graph)
    except (MPGraphExecutorError, KeyboardInterrupt) as error:
        raised = error
    return left_behind(root, executor.getReport()), raised


def states(left: Left) -> dict[tuple[str, int], tuple[str, int | None]]:
    """Return status and exit code of each quantum."""
    return {key: (status, code) for key, (status, code, _, _) in left.reports.items()}


DONE = ("SUCCESS", 0)
BLOCKED = ("SKIPPED", None)


def expect(failed: dict[tuple[str, int], tuple[str, int | None]]) -> dict[Any, Any]:
    """Return the states of all quanta if some fail in the first task."""
    expected: dict[Any, Any] = {
        (task, detector): DONE for task in ("first", "second") for detector in range(4)
    }
    expected.update(failed)
    expected.update({("second", detector): BLOCKED for task, detector in failed if task == "first"})
    return expected


@pytest.mark.parametrize("isolation", SEPARATE)
def test_all_is_as_upstream_leaves_it(new_run: NewRun, isolation: Isolation) -> None:
    root, graph = new_run()
    upstream = MPGraphExecutor(
        num_proc=2, timeout=300, quantum_executor=make_executor(root, graph), start_method="forkserver"
    )
    upstream.execute(graph)
    theirs = left_behind(root, upstream.getReport())
    ours, raised = run(new_run, {}, isolation=isolation)
    assert raised is None
    assert len(theirs.outputs) == len(theirs.metadata) == len(theirs.logs) == 8
    assert ours == theirs


@pytest.mark.skipif(sys.platform != "linux", reason="advice on memory is Linux' own")
def test_large_pages_change_nothing(new_run: NewRun, monkeypatch: pytest.MonkeyPatch) -> None:
    advised = []
    use_large_pages = forking._use_large_pages
    monkeypatch.setattr(forking, "_use_large_pages", lambda: advised.append(use_large_pages()))
    plain, raised = run(new_run, {})
    assert raised is None and not advised
    # As with a graph that has so many quanta that it is worth the while.
    monkeypatch.setattr(forking, "_FORKS_TO_PAY", 8)
    assert run(new_run, {}) == (plain, None)
    assert len(advised) == 1
    # Most of what belongs to this process alone is there.
    lines = Path("/proc/self/status").read_text().splitlines()
    resident = next(line for line in lines if line.startswith("RssAnon:"))
    areas = sum(end - begin for begin, end in forking._writable_areas())
    assert areas > int(resident.split()[1]) * 1024 / 2


@pytest.mark.parametrize("isolation", SEPARATE)
@pytest.mark.parametrize(
    ("deed", "code"),
    [
        (lambda: raise_(ValueError("no")), 1),
        (lambda: raise_(RepeatableQuantumError("again and again")), 1),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), -9),
        (lambda: os.killpg(0, signal.SIGKILL), -9),
        (lambda: os._exit(7), 7),
        (lambda: sys.exit(3), 3),
        (lambda: ctypes.string_at(0), -11),
    ],
    ids=["exception", "repeatable", "killed", "kills its group", "os._exit", "sys.exit", "segfault"],
)
def test_a_failure_is_that_quantums_alone(
    new_run: NewRun, isolation: Isolation, deed: Any, code: int
) -> None:
    left, raised = run(new_run, {("first", 1): deed}, isolation=isolation)
    assert isinstance(raised, MPGraphExecutorError)
    assert states(left) == expect({("first", 1): ("FAILURE", code)})
    assert left.status == "FAILURE"


@pytest.mark.parametrize("isolation", SEPARATE)
@pytest.mark.parametrize(
    ("error", "fail_fast"),
    [(InvalidQuantumError("never"), False), (RepeatableQuantumError("again"), True), (OSError("no"), True)],
)
def test_what_ends_the_run(new_run: NewRun, isolation: Isolation, error: Exception, fail_fast: bool) -> None:
    left, raised = run(
        new_run, {("first", 0): lambda: raise_(error)}, isolation=isolation, fail_fast=fail_fast, jobs=1
    )
    assert isinstance(raised, MPGraphExecutorError)
    code = getattr(error, "EXIT_CODE", 1)
    assert states(left) == {("first", 0): ("FAILURE", code)}


@pytest.mark.parametrize("isolation", SEPARATE)
def test_a_quantum_that_takes_too_long_ends_with_what_it_started(
    new_run: NewRun, isolation: Isolation, tmp_path: Path
) -> None:
    def linger() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if (child := os.fork()) == 0:
            signal.pause()
        (tmp_path / "child").write_text(str(child))
        signal.pause()

    left, raised = run(new_run, {("second", 2): linger}, isolation=isolation, timeout=5.0)
    assert isinstance(raised, MPTimeoutError)
    assert states(left) == expect({("second", 2): ("TIMEOUT", -9)})
    assert left.status == "TIMEOUT"
    child = int((tmp_path / "child").read_text())
    while not _has_ended(child):
        # It has been told to, and is about to.
        os.sched_yield()


def _has_ended(process: int) -> bool:
    """Return whether a process is gone, or only waits to be noticed."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


@pytest.mark.parametrize("isolation", SEPARATE)
def test_what_a_quantum_leaves_running_does_not_hold_up_the_others(
    new_run: NewRun, isolation: Isolation, tmp_path: Path
) -> None:
    def leave_a_process() -> None:
        if (child := os.fork()) == 0:
            signal.pause()
        (tmp_path / "child").write_text(str(child))

    left, raised = run(new_run, {("first", 0): leave_a_process}, isolation=isolation)
    os.kill(int((tmp_path / "child").read_text()), signal.SIGKILL)
    assert raised is None
    assert states(left) == expect({})


def test_a_worker_that_has_got_a_thread_is_renewed(new_run: NewRun, tmp_path: Path) -> None:
    workers = tmp_path / "workers"
    workers.mkdir()

    def note(name: str, *, leave_thread: bool = False) -> None:
        (workers / name).write_text(str(os.getpid()))
        if leave_thread:
            threading.Thread(target=threading.Event().wait, daemon=True).start()

    deeds = {
        ("first", 0): lambda: note("0", leave_thread=True),
        ("first", 1): lambda: note("1"),
        ("first", 2): lambda: note("2"),
    }
    left, raised = run(new_run, deeds, isolation="process", jobs=1)
    assert raised is None and states(left) == expect({})
    first, second, third = ((workers / name).read_text() for name in "012")
    assert first != second == third


@pytest.mark.parametrize("isolation", SEPARATE)
def test_another_attempt_after_a_crash(new_run: NewRun, isolation: Isolation, tmp_path: Path) -> None:
    def crash_once() -> None:
        if not (tmp_path / "crashed").exists():
            (tmp_path / "crashed").touch()
            os.kill(os.getpid(), signal.SIGKILL)

    left, raised = run(new_run, {("second", 3): crash_once}, isolation=isolation, retries=1)
    assert raised is None and states(left) == expect({})
    left, raised = run(new_run, {("first", 3): lambda: os._exit(9)}, isolation=isolation, retries=2)
    assert states(left) == expect({("first", 3): ("FAILURE", 9)})


def test_no_other_attempt_after_an_exception(new_run: NewRun, tmp_path: Path) -> None:
    def fail() -> None:
        with (tmp_path / "attempts").open("a") as attempts:
            attempts.write("x")
        raise OSError("no")

    left, _ = run(new_run, {("first", 3): fail}, retries=5)
    assert states(left) == expect({("first", 3): ("FAILURE", 1)})
    assert (tmp_path / "attempts").read_text() == "x"


@pytest.mark.skipif(sys.platform != "linux", reason="limits of data are Linux' own")
def test_too_much_memory_is_an_error_of_the_quantum(new_run: NewRun) -> None:
    def take() -> None:
        np.ones(1 << 30)

    left, _ = run(new_run, {("first", 1): take}, memory_limit=4 << 30)
    assert states(left) == expect({("first", 1): ("FAILURE", 1)})
    assert "MemoryError" in left.reports["first", 1][2]


def test_random_numbers_of_forked_quanta_differ(new_run: NewRun, tmp_path: Path) -> None:
    def draw(name: int) -> None:
        (tmp_path / str(name)).write_text(f"{np.random.random()} {random.random()}")

    deeds = {("first", n): (lambda n=n: draw(n)) for n in range(4)}  # type: ignore[misc]
    run(new_run, cast(Deeds, deeds))
    drawn = [(tmp_path / str(n)).read_text().split() for n in range(4)]
    assert len({numbers[0] for numbers in drawn}) == len({numbers[1] for numbers in drawn}) == 4


@pytest.mark.parametrize("isolation", SEPARATE)
def test_quanta_start_in_an_order_that_does_not_change(
    new_run: NewRun, isolation: Isolation, tmp_path: Path
) -> None:
    def note(name: str) -> None:
        with (tmp_path / "order").open("a") as order:
            order.write(f"{name} ")

    deeds = {
        (task, n): (lambda task=task, n=n: note(f"{task}{n}"))  # type: ignore[misc]
        for task in ("first", "second")
        for n in range(4)
    }
    run(new_run, cast(Deeds, deeds), isolation=isolation, jobs=1)
    wanted = [f"{task}{n}" for task in ("first", "second") for n in range(4)]
    assert (tmp_path / "order").read_text().split() == wanted


@pytest.mark.parametrize(
    "options",
    [{"isolation": "fork"}, {"isolation": "process"}, {"isolation": "process", "quanta_per_process": 2}],
    ids=["fork", "process", "renewed process"],
)
def test_a_quantum_starts_as_soon_as_its_inputs_are_there(
    new_run: NewRun, options: dict[str, Any], tmp_path: Path
) -> None:
    """One of the second task, while another of the first one still runs."""

    def wait() -> None:
        while not (tmp_path / "started").exists():
            os.sched_yield()

    deeds: Deeds = {("first", 1): wait, ("second", 0): (tmp_path / "started").touch}
    # In order of the labels, all others of the first task come before.
    left, raised = run(new_run, deeds, **options)
    assert raised is None and states(left) == expect({})


def test_a_process_is_not_polled_while_it_ends(new_run: NewRun, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = []
    select = selectors.DefaultSelector.select

    def counted(self: Any, timeout: float | None = None) -> Any:
        events = select(self, timeout)
        heard.extend([events] if events else [])
        return events

    monkeypatch.setattr(selectors.DefaultSelector, "select", counted)
    _, raised = run(new_run, {}, jobs=1)
    # It has begun, has an outcome, closes its pipe, and ends.
    assert raised is None and 8 <= len(heard) <= 8 * 5


def test_connections_of_the_parent_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    assert executors._CONNECTIONS
    for module_name, name in executors._CONNECTIONS:
        module = importlib.import_module(module_name)
        # It is still there upstream, and keeps what it has made.
        assert callable(getattr(module, name).cache_clear)
        made = functools.lru_cache(lambda: object())
        monkeypatch.setattr(module, name, made)
        client = made()
        assert made() is client
        executors.forget_connections()
        assert made() is not client


def test_other_threads_are_refused_by_name(new_run: NewRun) -> None:
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait, name="a thread of the service")
    thread.start()
    try:
        root, graph = new_run()
        executor = WarmGraphExecutor(quantum_executor=make_executor(root, graph), jobs=2)
        with pytest.raises(ForkRefusedError, match="a thread of the service"):
            executor.execute(graph)
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("isolation", SEPARATE)
@pytest.mark.parametrize("times", [1, 2])
def test_interruptions(new_run: NewRun, isolation: Isolation, times: int, tmp_path: Path) -> None:
    """After one, what runs comes to its end; after two it is ended."""
    left, raised = run(new_run, {("first", 0): interrupting(times)}, isolation=isolation, jobs=1, retries=3)
    assert isinstance(raised, KeyboardInterrupt)
    assert states(left) == ({("first", 0): DONE} if times == 1 else {})


UNFINISHED = "This version of upstream does not finish the provenance graph of a run with failures."
FAILING: Deeds = {("first", 1): lambda: raise_(ValueError("no"))}


@pytest.mark.parametrize("deeds", [{}, FAILING], ids=["success", "failure"])
def test_a_provenance_graph_from_several_processes(new_run: NewRun, tmp_path: Path, deeds: Deeds) -> None:
    """It has what upstream writes with one process."""
    graphs: dict[str, Any] = {}
    for jobs, isolation in ((1, "none"), (2, "fork"), (2, "process")):
        file = tmp_path / f"{isolation}.qg"
        _run_with_provenance(new_run, deeds, file, jobs=jobs, isolation=isolation)
        if "nodes.addr" not in zipfile.ZipFile(file).namelist():
            pytest.skip(
                "This version of upstream does not finish the provenance graph of a run with failures."
            )
        graphs[isolation] = _read_provenance(file)
    assert len(graphs["none"]) > 30
    assert graphs["fork"] == graphs["process"] == graphs["none"]


def test_a_provenance_graph_knows_of_a_crash(new_run: NewRun, tmp_path: Path) -> None:
    deeds: Deeds = {("second", 1): lambda: os.kill(os.getpid(), signal.SIGKILL)}
    file = tmp_path / "crash.qg"
    _run_with_provenance(new_run, deeds, file, jobs=2, isolation="fork")
    if "nodes.addr" not in zipfile.ZipFile(file).namelist():
        pytest.skip(UNFINISHED)
    nodes = _read_provenance(file).values()
    # Upstream's word for a quantum that has left neither metadata nor log.
    assert sum("FAILED" in node["attempts"] for node in nodes) == 1
    assert sum("SUCCESSFUL" in node["attempts"] for node in nodes) == 7


def _run_with_provenance(new_run: NewRun, deeds: Deeds, file: Path, **options: Any) -> None:
    """Run the graph, and have upstream's provenance graph written."""
    root, graph = new_run()
    executor = WarmGraphExecutor(quantum_executor=misbehaving(root, graph, deeds), **options)
    with contextlib.suppress(MPGraphExecutorError):
        executor.execute(graph, provenance_graph_file=str(file))


def _read_provenance(file: Path) -> dict[Any, dict[str, str]]:
    """Return what upstream reads in a provenance graph."""
    with ProvenanceQuantumGraphReader.open(str(file)) as reader:
        reader.read_full_graph()
        nodes = reader.graph.bipartite_xgraph.nodes.items()
        return {node: _without_measurements(attributes) for node, attributes in nodes}


def _without_measurements(attributes: Any) -> dict[str, Any]:
    """Return what a node of a provenance graph says, but for times, memory and earlier quanta."""
    said = {key: value for key, value in attributes.items() if key not in ("attempts", "resource_usage")}
    said["attempts"] = [
        (attempt.status.name, attempt.caveats, attempt.exception and attempt.exception.type_name)
        for attempt in attributes.get("attempts", ())
    ]
    return {key: repr(value) for key, value in said.items()}


@pytest.mark.parametrize("isolation", SEPARATE)
def test_processes_after_each_other_share_a_log(
    new_run: NewRun, tmp_path: Path, isolation: Isolation
) -> None:
    """A campaign leaves about a log for each job, not for each quantum."""
    quantum_butler.install(provenance_log=tmp_path / "logs")
    try:
        left, raised = run(new_run, {("first", 1): lambda: raise_(ValueError("wrong"))}, isolation=isolation)
    finally:
        quantum_butler.uninstall()
    assert isinstance(raised, MPGraphExecutorError)
    logs = list((tmp_path / "logs").iterdir())
    lines = [json.loads(line) for log in logs for line in log.read_text().splitlines()]
    ran = [key for key, state in states(left).items() if state != BLOCKED]
    assert len(lines) == len({line["quantum_id"] for line in lines}) == len(ran) > 4
    assert len(logs) <= 4
