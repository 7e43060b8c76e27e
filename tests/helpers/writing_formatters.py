"""Formatters that read and write in every way that the interface leaves open.

A test puts one of them in the place of `failing_formatters.Failing`; see
`use_formatter`.
"""

from __future__ import annotations

__all__ = ("FORMATTERS", "use_formatter")

import array
import json
import os
import re
from pathlib import Path
from typing import Any, BinaryIO

import astropy.io.fits
import numpy as np
from lsst.daf.butler import DatasetProvenance, Formatter, FormatterV2
from lsst.daf.butler._rubin.temporary_for_ingest import TemporaryForIngest
from lsst.daf.butler.datastore.cache_manager import AbstractDatastoreCacheManager
from lsst.daf.butler.formatters.typeless import TypelessFormatter
from lsst.resources import ResourceHandleProtocol, ResourcePath
from lsst.utils.introspection import get_full_type_name

import failing_formatters
from repositories import Repository


class _Reading(FormatterV2):
    default_extension = ".json"
    can_read_from_local_file = True

    def read_from_local_file(self, path: str, component: str | None = None, expected_size: int = -1) -> Any:
        return {"read": "by name", "component": component, "size": expected_size, "text": _text(path)}


def _text(path: str) -> str:
    with open(path, errors="replace") as file:
        return file.read()


class GivesBytes(_Reading):
    """Gives bytes."""

    def to_bytes(self, in_memory_dataset: Any) -> Any:
        return json.dumps(in_memory_dataset).encode()


class GivesByteArray(_Reading):
    """Gives bytes that can be changed."""

    def to_bytes(self, in_memory_dataset: Any) -> Any:
        return bytearray(b"bytes")


class GivesView(_Reading):
    """Gives a view of other bytes."""

    def to_bytes(self, in_memory_dataset: Any) -> Any:
        return memoryview(b"more bytes")[5:]


class GivesArray(_Reading):
    """Gives numbers that are not bytes, but can be written."""

    def to_bytes(self, in_memory_dataset: Any) -> Any:
        return array.array("H", [65, 66])


class GivesText(_Reading):
    """Gives what cannot be written."""

    def to_bytes(self, in_memory_dataset: Any) -> Any:
        return "text"


class GivesNothing(_Reading):
    """Gives nothing at all."""

    def to_bytes(self, in_memory_dataset: Any) -> Any:
        return None


class Incapable(_Reading):
    """Does not know how to write."""


class WritesFile(_Reading):
    """Writes a file, and into that what it was told."""

    default_extension = ".fits.gz"

    def add_provenance(
        self, in_memory_dataset: Any, /, *, provenance: DatasetProvenance | None = None
    ) -> Any:
        return {**in_memory_dataset, "quantum": None if provenance is None else str(provenance.quantum_id)}

    def write_local_file(self, in_memory_dataset: Any, uri: ResourcePath) -> None:
        location = self.file_descriptor.location
        final = location.uri.updatedExtension(self.get_write_extension())
        with open(uri.ospath, "x") as file:
            told = {
                "dataset": in_memory_dataset,
                "name": re.sub("^[a-z0-9_]{16}", "<random>", uri.basename()),
                "folder": uri.dirname() == final.dirname(),
                "extension": uri.getExtension(),
                "vars": sorted(vars(uri)),
                "dirLike": uri.dirLike,
                "isTemporary": uri.isTemporary,
                "type": type(uri).__name__,
                "in store": location.pathInStore.path,
                "final": location.uri.isTemporary,
                "left": TemporaryForIngest.find_orphaned_temporaries_by_path(final) == [uri],
                "ref": str(self.dataset_ref),
                "parameters": [self.file_descriptor.parameters, self.write_parameters, self.write_recipes],
            }
            json.dump(told, file)


class WritesFileOrBytes(WritesFile):
    """Could give bytes, too."""

    default_extension = ".json"

    def to_bytes(self, in_memory_dataset: Any) -> Any:
        return b"bytes"


