"""Formatters of JSON files that fail when the dataset asks for it.

A dataset ``{"fail_write": "OSError"}`` is written by half, then the named
exception is raised.  A dataset ``{"fail_read": "KeyError"}`` is written, but
reading it raises.
"""

from __future__ import annotations

__all__ = ("Failing", "FailingDirect", "FailingV1")

import builtins
import json
from typing import Any

from lsst.daf.butler import Formatter, FormatterV2
from lsst.daf.butler.datastore.cache_manager import AbstractDatastoreCacheManager
from lsst.resources import ResourcePath


def _exception(name: str) -> BaseException:
    exception: BaseException = getattr(builtins, name)(f"{name} from the formatter")
    return exception


def _write(dataset: dict[str, Any], path: str) -> None:
    text = json.dumps(dataset)
    with open(path, "w") as stream:
        if "fail_write" in dataset:
            stream.write(text[: len(text) // 2])
            stream.flush()
            raise _exception(dataset["fail_write"])
        stream.write(text)


def _read(path: str) -> Any:
    with open(path) as stream:
        dataset = json.load(stream)
    if "fail_read" in dataset:
        raise _exception(dataset["fail_read"])
    return dataset


class Failing(FormatterV2):
    """Writes a local file, which the base class moves into place."""

    default_extension = ".json"
    can_read_from_local_file = True

    def read_from_local_file(self, path: str, component: str | None = None, expected_size: int = -1) -> Any:
        return _read(path)

    def write_local_file(self, in_memory_dataset: Any, uri: ResourcePath) -> None:
        _write(in_memory_dataset, uri.ospath)


class FailingDirect(Failing):
    """Writes the artifact in place."""

    def write_direct(
        self,
        in_memory_dataset: Any,
        uri: ResourcePath,
        cache_manager: AbstractDatastoreCacheManager | None = None,
    ) -> bool:
        uri.dirname().mkdir()
        _write(in_memory_dataset, uri.ospath)
        return True


class FailingV1(Formatter):
    """Writes where its file descriptor says, as older formatters do."""

    extension = ".json"

    def read(self, component: str | None = None) -> Any:
        return _read(self.fileDescriptor.location.path)

    def write(self, inMemoryDataset: Any) -> None:
        self.fileDescriptor.location.updateExtension(self.extension)
        _write(inMemoryDataset, self.fileDescriptor.location.path)
