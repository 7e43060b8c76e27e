"""Formatters of the kinds that pipelines have of their own."""

from __future__ import annotations

__all__ = ("FitsFormatter", "LocalFormatter", "WholeFormatter")

import json
from pathlib import Path
from typing import Any

import astropy.io.fits
import numpy as np
from lsst.daf.butler import FormatterV2
from lsst.daf.butler.tests import MetricsExample
from lsst.resources import ResourcePath


class FitsFormatter(FormatterV2):
    """Reads and writes an image as a FITS file by astropy."""

    default_extension = ".fits"
    can_read_from_local_file = True

    def read_from_local_file(self, path: str, component: str | None = None, expected_size: int = -1) -> Any:
        return astropy.io.fits.getdata(path)

    def write_local_file(self, in_memory_dataset: np.ndarray, uri: ResourcePath) -> None:
        astropy.io.fits.writeto(uri.ospath, in_memory_dataset)


class LocalFormatter(FormatterV2):
    """Reads and writes what JSON can hold, by the name of a local file.

    Unlike upstream's ``JsonFormatter``, which is given a URI to read and gives
    bytes to be written.
    """

    default_extension = ".json"
    can_read_from_local_file = True

    def read_from_local_file(self, path: str, component: str | None = None, expected_size: int = -1) -> Any:
        return json.loads(Path(path).read_bytes())

    def write_local_file(self, in_memory_dataset: Any, uri: ResourcePath) -> None:
        Path(uri.ospath).write_text(json.dumps(in_memory_dataset))


class WholeFormatter(FormatterV2):
    """Reads a composite, a component of it, or the part that parameters name."""

    default_extension = ".json"
    can_read_from_uri = True

    def read_from_uri(self, uri: ResourcePath, component: str | None = None, expected_size: int = -1) -> Any:
        found = json.loads(uri.read())
        parameters = self.file_descriptor.parameters or {}
        if "slice" in parameters:
            found["data"] = found["data"][parameters["slice"]]
        return MetricsExample(**found) if component is None else found[component]

    def to_bytes(self, in_memory_dataset: Any) -> bytes:
        return json.dumps(in_memory_dataset._asdict()).encode()
