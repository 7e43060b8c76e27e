"""Run a command with our classes in place of upstream's.

The command becomes this very process, so that signals, standard streams and
the exit status are its own.  What is handed to it is an environment, which
its child processes inherit: a folder, first on ``PYTHONPATH``, with a
`sitecustomize` module that each Python runs when it starts, and a variable
that tells this module to act.
"""

from __future__ import annotations

__all__ = ("LAUNCH_FOLDER", "environment", "launch")

import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence

from ..paths import absolute_path, require_writable
from ..switches import (
    CONTENTS_SWITCH,
    FAILURE_SWITCH,
    LOG_SWITCH,
    LOGS_BEFORE,
    SPILL_SWITCH,
    SWITCH,
    LogFailure,
)

LAUNCH_FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "launch")
"""The folder with our `sitecustomize`."""

# As for a shell: there is no such command; there is, but it cannot be run.  As for `env`: it was not tried.
_NOT_FOUND = 127
_NOT_RUNNABLE = 126
_NOT_TRIED = 125


def environment(
    base: Mapping[str, str],
    *,
    require: bool = False,
    provenance_log: str | os.PathLike[str] | None = None,
    provenance_contents: bool = False,
    on_log_failure: str | None = None,
    spill_to: str | os.PathLike[str] | None = None,
) -> dict[str, str]:
    """Return an environment in which Python uses our classes, with absolute names of folders.

    Each folder for logs in it has been tried: before the first quantum, whose outputs would stand there
    without provenance.
    """
    # An empty entry in PYTHONPATH means the working directory, an empty PYTHONPATH means nothing.
    path = base.get("PYTHONPATH")
    others = [entry for entry in path.split(os.pathsep) if entry != LAUNCH_FOLDER] if path else []
    # The command may change its working directory.
    folder = base.get(LOG_SWITCH) or None if provenance_log is None else provenance_log
    log = {}
    if folder is not None:
        if on_log_failure is None and spill_to is None:
            on_log_failure, spill_to = base.get(FAILURE_SWITCH) or None, base.get(SPILL_SWITCH) or None
        failure = LogFailure.of(on_log_failure, spill_to)
        folders = [absolute_path(folder), *filter(None, [failure.spill_to])]
        for one in folders:
            require_writable(one)
        log = {
            LOG_SWITCH: folders[0],
            FAILURE_SWITCH: failure.policy,
            SPILL_SWITCH: failure.spill_to or "",
            LOGS_BEFORE: f"{os.getpid()} {sum(map(_count_logs, folders))}",
        }
    elif on_log_failure is not None or spill_to is not None:
        raise ValueError("there is no folder for provenance logs, and so nothing can fail there")
    if provenance_contents:
        log[CONTENTS_SWITCH] = "1"
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
    command: Sequence[str],
    *,
    require: bool = False,
    provenance_log: str | os.PathLike[str] | None = None,
    provenance_contents: bool = False,
    on_log_failure: str | None = None,
    spill_to: str | os.PathLike[str] | None = None,
) -> int:
    """Replace this process by a command that uses our classes. Return an exit status if that fails."""
    name = command[0]
    try:
        environ = environment(
            os.environ,
            require=require,
            provenance_log=provenance_log,
            provenance_contents=provenance_contents,
            on_log_failure=on_log_failure,
            spill_to=spill_to,
        )
    except (ValueError, OSError) as error:
        return _refuse(os.fspath(provenance_log or LOG_SWITCH), f"no provenance log: {error}", _NOT_TRIED)
    # Python ignores these signals and the command would inherit that, which no shell does to it.
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(ignored, signal.SIG_DFL)
    try:
        os.execvpe(name, list(command), environ)
    except (FileNotFoundError, NotADirectoryError):
        import shutil

        if shutil.which(name) is None:
            return _refuse(name, "command not found", _NOT_FOUND)
        return _refuse(name, "the interpreter that its first line names was not found", _NOT_RUNNABLE)
    except OSError as error:
        return _refuse(name, f"cannot be run: {error.strerror}", _NOT_RUNNABLE)


def _refuse(name: str, reason: str, status: int) -> int:
    # Nobody may be able to read it; without a stream it would go to the other one.
    with contextlib.suppress(OSError):
        if sys.stderr is not None:
            print(f"quantum-butler exec: {name}: {reason}", file=sys.stderr)
    return status
