"""A process that has everything imported, and forks for each command of ``pipetask run-qbb``.

``python -m quantum_butler.bps.zygote`` reads requests on its standard input,
a line of JSON each, and answers likewise.  The command itself is upstream's:
its own command line runs in the forked process, with the standard streams
that the request names.
"""

from __future__ import annotations

__all__ = ("main",)

import atexit
import ctypes
import json
import logging
import multiprocessing.util
import os
import re
import signal
import sys
import threading
import uuid
import warnings
import weakref
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from ..dropin.launcher import environment
from ..switches import SWITCH

if TYPE_CHECKING:
    import click
    from lsst.daf.butler import LimitedButler, Quantum

_VARIABLE = re.compile(r"\$\{(\w+)\}")
# What a shell would do more with, in the value of a variable that is not in quotes.
_NOT_PLAIN = re.compile(r"[\s*?\[\]]")

_PARENT_DEATH_SIGNAL = 1


class _NotHereError(Exception):
    """Raised for a command that has to be run in a process of its own."""


class _Zygote:
    """State that is kept from one request to the next."""

    def __init__(self, command: click.Command):
        self._command = command
        self._prepared: set[tuple[str, str, str]] = set()

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Run a command, and say what has become of it."""
        # It needs the stack, which is imported by now.
        from ..execution.forking import ForkRefusedError, prepare_fork

        try:
            words = [_expand(word) for word in request["words"]]
            self._prepare(words, request["label"])
            prepare_fork()
        except (_NotHereError, ForkRefusedError) as error:
            return {"code": None, "reason": str(error)}
        return {"code": _fork(words, request["stdout"], request["stderr"])}

    def _prepare(self, words: Sequence[str], label: str) -> None:
        """Import and read what commands of one label need, as far as the first one tells."""
        import click

        arguments = list(words[words.index("run-qbb") + 1 :])
        try:
            options = self._command.make_context("run-qbb", arguments).params
        except (click.exceptions.Exit, click.ClickException):
            raise _NotHereError("pipetask has an answer of its own to these arguments") from None
        if any(options.get(name) for name in ("pdb", "coverage")):
            raise _NotHereError("a debugger and coverage need a process from its start")
        key = options["repo"], options["qgraph"], label
        if key not in self._prepared and options.get("qgraph_node_id"):
            self._prepared.add(key)
            try:
                _read_ahead(options["repo"], options["qgraph"], options["qgraph_node_id"][0])
            except Exception as error:
                # The command will say what is wrong.
                print(f"{key}: {type(error).__name__}: {error}", file=sys.stderr)


def _expand(word: str) -> str:
    """Return a word with the values of variables in it."""

    def value(match: re.Match[str]) -> str:
        if not (found := os.environ.get(match[1], "")) or _NOT_PLAIN.search(found):
            raise _NotHereError(f"the value of {match[1]} is for a shell")
        return found

    return _VARIABLE.sub(value, word)


def _read_ahead(repository: str, graph_file: str, quantum_id: str | uuid.UUID) -> None:
    """Do once what each quantum of a task would do first."""
    from lsst.daf.butler import QuantumBackedButler
    from lsst.pipe.base.quantum_graph import PredictedQuantumGraph
    from lsst.pipe.base.single_quantum_executor import SingleQuantumExecutor

    from ..execution.warming import warm_up

    wanted = uuid.UUID(str(quantum_id))
    graph = PredictedQuantumGraph.read_execution_quanta(graph_file, quantum_ids={wanted})
    graph.build_execution_quanta()
    types = {node.name: node.dataset_type for node in graph.pipeline_graph.dataset_types.values()}

    def make_butler(quantum: Quantum) -> LimitedButler:
        # As the command makes it, so that what is read now is what it finds.
        return QuantumBackedButler.initialize(
            repository, quantum, graph.pipeline_graph.universe, dataset_types=types
        )

    executor = SingleQuantumExecutor(limited_butler_factory=make_butler)
    warm_up(executor, dict(graph.quantum_only_xgraph.nodes.items()))


def _fork(words: Sequence[str], stdout: str, stderr: str) -> int:
    """Run a command in a forked process, and return its exit code; negative for a signal."""
    from ..execution.forking import settle_in_child

    parent = os.getpid()
    with warnings.catch_warnings():
        # The threads have been looked at.
        warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            settle_in_child(parent)
            _run(words, stdout, stderr)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _run(words: Sequence[str], stdout: str, stderr: str) -> NoReturn:
    """Be the command, to its end."""
    from lsst.ctrl.mpexec.cli.pipetask import cli

    for number, (name, flags) in enumerate(
        ((os.devnull, os.O_RDONLY), (stdout, os.O_WRONLY | os.O_APPEND), (stderr, os.O_WRONLY | os.O_APPEND))
    ):
        opened = os.open(name, flags | os.O_CREAT, 0o666)
        os.dup2(opened, number)
        os.close(opened)
    _forget_endings()
    sys.argv = list(words)
    code = 1
    try:
        cli.main(args=list(words[1:]), prog_name=os.path.basename(words[0]))
    except SystemExit as error:
        if error.code is None or isinstance(error.code, int):
            code = error.code or 0
        else:
            print(error.code, file=sys.stderr)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    # As at the end of any Python.
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code & 0xFF)


def _forget_endings() -> None:
    """Leave to the parent what it wants to be done when it ends."""
    atexit._clear()
    # They have one function there for all that is to be done.
    vars(weakref.finalize)["_registry"].clear()
    weakref.finalize._registered_with_atexit = False  # type: ignore[attr-defined]
    multiprocessing.util._finalizer_registry.clear()  # type: ignore[attr-defined]
    for ending in (logging.shutdown, multiprocessing.util._exit_function):  # type: ignore[attr-defined]
        atexit.register(ending)


def main() -> None:
    """Answer requests until no more come."""
    if SWITCH not in os.environ:
        # Our classes are put in place while Python starts.
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment(os.environ))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    if sys.platform == "linux":
        # Nobody is left to ask when the worker has been killed.
        ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGTERM)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    from lsst.ctrl.mpexec.cli import pipetask  # noqa: F401
    from lsst.ctrl.mpexec.cli.butler_factory import ButlerFactory
    from lsst.ctrl.mpexec.cli.cmd import run_qbb

    # The folder is part of the configuration that is read ahead.
    ButlerFactory.define_datastore_cache()
    zygote = _Zygote(run_qbb)
    _send(answers, {})
    for line in sys.stdin.buffer:
        _send(answers, zygote.answer(json.loads(line)))


def _send(stream: Any, answer: Mapping[str, Any]) -> None:
    stream.write(json.dumps(answer).encode() + b"\n")
    stream.flush()


if __name__ == "__main__":
    main()
