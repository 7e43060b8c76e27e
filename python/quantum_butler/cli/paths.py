"""The names of files and folders on the command line."""

from __future__ import annotations

__all__ = ("LocalPath", "is_standard_output", "require_graph")

import os
from pathlib import Path
from typing import Any

import click

from ..paths import PathError, is_there, is_uri, local_path, text_path


class LocalPath(click.Path):
    """A path as `quantum_butler.paths` understands it; with ``is_text``, one that is UTF-8."""

    def __init__(self, *, exists: bool = False, is_text: bool = False, file_okay: bool = False):
        super().__init__(exists=exists, file_okay=file_okay, path_type=Path)
        self._is_text = is_text

    def convert(
        self, value: str | os.PathLike[str], param: click.Parameter | None, context: click.Context | None
    ) -> Any:
        """Return the path, or end with what is wrong with its name."""
        try:
            path = Path(local_path(value))
            if self._is_text:
                text_path(value)
        except PathError as error:
            self.fail(str(error), param, context)
        # Without the "./" that said that it is a path it would not be taken for one again.
        if str(path).startswith("~") or is_uri(path):
            path = path.absolute()
        return super().convert(path, param, context)


def is_standard_output(path: Path) -> bool:
    """Return whether a name is one of standard output: of a file, perhaps, whose beginning must stay."""
    return str(path) in ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")


def require_graph(graph: str | os.PathLike[str]) -> None:
    """End the command if a graph is a local file that does not exist; of a URI its reader tells."""
    if not is_uri(graph) and not is_there(local_path(graph)):
        raise click.UsageError(f"{graph}: there is no such graph")
