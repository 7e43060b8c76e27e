"""What an archive says of itself."""

from __future__ import annotations

__all__ = ("FORMAT", "MANIFEST", "VERSION", "Manifest", "read_manifest")

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .errors import ArchiveError

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST = "manifest.json"
FORMAT = "quantum-butler provenance archive"
VERSION = 1


@dataclass(frozen=True)
class Manifest:
    """What an archive says of itself.

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


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of an archive, and see whether this is one.

    Parameters
    ----------
    folder : `pathlib.Path`
        Folder of the archive.

    Returns
    -------
    manifest : `Manifest`
        What it says.

    Raises
    ------
    ArchiveError
        Raised if the folder is not an archive, or one of a newer format.
    """
    path = folder / MANIFEST
    try:
        content = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        found = "there is no such folder" if not folder.exists() else f"it has no {MANIFEST}"
        raise ArchiveError(f"{folder} is not a provenance archive: {found}") from error
    except OSError as error:
        raise ArchiveError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ArchiveError(f"{path}: this is not JSON") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ArchiveError(f"{path}: this is not the manifest of a provenance archive")
    version = content.get("version")
    if version != VERSION or isinstance(version, bool):
        raise ArchiveError(
            f"{path}: the archive is of format version {version!r}, and this release reads version {VERSION}"
        )
    types = {"created": str, "software": dict, "sources": list, "counts": dict}
    for name, kind in types.items():
        if not isinstance(content.get(name), kind):
            raise ArchiveError(f"{path}: {name} is missing or not what it should be")
    return Manifest(version, *(content[name] for name in types))
