"""What is common to everything that touches files and is tried with faults.

An `Operation` is prepared, run while something goes wrong (see `shim.py`), and looked at: either it has done
its work, or it has raised the right error and all is as it was.  Then it is run again and must succeed.
"""

from __future__ import annotations

__all__ = ("OfFolder", "Operation", "errors_of", "is_temporary", "provenance", "quiet", "read_log")

import contextlib
import json
import logging
import re
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pyarrow
from lsst.daf.butler import QuantumProvenanceData
from shim import Fault, Strike

from repositories import Repository

_TEMPORARY = re.compile(r"[a-z0-9_]{16}.+\.tmp\.[a-z.]+")


def is_temporary(name: str) -> bool:
    """Tell whether a file is one that an interrupted process has left."""
    return _TEMPORARY.fullmatch(name) is not None


def errors_of(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error, and whatever it was raised for."""
    if error is not None:
        yield error
        if isinstance(error, BaseExceptionGroup):
            for one in error.exceptions:
                yield from errors_of(one)
        yield from errors_of(error.__cause__ or error.__context__)


def _said_by(error: BaseException) -> str:
    """Return all that an error says."""
    return "\n".join(
        f"{one} {getattr(one, 'filename', '')} {' '.join(getattr(one, '__notes__', ()))}"
        for one in errors_of(error)
    )


def read_log(path: Path) -> list[dict[str, Any]]:
    """Read a log with nothing of ours; it must be whole."""
    if not path.exists():
        return []
    compression = "zstd" if path.suffix == ".zst" else None
    with pyarrow.input_stream(str(path), compression=compression) as stream:
        text = stream.read().decode()
    assert not text or text.endswith("\n"), "the log ends within a line"
    return [json.loads(line) for line in text.splitlines()]


def provenance(n: int) -> QuantumProvenanceData:
    """Return provenance that differs for each number."""
    ids = [uuid.UUID(int=(n << 32) + i) for i in range(40)]
    return QuantumProvenanceData.direct(
        predicted_inputs=ids,
        available_inputs=ids[:2],
        actual_inputs=ids[:1],
        predicted_outputs=[],
        actual_outputs=[],
        datastore_records={},
    )


class Operation:
    """Something that is done with files.

    Parameters
    ----------
    repository : `Repository`
        Repository that it may change.
    folder : `pathlib.Path`
        Empty folder for anything else.
    variant : `str`
        Which of its ways of doing it.
    """

    variants: ClassVar[tuple[str, ...]]
    """Ways of doing it (`tuple` [`str`])."""

    keeps_to_itself: ClassVar[tuple[str, ...]] = ()
    """Calls whose error numbers nobody can know (`tuple` [`str`])."""

    def __init__(self, repository: Repository, folder: Path, variant: str):
        self.repository, self.folder, self.variant = repository, folder, variant
        self.below = repository.root
        """Folder whose files count (`pathlib.Path`)."""
        self.vanishing: Path | None = None
        """Folder that may vanish (`pathlib.Path` or `None`)."""

    def prepare(self) -> None:
        """Make everything ready."""
        raise NotImplementedError

    def run(self) -> None:
        """Do it."""
        raise NotImplementedError

    def check(self, error: BaseException | None, strike: Strike, fault: Fault) -> None:
        """Look at what it has left."""
        raise NotImplementedError

    def again(self) -> None:
        """Do it once more, with nothing going wrong, and look."""
        raise NotImplementedError

    def end(self) -> None:
        """Let go of everything."""

    def after_kill(self) -> Any:
        """Look at what a process that was killed in the middle of it has left."""

    def named(self) -> str:
        """Return what an error has to name."""
        raise NotImplementedError

    def check_error(self, error: BaseException, strike: Strike, fault: Fault) -> None:
        """Check that an error tells what went wrong, and where."""
        found = [one for one in errors_of(error) if isinstance(one, OSError)]
        assert found, f"no OSError, but {error!r}"
        # Upstream asks whether a file is there, and does not tell why it could not find out.
        asked = strike.call.startswith(("stat", "mkdir", "access", "opendir", *self.keeps_to_itself))
        if fault.code and not asked:
            assert any(one.errno == fault.code for one in found), f"another error number: {found!r}"
        said = _said_by(error)
        assert self.named() in said, f"{self.named()} is not named: {said}"


class OfFolder(Operation):
    """Something that is done in a folder without a repository."""

    def __init__(self, repository: Repository, folder: Path, variant: str):
        super().__init__(repository, folder, variant)
        self.below = self.folder = folder / "files"
        self.folder.mkdir(exist_ok=True)

    def clear(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()

    def end(self) -> None:
        self.clear()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep warnings to oneself."""
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
