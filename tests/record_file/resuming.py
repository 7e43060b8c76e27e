"""Butlers that begin, break off, and are gone on with."""

from __future__ import annotations

__all__ = ("begin", "crash", "drop", "resume")

import itertools
import os
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from quantum_butler import QuantumBackedButler
from repositories import Repository


def begin(repository: Repository, file: Path, **options: Any) -> QuantumBackedButler:
    """Make a butler of all that the repository expects."""
    options.setdefault("inputs", repository.stored["measured"])
    options.setdefault("outputs", list(itertools.chain.from_iterable(repository.predicted.values())))
    return repository.butler(QuantumBackedButler, filename=str(file), **options)


def resume(repository: Repository, file: Path, **options: Any) -> QuantumBackedButler:
    """Go on with a file."""
    return QuantumBackedButler.resume(
        file, str(repository.root), repository.universe, repository.dataset_types, **options
    )


def drop(butler: QuantumBackedButler) -> None:
    """End a butler as a crash would, so that nothing more is written."""
    file = butler._journal
    assert file is not None
    connection, file._connection = file._connection, None
    assert connection is not None
    if connection.in_transaction:
        connection.rollback()
    # What would be left of it; the end of the last connection would tidy up.
    left = [path for path in (Path(file.path), Path(f"{file.path}-wal")) if path.exists()]
    kept = [path.read_bytes() for path in left]
    connection.close()
    for path, content in zip(left, kept, strict=True):
        path.write_bytes(content)


def crash(work: Callable[[], object]) -> None:
    """Do something in a process that ends without cleaning up."""
    with warnings.catch_warnings():
        # From Python 3.12 on, of other threads: the child has no use for their locks.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
