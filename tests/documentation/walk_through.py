"""The tutorial as a notebook, and what comes of it.

``python tests/documentation/walk_through.py`` runs it, and writes anew what is printed on the page, its
pictures and the notebook: after a change of what commands print.
"""

from __future__ import annotations

__all__ = ("NOTEBOOK", "PAGE", "Step", "execute", "masked", "notebook_of", "steps_of")

import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
from nbclient import NotebookClient

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "helpers"))

from pages import ROOT, Block, blocks_of

PAGE = ROOT / "docs" / "tutorial.md"
NOTEBOOK = PAGE.with_suffix(".ipynb")
PICTURES = PAGE.parent / "pictures"

# Before what is printed otherwise each time.
VARIES = "<!-- varies -->"
_PICTURE = re.compile(r"^!\[[^\]]*\]\(pictures/(\w+)\.(svg|png)\)$", re.MULTILINE)


class Step(NamedTuple):
    """Something to do, and what the page says is printed."""

    block: Block
    """The block of commands, or of Python."""

    printed: Block | None
    """What follows it on the page."""

    varies: bool
    """Whether only the first line is the same each time."""


def steps_of(page: Path) -> list[Step]:
    """Return what is done on a page, in order."""
    lines = page.read_text().splitlines()
    blocks = blocks_of(page)
    steps = []
    for block, after in zip(blocks, [*blocks[1:], None], strict=True):
        if block.language in ("sh", "python") and "skip" not in block.words:
            is_printed = after is not None and after.language == "text"
            steps.append(
                Step(
                    block,
                    after if is_printed else None,
                    is_printed and lines[after.line - 2] == VARIES,  # type: ignore[union-attr]
                )
            )
    return steps


def notebook_of(page: Path) -> Any:
    """Return a page as a notebook."""
    lines = page.read_text().splitlines(keepends=True)
    cells: list[Any] = []

    def add_text(begin: int, end: int) -> None:
        text = "".join(lines[begin:end]).replace(VARIES, "")
        place = 0
        for picture in _PICTURE.finditer(text):
            _add_markdown(cells, text[place : picture.start()])
            cells.append(nbformat.v4.new_code_cell(_showing(picture[1], picture[2])))
            place = picture.end()
        _add_markdown(cells, text[place:])

    done = 0
    steps = {step.block.line: step for step in steps_of(page)}
    for block in blocks_of(page):
        end = block.line + 1 + block.text.count("\n")
        if (step := steps.get(block.line)) is not None:
            add_text(done, block.line - 1)
            shell = "%%script --no-raise-error bash\n" if block.language == "sh" else ""
            cells.append(nbformat.v4.new_code_cell(f"{shell}{block.text}".rstrip()))
            done = end
            if step.printed is not None:
                add_text(done, step.printed.line - 1)
                done = step.printed.line + 1 + step.printed.text.count("\n")
    add_text(done, len(lines))
    for number, cell in enumerate(cells):
        cell["id"] = f"cell{number}"
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})


def _add_markdown(cells: list[Any], text: str) -> None:
    if text := text.strip():
        cells.append(nbformat.v4.new_markdown_cell(text))


def _showing(name: str, kind: str) -> str:
    """Return Python that shows a picture of the page as the reader's own run has made it."""
    if kind == "svg":
        return f'from IPython.display import SVG\n\nSVG("pictures/{name}.svg")'
    return f'from IPython.display import IFrame\n\nIFrame("{name}.html", 900, 600)'


def execute(notebook: Any, folder: Path) -> list[str]:
    """Run a notebook in a folder, and return what each of its cells with steps prints."""
    environment = dict(os.environ, COLUMNS="110")
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    client = NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(folder)}})
    client.execute(env=environment)
    return [
        "".join(one.text for one in cell.outputs if one.output_type == "stream" and one.name == "stdout")
        for cell in notebook.cells
        if cell.cell_type == "code" and "IPython.display" not in cell.source
    ]


def presentable(text: str, folder: Path) -> str:
    """Return what was printed without the names of this machine."""
    text = re.sub(r"file:///\S*", "file:///survey/repo/DemoCa", text.replace(str(folder), "/survey"))
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


_MASKS = (
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "ID"),
    (re.compile(r"\b(bytes read|bytes of the archive|seconds) +[\d.,]+"), r"\1 N"),
    (re.compile(r"\b\d[\d.,]* (ms|s|B|kB|MB|GB)\b"), "N"),
    (re.compile(r"file:///\S*"), "FILE"),
    (re.compile(r"\S+ (\d+) +instrument="), r"HOST \1 instrument="),
    (re.compile(r"-{2,}"), "-"),
    (re.compile(r"[^\S\n]+"), " "),
    (re.compile(r" +$", re.MULTILINE), ""),
)


def masked(text: str, folder: Path | None = None) -> str:
    """Return what was printed without what is another each time, and without the widths of columns."""
    text = text if folder is None else presentable(text, folder)
    for pattern, mask in _MASKS:
        text = pattern.sub(mask, text)
    return text.strip()


def renew() -> None:
    """Write page, pictures and notebook anew."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        printed = execute(notebook_of(PAGE), folder)
        lines = PAGE.read_text().splitlines(keepends=True)
        # From the end, so that the numbers of lines hold.
        for step, text in reversed(list(zip(steps_of(PAGE), printed, strict=True))):
            if step.printed is not None:
                begin = step.printed.line
                lines[begin : begin + step.printed.text.count("\n")] = [
                    presentable(text, folder).rstrip() + "\n"
                ]
        PAGE.write_text("".join(lines))
        PICTURES.mkdir(exist_ok=True)
        for picture in (folder / "pictures").glob("*.svg"):
            if f"(pictures/{picture.name})" in PAGE.read_text():
                shutil.copy(picture, PICTURES)
    NOTEBOOK.write_text(nbformat.writes(notebook_of(PAGE)) + "\n")


if __name__ == "__main__":
    renew()
