"""Format of an archive: its manifest, and the roles of datasets."""

from __future__ import annotations

__all__ = (
    "FORMAT",
    "INPUT_ROLES",
    "MANIFEST",
    "ROLES",
    "VERSION",
    "Manifest",
    "read_manifest",
    "role_bit",
    "role_names",
)

import json
import os
import shlex
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from ..paths import is_folder, is_there
from .errors import ArchiveError, NotAnArchiveError

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST = "manifest.json"
FORMAT = "quantum-butler provenance archive"
VERSION = 2

# Files of a folder whose names say what it is, where it is no archive.
_MOST_LOOKED_AT = 1000

# Earlier ones that are read as well.
_READABLE = (1, VERSION)

ROLES = ("predicted_input", "available_input", "actual_input", "predicted_output", "actual_output")
"""Names of the roles that a quantum has a dataset in, in the order of their bits."""

INPUT_ROLES = ROLES[:3]
"""Those of inputs; the others are those of outputs."""


def role_names(roles: int) -> tuple[str, ...]:
    """Return the names of roles that are given as bits."""
    return tuple(name for bit, name in enumerate(ROLES) if roles >> bit & 1)


def role_bit(name: str) -> int:
    """Return the bit of a role."""
    return 1 << ROLES.index(name)


@dataclass(frozen=True)
class Manifest:
    """Manifest of an archive: its format, sources and counts.

    Parameters
    ----------
    version : `int`
        Version of the archive's format.
    created : `str`
        Date and time at which it was written.
    software : `dict` [`str`, `str`]
        Versions of what wrote it.
    sources : `list` [`dict`]
        Where it was gathered from.
    counts : `dict` [`str`, `int`]
        Numbers of quanta, datasets, edges and so on.
    """

    version: int
    created: str
    software: dict[str, str]
    sources: list[dict[str, Any]]
    counts: dict[str, int]


def _what_it_is(folder: Path) -> str:
    """Return what a path is that is no archive, and what can be done with it."""
    if not is_folder(folder):
        return _what_file_it_is(folder) if is_there(folder) else "there is no such folder"
    try:
        with os.scandir(folder) as entries:
            names = [*islice((entry.name for entry in entries), _MOST_LOOKED_AT)]
    except OSError:
        return f"it has no {MANIFEST}"
    if not names:
        return "the folder is empty"
    if any(name.endswith((".jsonl", ".jsonl.zst")) for name in names):
        return (
            f"it has provenance logs; quantum-butler collect {shlex.quote(str(folder))} -o ARCHIVE makes an "
            "archive of them"
        )
    if is_there(folder / "butler.yaml"):
        return (
            "it is a repository; quantum-butler collect LOGS -o ARCHIVE makes an archive of the provenance "
            "logs of a run"
        )
    if any(name.endswith(".qg") for name in names):
        return "it has quantum graphs; name these files"
    return f"it has no {MANIFEST}"


def _what_file_it_is(path: Path) -> str:
    """Return what a file is, and what can be done with it."""
    if is_there(path.parent / MANIFEST):
        return f"it is a file of the archive {path.parent}; name that folder"
    if path.name.endswith((".qg", ".jsonl", ".jsonl.zst")):
        what = "quantum graph" if path.suffix == ".qg" else "provenance log"
        collect = f"quantum-butler collect {shlex.quote(str(path))} -o ARCHIVE"
        return f"it is a {what}; {collect} makes an archive of it"
    return "it is a file"


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of an archive, or raise `ArchiveError` if it is none that this release reads."""
    path = folder / MANIFEST
    try:
        content = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotAnArchiveError(f"{folder} is not a provenance archive: {_what_it_is(folder)}") from error
    except OSError as error:
        raise ArchiveError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ArchiveError(f"{path}: this is not JSON") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ArchiveError(f"{path}: this is not the manifest of a provenance archive")
    version = content.get("version")
    if version not in _READABLE or isinstance(version, bool):
        raise ArchiveError(
            f"{path}: the archive is of format version {version!r}, and this release reads up to {VERSION}"
        )
    types = {"created": str, "software": dict, "sources": list, "counts": dict}
    for name, kind in types.items():
        if not isinstance(content.get(name), kind):
            raise ArchiveError(f"{path}: {name} is missing or not what it should be")
    return Manifest(version, *(content[name] for name in types))
