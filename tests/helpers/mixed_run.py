"""A run in which quanta end in every way there is, made with upstream's own classes."""

from __future__ import annotations

__all__ = ("CHANGED", "HAS_NAN", "MixedRun", "aggregate", "make_mixed_run")

import contextlib
import dataclasses
import json
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lsst.daf.butler import Butler, Config, LimitedButler, Quantum
from lsst.pipe.base import AnnotatedPartialOutputsError, NoWorkFound, TaskFactory
from lsst.pipe.base.quantum_graph import PredictedQuantumGraph, ProvenanceTaskMetadataModel
from lsst.pipe.base.quantum_graph.aggregator import AggregatorConfig, aggregate_graph
from lsst.pipe.base.single_quantum_executor import SingleQuantumExecutor
from lsst.pipe.base.tests.mocks import (
    DirectButlerRepo,
    DynamicConnectionConfig,
    DynamicTestPipelineTaskConfig,
)

from quantum_butler import QuantumBackedButlerFactory

CAMERA = "MixedCam"
RUN = "mixed/run"

CHANGED = {("four", 0), ("four", 4), ("one", 0)}
"""Quanta of which something is changed on disk after they have run."""


@dataclasses.dataclass
class MixedRun:
    """Its repository, its graph, and the quanta that this helper has dealt with by name."""

    root: Path
    graph_file: Path
    quanta: dict[tuple[str, int | None], uuid.UUID]
    first_try: Path
    """Upstream's provenance graph from before anything was tried again, or taken away."""


def make_mixed_run(
    folder: Path, detectors: int = 6, visit: int = 7, config: Config | None = None
) -> MixedRun:
    """Make a repository and a graph, and run it.

    Of task ``one``, detector 1 fails twice, which blocks others; of ``two``, detector 2 has no work, and
    ``three`` therefore none there either; of ``four``, detector 3 gives up half-way; of ``five``, detector 5
    has no work, and ``all`` takes the others. Then files are removed as if processes had been killed: of
    ``four``, the log of detector 0, the metadata and the log of detector 4.
    """
    root, graph_file = folder / "repo", folder / "graph.qg"
    _make_graph(root, graph_file, detectors, visit, config)
    graph = PredictedQuantumGraph.read_execution_quanta(str(graph_file))
    graph.build_execution_quanta()
    nodes = graph.quantum_only_xgraph.nodes
    quanta = {(info["task_label"], info["data_id"].get("detector")): one for one, info in nodes.items()}
    with graph.make_init_qbb(str(root)) as butler:
        graph.init_output_run(butler)
        blocked = _execute(root, graph, graph)
        paths = {
            (info["task_label"], info["data_id"].get("detector"), ending): _path(
                butler, info["quantum"], ending
            )
            for info in nodes.values()
            for ending in ("_output", "_metadata", "_log")
        }
    first_try = aggregate(root, graph_file, folder / "first_try.qg")
    # What failed is tried again, in another process as far as upstream can tell.
    failed = [
        one for name, one in quanta.items() if one not in blocked and not paths[*name, "_metadata"].exists()
    ]
    _execute(root, graph, failed)
    for lost in (("four", 0, "_log"), ("four", 4, "_log"), ("four", 4, "_metadata"), ("four", 4, "_output")):
        paths[lost].unlink()
    _with_odd_numbers(paths["one", 0, "_metadata"])
    return MixedRun(root, graph_file, quanta, first_try)


