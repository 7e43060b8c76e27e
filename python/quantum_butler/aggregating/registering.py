"""The datasets of a run, as they are registered in its repository, in batches.

At first none is expected to be registered already, as upstream's ingester does; after a conflict, and when an
earlier aggregation goes on, each batch is compared with what there is.
"""

from __future__ import annotations

__all__ = ("Registration", "errors_of_repositories")

import contextlib
import logging
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, Self, cast

import sqlalchemy
from lsst.daf.butler import Butler, DataCoordinate, DatasetRef
from lsst.daf.butler.datastore.stored_file_info import StoredFileInfo
from lsst.daf.butler.registry import ConflictingDefinitionError

from ..collecting.sources import NoSuchSourceError
from ..transferring.datasets import Datasets, predicted_records
from ..transferring.report import TransferError, TransferReport
from .errors import AggregateError
from .options import IngestOptions
from .scanning import Scanned, Scanner

_LOG = logging.getLogger("lsst.pipe.base.quantum_graph.aggregator")


class Registration:
    """Registers datasets of a run in a repository; it is used as a context manager."""

    def __init__(
        self,
        butler: Butler,
        scanner: Scanner,
        options: IngestOptions,
        *,
        defensive: bool = False,
        logs: bool = False,
    ):
        self._butler = butler
        self._scanner = scanner
        self._options = options
        # Where nothing is registered, no conflict shows what is there.
        self._defensive = defensive or options.defensive or options.dry_run
        self._left_out = _of_graph(scanner) if options.promise_graph else frozenset()
        # Where logs tell of them, they need not have files.
        self._to_look_at = _of_graph(scanner) if logs and not options.promise_graph else frozenset()
        self._init_outputs: list[Any] = []
        self._pending: list[Any] = []
        self._report = TransferReport(options.dry_run)
        self._datasets = Datasets(butler, self._report, options.register_dataset_types)
        self._open = contextlib.ExitStack()
        self.already_there = 0
        """Number of datasets that were registered already."""
        self.without_files = 0
        """Number of metadata and logs that were not registered, since only logs have them."""

    @property
    def registered(self) -> int:
        """Number of datasets that have been registered."""
        return self._report.datasets

    def __enter__(self) -> Self:
        options, butler, reader = self._options, self._butler, self._scanner.reader
        self._init_outputs = list(self._scanner.stored_init_outputs())
        if not self._init_outputs and not options.lenient:
            raise AggregateError(
                f"there is nothing in run {reader.header.output_run} that tasks write before their quanta: "
                "either the graph is of another repository, or the run has not begun"
            )
        if not options.dry_run:
            if options.register_dataset_types:
                reader.pipeline_graph.register_dataset_types(butler, include_inputs=False)
            butler.collections.register(reader.header.output_run)
            if options.update_output_chain:
                # Not while the registry's answers are kept.
                self._datasets.update_chain(reader.header)
        self._open.enter_context(butler.registry.caching_context())
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._open.close()

    def add(self, scanned: Scanned) -> None:
        """Register what some quanta have written, as soon as it is enough for a batch."""
        self._add(dataset for _, dataset in scanned.outputs if dataset.produced)
        if scanned.gathered is not None:
            self._add(map(Named.of, scanned.gathered.written()))

    def finish(self) -> None:
        """Register what was written before the quanta, and what is left."""
        self._add(self._init_outputs)
        self._commit(self._pending)
        self._pending = []

    def _add(self, datasets: Iterable[Any]) -> None:
        self._pending += (one for one in datasets if one.dataset_type_name not in self._left_out)
        while len(self._pending) >= self._options.batch:
            self._commit(self._pending[: self._options.batch])
            del self._pending[: self._options.batch]

    def _commit(self, datasets: list[Any]) -> None:
        if not datasets:
            return
        refs = expanded_refs(self._scanner, datasets)
        if self._to_look_at:
            looked_at = [ref for ref in refs.values() if ref.datasetType.name in self._to_look_at]
            stored = self._scanner.butler.stored_many(looked_at)
            for ref in looked_at:
                if not stored[ref]:
                    del refs[ref.id]
                    self.without_files += 1
            if not refs:
                return
        records = predicted_records(self._scanner.butler, refs.values())
        if not self._defensive:
            try:
                self._datasets.add_new(refs.values(), records)
            except ConflictingDefinitionError:
                _LOG.info(
                    "Some outputs seem to have already been ingested; each batch is compared with what there "
                    "is from now on."
                )
                self._defensive = True
            else:
                return
        before = self._report.datasets
        tables = self._datasets.tables
        infos = {
            name: {one: cast(list[StoredFileInfo], of[tables[name]]) for one, of in data.records.items()}
            for name, data in records.items()
        }
        self._datasets.add(refs, infos)
        self.already_there += len(refs) - (self._report.datasets - before)


def expanded_refs(scanner: Scanner, datasets: Iterable[Any]) -> dict[uuid.UUID, DatasetRef]:
    """Return datasets of a graph by id, with what templates of file names may ask of their data IDs."""
    components = scanner.reader.components
    pipeline, attacher = components.pipeline_graph, components.dimension_data
    assert attacher is not None, "the scanner has read it"
    by_type: defaultdict[str, list[Any]] = defaultdict(list)
    for dataset in datasets:
        by_type[dataset.dataset_type_name].append(dataset)
    refs = {}
    for name, of_type in by_type.items():
        node = pipeline.dataset_types.get(name)
        dataset_type = pipeline.packages_dataset_type if node is None else node.dataset_type
        dimensions = dataset_type.dimensions
        data_ids = [
            DataCoordinate.from_full_values(dimensions, tuple(dataset.data_coordinate)) for dataset in of_type
        ]
        for dataset, data_id in zip(of_type, attacher.attach(dimensions, data_ids), strict=True):
            # The data ID has been made of these dimensions.
            refs[dataset.dataset_id] = DatasetRef(
                dataset_type, data_id, run=dataset.run, id=dataset.dataset_id, conform=False
            )
    return refs


class Named(NamedTuple):
    """A dataset as native code names it, in the words of upstream's models."""

    dataset_id: uuid.UUID
    dataset_type_name: str
    run: str
    data_coordinate: list[int | str]

    @classmethod
    def of(cls, told: tuple[int, str, str, list[int | str]]) -> Named:
        """Return what native code tells."""
        dataset_id, dataset_type_name, run, data_coordinate = told
        return cls(uuid.UUID(int=dataset_id), dataset_type_name, run, data_coordinate)


def _of_graph(scanner: Scanner) -> frozenset[str]:
    """Return the types of datasets that a provenance graph has the contents of."""
    names: set[str] = set()
    for task in scanner.reader.pipeline_graph.tasks.values():
        outputs = (task.init.config_output, task.metadata_output, task.log_output)
        names.update(output.dataset_type_name for output in outputs if output is not None)
    return frozenset(names)


@contextlib.contextmanager
def errors_of_repositories(repository: str) -> Iterator[None]:
    """Say of which repository an error is."""
    try:
        yield
    except sqlalchemy.exc.SQLAlchemyError as error:
        told = getattr(error, "orig", None) or error
        raise AggregateError(
            f"{repository}: the registry does not take it: {' '.join(str(told).split())}"
        ) from error
    except NoSuchSourceError:
        # Of logs, which have names of their own.
        raise
    except (AggregateError, TransferError, ConflictingDefinitionError, FileNotFoundError) as error:
        raise AggregateError(f"{repository}: {error}") from error
