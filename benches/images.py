#!/usr/bin/env python3
"""Run five tasks on real images with one butler, and print whose the time was.

``pipetask run-qbb`` runs the tasks of `image_tasks` in this process: 6 detectors of
20 exposures, 500 quanta.  Time is told apart by what takes it: the butler, formatters,
requests to the object store, and all the rest, which is tasks and executor.  Each part
leaves out the others within it.  To be run once for each butler and place.  The digest
is of all that was written but logs, metadata and what only tells of them.
"""

from __future__ import annotations

__all__ = ("main",)

import argparse
import functools
import hashlib
import inspect
import json
import logging
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeAlias

import lsst.daf.butler
import numpy as np
import pyarrow
import pyarrow.parquet
from botocore.client import BaseClient
from lsst.daf.butler import Butler, Config, DatasetType, StorageClassConfig, StorageClassFactory
from lsst.daf.butler.formatters.json import JsonFormatter
from lsst.daf.butler.formatters.logs import ButlerLogRecordsFormatter
from lsst.daf.butler.formatters.parquet import ParquetFormatter
from lsst.pipe.base import Pipeline
from lsst.pipe.base.all_dimensions_quantum_graph_builder import AllDimensionsQuantumGraphBuilder
from lsst.resources import ResourcePath

from bench_formatters import FitsFormatter
from image_tasks import CELL
from places import store
from quantum_butler.demo.graph import SIDES, in_force, pipetask, read_graph

PLACES = ("local", "s3")
INSTRUMENT = "BenchCam"
DETECTORS = 6
TASKS = ("Calibrate", "Background", "Detect", "Measure", "Summary")
_BUTLER = (
    "initialize",
    "get",
    "put",
    "getDeferred",
    "stored",
    "stored_many",
    "pruneDatasets",
    "extract_provenance_data",
)
_FORMATTERS = (FitsFormatter, JsonFormatter, ButlerLogRecordsFormatter, ParquetFormatter)
_FORMATTING = ("read_from_local_file", "read_from_uri", "read_from_stream", "write_local_file", "to_bytes")
_CONFIG = {
    "datastore": {
        "formatters": {
            "BenchFits": "bench_formatters.FitsFormatter",
            "StructuredDataDict": "lsst.daf.butler.formatters.json.JsonFormatter",
        }
    },
    "storageClasses": {"BenchFits": {"pytype": "numpy.ndarray"}},
}


_Function: TypeAlias = Callable[..., Any]


