"""The repository that datasets of a graph go to, and what is on disk there."""

from __future__ import annotations

__all__ = ("Repository",)

import functools
import uuid
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from lsst.daf.butler import Butler, DatasetRef

from ..butler.butler import QuantumBackedButler
from .datasets import Datasets
from .report import MOST_NAMED, TransferReport, UnrecordedOutput

if TYPE_CHECKING:
    from .graph_outputs import GraphOutputs


class Repository(Datasets):
    """The repository that datasets of a graph go to, open as long as the context lasts."""

    def __init__(
        self, butler: Butler, report: TransferReport, graph: GraphOutputs, register_dataset_types: bool
    ):
        super().__init__(butler, report, register_dataset_types)
        self._graph = graph
        self._open = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._open.close()

    def add_init_outputs(self) -> None:
        """Add what was written before the first quantum, as far as it exists: no provenance has it."""
        refs = self._graph.init_outputs()
        self._report.init_outputs += self._retry(lambda: self._take_in(self._on_disk(refs)))

    def scan(self, outputs: Mapping[uuid.UUID, Sequence[DatasetRef]]) -> None:
        """Add what there is of the outputs that no provenance has, as upstream's transfer does."""
        refs = [ref for of_quantum in outputs.values() for ref in of_quantum]
        self._report.scanned += self._retry(lambda: self._take_in(self._on_disk(refs)))

    def restored(self, refs: Iterable[DatasetRef]) -> int:
        """Add what only logs had and has files now, and return how much the repository knows then."""
        refs = list(refs)
        known = self._butler._datastore.knows_these(refs)
        new = [ref for ref in refs if not known[ref]]
        found: int = self._retry(lambda: self._take_in(self._on_disk(new)))
        self._report.scanned += found
        return len(refs) - len(new) + found

    def _take_in(self, refs: Sequence[DatasetRef]) -> int:
        """Add datasets with records that are made from where their files are, and return how many."""
        self._prepare(refs)
        if not refs or self._report.dry_run:
            return len(refs)
        return len(self._butler.transfer_from(self._files, refs, transfer="auto"))

    def report_unrecorded(self, outputs: Mapping[uuid.UUID, Sequence[DatasetRef]]) -> None:
        """Report what there is of the outputs that no provenance has."""
        quanta = {ref: quantum for quantum, refs in outputs.items() for ref in refs}
        if not (found := self._on_disk(list(quanta))):
            return
        self._report.unrecorded += len(found)
        named = found[: MOST_NAMED - len(self._report.unrecorded_outputs)]
        for ref, uris in self._files.get_many_uris(named, predict=True).items():
            uri = next(uri for uri in (uris.primaryURI, *uris.componentURIs.values()) if uri is not None)
            self._report.unrecorded_outputs.append(
                UnrecordedOutput(
                    quantum_id=str(quanta[ref]),
                    dataset_id=str(ref.id),
                    dataset_type=ref.datasetType.name,
                    data_id=dict(ref.dataId.required),
                    path=uri.ospath if uri.isLocal else str(uri),
                )
            )

    @functools.cached_property
    def _files(self) -> QuantumBackedButler:
        """A butler that has no records, and so looks for files where they would be."""
        butler: QuantumBackedButler = self._open.enter_context(
            QuantumBackedButler.from_predicted(
                config=self._butler._config,  # type: ignore[attr-defined]
                predicted_inputs=[],
                predicted_outputs=[],
                dimensions=self._graph.universe,
                datastore_records={},
                dataset_types=self._graph.dataset_types,
            )
        )
        return butler

    def _on_disk(self, refs: Sequence[DatasetRef]) -> list[DatasetRef]:
        """Return the datasets that the repository does not know, and whose files are there."""
        if not refs:
            return []
        known = self._butler._datastore.knows_these(refs)
        if not (new := [ref for ref in refs if not known[ref]]):
            return []
        for dataset_type in sorted({ref.datasetType for ref in new}):
            self._require_storage_class(dataset_type)
        new = self._graph.expanded(new, self._butler)
        stored = self._files.stored_many(new)
        return [ref for ref in new if stored[ref]]
