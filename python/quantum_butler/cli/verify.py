"""``quantum-butler verify``.

Importing this module is cheap; the command imports what it needs.
"""

from __future__ import annotations

__all__ = ("verify",)

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import limit_option
from .output import format_option, output_option, show
from .paths import LocalPath

if TYPE_CHECKING:
    from ..archive.checks.findings import Verification

# Findings that a person gets, unless more are wanted.
_MOST_LINES = 50


class _NoArchiveError(click.ClickException):
    """Something that is no archive."""

    exit_code = 2


@click.command(
    short_help="Check an archive whole.",
    epilog="Exit status: 0 when the archive is sound; 1 when something is wrong; 2 when it is no archive, "
    "or the command was called wrongly.",
)
@click.argument("archive", type=LocalPath(exists=True, is_text=True, file_okay=True))
@limit_option("findings", _MOST_LINES, " At most 100 of each kind are kept for each file.")
@click.option(
    "--scratch",
    metavar="FOLDER",
    type=LocalPath(exists=True),
    help="Where to put what memory does not hold, some 40 bytes an edge.",
)
@output_option
@format_option("json", "csv")
def verify(archive: Path, limit: int | None, scratch: Path | None, style: str) -> None:
    """Check ARCHIVE whole: each table, the indexes, and whether all of them agree.

    \b
    quantum-butler verify campaign
    quantum-butler verify campaign --format json -o findings.json

    Every table is read to its end. Each finding names the file, the row and the id of the quantum or the
    dataset. The lineage index is made once more from the tables and compared with the one that is there.
    """  # noqa: D301 - click wants the character \b itself
    from ..archive.archive import Archive
    from ..archive.errors import ArchiveError
    from ..archive.reports import plain
    from ..progress import shown

    try:
        opened = Archive(archive)
    except ArchiveError as error:
        raise _NoArchiveError(plain(str(error))) from error
    try:
        with shown() as progress:
            found = opened.verify(scratch=scratch, progress=progress)
    except OSError as error:
        raise click.ClickException(f"{error.filename or scratch or archive}: {error.strerror}") from error
    show(_rendered(found, limit, style))
    if not found.is_sound:
        sys.exit(1)


def _rendered(found: Verification, limit: int | None, style: str) -> str:
    """Return the findings as text, JSON or CSV."""
    from ..archive.reports import Report, counted, plain, table

    rows = [[one.file, one.row, one.id, one.problem] for one in found.findings]

    def text() -> str:
        seen = ", ".join(f"{file} {rows:,}" for file, rows in found.rows.items())
        lines = [f"{plain(found.path)}: format {found.version}; rows: {seen}"]
        if found.is_sound:
            return "\n".join([*lines, "The archive is sound.", ""])
        cells = [["" if cell is None else str(cell) for cell in row] for row in rows[:limit]]
        lines += ["", table(("file", "row", "id", "what is wrong"), cells, " r").rstrip("\n"), ""]
        if found.count > len(cells):
            lines.append(f"and {found.count - len(cells):,} more")
        return "\n".join([*lines, f"{counted(found.count, 'finding')}", ""])

    content = {
        "archive": found.path,
        "version": found.version,
        "sound": found.is_sound,
        "rows": found.rows,
        "count": found.count,
        "findings": [
            {**dataclasses.asdict(one), "id": None if one.id is None else str(one.id)}
            for one in found.findings
        ],
    }
    if style == "json":
        return json.dumps(content) + "\n"
    return Report(content, ("file", "row", "id", "problem"), [*rows], text).render(style)