class Meter:
    """Adds up the time of functions, each without that of the others that it calls, and without requests."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._inside: list[float] = []
        self._lock = threading.Lock()
        self._waiting = 0
        self._since = 0.0
        self._asked = 0.0

    @contextmanager
    def watching(
        self, owner: type, names: Iterable[str], measured: Callable[[_Function], _Function]
    ) -> Iterator[None]:
        """Measure the methods of a class that have one of these names."""
        found = {name: inspect.getattr_static(owner, name) for name in names if hasattr(owner, name)}
        own = {name for name in found if name in vars(owner)}
        for name, method in found.items():
            if isinstance(method, classmethod):
                setattr(owner, name, classmethod(measured(method.__func__)))
            else:
                setattr(owner, name, measured(method))
        try:
            yield
        finally:
            for name, method in found.items():
                if name in own:
                    setattr(owner, name, method)
                else:
                    delattr(owner, name)

    def asked(self) -> float:
        """Return the seconds in which at least one thread waited for a request."""
        with self._lock:
            return self._asked + (time.perf_counter() - self._since if self._waiting else 0.0)

    def request(self, function: _Function) -> _Function:
        """Return a function that asks a server, in any thread, and is measured."""

        @functools.wraps(function)
        def measured(*args: Any, **kwargs: Any) -> Any:
            with self._lock:
                self._waiting += 1
                if self._waiting == 1:
                    self._since = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                with self._lock:
                    self._waiting -= 1
                    if not self._waiting:
                        self._asked += time.perf_counter() - self._since

        return measured

    def part(self, label: str) -> Callable[[_Function], _Function]:
        """Return what makes a function of the main thread one that is measured under a name."""

        def make(function: _Function) -> _Function:
            @functools.wraps(function)
            def measured(*args: Any, **kwargs: Any) -> Any:
                self._inside.append(0.0)
                start = self._clock()
                try:
                    return function(*args, **kwargs)
                finally:
                    elapsed = self._clock() - start
                    self.seconds[label] += elapsed - self._inside.pop()
                    if self._inside:
                        self._inside[-1] += elapsed

            return measured

        return make

    def _clock(self) -> float:
        """Return a time that stands still while a request is waited for."""
        return time.perf_counter() - self.asked()


def make_images(root: Path, graph_file: Path, datastore_root: str, exposures: int, pixels: int) -> int:
    """Make a repository with raw images, and a graph; return the number of quanta."""
    config = Config(_CONFIG)
    config["datastore", "root"] = datastore_root
    Butler.makeRepo(str(root), config=config, forceConfigRoot=False)
    factory = StorageClassFactory()
    factory.addFromConfig(StorageClassConfig(config))
    random = np.random.default_rng(1)
    with Butler.from_config(str(root), writeable=True, run="raw") as butler:
        insert = butler.registry.insertDimensionData
        of_instrument = {"instrument": INSTRUMENT}
        insert(
            "instrument",
            {
                "name": INSTRUMENT,
                "visit_max": exposures,
                "exposure_max": exposures,
                "detector_max": DETECTORS,
            },
        )
        insert("physical_filter", {**of_instrument, "name": "r", "band": "r"})
        insert("day_obs", {**of_instrument, "id": 20260101})
        insert("group", {**of_instrument, "name": "one"})
        insert(
            "detector",
            *({**of_instrument, "id": number, "full_name": f"d{number}"} for number in range(DETECTORS)),
        )
        about = {**of_instrument, "physical_filter": "r", "day_obs": 20260101, "group": "one"}
        insert("exposure", *({**about, "id": number, "obs_id": f"e{number}"} for number in range(exposures)))
        image_class = factory.getStorageClass("BenchFits")
        dark, raw = (
            DatasetType(name, butler.dimensions.conform(dimensions), image_class)
            for name, dimensions in (
                ("dark_image", ("instrument", "detector")),
                ("raw_image", ("instrument", "exposure", "detector")),
            )
        )
        for dataset_type in (dark, raw):
            butler.registry.registerDatasetType(dataset_type)
        for detector in range(DETECTORS):
            level = random.random((pixels, pixels), dtype=np.float32)
            butler.put(level, dark, instrument=INSTRUMENT, detector=detector)
            for exposure in range(exposures):
                image = random.normal(300, 5, (pixels, pixels)).astype(np.float32) + level
                y, x = random.integers(0, pixels, (2, pixels // 4))
                image[y, x] += random.exponential(500, len(x)).astype(np.float32)
                butler.put(image, raw, instrument=INSTRUMENT, exposure=exposure, detector=detector)
        pipeline = Pipeline.fromString(
            "description: images\ntasks:\n"
            + "".join(f"  {task.lower()}: image_tasks.{task}Task\n" for task in TASKS)
        )
        builder = AllDimensionsQuantumGraphBuilder(
            pipeline.to_graph(), butler, input_collections=["raw"], output_run="images/run"
        )
        builder.finish(output="images", attach_datastore_records=True).write(str(graph_file))
    return len(read_graph(graph_file))


def contents(uri: ResourcePath) -> bytes:
    """Return what a file has; of a table its rows alone, since the schema tells of the quantum."""
    content = uri.read()
    if uri.getExtension() in (".parq", ".parquet"):
        return repr(pyarrow.parquet.read_table(pyarrow.BufferReader(content)).to_pydict()).encode()
    return content


def digest(root: ResourcePath) -> tuple[int, str]:
    """Return the number of datasets below a folder, and a digest of those that do not tell of their run."""
    written, together = 0, hashlib.sha256()
    for uri in sorted(
        ResourcePath.findFileResources([root.join("images/run/", forceDirectory=True)]), key=str
    ):
        written += 1
        if not any(word in uri.path for word in ("_log", "_metadata", "_config", "packages")):
            together.update(f"{uri.relative_to(root)} {hashlib.sha256(contents(uri)).hexdigest()}\n".encode())
    return written, together.hexdigest()


def run(side: str, place: str, exposures: int, pixels: int) -> dict[str, Any]:
    """Run the graph with one side's butler in one place; return what it took."""
    meter = Meter()
    with tempfile.TemporaryDirectory() as folder, store() if place == "s3" else nullcontext():
        root, graph_file = Path(folder) / "repository", Path(folder) / "graph.qg"
        where = "s3://places/images" if place == "s3" else "<butlerRoot>"
        quanta = make_images(root, graph_file, where, exposures, pixels)
        with in_force(side), ExitStack() as watched:
            pipetask("pre-exec-init-qbb", root, graph_file)
            butler, formatters = meter.part("butler"), meter.part("formatters")
            watch: list[tuple[type, tuple[str, ...], Callable[[_Function], _Function]]] = [
                (lsst.daf.butler.QuantumBackedButler, _BUTLER, butler),
                *((formatter, _FORMATTING, formatters) for formatter in _FORMATTERS),
                (BaseClient, ("_make_api_call",), meter.request),
            ]
            for owner, names, measured in watch:
                watched.enter_context(meter.watching(owner, names, measured))
            start, processor = time.perf_counter(), time.process_time()
            pipetask("run-qbb", root, graph_file)
            seconds, processor = time.perf_counter() - start, time.process_time() - processor
        written, found = digest(ResourcePath(where if place == "s3" else str(root), forceDirectory=True))
    if written < 3 * quanta:
        raise SystemExit(f"{quanta} quanta have written only {written} datasets.")
    parts = {**meter.seconds, **({"requests": meter.asked()} if place == "s3" else {})}
    parts["tasks and executor"] = seconds - sum(parts.values())
    return {
        "butler": side,
        "place": place,
        "quanta": quanta,
        "written": written,
        "digest": found,
        "ms": seconds / quanta * 1e3,
        "cpu_ms": processor / quanta * 1e3,
        "parts_ms": {name: part / quanta * 1e3 for name, part in parts.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--butler", choices=tuple(SIDES), default="ours")
    parser.add_argument("--place", choices=PLACES, default="local")
    parser.add_argument("--exposures", type=int, default=20, help="each has 25 quanta (20)")
    parser.add_argument("--pixels", type=int, default=1024, help="of a row and of a column (1024)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures, too")
    args = parser.parse_args()
    if args.pixels % CELL:
        parser.error(f"--pixels must be a multiple of {CELL}")
    logging.getLogger("lsst").setLevel(logging.WARNING)
    outcome = run(args.butler, args.place, args.exposures, args.pixels)
    print(json.dumps(outcome), flush=True)
    if args.json is not None:
        args.json.write_text(json.dumps(outcome, indent=1))


if __name__ == "__main__":
    main()
