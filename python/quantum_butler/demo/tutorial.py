"""The example of the tutorial: a repository with raws of a small survey, and a graph that fails in places."""

from __future__ import annotations

__all__ = ("Example", "make_example")

import shutil
from pathlib import Path
from typing import Any, NamedTuple

from lsst.daf.butler import Butler, DatasetRef
from lsst.pipe.base import NoWorkFound
from lsst.pipe.base.tests.mocks import (
    DirectButlerRepo,
    DynamicConnectionConfig,
    DynamicTestPipelineTaskConfig,
)
from lsst.sphgeom import ConvexPolygon, LonLat, UnitVector3d

CAMERA = "DemoCam"
FILTER = {"instrument": CAMERA, "name": "DemoCam-r", "band": "r"}
SKYMAP = "demo_sky"
DAY = 20261130
VISITS = (101, 102, 103)
COLUMNS, ROWS = 3, 2
OUTPUT_CHAIN = "tutorial"
OUTPUT_RUN = "tutorial/run1"

DAMAGED = {"visit": 102, "detector": 1}
"""Data ID of the raw of which only a part has arrived."""

UNLUCKY = "visit = 103 AND detector = 5"
"""The quantum that fails whatever is done."""

EMPTY = "visit = 101 AND detector = 0"
"""The quantum that finds nothing to do."""

_SIDE = 0.2  # of a detector on the sky, in degrees

# They have no types.
_connection: Any = DynamicConnectionConfig
_config: Any = DynamicTestPipelineTaskConfig


class Example(NamedTuple):
    """Result of `make_example`."""

    repository: Path
    """Root of the repository."""

    graph: Path
    """The quantum graph."""

    copy: Path
    """A folder with the whole file, under its name in the repository, of the raw that is damaged there."""

    quanta: int
    """How many quanta the graph has."""


def make_example(folder: Path) -> Example:
    """Make a repository with a damaged raw, and the graph of a pipeline from raws to coadds."""
    repository, graph, copy = folder / "repo", folder / "graph.qg", folder / "copy"
    Butler.makeRepo(str(repository))
    with Butler.from_config(str(repository), writeable=True) as butler:
        _insert_sky(butler)
        helper = DirectButlerRepo(butler, data_root=None, input_run=f"{CAMERA}/raw", input_chain="raws")
        _add_tasks(helper)
        builder = helper.make_quantum_graph_builder(
            output_run=OUTPUT_RUN, register_output_dataset_types=False
        )
        components = builder.finish(output=OUTPUT_CHAIN, attach_datastore_records=True)
        components.write(str(graph))
        raw = butler.find_dataset("raw", {"instrument": CAMERA, **DAMAGED}, collections=[helper.input_run])
        assert raw is not None, "the graph has it as an input"
        _damage(butler, raw, repository, copy)
    return Example(repository, graph, copy, components.header.n_quanta)


def _insert_sky(butler: Butler) -> None:
    """Insert three visits, six detectors, and four patches that cover them into a registry."""
    insert = butler.registry.insertDimensionData
    detectors = range(COLUMNS * ROWS)
    insert(
        "instrument",
        {"name": CAMERA, "visit_max": 999, "exposure_max": 999, "detector_max": len(detectors)},
    )
    insert("detector", *({"instrument": CAMERA, "id": n, "full_name": f"R0_S{n}"} for n in detectors))
    insert("physical_filter", FILTER)
    insert("day_obs", {"instrument": CAMERA, "id": DAY})
    common = {"instrument": CAMERA, "physical_filter": FILTER["name"], "day_obs": DAY}
    for number, visit in enumerate(VISITS):
        # Each pointing is a little east of the one before.
        corner = (10 + 0.02 * number, 0.0)
        insert(
            "visit",
            {"id": visit, "name": f"visit{visit}", "region": _square(*corner, COLUMNS, ROWS), **common},
        )
        insert(
            "visit_detector_region",
            *(
                {
                    "instrument": CAMERA,
                    "visit": visit,
                    "detector": n,
                    "region": _square(corner[0] + n % COLUMNS * _SIDE, corner[1] + n // COLUMNS * _SIDE),
                }
                for n in detectors
            ),
        )
    insert("skymap", {"name": SKYMAP, "hash": b"demo", "tract_max": 1, "patch_nx_max": 2, "patch_ny_max": 2})
    insert("tract", {"skymap": SKYMAP, "id": 0, "region": _square(9.9, -0.1, 4, 3)})
    insert(
        "patch",
        *(
            {
                "skymap": SKYMAP,
                "tract": 0,
                "id": n,
                "cell_x": n % 2,
                "cell_y": n // 2,
                "region": _square(10 + n % 2 * 1.5 * _SIDE, n // 2 * _SIDE, 1.5, 1),
            }
            for n in range(4)
        ),
    )


def _square(ra: float, dec: float, width: float = 1, height: float = 1) -> ConvexPolygon:
    """Return the region of some detectors beside and above each other, without a rim where others begin."""
    rim = 0.005
    left, right = ra + rim, ra + width * _SIDE - rim
    lower, upper = dec + rim, dec + height * _SIDE - rim
    corners = ((left, lower), (right, lower), (right, upper), (left, upper))
    return ConvexPolygon([UnitVector3d(LonLat.fromDegrees(*corner)) for corner in corners])


def _add_tasks(helper: DirectButlerRepo) -> None:
    """Describe the pipeline: isr, calibrate, coadd."""
    by_detector = ["visit", "detector"]
    for label, before, after, dimensions, error, condition in (
        ("isr", "raw", "post_isr_image", by_detector, NoWorkFound, EMPTY),
        ("calibrate", "post_isr_image", "visit_image", by_detector, ValueError, UNLUCKY),
        ("coadd", "visit_image", "coadd_image", ["patch", "band"], None, ""),
    ):
        config = _config()
        if error is not None:
            config.update(fail_condition=condition, fail_exception=f"{error.__module__}.{error.__qualname__}")
        several = label == "coadd"
        helper.add_task(
            label,
            config=config,
            dimensions=dimensions,
            inputs={"image": _connection(dataset_type_name=before, dimensions=by_detector, multiple=several)},
            outputs={"result": _connection(dataset_type_name=after, dimensions=dimensions)},
        )


def _damage(butler: Butler, raw: DatasetRef, repository: Path, copy: Path) -> None:
    """Cut the file of a dataset off in the middle, and keep the whole one elsewhere."""
    file = Path(butler.getURI(raw).ospath)
    kept = copy / file.relative_to(repository.resolve())
    kept.parent.mkdir(parents=True)
    shutil.copy(file, kept)
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