class OddExtension(WritesFile):
    """Writes files with more than one extension."""

    default_extension = ".tar.odd"


class WritesNothing(_Reading):
    """Forgets to write the file."""

    def write_local_file(self, in_memory_dataset: Any, uri: ResourcePath) -> None:
        pass


class WritesLink(_Reading):
    """Makes a link to a file elsewhere."""

    def write_local_file(self, in_memory_dataset: Any, uri: ResourcePath) -> None:
        target = Path(self.file_descriptor.location.path).parent.parent / "target.txt"
        target.write_text(json.dumps(in_memory_dataset))
        os.symlink(target, uri.ospath)


class WritesBrokenLink(_Reading):
    """Makes a link to nowhere."""

    def write_local_file(self, in_memory_dataset: Any, uri: ResourcePath) -> None:
        os.symlink("nowhere.txt", uri.ospath)


class WritesFolder(_Reading):
    """Makes a folder."""

    def write_local_file(self, in_memory_dataset: Any, uri: ResourcePath) -> None:
        os.mkdir(uri.ospath)
        Path(uri.ospath, "contents.txt").write_text("contents")


class WritesPrivateFile(_Reading):
    """Makes a file that only its owner may read."""

    def write_local_file(self, in_memory_dataset: Any, uri: ResourcePath) -> None:
        with open(os.open(uri.ospath, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
            file.write("private")


class WritesInPlace(_Reading):
    """Writes the artifact itself."""

    def write_direct(
        self,
        in_memory_dataset: Any,
        uri: ResourcePath,
        cache_manager: AbstractDatastoreCacheManager | None = None,
    ) -> bool:
        uri.write(f"in place {cache_manager is not None}".encode())
        return True


class WritesElsewhere(_Reading):
    """Says that it has written the artifact, but has not."""

    def write_direct(
        self,
        in_memory_dataset: Any,
        uri: ResourcePath,
        cache_manager: AbstractDatastoreCacheManager | None = None,
    ) -> bool:
        return True


class WritesAndMoves(_Reading):
    """Has its own way of moving a file into place."""

    def write_locally_then_move(
        self,
        in_memory_dataset: Any,
        uri: ResourcePath,
        cache_manager: AbstractDatastoreCacheManager | None = None,
    ) -> None:
        uri.write(json.dumps(in_memory_dataset).encode())


class Accepts(WritesFile):
    """Takes anything."""

    def can_accept(self, in_memory_dataset: Any) -> bool:
        return True

    def add_provenance(
        self, in_memory_dataset: Any, /, *, provenance: DatasetProvenance | None = None
    ) -> Any:
        return {"any": repr(in_memory_dataset)}


class FailsOnProvenance(GivesBytes):
    """Cannot keep provenance."""

    def add_provenance(
        self, in_memory_dataset: Any, /, *, provenance: DatasetProvenance | None = None
    ) -> Any:
        raise ValueError("no provenance")


class OldGeneration(Formatter):
    """Writes where its file descriptor says, and notes where that is."""

    extension = ".json"

    def read(self, component: str | None = None) -> Any:
        return {"old": _text(self.fileDescriptor.location.path)}

    def write(self, inMemoryDataset: Any) -> None:
        location = self.fileDescriptor.location
        told = [re.sub("/[a-z0-9_]{16}", "/<random>", location.path)[-60:], location.uri.isTemporary]
        Path(location.path).write_text(json.dumps([inMemoryDataset, told]))


class OldGenerationIncapable(Formatter):
    """Cannot do anything."""

    extension = ".json"

    def read(self, component: str | None = None) -> Any:
        raise NotImplementedError("cannot read")

    def write(self, inMemoryDataset: Any) -> None:
        raise NotImplementedError("cannot write")


class ReadsUri(GivesBytes):
    """Reads from a URI."""

    can_read_from_local_file = False
    can_read_from_uri = True

    def read_from_uri(self, uri: ResourcePath, component: str | None = None, expected_size: int = -1) -> Any:
        return {"read": "from URI", "component": component, "size": expected_size, "bytes": uri.read()}


class ReadsStream(GivesBytes):
    """Reads from an open file."""

    can_read_from_local_file = False
    can_read_from_stream = True

    def read_from_stream(
        self, stream: BinaryIO | ResourceHandleProtocol, component: str | None = None, expected_size: int = -1
    ) -> Any:
        return {"read": "from stream", "component": component, "size": expected_size, "bytes": stream.read()}


class ReadsUriOrFile(ReadsUri):
    """Reads from a URI, or a file."""

    can_read_from_local_file = True


class ReadsStreamOrFile(ReadsStream):
    """Reads from an open file, or one of some name."""

    can_read_from_local_file = True


class ReadsAnyhow(ReadsUri, ReadsStream):
    """Reads in every way."""

    can_read_from_local_file = can_read_from_stream = can_read_from_uri = True


class PrefersStream(ReadsAnyhow):
    """Does not read from this URI after all."""

    def read_from_uri(self, uri: ResourcePath, component: str | None = None, expected_size: int = -1) -> Any:
        return NotImplemented


class PrefersFile(PrefersStream):
    """Does not read from this open file either."""

    def read_from_stream(
        self, stream: BinaryIO | ResourceHandleProtocol, component: str | None = None, expected_size: int = -1
    ) -> Any:
        return NotImplemented


class ReadsNothing(PrefersFile):
    """Does not read after all."""

    def read_from_local_file(self, path: str, component: str | None = None, expected_size: int = -1) -> Any:
        return NotImplemented


class ReadsInItsOwnWay(GivesBytes):
    """Overrides what it should not."""

    def read(
        self,
        component: str | None = None,
        expected_size: int = -1,
        cache_manager: AbstractDatastoreCacheManager | None = None,
    ) -> Any:
        return {"own": "way"}


class Converts(TypelessFormatter, ReadsAnyhow):
    """Reads something that is converted by upstream."""


class WritesImage(FormatterV2):
    """Writes an image with astropy, and reads it."""

    default_extension = ".fits"
    supported_extensions = frozenset({".fits", ".fits.gz"})
    can_read_from_local_file = True

    def write_local_file(self, in_memory_dataset: Any, uri: ResourcePath) -> None:
        header = astropy.io.fits.Header(in_memory_dataset)
        image = np.arange(600, dtype=np.float32).reshape(20, 30)
        astropy.io.fits.PrimaryHDU(image, header).writeto(uri.ospath)

    def read_from_local_file(self, path: str, component: str | None = None, expected_size: int = -1) -> Any:
        image, header = astropy.io.fits.getdata(path, header=True)
        return {"sum": float(image.sum()), "cards": header.tostring()}


FORMATTERS = tuple(
    formatter
    for formatter in list(vars().values())
    if isinstance(formatter, type)
    and issubclass(formatter, Formatter | FormatterV2)
    and formatter.__module__ == __name__
    and not formatter.__name__.startswith("_")
)
"""Every formatter of this module (`tuple` [ `type` ])."""


def use_formatter(repository: Repository, formatter: type[Formatter | FormatterV2]) -> str:
    """Let a formatter take the place of `failing_formatters.Failing`.

    Parameters
    ----------
    repository : `Repository`
        Repository whose configuration is to be changed.
    formatter : `type`
        The formatter.

    Returns
    -------
    name : `str`
        Dataset type of predicted outputs that it is used for.
    """
    config = repository.root / "butler.yaml"
    name = get_full_type_name(failing_formatters.Failing)
    lines = config.read_text().splitlines()
    changed = [
        line.removesuffix(name) + get_full_type_name(formatter) if line.endswith(f" {name}") else line
        for line in lines
    ]
    assert changed != lines, "The configuration does not name the formatter to be replaced."
    config.write_text("\n".join(changed))
    return "fragile_out"
