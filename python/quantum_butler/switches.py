"""The environment variables of this package, read in one place.

Each of them is read anew whenever it matters, so that a change in a running
process counts from then on.
"""

from __future__ import annotations

__all__ = (
    "AGGREGATOR_SWITCH",
    "CONTENTS_SWITCH",
    "EXECUTOR_SWITCH",
    "FAILURE_SWITCH",
    "LOGS_BEFORE",
    "LOG_SWITCH",
    "NATIVE_SWITCH",
    "SPILL_SWITCH",
    "SWITCH",
    "LogFailure",
    "contents_wanted",
    "environment_values",
    "log_policies",
    "native_enabled",
    "pin_log_folder",
    "set_log_failure",
    "set_log_folder",
    "wanted_log_failure",
    "wanted_log_folder",
)

import contextlib
import os
from collections.abc import Sequence
from typing import NamedTuple

from .paths import PathError, absolute_path

SWITCH = "QUANTUM_BUTLER_DROPIN"
"""The environment variable that tells our `sitecustomize` what to do:
nothing (unset, empty or ``0``), replace upstream's classes (``1``), or replace
them and fail if that is not possible (``require``).
"""

EXECUTOR_SWITCH = "QUANTUM_BUTLER_EXECUTOR"
"""The environment variable that leaves the execution of graphs to upstream
under ``quantum-butler exec``, with ``0``.
"""

AGGREGATOR_SWITCH = "QUANTUM_BUTLER_AGGREGATOR"
"""The environment variable that leaves ``butler aggregate-graph`` to upstream
under ``quantum-butler exec``, with ``0``.
"""

LOG_SWITCH = "QUANTUM_BUTLER_PROVENANCE"
"""The environment variable that names the folder for provenance logs."""

CONTENTS_SWITCH = "QUANTUM_BUTLER_PROVENANCE_CONTENTS"
"""The environment variable that has provenance logs keep the contents of
metadata and logs, with ``1``.
"""

FAILURE_SWITCH = "QUANTUM_BUTLER_PROVENANCE_FAILURE"
"""The environment variable that says what happens if such a log cannot be
written later: one of `log_policies`.
"""

SPILL_SWITCH = "QUANTUM_BUTLER_PROVENANCE_SPILL"
"""The environment variable that names the second folder for such logs."""

LOGS_BEFORE = "QUANTUM_BUTLER_LOGS_BEFORE"
"""The environment variable with what our `sitecustomize` needs to see whether
anything has been logged: the command's process, and how many logs there were
in the folder before.
"""

NATIVE_SWITCH = "QUANTUM_BUTLER_NATIVE"
"""The environment variable that turns every fast path off, with ``0``."""

_LOG = (os.fsencode(LOG_SWITCH),)
_NATIVE = (os.fsencode(NATIVE_SWITCH),)

_CONTENTS = (os.fsencode(CONTENTS_SWITCH),)
_FAILURE = (os.fsencode(FAILURE_SWITCH), os.fsencode(SPILL_SWITCH))

_log_folder: str | None = None
_log_contents = False


log_policies = ("fail", "warn", "spill")
"""What may happen if a log cannot be written: the quantum fails, there is a
warning, or the line goes to a second folder.
"""


class LogFailure(NamedTuple):
    """Policy for a log that cannot be written."""

    policy: str = "fail"
    """One of `log_policies`."""

    spill_to: str | None = None
    """The second folder, with ``spill``."""

    @classmethod
    def of(cls, policy: str | None, spill_to: str | os.PathLike[str] | None) -> LogFailure:
        """Return what is chosen; a second folder alone means ``spill``."""
        if policy is None:
            policy = "fail" if spill_to is None else "spill"
        if policy not in log_policies:
            raise ValueError(
                f"if a provenance log cannot be written, {', '.join(log_policies)} are what can be done, "
                f"not {policy!r}"
            )
        if (policy == "spill") != (spill_to is not None):
            raise ValueError("spill needs a second folder for provenance logs, and only spill has one")
        return cls(policy, None if spill_to is None else absolute_path(spill_to))


_log_failure: LogFailure | None = None


def environment_values(names: Sequence[bytes]) -> tuple[bytes | None, ...]:
    """Return the values of environment variables, as bytes. The value of one that is not set is `None`."""
    # The mapping itself encodes each name, and raises and catches an exception
    # for one that is not set.
    if type(encoded := getattr(os.environ, "_data", None)) is dict and os.name == "posix":
        return tuple(map(encoded.get, names))
    values = (os.environ.get(os.fsdecode(name)) for name in names)
    return tuple(None if value is None else os.fsencode(value) for value in values)


def native_enabled() -> bool:
    """Return whether fast paths are on: not with ``QUANTUM_BUTLER_NATIVE=0``."""
    return environment_values(_NATIVE) != (b"0",)


def set_log_folder(folder: str | os.PathLike[str] | None, *, contents: bool = False) -> None:
    """Choose the folder for the logs of this process, and whether they keep contents.

    `None` and `False` leave it to the environment variables.
    """
    global _log_contents, _log_folder
    _log_folder = None if folder is None else absolute_path(folder)
    _log_contents = contents


def contents_wanted() -> bool:
    """Return whether the logs of this process keep the contents of metadata and logs."""
    return _log_contents or environment_values(_CONTENTS) not in ((None,), (b"",), (b"0",))


def wanted_log_folder() -> str | None:
    """Return the folder for the logs of this process; `None` if no log is wanted."""
    if _log_folder is not None:
        return _log_folder
    (folder,) = environment_values(_LOG)
    if folder and not os.path.isabs(folder):
        # Set since this was imported.
        pin_log_folder()
        (folder,) = environment_values(_LOG)
    return absolute_path(os.fsdecode(folder)) if folder else None


def set_log_failure(failure: LogFailure | None) -> None:
    """Choose what happens if a log cannot be written; `None` leaves it to the environment variables."""
    global _log_failure
    _log_failure = failure


def wanted_log_failure() -> LogFailure:
    """Return what happens if a log of this process cannot be written."""
    if _log_failure is not None:
        return _log_failure
    policy, spill_to = environment_values(_FAILURE)
    if not policy and not spill_to:
        return LogFailure()
    try:
        return LogFailure.of(
            os.fsdecode(policy) if policy else None, os.fsdecode(spill_to) if spill_to else None
        )
    except ValueError as error:
        raise ValueError(f"{FAILURE_SWITCH}, {SPILL_SWITCH}: {error}") from None


def pin_log_folder() -> None:
    """Make folders for logs in this process's environment absolute, for it and its children."""
    for switch in (LOG_SWITCH, SPILL_SWITCH):
        # Whoever wants a log will tell what is wrong with the name.
        with contextlib.suppress(PathError):
            if folder := os.environ.get(switch):
                os.environ[switch] = absolute_path(folder)
