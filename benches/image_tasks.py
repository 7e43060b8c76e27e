"""Tasks that work on real pixels: what a nightly pipeline does, in small, with numpy and astropy."""

from __future__ import annotations

__all__ = ("CELL", "BackgroundTask", "CalibrateTask", "DetectTask", "MeasureTask", "SummaryTask")

from typing import Any

import lsst.pipe.base.connectionTypes as cT
import numpy as np
from astropy.stats import sigma_clipped_stats
from astropy.table import Table, vstack
from lsst.pipe.base import PipelineTask, PipelineTaskConfig, PipelineTaskConnections, Struct

# Pixels of a square in which the background is taken as constant.
CELL = 128
# Half the width of an aperture, in pixels.
_RADIUS = 4
_DETECTOR = ("instrument", "exposure", "detector")


def _image(name: str, dimensions: tuple[str, ...] = _DETECTOR, kind: type = cT.Input) -> Any:
    return kind(doc=name, name=name, storageClass="BenchFits", dimensions=dimensions)


def _table(name: str, kind: type) -> Any:
    return kind(doc=name, name=name, storageClass="ArrowAstropy", dimensions=_DETECTOR)


class CalibrateConnections(PipelineTaskConnections, dimensions=_DETECTOR):
    """What `CalibrateTask` reads and writes."""

    raw = _image("raw_image")
    dark = _image("dark_image", ("instrument", "detector"))
    image = _image("calibrated_image", kind=cT.Output)


class CalibrateConfig(PipelineTaskConfig, pipelineConnections=CalibrateConnections):
    """Has no settings of its own."""


class CalibrateTask(PipelineTask):
    """Takes the dark current away, and the offset of each row."""

    ConfigClass = CalibrateConfig
    _DefaultName = "calibrate"

    def run(self, raw: np.ndarray, dark: np.ndarray) -> Struct:
        image = raw.astype(np.float32) - dark
        return Struct(image=image - np.median(image, axis=1, keepdims=True))


class BackgroundConnections(PipelineTaskConnections, dimensions=_DETECTOR):
    """What `BackgroundTask` reads and writes."""

    image = _image("calibrated_image")
    flat = _image("flat_image", kind=cT.Output)
    background = cT.Output(
        doc="levels", name="background", storageClass="StructuredDataDict", dimensions=_DETECTOR
    )


class BackgroundConfig(PipelineTaskConfig, pipelineConnections=BackgroundConnections):
    """Has no settings of its own."""


class BackgroundTask(PipelineTask):
    """Takes the level of the sky away, cell by cell."""

    ConfigClass = BackgroundConfig
    _DefaultName = "background"

    def run(self, image: np.ndarray) -> Struct:
        cells = image.reshape(image.shape[0] // CELL, CELL, image.shape[1] // CELL, CELL)
        levels = np.median(cells, axis=(1, 3))
        flat = (cells - levels[:, np.newaxis, :, np.newaxis]).reshape(image.shape).astype(np.float32)
        return Struct(flat=flat, background={"levels": levels.astype(float).tolist()})


class DetectConnections(PipelineTaskConnections, dimensions=_DETECTOR):
    """What `DetectTask` reads and writes."""

    flat = _image("flat_image")
    peaks = _table("peaks", cT.Output)


class DetectConfig(PipelineTaskConfig, pipelineConnections=DetectConnections):
    """Has no settings of its own."""


class DetectTask(PipelineTask):
    """Finds pixels above the noise that are brighter than those around them."""

    ConfigClass = DetectConfig
    _DefaultName = "detect"

    def run(self, flat: np.ndarray) -> Struct:
        _, _, noise = sigma_clipped_stats(flat[::4, ::4], sigma=3.0, maxiters=3)
        inner = flat[1:-1, 1:-1]
        peak = inner > 5 * noise
        for rows in (0, 1, 2):
            for columns in (0, 1, 2):
                around = flat[rows : rows + inner.shape[0], columns : columns + inner.shape[1]]
                peak &= inner >= around
        y, x = np.nonzero(peak)
        return Struct(peaks=Table({"x": x + 1, "y": y + 1, "peak": inner[peak]}))


class MeasureConnections(PipelineTaskConnections, dimensions=_DETECTOR):
    """What `MeasureTask` reads and writes."""

    flat = _image("flat_image")
    peaks = _table("peaks", cT.Input)
    catalog = _table("catalog", cT.Output)


class MeasureConfig(PipelineTaskConfig, pipelineConnections=MeasureConnections):
    """Has no settings of its own."""


class MeasureTask(PipelineTask):
    """Measures the flux of each peak in a square aperture, and its centre of light."""

    ConfigClass = MeasureConfig
    _DefaultName = "measure"

    def run(self, flat: np.ndarray, peaks: Table) -> Struct:
        steps = np.arange(-_RADIUS, _RADIUS + 1)
        padded = np.pad(flat, _RADIUS)
        rows = np.asarray(peaks["y"])[:, np.newaxis, np.newaxis] + steps[:, np.newaxis] + _RADIUS
        columns = np.asarray(peaks["x"])[:, np.newaxis, np.newaxis] + steps + _RADIUS
        stamps = padded[rows, columns]
        flux = stamps.sum(axis=(1, 2))
        catalog = peaks.copy()
        catalog["flux"] = flux
        catalog["dx"] = (stamps.sum(axis=1) * steps).sum(axis=1) / flux
        catalog["dy"] = (stamps.sum(axis=2) * steps).sum(axis=1) / flux
        return Struct(catalog=catalog)


class SummaryConnections(PipelineTaskConnections, dimensions=("instrument", "exposure")):
    """What `SummaryTask` reads and writes."""

    catalogs = cT.Input(
        doc="catalogs",
        name="catalog",
        storageClass="ArrowAstropy",
        dimensions=_DETECTOR,
        multiple=True,
        deferLoad=True,
    )
    summary = cT.Output(
        doc="summary",
        name="summary",
        storageClass="StructuredDataDict",
        dimensions=("instrument", "exposure"),
    )


class SummaryConfig(PipelineTaskConfig, pipelineConnections=SummaryConnections):
    """Has no settings of its own."""


class SummaryTask(PipelineTask):
    """Says how many sources an exposure has, and how bright they are."""

    ConfigClass = SummaryConfig
    _DefaultName = "summary"

    def run(self, catalogs: list[Any]) -> Struct:
        together = vstack([handle.get() for handle in catalogs])
        flux = np.asarray(together["flux"], dtype=float)
        return Struct(
            summary={"sources": len(together), "median": float(np.median(flux)), "sum": flux.sum().item()}
        )
