"""Exceptions of archives."""

from __future__ import annotations

__all__ = ("ArchiveError", "NotAnArchiveError", "NotMadeError", "UnknownIdError", "unreadable")

from typing import TYPE_CHECKING

from ..errors import QuantumButlerError

if TYPE_CHECKING:
    from pathlib import Path


class ArchiveError(QuantumButlerError, ValueError):
    """A folder that is no provenance archive, or one that cannot be read."""


class NotAnArchiveError(ArchiveError):
    """A folder that is no provenance archive."""


class UnknownIdError(ArchiveError, LookupError):
    """A quantum or a dataset that an archive does not have."""


class NotMadeError(QuantumButlerError, LookupError):
    """A dataset that no quantum makes, or that none has written."""


def unreadable(path: Path, error: Exception) -> ArchiveError:
    """Return the error for a file that cannot be read; others' messages may have several lines."""
    if isinstance(error, FileNotFoundError):
        return ArchiveError(f"{path}: the archive has no such file")
    return ArchiveError(f"{path}: {' '.join(str(error).split()) or type(error).__name__}")
