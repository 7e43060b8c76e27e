"""Where the files of a repository are that both classes work in: a folder, or a bucket of an object store.

The store is S3, played by `moto` in this process; its contents are looked at and
changed without asking it.
"""

from __future__ import annotations

__all__ = ("Bucket", "Files", "Folder", "files_in")

import os
import shutil
from pathlib import Path
from typing import Any, Protocol

from moto.backends import get_backend
from moto.core import DEFAULT_ACCOUNT_ID

from repositories import Repository

_FOLDER = "data/repo/"


class Files(Protocol):
    """All files of a repository."""

    root: str
    """Path or URI of the repository (`str`)."""

    def restore(self, template: Repository) -> Repository:
        """Make the files those of a template; return the repository."""

    def contents(self) -> dict[str, bytes]:
        """Return every file by its path in the repository."""

    def damage(self, name: str, contents: bytes | None) -> None:
        """Replace a file, or remove it, behind everybody's back."""


class Folder:
    """Files in a folder."""

    def __init__(self, folder: Path):
        self.root = str(folder)

    def restore(self, template: Repository) -> Repository:
        shutil.rmtree(self.root, ignore_errors=True)
        return template.copy(Path(self.root))

    def contents(self) -> dict[str, bytes]:
        return files_in(Path(self.root))

    def damage(self, name: str, contents: bytes | None) -> None:
        path = Path(self.root, name)
        if contents is None:
            path.unlink()
        else:
            path.write_bytes(contents)


class Bucket:
    """Objects in a bucket of the store in this process."""

    def __init__(self, name: str):
        self.root = f"s3://{name}/{_FOLDER.rstrip('/')}"
        self._name = name
        self._store: Any = get_backend("s3")[DEFAULT_ACCOUNT_ID]["aws"]
        if name not in self._store.buckets:
            self._store.create_bucket(name, "us-east-1")

    def restore(self, template: Repository) -> Repository:
        for name in self.contents():
            self.damage(name, None)
        for name, contents in files_in(template.root).items():
            if not name.endswith(".sqlite3"):
                self.damage(name, contents)
        return template

    def remove(self) -> None:
        """Remove the bucket with all that is in it."""
        for name in self.contents():
            self.damage(name, None)
        self._store.delete_bucket(self._name)

    def contents(self) -> dict[str, bytes]:
        keys = self._store.buckets[self._name].keys
        # A folder is no file.
        return {name.removeprefix(_FOLDER): keys[name].value for name in list(keys) if not name.endswith("/")}

    def damage(self, name: str, contents: bytes | None) -> None:
        if contents is None:
            self._store.delete_object(self._name, _FOLDER + name)
        else:
            self._store.put_object(self._name, _FOLDER + name, contents)


def files_in(root: Path) -> dict[str, bytes]:
    """Return every file by its path in a folder."""
    found = {}
    for folder, _, names in os.walk(root):
        for name in names:
            path = os.path.join(folder, name)
            with open(path, "rb") as stream:
                found[os.path.relpath(path, root)] = stream.read()
    return found
