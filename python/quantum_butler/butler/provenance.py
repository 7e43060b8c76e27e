"""Provenance of the quantum that a butler backs."""

from __future__ import annotations

__all__ = ("ProvenanceMethods",)

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..datastore.spawn import record_sources
from ..quantum.extraction import extract, native_parts
from ..quantum.file import write_provenance
from .state import ButlerState, part_of_butler, require_id

if TYPE_CHECKING:
    from lsst.daf.butler import DatasetRef
    from lsst.daf.butler.datastore.record_data import DatastoreRecordData
    from lsst.resources import ResourcePathExpression

    from ..quantum.log import NativeParts
    from ..quantum.provenance import QuantumProvenanceData


@part_of_butler
class ProvenanceMethods(ButlerState):
    """The methods of a butler that give away what it has noted."""

    def extract_provenance_data(self) -> QuantumProvenanceData:
        """Extract provenance information and datastore records.

        Returns
        -------
        provenance : `QuantumProvenanceData`
            A serializable struct containing input/output dataset IDs and
            datastore records.

        Raises
        ------
        ValueError
            Raised if a dataset id is an integer rather than a UUID.
        ClosedButlerError
            Raised if the butler has been closed.

        Notes
        -----
        Inputs that turned out to be unavailable are taken from the actual
        inputs, here and in the butler, with a warning.  Another warning tells
        of predicted inputs whose existence was never checked.
        """
        datastore = self._datastore
        sources = record_sources(datastore)
        return extract(self._tracker, self._outputs, sources, datastore.export_records)

    def write_provenance(self, destination: ResourcePathExpression) -> None:
        """Write provenance information and datastore records to a file.

        Parameters
        ----------
        destination : `~lsst.resources.ResourcePathExpression`
            Path or URI of the file.  The ending decides on the format:
            ``.json``, ``.json.zst``, ``.json.gz``, ``.yaml`` or ``.yml``.

        Raises
        ------
        ValueError
            Raised if the file has another ending, or a dataset id is an
            integer rather than a UUID.
        OSError
            Raised if the file cannot be written.
        ClosedButlerError
            Raised if the butler has been closed.

        Notes
        -----
        What is written is the JSON of `extract_provenance_data`.  A file that
        is there is replaced as a whole or not at all.
        """
        write_provenance(self, destination)

    def _for_log(self, *, warn: bool) -> NativeParts | QuantumProvenanceData:
        """Return what a log makes its line from."""
        # What is held has no record: the line is all there is of it.
        if (datastore := self._open_datastore) is None:
            self._raise_closed()
        if (sources := record_sources(datastore)) is not None:
            return native_parts(self._tracker, self._outputs, sources, warn=warn)
        return extract(self._tracker, self._outputs, None, datastore.export_records, warn=warn)

    def export_predicted_datastore_records(
        self, refs: Iterable[DatasetRef]
    ) -> dict[str, DatastoreRecordData]:
        """Export datastore records for predicted output dataset references.

        Parameters
        ----------
        refs : `~collections.abc.Iterable` [ `DatasetRef` ]
            Dataset references for which to export datastore records.  These
            refs must be known to this butler.

        Returns
        -------
        records : `dict` [ `str`, `DatastoreRecordData` ]
            Predicted datastore records indexed by datastore name.  No attempt
            is made to ensure that the associated datasets exist on disk.

        Raises
        ------
        ValueError
            Raised if a dataset was predicted neither as input nor as output.
        ClosedButlerError
            Raised if the butler has been closed.
        """
        refs = list(refs)
        for ref in refs:
            require_id(ref)
        if unknown := self._tracker.unpredicted(refs):
            raise ValueError(
                f"Cannot export datastore records for unknown outputs: {[refs[i] for i in unknown]}"
            )
        return self._datastore.export_predicted_records(refs)
