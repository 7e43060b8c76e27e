"""A real graph that real executors have run, and archives of what they logged."""

from __future__ import annotations

__all__ = (
    "CLI",
    "DETECTORS",
    "Campaign",
    "Entry",
    "arguments",
    "changed",
    "each_row",
    "make_campaign",
    "read",
    "rewritten",
    "tables",
    "transferred",
    "write_archive",
)

import json
import shutil
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy
import yaml
from lsst.daf.butler import Butler
from lsst.daf.butler import QuantumProvenanceData as Stock
from lsst.pipe.base.script.transfer_from_graph import transfer_from_graph

from quantum_butler import ProvenanceLog, collect, transfer
from quantum_butler.demo.graph import OUTPUT_RUN, in_force, make_repository, pipetask, read_graph
from quantum_butler.transferring.graph_outputs import open_graph
from quantum_butler.transferring.report import TransferReport
from registries import Content, Registries, content

DETECTORS = 4
CLI = "import sys; from quantum_butler.cli.main import main; main(prog_name='quantum-butler')"


@dataclass
class Entry:
    """What a log says of a quantum."""

    quantum_id: uuid.UUID
    task_label: str
    provenance: Stock


@dataclass
class Campaign:
    """A graph that has been run, before anything of it is in the registry."""

    executed: Path
    """The repository."""
    graph_file: Path
    entries: list[Entry]
    """What is in the logs, in their order."""
    archive: Path
    """What was collected from the logs of the executor."""
    upstream: Path
    """The repository after upstream's `collect_and_transfer`, and its transfer of init-outputs."""
    expected: Content
    """What is there then."""
    contents: dict[uuid.UUID, str]
    """What is read from there."""


def make_campaign(registries: Registries, folder: Path, database: str) -> Campaign:
    """Make a repository and a graph, run it, collect its logs, and transfer it as upstream does."""
    executed, graph_file, logs = folder / "executed", folder / "graph.qg", folder / "logs"
    make_repository(executed, graph_file, DETECTORS, registries.config(database))
    with in_force("stock"):
        pipetask("pre-exec-init-qbb", executed, graph_file)
    with in_force("ours"), pytest.MonkeyPatch.context() as patch:
        patch.setenv("QUANTUM_BUTLER_PROVENANCE", str(logs))
        pipetask("run-qbb", executed, graph_file)
    collect(logs, folder / "archive", jobs=1)
    lines = [json.loads(line) for log in sorted(logs.iterdir()) for line in log.read_text().splitlines()]
    entries = [
        Entry(uuid.UUID(line["quantum_id"]), line["task_label"], Stock.model_validate(fields_of(line)))
        for line in lines
    ]
    upstream = registries.copy(executed)
    collect_upstream(upstream, graph_file, entries)
    transfer_upstream(upstream, graph_file)
    expected = content(upstream)
    return Campaign(
        executed, graph_file, entries, folder / "archive", upstream, expected, read(upstream, expected)
    )


def fields_of(line: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in line.items() if name in Stock.model_fields}


def collect_upstream(root: Path, graph_file: Path, entries: Sequence[Entry]) -> None:
    """Transfer outputs with upstream's `collect_and_transfer`."""
    quanta = read_graph(graph_file).build_execution_quanta()
    with open_graph(str(graph_file)) as graph, Butler.from_config(str(root), writeable=True) as butler:
        written = {ref.datasetType for refs in graph.outputs(quanta).values() for ref in refs}
        for dataset_type in sorted(written):
            butler.registry.registerDatasetType(dataset_type)
        butler.collections.register(OUTPUT_RUN)
        Stock.collect_and_transfer(
            butler,
            [quanta[entry.quantum_id] for entry in entries],
            [entry.provenance for entry in entries],
        )


def transfer_upstream(root: Path, graph_file: Path, *dataset_types: str) -> None:
    """Transfer whatever is not there yet with upstream's `transfer_from_graph`."""
    transfer_from_graph(str(graph_file), str(root), True, False, True, False, dataset_types)


def read(root: Path, found: Content) -> dict[uuid.UUID, str]:
    """Return what datasets are."""
    with Butler.from_config(str(root)) as butler:
        return {dataset: str(butler.get(ref)) for dataset, ref in found.refs.items()}


def transferred(
    root: Path, campaign: Campaign, archive: Any = None, graph: Any = None, **options: Any
) -> TransferReport:
    """Transfer a campaign."""
    options = {"register_dataset_types": True, **options}
    with Butler.from_config(str(root), writeable=True) as butler:
        return transfer(archive or campaign.archive, butler, graph or str(campaign.graph_file), **options)


def arguments(root: Path, campaign: Campaign, archive: Path | None = None) -> list[str]:
    """Return the arguments of the command line."""
    graph = ["--graph", str(campaign.graph_file), "--register-dataset-types"]
    return ["transfer", str(archive or campaign.archive), str(root), *graph]


def write_archive(folder: Path, entries: Sequence[Entry]) -> Path:
    """Log some quanta, collect the log, and return the archive."""
    folder.mkdir()
    with ProvenanceLog(folder / "log.jsonl") as log:
        for entry in entries:
            log.append(entry.quantum_id, entry.provenance, task_label=entry.task_label)
    collect(folder / "log.jsonl", folder / "archive", jobs=1)
    return folder / "archive"


def changed(entry: Entry, change: Callable[[dict[str, Any]], None]) -> Entry:
    """Return a quantum whose provenance, as JSON has it, has been changed."""
    data = json.loads(entry.provenance.model_dump_json())
    change(data)
    return replace(entry, provenance=Stock.model_validate(data))


def each_row(data: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the datastore records of provenance as JSON has it."""
    for records in data["datastore_records"].values():
        for datasets in records["records"].values():
            for by_table in datasets.values():
                for rows in by_table.values():
                    yield from rows


def rewritten(archive: Path, folder: Path, change: Callable[[pa.Table], pa.Table], *names: str) -> Path:
    """Return a copy of an archive in which tables have been changed, and consist of small pieces."""
    shutil.copytree(archive, folder)
    for name in names:
        path = folder / f"{name}.parquet"
        pq.write_table(change(pq.read_table(path)), path, row_group_size=7)
    return folder


# What differs between any two repositories.
TIMES = {"ingest_date"}


def tables(root: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Return every table of a registry, with names in place of numbers that depend on the order."""
    url = yaml.safe_load(root.joinpath("butler.yaml").read_text())["registry"]["db"]
    engine = sqlalchemy.create_engine(url.replace("<butlerRoot>", str(root)))
    try:
        metadata = sqlalchemy.MetaData()
        metadata.reflect(engine)
        with engine.connect() as connection:
            rows = {
                name: [dict(row) for row in connection.execute(sqlalchemy.select(table)).mappings()]
                for name, table in metadata.tables.items()
            }
    finally:
        engine.dispose()
    collections = {row["collection_id"]: row["name"] for row in rows["collection"]}
    types = {row["id"]: row["name"] for row in rows["dataset_type"]}
    names: dict[str, dict[Any, str]] = defaultdict(dict)
    names |= dict.fromkeys(["collection_id", "run_id", "parent", "child"], collections)
    names |= {"dataset_type_id": types}

    def plain(table: str, row: dict[str, Any]) -> tuple[Any, ...]:
        return tuple(
            f"{column}={names[column].get(value, value)}"
            for column, value in sorted(row.items())
            if column not in TIMES and (table, column) != ("dataset_type", "id")
        )

    return {name: sorted(plain(name, row) for row in of) for name, of in rows.items()}
