"""Upstream's ingester of provenance graphs, for quanta that have left no small files."""

from __future__ import annotations

__all__ = ("ingest_graph",)

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from lsst.pipe.base.quantum_graph import ingest_graph as ingesting

from ..paths import is_folder


def ingest_graph(*arguments: Any, **options: Any) -> None:
    """Ingest a provenance graph as upstream does, also where folders of small files were never made."""
    with _only_folders_that_are_there():
        ingesting.ingest_graph(*arguments, **options)


@contextmanager
def _only_folders_that_are_there() -> Iterator[None]:
    """Let upstream remove empty folders, but only those that exist. It fails at others."""
    find = ingesting._GraphIngester.find_dataset_type_directory
    is_there = functools.cache(is_folder)

    def find_folder(self: Any, ospath: str, dataset_type: str) -> str | None:
        folder = find(self, ospath, dataset_type)
        return folder if folder is not None and is_there(folder) else None

    with mock.patch.object(ingesting._GraphIngester, "find_dataset_type_directory", find_folder):
        yield
