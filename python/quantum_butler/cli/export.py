"""``quantum-butler export``.

Importing this module is cheap; the command imports what it needs.
"""

from __future__ import annotations

__all__ = ("export",)

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from .names import told_in_words
from .output import require_replaceable, show, warn
from .paths import LocalPath, in_folder, is_standard_output

if TYPE_CHECKING:
    from ..exporting.driver import ExportReport

_FORMATS = ("prov-json", "prov-n", "openlineage", "ro-crate", "runtime-parquet")
_BINARY = "runtime-parquet"

# Bytes that are printed together.
_AT_ONCE = 1 << 16


class _Printed:
    """A stream whose contents are printed, many at a time."""

    def __init__(self) -> None:
        self._held = bytearray()

    def write(self, content: bytes) -> None:
        """Print something, sooner or later."""
        self._held += content
        if len(self._held) >= _AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Print what has not been printed yet."""
        show(bytes(self._held))
        self._held.clear()


@click.command(
    short_help="Write the provenance of a run for other tools.",
    epilog="Exit status: 0 when it was written; 1 when it could not be, or nothing "
    "has a name; 2 when it was called wrongly, or several have a name, which are listed then.",
)
@click.argument(
    "places",
    metavar="ARCHIVE|GRAPH...",
    nargs=-1,
    required=True,
    type=LocalPath(exists=True, is_text=True, file_okay=True),
)
@click.option("--to", required=True, type=click.Choice(_FORMATS), help="What to write.")
@click.option(
    "-o",
    "--output",
    type=LocalPath(file_okay=True),
    callback=in_folder,
    metavar="FILE",
    help="Where to; a file that is there is replaced. Of an RO-Crate a new folder, or a file that ends "
    "with .zip, or .json for its document alone.  [default: it is printed]",
)
@click.option(
    "--task",
    "tasks",
    multiple=True,
    metavar="LABEL",
    help="Only quanta of this task; may be given more than once.",
)
@click.option(
    "--dataset",
    "datasets",
    multiple=True,
    metavar="NAME",
    help="Only the lineage of this dataset, or of what this quantum wrote; may be given more than once. NAME "
    'is an id, a part of one, a path, or in quotes a dataset type with a data ID: "calexp visit=7 '
    'detector=3".',
)
@click.option(
    "--up", "direction", flag_value="up", default="up", help="What NAME was made from (the default)."
)
@click.option("--down", "direction", flag_value="down", help="What was made from it.")
@click.option(
    "--actual/--predicted",
    default=True,
    help="Go by what was really used and written (the default), or by what was predicted.",
)
def export(
    places: tuple[Path, ...],
    to: str,
    output: Path | None,
    tasks: tuple[str, ...],
    datasets: tuple[str, ...],
    direction: Literal["up", "down"],
    actual: bool,
) -> None:
    """Write the provenance of a run in the language of another tool.

    Asks one archive, as quantum-butler collect makes it, or quantum graphs (.qg).

    \b
    quantum-butler export campaign --to prov-json -o campaign.prov.json
    quantum-butler export campaign --to prov-n --dataset "deepCoadd tract=3 patch=5 band=r"
    quantum-butler export campaign --to openlineage -o events.ndjson
    quantum-butler export campaign --to ro-crate --task makeCoadd -o coadds.zip
    quantum-butler export run.qg --to runtime-parquet -o runtime.parquet

    \b
    prov-json, prov-n   PROV of the W3C: quanta are activities, datasets entities, tasks agents
    openlineage         a line of JSON for each event: a quantum began, was completed or failed
    ro-crate            a research object of at most 10,000 quanta
    runtime-parquet     memory and times of each quantum, as a table

    All but the last need the libraries of pip install 'quantum-butler[export]'.
    """  # noqa: D301 - click wants the character \b itself
    if output is not None and to != _BINARY and is_standard_output(output):
        output = None
    if output is None and to == _BINARY:
        raise click.UsageError(f"{to} is no text: name a file with --output")
    if output is not None:
        require_replaceable(output, "--output")
    from ..archive.reports import plain
    from ..exporting.driver import export as write
    from ..exporting.errors import ExportError, UnknownTaskError
    from ..progress import shown

    stream = _Printed() if output is None else None
    first, *more = places
    try:
        with told_in_words(), shown() as progress:
            report = write(
                first,
                to,
                stream or output,  # type: ignore[arg-type]
                *more,
                tasks=tasks,
                datasets=datasets,
                direction=direction,
                actual=actual,
                progress=progress,
            )
            if stream is not None:
                stream.flush()
    except UnknownTaskError as error:
        raise click.UsageError(plain(str(error))) from error
    except ExportError as error:
        raise click.ClickException(plain(str(error))) from error
    except OSError as error:
        raise click.ClickException(f"{output or 'the export'}: {error.strerror or error}") from error
    _tell(report)


def _tell(report: ExportReport) -> None:
    """Say what is not in what was written."""
    from ..archive.texts import counted

    for number, one, several in (
        (report.left_out, "has not run, and is left out", "have not run, and are left out"),
        (
            report.without_use,
            "is only known from graphs, which do not tell what was used: it has no inputs here; "
            "--predicted has those that were planned",
            "are only known from graphs, which do not tell what was used: they have no inputs here; "
            "--predicted has those that were planned",
        ),
        (
            report.without_time,
            "has no time, without which there is no event, and is left out",
            "have no time, without which there is no event, and are left out",
        ),
    ):
        if number:
            warn(counted(number, "quantum", one, several))
