"""How Sphinx builds the site: `make docs`."""

from __future__ import annotations

import re
from pathlib import Path

import click
from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parent.parent

project = "quantum-butler"
author = "The quantum-butler developers"
copyright = "2026, the quantum-butler developers"
[release] = re.findall(r'^version = "(.+)"$', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)
version = release

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_click",
    "sphinx_design",
]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
# Highlighting of what is printed is no help.
highlight_language = "text"
exclude_patterns = ["_build"]
# Options have two hyphens, and no dash.
smartquotes = False
templates_path = ["_templates"]

autosummary_generate = True
autodoc_typehints = "none"
toc_object_entries_show_parents = "hide"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

man_pages = [("reference/commands", "quantum-butler", "Rubin Observatory's QuantumBackedButler", "", 1)]

html_theme = "pydata_sphinx_theme"
html_title = f"quantum-butler {release}"
html_theme_options = {
    "navigation_with_keys": True,
    "show_prev_next": False,
    "secondary_sidebar_items": ["page-toc"],
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
}
html_show_sourcelink = False
# Pages without others beside them need no list of these.
html_sidebars = {page: [] for page in ("start", "tutorial", "changelog")}

# Pages that people read in the source tree, and where they are in the site.
ELSEWHERE = {
    "../CHANGELOG.md": "changelog.md",
    "../CONTRIBUTING.md": "contributing.md",
    "../SECURITY.md": "security.md",
    "../benches/RESULTS.md": "results.md",
}


def point_within(app: Sphinx, name: str, source: list[str]) -> None:
    """Have links to pages outside of this folder lead to their place in the site."""
    for outside, inside in ELSEWHERE.items():
        source[0] = source[0].replace(f"]({outside}", f"]({inside}")


def show_as_typed(app: Sphinx, context: click.Context, lines: list[str]) -> None:
    """Have examples in the help of a command look as they are typed, and not as lines of prose."""
    shown: list[str] = []
    is_example = False
    for line in lines:
        if line.startswith("| "):
            if not is_example:
                shown += ["", "::", ""]
            shown.append(f"   {line[2:]}")
        else:
            shown += ["", line] if is_example else [line]
        is_example = line.startswith("| ")
    lines[:] = shown


def setup(app: Sphinx) -> None:
    """Register what is ours."""
    app.connect("sphinx-click-process-description", show_as_typed)
    app.connect("source-read", point_within)
