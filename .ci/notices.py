"""Write the licences of the crates that the extension is linked with, for whoever gets it as a wheel."""

from __future__ import annotations

__all__ = ("main", "notices")

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

PACKAGE = "quantum-butler-py"

# Wheels are for Linux; other systems would add crates of their own.
PLATFORM = "x86_64-unknown-linux-gnu"

# How files with the terms of a licence, or with who holds it, are named.
STEMS = ("license", "licence", "copying", "copyright", "notice", "unlicense")


def linked(metadata: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the crates that end up in the extension, by name; not those that only build or test it."""
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    crates = {crate["id"]: crate for crate in metadata["packages"]}
    waiting = [crate["id"] for crate in crates.values() if crate["name"] == PACKAGE]
    found: set[str] = set()
    while waiting:
        if (one := waiting.pop()) not in found:
            found.add(one)
            waiting += [
                dependency["pkg"]
                for dependency in nodes[one]["deps"]
                if any(kind["kind"] is None for kind in dependency["dep_kinds"])
            ]
    yield from sorted(
        (crates[one] for one in found if crates[one]["source"] is not None),
        key=lambda crate: (crate["name"], crate["version"]),
    )


def terms(crate: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield name and content of each file with terms that came with a crate."""
    for path in sorted(Path(crate["manifest_path"]).parent.iterdir()):
        if path.is_file() and path.name.lower().startswith(STEMS):
            yield path.name, path.read_text(encoding="utf-8", errors="replace").strip()


def notices(metadata: dict[str, Any]) -> str:
    """Return what there is to say of all crates; the same text only once."""
    parts = [
        "The extension module of quantum-butler is linked with these crates.\n"
        "Each is used under its own terms, which follow."
    ]
    first: dict[str, str] = {}
    for crate in linked(metadata):
        if not crate["license"]:
            raise SystemExit(f"{crate['name']} {crate['version']}: no licence is named")
        title = f"{crate['name']} {crate['version']} ({crate['license']})"
        parts.append(f"{title}\n{'=' * len(title)}\n{', '.join(crate['authors'])}".rstrip())
        files = list(terms(crate))
        if not files:
            parts.append(f"The crate came without a file of its terms: they are those of {crate['license']}.")
        for name, text in files:
            if (
                place := first.setdefault(text, f"{name} of {crate['name']}")
            ) == f"{name} of {crate['name']}":
                parts.append(f"-- {name}\n\n{text}")
            else:
                parts.append(f"-- {name}: the same as {place}")
    return "\n\n".join(parts) + "\n"


def main() -> int:
    """Write the file that is named, or compare it with ``--check``; return the exit status."""
    *options, place = sys.argv[1:]
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", PLATFORM]
    metadata = json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
    text = notices(metadata)
    path = ROOT / place
    if options == ["--check"]:
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            print(f"{place} is not of today's crates: make notices", file=sys.stderr)
            return 1
        print(f"{place} has the licences of {len(list(linked(metadata)))} crates")
        return 0
    path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
