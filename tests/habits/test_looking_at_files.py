"""No error of the file system is taken for "there is no such file": what is passed over then is lost."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import quantum_butler
from quantum_butler.paths import is_file, is_folder, is_there

PACKAGE = Path(quantum_butler.__file__).parent

HIDING = {"exists", "lexists", "isfile", "isdir", "is_file", "is_dir"}
"""What answers "no" whatever the error, in one release of Python or another."""

# Who asks so nevertheless, and why nothing is lost.
ALLOWED = {
    # The folder is made then, or that fails.
    "store/artifact.py": {"os.path.isdir"},
    # A file is then created in upstream's way, which finds it.
    "record_file/schema.py": {"os.path.lexists"},
    # Whoever collects next removes it.
    "collecting/scratch.py": {"os.path.isdir"},
    # What is not read differs from what is expected.
    "demo/comparison.py": {"path.is_file"},
    # A table's.
    "store/finding.py": {"store.records.exists"},
    # These are of `lsst.resources`, which raises, or knows it from the name.
    "upstream/configuration.py": {"uri.isdir"},
    "upstream/locations.py": {"expected.isdir", "uri.isdir"},
    "record_file/resume.py": {"uri.exists"},
    "store/reading.py": {"file[0].uri.exists"},
    "store/removing.py": {"store.locations.uri(path).exists"},
    # An entry of a folder, which has been read; the first takes an archive's place, which is being asked for.
    "collecting/sources.py": {"entry.is_dir", "uri.exists"},
}


def _calls(path: Path) -> set[str]:
    """Return how a file asks whether something is there, by methods that hide errors."""
    return {
        ast.unparse(node.func)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in HIDING
    }


def test_errors_are_no_answers() -> None:
    found = {
        str(path.relative_to(PACKAGE)): calls for path in PACKAGE.rglob("*.py") if (calls := _calls(path))
    }
    assert found == ALLOWED


@pytest.mark.parametrize("asked", [is_there, is_file, is_folder])
def test_what_cannot_be_found_out(tmp_path: Path, asked: object) -> None:
    assert callable(asked)
    with pytest.raises(OSError, match="File name too long"):
        asked(tmp_path / ("x" * 300))


def test_what_there_is(tmp_path: Path) -> None:
    file, folder, link, loop = (tmp_path / name for name in ("file", "folder", "link", "loop"))
    file.touch()
    folder.mkdir()
    link.symlink_to(tmp_path / "nowhere")
    loop.symlink_to(loop)
    below = file / "below"
    found = {
        path.name: (is_there(path), is_there(path, follow=False), is_file(path), is_folder(path))
        for path in (file, folder, link, loop, below, tmp_path / "nothing")
    }
    assert found == {
        "file": (True, True, True, False),
        "folder": (True, True, False, True),
        "link": (False, True, False, False),
        "loop": (False, True, False, False),
        "below": (False, False, False, False),
        "nothing": (False, False, False, False),
    }
