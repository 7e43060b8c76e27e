"""The names of files and folders on the command line."""

from __future__ import annotations

__all__ = (
    "LocalPath",
    "in_folder",
    "is_graph",
    "is_standard_output",
    "require_graph",
    "require_repository",
    "writable_file",
    "writable_folder",
    "writable_graph",
)

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from ..paths import PathError, is_folder, is_there, is_uri, local_path, text_path


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


def in_folder(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """Return what an option names, unless there is no folder to put it in. A callback, as those below."""
    for path in _each(value):
        with _told(path, context, parameter):
            _require_folder(path.parent, context, parameter)
    return value


def writable_graph(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """Return the files that an option names, unless one of them is a folder, or in none."""
    for path in _each(value):
        with _told(path, context, parameter):
            if is_folder(path):
                raise click.BadParameter(f"{path} is a folder", context, parameter)
    return in_folder(context, parameter, value)


def writable_file(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """Return the files that an option names, unless one of them cannot be written, or is a graph."""
    for path in _each(value):
        with _told(path, context, parameter):
            if is_graph(path):
                raise click.BadParameter(
                    f"{path} is a quantum graph, and is not replaced", context, parameter
                )
    return writable_graph(context, parameter, value)


def writable_folder(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """Return the folder that an option names, unless it cannot be made, with those above it."""
    for path in _each(value):
        above = path.absolute().parent
        with _told(path, context, parameter):
            while not is_there(above):
                if is_folder(above.parent) and not os.access(above.parent, os.W_OK):
                    break
                above = above.parent
            _require_folder(above, context, parameter)
    return value


def is_graph(path: Path) -> bool:
    """Return whether a file that is there has the name of a graph, or is a link to one."""
    names = (os.fspath(path), os.path.realpath(path))
    return any(name.endswith(".qg") for name in names) and is_there(path)


def _each(value: Path | tuple[Path, ...] | None) -> tuple[Path, ...]:
    paths = value if isinstance(value, tuple) else (value,)
    return tuple(path for path in paths if path is not None and not is_standard_output(path))


@contextlib.contextmanager
def _told(path: Path, context: click.Context, parameter: click.Parameter) -> Iterator[None]:
    """Turn what a file system says of a path into an error of the option."""
    try:
        yield
    except OSError as error:
        raise click.BadParameter(f"{path}: {error.strerror}", context, parameter) from error


def _require_folder(folder: Path, context: click.Context, parameter: click.Parameter) -> None:
    if not is_folder(folder):
        raise click.BadParameter(f"there is no folder {folder}", context, parameter)


def require_graph(graph: str | os.PathLike[str]) -> None:
    """End the command if a graph is a local file that does not exist; of a URI its reader tells."""
    if not is_uri(graph) and not is_there(local_path(graph)):
        raise click.UsageError(f"{graph}: there is no such graph")


def require_repository(repo: str) -> None:
    """End the command if a repository is neither there nor known by this name; of a URI its reader tells."""
    if is_uri(repo):
        return
    path = local_path(repo)
    if is_folder(path):
        if is_there(os.path.join(path, "butler.yaml")) or _is_known(repo):
            return
        raise click.UsageError(f"{repo}: this is no repository, as it has no butler.yaml")
    if not is_there(path) and not _is_known(repo):
        raise click.UsageError(f"{repo}: there is no such repository")


def _is_known(repo: str) -> bool:
    """Return whether the index of repositories has a label, if there is one."""
    try:
        from lsst.daf.butler import Butler
    except ModuleNotFoundError:
        # The command tells that later.
        return True
    return repo in Butler.get_known_repos()
