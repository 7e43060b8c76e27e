"""Repositories to transfer datasets to, with a registry in SQLite or PostgreSQL.

`Registries` makes a repository once for each kind of database and copies it as
often as it is asked for; `content` says what is in one.
"""

from __future__ import annotations

__all__ = (
    "DATABASES",
    "DATASTORE",
    "RUNS",
    "STORAGE_CLASS",
    "Content",
    "Registries",
    "content",
    "dataset",
    "data_id",
)

import shutil
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from lsst.daf.butler import (
    Butler,
    Config,
    DataCoordinate,
    DatasetRef,
    DatasetType,
    DimensionUniverse,
    StorageClass,
)

import postgres

DATABASES = ("sqlite", "postgresql")
RUNS = ("runs/first", "runs/second")
DETECTORS = 12
DATASTORE = "FileDatastore@<butlerRoot>"
UNIVERSE = DimensionUniverse()
STORAGE_CLASS = StorageClass("StructuredDataDict", pytype=dict)
TYPES = {
    "image": ("instrument", "detector"),
    "catalog": ("instrument", "detector"),
    "report": ("instrument",),
    "summary": (),
}


def dataset_type(name: str) -> DatasetType:
    """Return a dataset type, of images if it is none of `TYPES`."""
    dimensions = UNIVERSE.conform(TYPES.get(name, TYPES["image"]))
    return DatasetType(name, dimensions, STORAGE_CLASS)


def data_id(of: DatasetType, detector: int = 0) -> DataCoordinate:
    """Return a data ID for a dataset type."""
    values = {"instrument": "Cam", "detector": detector}
    return DataCoordinate.standardize(
        {name: values[name] for name in of.dimensions.required}, dimensions=of.dimensions
    )


def dataset(name: str, detector: int = 0, *, run: str = RUNS[0], key: str = "") -> DatasetRef:
    """Return a dataset; its id follows from the arguments."""
    of = dataset_type(name)
    dataset_id = uuid.uuid5(uuid.NAMESPACE_OID, f"{name} {detector} {run} {key}")
    return DatasetRef(of, data_id(of, detector), run, id=dataset_id)


class Registries:
    """Makes repositories.

    Parameters
    ----------
    folder : `pathlib.Path`
        Folder for them.
    server : `~collections.abc.Callable`
        Called for the server when a test first wants one.
    """

    def __init__(self, folder: Path, server: Callable[[], postgres.Server]):
        self._folder = folder
        self._server = server
        self._templates: dict[tuple[str, str], Path] = {}
        self._copies = 0

    def new(self, database: str, datastore: str = "file") -> Path:
        """Return a new repository without datasets, with the dimensions, types and runs from above."""
        if (template := self._templates.get((database, datastore))) is None:
            template = self._make(self._folder / f"{database}-{datastore}", database, datastore)
            self._templates[database, datastore] = template
        return self.copy(template)

    def copy(self, root: Path) -> Path:
        """Return a copy of a repository."""
        self._copies += 1
        copy = self._folder / f"copy{self._copies}"
        shutil.copytree(root, copy)
        config = yaml.safe_load(copy.joinpath("butler.yaml").read_text())
        url = config["registry"]["db"]
        if url.startswith("postgresql"):
            config["registry"]["db"] = self._server().copy_database(url)
            copy.joinpath("butler.yaml").write_text(yaml.safe_dump(config))
        return copy

    def config(self, database: str, **more: Any) -> Config:
        """Return what a repository with a new database is made from."""
        config = Config(more)
        if database == "postgresql":
            config["registry", "db"] = self._server().new_database()
        return config

    def _make(self, root: Path, database: str, datastore: str) -> Path:
        more: dict[str, Any] = {}
        if datastore == "chained":
            cls = "lsst.daf.butler.datastores."
            children = [
                {
                    "cls": f"{cls}fileDatastore.FileDatastore",
                    "root": f"<butlerRoot>/{name}",
                    "records": {"table": f"{name}_records"},
                }
                for name in ("one", "two")
            ]
            children.append({"cls": f"{cls}inMemoryDatastore.InMemoryDatastore"})
            more["datastore"] = {"cls": f"{cls}chainedDatastore.ChainedDatastore", "datastores": children}
        Butler.makeRepo(str(root), config=self.config(database, **more))
        with Butler.from_config(str(root), writeable=True) as butler:
            insert = butler.registry.insertDimensionData
            insert("instrument", {"name": "Cam", "visit_max": 1, "exposure_max": 1, "detector_max": 99})
            insert(
                "detector",
                *({"instrument": "Cam", "id": n, "full_name": f"D{n}"} for n in range(DETECTORS)),
            )
            for name in TYPES:
                butler.registry.registerDatasetType(dataset_type(name))
            for run in RUNS:
                butler.collections.register(run)
        return root


@dataclass
class Content:
    """What is in a repository."""

    refs: dict[uuid.UUID, DatasetRef]
    """Datasets in the registry."""

    located: dict[str, set[uuid.UUID]]
    """Datasets that each datastore has."""

    records: dict[str, list[tuple[str, ...]]]
    """Rows of each datastore's table."""


def content(repository: Butler | Path | str) -> Content:
    """Return what is in a repository."""
    if not isinstance(repository, Butler):
        with Butler.from_config(str(repository)) as butler:
            return content(butler)
    runs = [info.name for info in repository.collections.query_info("*") if info.type.name == "RUN"]
    refs = {ref.id: ref for run in runs for ref in repository.query_all_datasets(run, limit=None)}
    found = Content(refs, {}, {})
    for datastore in _file_datastores(repository._datastore):
        found.located[datastore.name] = datastore._bridge.check(refs)
        found.records[datastore.name] = sorted(
            tuple(f"{name}={value}" for name, value in sorted(row.items()))
            for row in datastore._table.fetch()
        )
    return found


def _file_datastores(datastore: Any) -> Iterator[Any]:
    for child in getattr(datastore, "datastores", [datastore]):
        if hasattr(child, "_bridge"):
            yield child


@pytest.fixture(scope="session")
def registries(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Registries:
    """Return what makes repositories."""
    return Registries(
        tmp_path_factory.mktemp("registries"), lambda: request.getfixturevalue("postgres_server")
    )
