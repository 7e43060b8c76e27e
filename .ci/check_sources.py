"""Fail if a committed file names a path of somebody's machine or the host of a package registry."""

from __future__ import annotations

__all__ = ("findings", "main")

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path, PurePath

ROOT = Path(__file__).resolve().parent.parent

MACHINE_PATH = re.compile(r"(?<![\w.}-])/(?:root|work|home|Users|tmp)/")
# Tests may speak of made-up files in places that every machine has.
MACHINE_PATH_IN_TESTS = re.compile(r"(?<![\w.}-])/(?:root|work|Users)/")
REGISTRY = re.compile(
    r"pypi\.(?:org|python)|pythonhosted|(?:static|index)\.crates\.io|//crates\.io"
    r"|--(?:extra-)?index-url|--find-links|registry\+(?!https://github\.com/rust-lang/crates\.io-index\")"
)


def committed_files() -> list[Path]:
    """Return the files that git tracks, or is about to."""
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return [ROOT / name for name in names.split("\0") if name]


def findings(name: PurePath, text: str) -> Iterator[str]:
    """Yield a line for each thing in a file that should not be there."""
    machine_path = MACHINE_PATH_IN_TESTS if name.parts[0] == "tests" else MACHINE_PATH
    for number, line in enumerate(text.splitlines(), 1):
        for what, pattern in (("a machine's path", machine_path), ("a registry", REGISTRY)):
            if found := pattern.search(line):
                yield f"{name}:{number}: names {what}: {found[0]}"


def main() -> int:
    """Check every file; return the exit status."""
    this = Path(__file__).resolve()
    paths = [path for path in committed_files() if path.is_file() and path != this]
    if not paths:
        print("found no committed file to check", file=sys.stderr)
        return 1
    found = [
        line
        for path in paths
        for line in findings(path.relative_to(ROOT), path.read_text(encoding="utf-8", errors="replace"))
    ]
    print("\n".join(found) if found else f"{len(paths)} files name no machine and no registry")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
