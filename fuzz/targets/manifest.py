"""The manifest of somebody else's archive: it is read, or `ArchiveError` names its file.

Run by ``fuzz/run.sh``.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["json", "quantum_butler"]):
    from quantum_butler.archive.errors import ArchiveError
    from quantum_butler.archive.format import FORMAT, MANIFEST, VERSION, Manifest, read_manifest

_FOLDER = Path(tempfile.mkdtemp())


def test_one(data: bytes) -> None:
    """Try one input."""
    path = _FOLDER / MANIFEST
    path.write_bytes(data)
    try:
        found = read_manifest(_FOLDER)
    except ArchiveError as error:
        assert str(path) in str(error)
    else:
        assert isinstance(found, Manifest)
        assert found.version in (1, VERSION)
        assert FORMAT.encode() in data or b"\\u" in data


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one)
    atheris.Fuzz()
