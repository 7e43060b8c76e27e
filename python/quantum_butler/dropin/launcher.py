"""Run a command with our classes in place of upstream's.

The command becomes this very process, so that signals, standard streams and
the exit status are its own.  What is handed to it is an environment, which
its child processes inherit: a folder, first on ``PYTHONPATH``, with a
`sitecustomize` module that each Python runs when it starts, and a variable
that tells this module to act.
"""

from __future__ import annotations

__all__ = ("LAUNCH_FOLDER", "LOGS_BEFORE", "LOG_SWITCH", "SWITCH", "environment", "launch")

import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence

LAUNCH_FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "launch")
"""The folder with our `sitecustomize`."""

SWITCH = "QUANTUM_BUTLER_DROPIN"
"""The environment variable that tells our `sitecustomize` what to do:
nothing (unset, empty or ``0``), replace upstream's classes (``1``), or replace
them and fail if that is not possible (``require``).
"""

LOG_SWITCH = "QUANTUM_BUTLER_PROVENANCE"
"""The environment variable that names the folder for provenance logs."""

LOGS_BEFORE = "QUANTUM_BUTLER_LOGS_BEFORE"
"""The environment variable with what our `sitecustomize` needs to see whether
anything has been logged: the command's process, and how many logs there were
in the folder before.
"""

# As for a shell: there is no such command; there is, but it cannot be run.
_NOT_FOUND = 127
_NOT_RUNNABLE = 126


def environment(
    base: Mapping[str, str], *, require: bool = False, provenance_log: str | os.PathLike[str] | None = None
) -> dict[str, str]:
    """Return an environment in which Python uses our classes.

    Parameters
    ----------
    base : `~collections.abc.Mapping` [`str`, `str`]
        The environment to add to.
    require : `bool`, optional
        Whether to fail, instead of going on with upstream's classes, where
        ours cannot be imported.
    provenance_log : `str`, `os.PathLike` or `None`, optional
        Folder for provenance logs.

    Returns
    -------
    environment : `dict` [`str`, `str`]
        A copy of ``base`` with what is needed.
    """
    # An empty entry in PYTHONPATH means the working directory, an empty PYTHONPATH means nothing.
    path = base.get("PYTHONPATH")
    others = [entry for entry in path.split(os.pathsep) if entry != LAUNCH_FOLDER] if path else []
    # The command may change its working directory.
    log = {}
    if provenance_log is not None:
        folder = os.path.abspath(provenance_log)
        log = {LOG_SWITCH: folder, LOGS_BEFORE: f"{os.getpid()} {_count_logs(folder)}"}
    return {
        **base,
        "PYTHONPATH": os.pathsep.join([LAUNCH_FOLDER, *others]),
        SWITCH: "require" if require else "1",
        **log,
    }


def _count_logs(folder: str) -> int:
    """Return how many logs there are in a folder, which need not be there."""
    try:
        return sum(".jsonl" in name for name in os.listdir(folder))
    except OSError:
        return 0


def launch(
    command: Sequence[str], *, require: bool = False, provenance_log: str | os.PathLike[str] | None = None
) -> int:
    """Turn this process into one that runs a command with our classes.

    Parameters
    ----------
    command : `~collections.abc.Sequence` [`str`]
        The command, looked up on ``PATH``, and its arguments.
    require : `bool`, optional
        Whether to fail, instead of going on with upstream's classes, where
        ours cannot be imported.
    provenance_log : `str`, `os.PathLike` or `None`, optional
        Folder for provenance logs.

    Returns
    -------
    status : `int`
        Exit status for this process; it returns only if the command could
        not be run, and has said so on standard error.
    """
    name = command[0]
    # Python ignores these signals and the command would inherit that, which no shell does to it.
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(ignored, signal.SIG_DFL)
    try:
        os.execvpe(
            name, list(command), environment(os.environ, require=require, provenance_log=provenance_log)
        )
    except (FileNotFoundError, NotADirectoryError):
        if shutil.which(name) is None:
            return _refuse(name, "command not found", _NOT_FOUND)
        return _refuse(name, "the interpreter that its first line names was not found", _NOT_RUNNABLE)
    except OSError as error:
        return _refuse(name, f"cannot be run: {error.strerror}", _NOT_RUNNABLE)


def _refuse(name: str, reason: str, status: int) -> int:
    # Nobody may be able to read it.
    with contextlib.suppress(OSError):
        print(f"quantum-butler exec: {name}: {reason}", file=sys.stderr)
    return status