def _make_graph(root: Path, graph_file: Path, detectors: int, visit: int, config: Config | None) -> None:
    Butler.makeRepo(str(root), config=config)
    with Butler.from_config(str(root), writeable=True) as butler:
        insert = butler.registry.insertDimensionData
        insert("instrument", {"name": CAMERA, "visit_max": 9, "exposure_max": 9, "detector_max": detectors})
        numbers = range(detectors)
        insert("detector", *({"instrument": CAMERA, "id": n, "full_name": f"detector{n}"} for n in numbers))
        insert("physical_filter", {"instrument": CAMERA, "name": "Cam-R", "band": "r"})
        insert("day_obs", {"instrument": CAMERA, "id": 20261130})
        of_visit = {"physical_filter": "Cam-R", "day_obs": 20261130}
        insert("visit", {"instrument": CAMERA, "id": visit, "name": f"visit{visit}", **of_visit})
        insert(
            "visit_detector_region", *({"instrument": CAMERA, "visit": visit, "detector": n} for n in numbers)
        )
        helper = DirectButlerRepo(butler, data_root=None)
        for label, before, error, detector in (
            ("one", "zero_output", ValueError, 1),
            ("two", "one_output", NoWorkFound, 2),
            ("three", "two_output", None, None),
            ("four", "one_output", AnnotatedPartialOutputsError, 3),
            ("five", "zero_output", NoWorkFound, 5),
        ):
            config = DynamicTestPipelineTaskConfig()
            if error is not None:
                config.fail_condition = f"detector = {detector}"
                config.fail_exception = f"{error.__module__}.{error.__qualname__}"
            dimensions = ["visit", "detector"]
            helper.add_task(
                label,
                config=config,
                dimensions=dimensions,
                inputs={"input": DynamicConnectionConfig(dataset_type_name=before, dimensions=dimensions)},
                outputs={
                    "output": DynamicConnectionConfig(
                        dataset_type_name=f"{label}_output", dimensions=dimensions
                    )
                },
                init_inputs=None if label != "two" else {"schema": _schema()},
                init_outputs=None if label != "one" else {"schema": _schema()},
            )
        helper.add_task(
            "all",
            dimensions=["visit"],
            inputs={
                "several": DynamicConnectionConfig(
                    dataset_type_name="five_output", dimensions=["visit", "detector"], multiple=True
                )
            },
            outputs={"output": DynamicConnectionConfig(dataset_type_name="all_output", dimensions=["visit"])},
        )
        builder = helper.make_quantum_graph_builder(output_run=RUN, register_output_dataset_types=False)
        builder.finish(output="mixed", attach_datastore_records=True).write(str(graph_file))


def _schema() -> DynamicConnectionConfig:
    return DynamicConnectionConfig(dataset_type_name="one_schema", storage_class="StructuredDataDict")


def _execute(root: Path, graph: PredictedQuantumGraph, quanta: Iterable[uuid.UUID]) -> set[uuid.UUID]:
    """Execute quanta one after the other, and return those that failures stood in the way of."""
    types = {node.name: node.dataset_type for node in graph.pipeline_graph.dataset_types.values()}

    executor = SingleQuantumExecutor(
        task_factory=TaskFactory(),
        limited_butler_factory=QuantumBackedButlerFactory(str(root), graph.pipeline_graph.universe, types),
        skip_existing=True,
        clobber_outputs=True,
        raise_on_partial_outputs=False,
        job_metadata={"qg_size": len(graph)},
    )
    xgraph = graph.quantum_only_xgraph
    failed: set[uuid.UUID] = set()
    blocked: set[uuid.UUID] = set()
    wanted = set(quanta)
    for quantum_id in (one for one in _in_order(graph) if one in wanted):
        if not failed.isdisjoint(xgraph.predecessors(quantum_id)):
            blocked.add(quantum_id)
            failed.add(quantum_id)
            continue
        info = xgraph.nodes[quantum_id]
        with contextlib.suppress(ValueError):
            executor.execute(info["pipeline_node"], info["quantum"], quantum_id)
            continue
        failed.add(quantum_id)
    return blocked


def _in_order(graph: PredictedQuantumGraph) -> list[uuid.UUID]:
    """Return all quanta, task by task."""
    return [one for label in graph.pipeline_graph.tasks for one in graph.quanta_by_task[label].values()]


def _path(butler: LimitedButler, quantum: Quantum, ending: str) -> Path:
    """Return the file of the output whose type ends in some way."""
    (ref,) = (
        ref for refs in quantum.outputs.values() for ref in refs if ref.datasetType.name.endswith(ending)
    )
    return Path(butler._datastore.getURI(ref, predict=True).ospath)


HAS_NAN = ProvenanceTaskMetadataModel.model_config.get("ser_json_inf_nan") == "constants"
"""Whether upstream's graphs keep numbers that JSON does not have; older ones cannot be read with them."""


def _with_odd_numbers(path: Path) -> None:
    """Add numbers to a file of metadata that JSON does not have, and one of many digits."""
    content = json.loads(path.read_text())
    nan, inf = (float("nan"), float("inf")) if HAS_NAN else (0.5, 1.5)
    content["metadata"]["one"] = {
        "scalars": {"nothing": nan, "large": 10**30, "most": inf},
        "arrays": {"low": [-inf, 1.5]},
        "metadata": {},
    }
    path.write_text(json.dumps(content))


def aggregate(root: Path, graph_file: Path, path: Path, **options: Any) -> Path:
    """Have upstream's aggregator write a provenance graph."""
    options = {"dry_run": True, **options}
    config = AggregatorConfig(output_path=str(path), mock_storage_classes=True, **options)
    aggregate_graph(str(graph_file), str(root), config)
    return path
