"""A run in which quanta end in every way, and what upstream's final job makes of its repository."""

from __future__ import annotations

__all__ = ("Finished", "aggregated_by_upstream", "final_state", "make_finished", "read")

import dataclasses
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
import yaml
from lsst.daf.butler import Butler, ButlerLogRecords
from lsst.pipe.base.quantum_graph.ingest_graph import ingest_graph

from mixed_run import CHANGED, RUN, MixedRun, aggregate, make_mixed_run
from quantum_butler.switches import CONTENTS_SWITCH, LOG_SWITCH
from registries import Registries

# Rows have these, and they are other ones each time.
TIMES = {"ingest_date", "timestamp"}

_NUMBER = re.compile(r"\b\w*id=\d+(?=\s|$)")


@dataclasses.dataclass
class Finished:
    """A run, before anything of it is in the registry, and how to come to a copy of its repository."""

    run: MixedRun
    registries: Registries
    logs: Path
    """What its quanta logged, with contents, but for those of which something was changed since."""

    @property
    def graph_file(self) -> Path:
        return self.run.graph_file

    def repository(self) -> Path:
        """Return a copy of the repository."""
        return self.registries.copy(self.run.root)


def make_finished(registries: Registries, folder: Path, database: str) -> Finished:
    """Make a repository with some kind of database, and a run in it."""
    logs = folder / "logs"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(LOG_SWITCH, str(logs))
        patch.setenv(CONTENTS_SWITCH, "1")
        run = make_mixed_run(folder, config=registries.config(database))
    changed = {str(run.quanta[name]) for name in CHANGED}
    for log in logs.glob("*.jsonl"):
        lines = log.read_text().splitlines(keepends=True)
        log.write_text("".join(line for line in lines if json.loads(line)["quantum_id"] not in changed))
    return Finished(run, registries, logs)


def aggregated_by_upstream(root: Path, run: MixedRun, folder: Path, **options: Any) -> None:
    """Do what upstream's ``aggregate-graph`` does, and if the graph is promised, ``ingest-graph``."""
    path = aggregate(root, run.graph_file, folder / "theirs.qg", **{"dry_run": False, **options})
    if options.get("promise_ingest_graph"):
        ingest_graph(str(root), str(path), transfer="move")


def final_state(root: Path, *, folders: bool = True, numbers: bool = True) -> dict[str, Any]:
    """Return all tables of a repository, and its files, without what is another each time.

    The numbers of rows are others after a server was killed, since it counts on from a later one.
    """
    url = yaml.safe_load((root / "butler.yaml").read_text())["registry"]["db"]
    engine = sqlalchemy.create_engine(url.replace("<butlerRoot>", str(root)))
    try:
        metadata = sqlalchemy.MetaData()
        metadata.reflect(engine)
        with engine.connect() as connection:
            ids = _graphs(connection, metadata)
            tables = {
                table.name: sorted(
                    _plain(row, ids) if numbers else _NUMBER.sub("id=any", _plain(row, ids))
                    for row in connection.execute(table.select()).mappings()
                )
                for table in metadata.sorted_tables
            }
    finally:
        engine.dispose()
    files = sorted(
        str(path.relative_to(root))
        for path in root.rglob("*")
        if "gen3.sqlite3" not in path.name and (folders or path.is_file())
    )
    return {"files": files, **tables}


def _graphs(connection: Any, metadata: sqlalchemy.MetaData) -> dict[str, str]:
    """Return other names for the ids of registered graphs, which are new each time."""
    rows = connection.execute(metadata.tables["file_datastore_records"].select()).mappings()
    graphs = (row for row in rows if row["storage_class"] == "ProvenanceQuantumGraph")
    return {str(row["dataset_id"]): f"graph {number}" for number, row in enumerate(graphs)}


def _plain(row: Iterable[Any], ids: dict[str, str]) -> str:
    """Return a row as text."""
    told = []
    for name, value in sorted(dict(row).items()):  # type: ignore[call-overload]
        if name not in TIMES:
            text = str(value)
            told.append(f"{name}={ids.get(text, text)}")
    line = " ".join(told)
    if ".qg" not in line:
        return line
    # How long a graph is depends on which blocks come first, which is by chance.
    line = re.sub(r"file_size=\d+", "file_size=any", line)
    # For datasets in a graph upstream records the storage class of the first of a batch.
    return re.sub(r"storage_class=(?!ProvenanceQuantumGraph)\w+", "storage_class=any", line)


def read(root: Path) -> dict[Any, str]:
    """Return what a butler reads in the output run, of each third dataset, or why not."""
    found = {}
    with Butler.from_config(str(root)) as butler:
        refs = sorted(butler.query_all_datasets(RUN), key=lambda ref: (ref.datasetType.name, ref.dataId))
        for ref in refs[::3]:
            if ref.datasetType.name != "run_provenance":
                try:
                    got = butler.get(ref)
                    if isinstance(got, ButlerLogRecords):
                        got = [record.model_dump_json() for record in got]
                    found[ref.id] = repr(got)
                except FileNotFoundError as error:
                    # A killed process has left no log, and upstream registers one all the same.
                    found[ref.id] = str(error)
    return found
