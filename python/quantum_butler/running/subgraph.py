"""Some quanta of a graph as a graph of their own, written by upstream."""

from __future__ import annotations

__all__ = ("NotInGraphError", "write_subgraph")

import contextlib
import os
import uuid
import zipfile
from collections.abc import Iterable
from pathlib import Path

from lsst.pipe.base.pipeline_graph import TaskImportMode
from lsst.pipe.base.quantum_graph import (
    HeaderModel,
    PredictedQuantumGraph,
    PredictedQuantumGraphComponents,
)
from lsst.resources import ResourcePath

from ..paths import Name, is_there, is_uri, local_path
from .errors import RunError
from .plan import Plan, read_plan, reading

# As many are named of quanta that a graph does not have.
_MOST_NAMED = 5


class NotInGraphError(RunError, LookupError):
    """Quanta that a graph does not have; their ids are its ``quanta``."""

    def __init__(self, message: str, quanta: Iterable[uuid.UUID]):
        super().__init__(message)
        self.quanta = tuple(quanta)

    def __str__(self) -> str:
        return str(self.args[0])


def write_subgraph(quanta: Iterable[uuid.UUID], graph: Name, output: Name, *, overwrite: bool = False) -> int:
    """Write some quanta of a predicted graph as a graph of their own.

    Parameters
    ----------
    quanta : `~collections.abc.Iterable` [`uuid.UUID`]
        Ids of the quanta.
    graph : `str` or `os.PathLike`
        Path or URI of the graph that has them (``.qg``, or ``.qgraph`` of earlier releases).
    output : `str` or `os.PathLike`
        The graph to write, a local path that ends with ``.qg``.
    overwrite : `bool`, optional
        Whether to replace what is there.

    Returns
    -------
    count : `int`
        How many quanta the new graph has.

    Raises
    ------
    FileExistsError
        Raised if there is such a file already, and it is not to be replaced.
    NotInGraphError
        Raised if the graph lacks some of the quanta.
    RunError
        Raised if the graph cannot be read, or the new one not be written.
    ValueError
        Raised if ``output`` is no name for a graph, or that of ``graph``.

    Notes
    -----
    Upstream's classes read and write it. The new graph has the same pipeline, output run and ids, and the
    init-outputs of all tasks, but no other quanta. It has an id of its own for its provenance.
    """
    wanted = dict.fromkeys(quanta)
    path = Path(local_path(output)).absolute()
    source = str(graph) if is_uri(graph) else os.path.abspath(local_path(graph))
    if path.suffix != ".qg":
        raise ValueError(f"{path}: the name of a graph ends with .qg")
    if is_there(path):
        if not is_uri(graph) and os.path.realpath(path) == os.path.realpath(source):
            raise ValueError(f"{path} is the graph that the quanta are taken from")
        if not overwrite:
            raise FileExistsError(f"{path} is there already")
    plan = read_plan(source)
    if missing := [one for one in wanted if one not in plan.number_of]:
        shown = ", ".join(map(str, missing[:_MOST_NAMED]))
        more = ", ..." if len(missing) > _MOST_NAMED else ""
        raise NotInGraphError(
            f"{source} does not have {len(missing):,} of these {len(wanted):,} quanta: {shown}{more}", missing
        )
    components = _read(source, plan, wanted)
    components.set_thin_graph()
    components.set_header_counts()
    # Else its provenance would take the place of that of the whole graph.
    if hasattr(components.header, "provenance_dataset_id"):
        components.header.provenance_dataset_id = HeaderModel().provenance_dataset_id
    _write(components, path)
    return len(components.quantum_datasets)


def _read(source: str, plan: Plan, wanted: Iterable[uuid.UUID]) -> PredictedQuantumGraphComponents:
    """Read all that a graph of some quanta has; tasks need not be there to be imported."""
    # In the order of the pipeline's labels and the data IDs, whatever is asked for first.
    order = sorted(map(plan.number_of.__getitem__, wanted))
    ids = plan.quantum_ids(order)
    with reading(source):
        uri = ResourcePath(source if is_uri(source) else Path(source).as_uri(), forceDirectory=False)
        if uri.getExtension() == ".qgraph":
            return PredictedQuantumGraphComponents.read_execution_quanta(uri, ids)
        with PredictedQuantumGraph.open(uri, import_mode=TaskImportMode.DO_NOT_IMPORT) as reader:
            reader.read_init_quanta()
            reader.read_dimension_data()
            reader.read_quantum_datasets(ids)
            return reader.components


def _write(components: PredictedQuantumGraphComponents, path: Path) -> None:
    """Write a graph beside its place, and put it there when it is whole."""
    part = path.with_name(f".{path.stem}-{os.getpid()}.qg")
    try:
        components.write(ResourcePath(part.as_uri(), forceDirectory=False))
        os.replace(part, path)
    except (OSError, ValueError, LookupError, RuntimeError, zipfile.BadZipFile) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise RunError(f"{path} could not be written: {reason}") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
