"""Writing to a butler and pruning, all or nothing, with a record file or without."""

from __future__ import annotations

__all__ = ("WritingMethods",)

import contextlib
import functools
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from lsst.daf.butler import ButlerMetrics
from sqlalchemy.exc import IntegrityError

from .. import record_file
from ..datastore.chained import all_or_nothing, writing
from ..datastore.spawn import file_datastores
from ..quantum.attempt import has_failed
from ..quantum.execution import TELLING
from ..store.kept import kept_bytes
from .holding import bytes_for_log
from .state import LOG, ButlerState, counting, part_of_butler, require_id

if TYPE_CHECKING:
    from lsst.daf.butler import DatasetProvenance, DatasetRef
    from lsst.daf.butler.datastore import Datastore

    from ..record_file import Journal

# Formatters that write what upstream's aggregator would read.
_AS_JSON = (
    "lsst.daf.butler.formatters.json.JsonFormatter",
    "lsst.daf.butler.formatters.logs.ButlerLogRecordsFormatter",
)


@part_of_butler
class WritingMethods(ButlerState):
    """The methods of a butler that write or remove datasets."""

    def isWriteable(self) -> Literal[True]:
        """Return `True`: outputs can always be written.

        Returns
        -------
        writeable : `bool`
            Always `True`.

        Raises
        ------
        ClosedButlerError
            Raised if the butler has been closed.
        """
        self._require_open()
        return True

    def put(self, obj: Any, ref: DatasetRef, /, *, provenance: DatasetProvenance | None = None) -> DatasetRef:
        """Store a dataset that already has a UUID and ``RUN`` collection.

        Parameters
        ----------
        obj : `object`
            The dataset.
        ref : `DatasetRef`
            Resolved reference for a not-yet-stored dataset.
        provenance : `DatasetProvenance` or `None`, optional
            Any provenance that should be attached to the serialized dataset.
            Not supported by all serialization mechanisms.

        Returns
        -------
        ref : `DatasetRef`
            The same as the given, for convenience and symmetry with
            `Butler.put`.

        Raises
        ------
        AmbiguousDatasetError
            Raised if ``ref.id`` is `None`.
        RuntimeError
            Raised if the dataset was not predicted as an output, or cannot be
            serialized.
        DatasetTypeNotSupportedError
            Raised if the datastore is configured to reject the dataset.
        TypeError
            Raised if the object does not fit the storage class.
        RecordFileError
            Raised if the butler has a file that cannot be written; nothing
            has changed.
        ClosedButlerError
            Raised if the butler has been closed.

        Notes
        -----
        Either the artifact is written and recorded, or neither.  As upstream
        does, putting a dataset that is stored already removes its artifact
        and fails with `sqlalchemy.exc.IntegrityError`; prune it first.
        """
        tells = type(obj).__name__ in TELLING and self._observed is not None
        if (datastore := self._open_datastore if tells else self._datastore) is None:
            self._raise_closed()
        require_id(ref)
        if not self._tracker.is_predicted_output(ref):
            raise RuntimeError("Cannot `put` dataset that was not predicted as an output.")
        put = self._put_telling if tells else self._put
        metrics = self._metrics
        if type(metrics) is not ButlerMetrics or LOG.isEnabledFor(logging.DEBUG):
            with metrics.instrument_put(log=LOG, msg="Put QBB dataset"):
                put(datastore, obj, ref, provenance)
        else:
            start = time.perf_counter()
            put(datastore, obj, ref, provenance)
            duration = time.perf_counter() - start
            with counting:
                metrics.increment_put(duration)
        return ref

    def _put_telling(
        self, datastore: Datastore, obj: Any, ref: DatasetRef, provenance: DatasetProvenance | None
    ) -> None:
        """Store a dataset that tells how the quantum went, and remember what was written.

        This is where it is decided whether that is a file, or has its place in the log of the process alone.
        """
        if (held := self._held) is not None:
            if (
                provenance is None
                and held.accepts(obj, ref)
                and ref not in self._outputs
                and not has_failed(self._beginning)
                and (data := bytes_for_log(datastore, obj, ref)) is not None
                and (observed := self._observed) is not None
            ):
                held.puts.append((obj, ref))
                self._outputs.add(ref)
                observed.note_put(obj, ref, data)
                return
            self._write_held()
        with kept_bytes() as kept:
            self._put(datastore, obj, ref, provenance)
        if (observed := self._observed) is not None:
            written = (data for formatter, data in kept if formatter in _AS_JSON)
            observed.note_put(obj, ref, next(written, None))

    def _put(
        self, datastore: Datastore, obj: Any, ref: DatasetRef, provenance: DatasetProvenance | None
    ) -> None:
        """Store a dataset, and note that it is an actual output."""
        if (journal := self._journal) is None:
            datastore.put(obj, ref, provenance=provenance)
            self._outputs.add(ref)
            return
        outputs, is_new = self._outputs, False
        try:
            # The artifact goes as well if the file does not take the record.
            with writing(datastore), journal.call([ref]), all_or_nothing(datastore, ref):
                datastore.put(obj, ref, provenance=provenance)
                # Before that, another thread may have been quicker.
                is_new = ref not in outputs
                outputs.add(ref)
                journal.commit()
        except BaseException as error:
            if is_new:
                outputs.discard(ref)
            if isinstance(error, IntegrityError):
                record_file.explain_trash(error, datastore, ref)
            raise

    def putDirect(self, obj: Any, ref: DatasetRef) -> DatasetRef:
        """Store a dataset that already has a UUID and ``RUN`` collection.

        The documented name of `put`, which see.

        Parameters
        ----------
        obj : `object`
            The dataset.
        ref : `DatasetRef`
            Resolved reference for a not-yet-stored dataset.

        Returns
        -------
        ref : `DatasetRef`
            The same as the given.

        Raises
        ------
        AmbiguousDatasetError
            Raised if ``ref.id`` is `None`.
        """
        return self.put(obj, ref)

    def pruneDatasets(
        self,
        refs: Iterable[DatasetRef],
        *,
        disassociate: bool = True,
        unstore: bool = False,
        tags: Iterable[str] = (),
        purge: bool = False,
    ) -> None:
        """Remove one or more datasets from storage.

        Parameters
        ----------
        refs : `~collections.abc.Iterable` of `DatasetRef`
            Datasets to prune.  These must be resolved references.
        disassociate : `bool`, optional
            Must be the same as ``purge``: this butler has no collections to
            disassociate datasets from.
        unstore : `bool`, optional
            If `True` (`False` is default) remove these datasets from all
            datastores known to this butler.  Datasets that are not stored are
            ignored.
        tags : `~collections.abc.Iterable` [ `str` ], optional
            Ignored.
        purge : `bool`, optional
            If `True` (`False` is default), the datasets also cease to be
            actual outputs.  Needs ``disassociate`` and ``unstore``.

        Raises
        ------
        TypeError
            Raised if the conditions for ``disassociate`` or ``purge`` are not
            met.
        ValueError
            Raised if a ref is that of a component.
        AmbiguousDatasetError
            Raised if the ``id`` of a ref is `None`.
        RecordFileError
            Raised if the butler has a file that cannot be written.  If that
            happens when the artifacts have been removed already, the datasets
            stay in the trash; prune them again.
        ClosedButlerError
            Raised if the butler has been closed.

        Notes
        -----
        A pruned dataset can be put again.  An artifact that other datasets
        share stays, and so does one outside the datastore's root.
        """
        self._require_open()
        refs = list(refs)
        for ref in refs:
            require_id(ref)
        prune = functools.partial(
            super().pruneDatasets, refs, disassociate=disassociate, unstore=unstore, tags=tags, purge=purge
        )
        if self._journal is None:
            prune()
        else:
            self._prune(self._journal, refs, prune)

    def _prune(self, journal: Journal, refs: Sequence[DatasetRef], prune: Callable[[], None]) -> None:
        """Prune, and take it back if the file refuses it before anything is removed."""
        failure = None
        with writing(self._datastore), journal.call(refs), contextlib.ExitStack() as members:
            for member in file_datastores(self._datastore):
                transaction = members.enter_context(member.transaction())
                if outputs := self._outputs.intersection(refs):
                    transaction.registerUndo("pruneDatasets", self._outputs.update, outputs)
            try:
                prune()
                journal.commit()
            except BaseException as error:
                if journal.was_refused():
                    raise
                failure = error
        if failure is not None:
            journal.commit_rest(failure)
            raise failure
