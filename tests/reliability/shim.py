"""Has single system calls of this process fail; see `fault.c`, which must be preloaded for that.

::

    environment = preloaded(compile_shim(tmp_path))
    subprocess.run([sys.executable, "-m", "my_operations"], env=environment)

and in that process::

    with armed(folder, 3, Fault("ENOSPC", Mode.FAIL, errno.ENOSPC)) as strike:
        operate()
    assert strike.hits
"""

from __future__ import annotations

__all__ = ("FAULTS", "Fault", "Mode", "Strike", "armed", "compile_shim", "is_preloaded", "preloaded")

import contextlib
import ctypes
import dataclasses
import enum
import errno
import functools
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

_SOURCE = Path(__file__).with_name("fault.c")


class Mode(enum.IntEnum):
    """What happens instead of the chosen call; the numbers are those of `fault.c`."""

    COUNT = 0
    """Nothing else."""

    FAIL = 1
    """It fails."""

    FAIL_WRITES_FROM = 2
    """From then on whatever needs room fails."""

    HALF = 3
    """Half of the bytes are read or written."""

    HALF_THEN_FAIL = 4
    """Half of the bytes are written, and the next call that needs room fails."""

    KILL = 5
    """The process is killed; of a write, half has been made."""

    VANISH = 6
    """A folder is removed before it is made."""

    FAIL_LOCKS = 7
    """It does not matter which is chosen: whatever locks a file fails, as where there are no locks."""


@dataclasses.dataclass(frozen=True)
class Fault:
    """One way for a call to go wrong."""

    name: str
    mode: Mode
    code: int = 0


FAULTS = (
    Fault("ENOSPC", Mode.FAIL, errno.ENOSPC),
    Fault("EIO", Mode.FAIL, errno.EIO),
    Fault("EACCES", Mode.FAIL, errno.EACCES),
    Fault("ENOSPC from then on", Mode.FAIL_WRITES_FROM, errno.ENOSPC),
    Fault("half", Mode.HALF),
    Fault("half, then ENOSPC", Mode.HALF_THEN_FAIL, errno.ENOSPC),
    Fault("vanishing folder", Mode.VANISH),
)
"""What is injected at each call (`tuple` [`Fault`])."""


@dataclasses.dataclass
class Strike:
    """What has happened to a process."""

    made: int = 0
    """How many calls there were (`int`)."""

    hits: int = 0
    """How many of them went wrong (`int`)."""

    call: str = ""
    """The chosen call, and its file (`str`)."""


def compile_shim(folder: Path) -> Path | None:
    """Compile the library; `None` if there is no compiler."""
    if (compiler := shutil.which("cc")) is None:
        return None
    library = folder / "fault.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, _SOURCE, "-ldl"], check=True)
    return library


def preloaded(library: Path) -> dict[str, str]:
    """Return the environment of a process that is to have the library."""
    return {**os.environ, "LD_PRELOAD": str(library)}


@functools.cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(None)
    library.fault_arm.argtypes = [
        ctypes.c_char_p,
        ctypes.c_long,
        ctypes.c_int,
        ctypes.c_int,
        ctypes.c_char_p,
    ]
    library.fault_arm.restype = library.fault_disarm.restype = None
    library.fault_made.restype = ctypes.c_long
    library.fault_hit.restype = ctypes.c_char_p
    return library


def is_preloaded() -> bool:
    """Tell whether this process has the library."""
    return hasattr(ctypes.CDLL(None), "fault_arm")


@contextlib.contextmanager
def armed(below: Path, number: int, fault: Fault, vanishing: Path | None = None) -> Iterator[Strike]:
    """Let one call on files below a folder go wrong, counted from one."""
    library, strike = _library(), Strike()
    gone = None if vanishing is None else os.fsencode(vanishing)
    library.fault_arm(os.fsencode(below), number, int(fault.mode), fault.code, gone)
    try:
        yield strike
    finally:
        library.fault_disarm()
        strike.made, strike.hits = library.fault_made(), library.fault_hits()
        strike.call = library.fault_hit().decode()
