"""The provenance graph of a run, as it is registered in the repository, in place of small files.

Upstream's `ingest_graph` does it: it registers the graph, and then, batch by batch, removes metadata, logs
and configurations and registers them anew, in the graph.  So the graph is read first, all of it.
"""

from __future__ import annotations

__all__ = ("finish_ingest", "is_archived", "registered_graph", "verify_graph")

import os
from collections.abc import Callable
from pathlib import Path

from lsst.daf.butler import Butler, MissingCollectionError, MissingDatasetTypeError
from lsst.pipe.base.automatic_connection_constants import PROVENANCE_DATASET_TYPE_NAME

from ..archive.errors import ArchiveError
from ..archive.format import read_manifest
from ..progress import Progress
from ..quantum_graphs import PredictedGraph, ProvenanceGraph
from ..upstream.ingesting import ingest_graph
from .errors import AggregateError

# Quanta that are read at once.
_ROWS = 4096


def registered_graph(butler: Butler, run: str) -> str | None:
    """Return where the provenance graph of a run is, if it is registered."""
    butler.registry.refresh()
    try:
        ref = butler.find_dataset(PROVENANCE_DATASET_TYPE_NAME, collections=[run])
    except (MissingDatasetTypeError, MissingCollectionError):
        return None
    if ref is None:
        return None
    uri = butler.getURI(ref)
    return str(uri.ospath if uri.isLocal else uri)


def is_archived(graph: Path, repository: str, output: Path | None, archive: Path) -> bool:
    """Return whether the graph of a run is registered, and an archive is of that graph alone."""
    try:
        sources = {os.path.abspath(one["source"]) for one in read_manifest(archive).sources}
        with Butler.from_config(repository) as butler:
            registered = registered_graph(butler, PredictedGraph(graph).headers[0]["output_run"])
    except (ArchiveError, FileNotFoundError):
        return False
    # It was made of the graph where that was when it had just been written.
    return registered is not None and sources in ({registered}, output and {os.path.abspath(output)})


def verify_graph(
    path: Path, quanta: int, datasets: int, progress: Callable[[Progress], object] | None = None
) -> None:
    """Read a graph that takes the place of small files; raise `AggregateError` if something is missing."""
    graph = ProvenanceGraph(path)
    found = 0
    for tables in graph.quanta_tables(_ROWS):
        of_quanta = tables.quanta
        for quantum_id, attempts in zip(
            of_quanta["quantum_id"].to_pylist(), of_quanta["attempts"].to_pylist(), strict=True
        ):
            if attempts and not (len(graph.logs(quantum_id)) == len(graph.metadata(quantum_id)) == attempts):
                raise AggregateError(f"{path}: not all logs and metadata of quantum {quantum_id} are there")
        found += of_quanta.num_rows
        if progress is not None:
            progress(Progress("verifying the graph", found, quanta, found, False))
    if found != quanta:
        raise AggregateError(f"{path}: {found} quanta were found, and {quanta} were written")
    if (found := sum(table.num_rows for table in graph.datasets_tables())) != datasets:
        raise AggregateError(f"{path}: {found} datasets were found, and {datasets} were written")


def finish_ingest(repository: str, run: str, path: Path | None, *, keep: bool, batch: int) -> None:
    """Register a graph, and what it has the contents of, or go on with that; keep its file, or move it."""
    ingest_graph(
        repository,
        None if path is None else str(path),
        transfer="copy" if keep else "move",
        batch_size=batch,
        output_run=run,
    )
