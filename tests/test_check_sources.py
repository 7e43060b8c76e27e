"""The lint script finds what it is there to find."""

from __future__ import annotations

import runpy
from pathlib import Path, PurePath

import pytest

SCRIPT = Path(__file__).parent.parent / ".ci" / "check_sources.py"
findings = runpy.run_path(str(SCRIPT))["findings"]

# In two pieces each, or the script would find them here.
HOME, TEMPORARY, INDEX, FROM = "/" + "root/", "/" + "tmp/", "pypi" + ".org", "registry" + "+"


@pytest.mark.parametrize(
    ("name", "text", "count"),
    [
        ("README.md", f"cd {HOME}checkout", 1),
        ("tests/test_a.py", f"cd {HOME}checkout", 1),
        ("python/a.py", f'open("{TEMPORARY}file")', 1),
        ("tests/test_a.py", f'open("{TEMPORARY}file")', 0),
        ("requirements.lock", f"https://{INDEX}/simple", 1),
        ("Cargo.lock", f'source = "{FROM}https://mirror.example/index"', 1),
        ("Cargo.lock", f'source = "{FROM}https://github.com/rust-lang/crates.io-index"', 0),
        ("README.md", "docs/home/index.html and ${ROOT}/work/file", 0),
    ],
)
def test_a_machine_or_a_registry_is_found(name: str, text: str, count: int) -> None:
    assert len(list(findings(PurePath(name), f"first line\n{text}\n"))) == count
