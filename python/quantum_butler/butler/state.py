"""State of a butler from its start to its end."""

from __future__ import annotations

__all__ = ("LOG", "ButlerState", "ClosedButlerError", "counting", "part_of_butler", "require_id")

import contextlib
import functools
import inspect
import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Self, TypeVar

from lsst.daf.butler import (
    AmbiguousDatasetError,
    ButlerMetrics,
    DatasetRef,
    DatasetType,
    StorageClassFactory,
    _quantum_backed,
)

from .. import _core
from ..errors import QuantumButlerError
from ..locks import ForkSafeLock
from ..quantum.attempt import Beginning, has_failed
from ..quantum.execution import METADATA, Observed
from ..quantum.ids import id_set
from ..quantum.outputs import ActualOutputs
from ..quantum.process_log import QuantumLabel, process_log
from .holding import Held

if TYPE_CHECKING:
    from lsst.daf.butler import DatasetId, DimensionUniverse
    from lsst.daf.butler.datastore import Datastore
    from lsst.daf.butler.registry.interfaces import Database

    from ..record_file import Journal

LOG = logging.getLogger(_quantum_backed.__name__)
"""The name under which upstream's messages are looked for and configured."""

counting = ForkSafeLock()
"""Held while an operation is counted: adding is not atomic, and a metrics
object may serve many butlers.
"""

_logging = ForkSafeLock()

# Bound here, because the name in upstream's module may come to mean ours.
_Upstream = _quantum_backed.QuantumBackedButler


_Class = TypeVar("_Class", bound=type)


def part_of_butler(cls: _Class) -> _Class:
    """Let a class's methods be those of `QuantumBackedButler` in what Python says of them, and in pickles."""
    for name, value in vars(cls).items():
        if inspect.isfunction(value):
            for function in (value, inspect.unwrap(value)):
                function.__module__ = f"{__package__}.butler"
                function.__qualname__ = f"QuantumBackedButler.{name}"
    return cls


class ClosedButlerError(QuantumButlerError, RuntimeError):
    """Raised when a butler is used after it was closed."""


@part_of_butler
class ButlerState(_Upstream):
    """State that the methods of a butler share: its parts, its bookkeeping, and whether it is open."""

    _quantum_label: QuantumLabel | None = None
    """Which quantum this is for, while its provenance is to be logged."""

    _observed: Observed | None = None
    """What it was handed of its quantum, if it was made for one."""

    _held: Held | None = None
    """Metadata and log, while they are to go into the log of the process alone."""

    _journal: Journal | None = None
    """File that has all that is acknowledged, if there is one."""

    def __init__(
        self,
        predicted_inputs: Iterable[DatasetId],
        predicted_outputs: Iterable[DatasetId],
        dimensions: DimensionUniverse,
        datastore: Datastore,
        storageClasses: StorageClassFactory,
        dataset_types: Mapping[str, DatasetType] | None = None,
        metrics: ButlerMetrics | None = None,
        database: Database | None = None,
    ):
        self._beginning = Beginning.now()
        self._dimensions = dimensions
        self._tracker = _core.Tracker(predicted_inputs, predicted_outputs)
        self._outputs: set[DatasetRef] = ActualOutputs(self._tracker)
        self._open_datastore: Datastore | None = datastore
        self.storageClasses = storageClasses
        self._dataset_types: Mapping[str, DatasetType] = {} if dataset_types is None else dataset_types
        if metrics is not None:
            self._metrics = metrics
        self._database = database
        datastore.set_retrieve_dataset_type_method(self._retrieve_dataset_type)

    # Upstream's own callers and tests look at these.

    @property
    def _actual_output_refs(self) -> set[DatasetRef]:
        """Datasets that were written."""
        return self._outputs

    @_actual_output_refs.setter
    def _actual_output_refs(self, refs: set[DatasetRef]) -> None:
        if self._journal is None:
            self._outputs = refs
        else:
            self._journal.replace_outputs(refs, self)

    _predicted_inputs = id_set("predicted_inputs", "Datasets that may be read.")
    _predicted_outputs = id_set("predicted_outputs", "Datasets that may be written.")
    _available_inputs = id_set("available_inputs", "Predicted inputs that were found.")
    _unavailable_inputs = id_set("unavailable_inputs", "Datasets that were looked for in vain.")
    _actual_inputs = id_set("actual_inputs", "Predicted inputs that were read.")

    @functools.cached_property
    def _metrics(self) -> ButlerMetrics:  # type: ignore[override]
        """Counter of operations, unless another is given."""
        # Two threads that come here at once must count into the same.
        metrics: ButlerMetrics = self.__dict__.setdefault("_metrics", ButlerMetrics())
        return metrics

    @contextlib.contextmanager
    def record_metrics(self, metrics: ButlerMetrics | None = None) -> Iterator[ButlerMetrics]:
        """Count into other metrics for a while.

        Parameters
        ----------
        metrics : `ButlerMetrics`, optional
            Metrics object to count into; a new one by default.

        Yields
        ------
        metrics : `ButlerMetrics`
            What is counted into instead of the butler's own metrics.

        Raises
        ------
        ClosedButlerError
            Raised if the butler has been closed.
        """
        self._require_open()
        with super().record_metrics(metrics) as recorded:
            if (observed := self._observed) is not None:
                observed.metrics = recorded
            yield recorded

    @property
    def _datastore(self) -> Datastore:
        """Datastore of an open butler; every operation comes through here."""
        if (datastore := self._open_datastore) is None:
            self._raise_closed()
        if self._held is not None and self._held.puts:
            # Whoever asks for more than what is logged finds the files that there usually are.
            self._write_held()
        return datastore

    @_datastore.setter
    def _datastore(self, datastore: Datastore) -> None:
        self._open_datastore = datastore

    def _raise_closed(self) -> NoReturn:
        raise ClosedButlerError("This QuantumBackedButler has been closed; make another one.")

    def _write_held(self) -> None:
        """Write what was to go into the log of the process alone as files, and all that follows, too."""
        if (held := self._held) is None:
            return
        self._held = None
        for number, (obj, ref) in enumerate(held.puts):
            try:
                self._datastore.put(obj, ref)
            except BaseException:
                self._outputs.difference_update(ref for _, ref in held.puts[number:])
                raise

    def _require_open(self) -> None:
        """Raise `ClosedButlerError` unless the butler is open."""
        if self._open_datastore is None:
            self._raise_closed()

    def __enter__(self) -> Self:
        self._require_open()
        return self

    def __exit__(self, exc_type: Any, exc_val: Any, exc_tb: Any) -> Literal[False]:
        if exc_type is not None:
            # Upstream only logs what goes wrong now, and so the first failure is what is raised.
            return super().__exit__(exc_type, exc_val, exc_tb)
        self.close()
        return False

    def close(self) -> None:
        """Release all resources.  Closing a closed butler does nothing.

        Raises
        ------
        OSError
            Raised if the quantum's provenance was to be logged and cannot be.
            The butler is closed nevertheless.
        RecordFileError
            Raised if the butler's file cannot be written or closed.  No data
            can be had from the butler any more, but `close` can be called
            again.

        Notes
        -----
        With `quantum_butler.install` or the environment variable
        ``QUANTUM_BUTLER_PROVENANCE`` told to, a butler that was made for a
        `Quantum` appends its provenance to a log first.

        At the end of a ``with`` block these errors are raised, too, unless the
        block has raised something.
        """
        if self._quantum_label is None:
            self._release()
            return
        # Another thread that closes it waits until the log has what is here.
        with _logging:
            try:
                if (label := self._quantum_label) is not None:
                    try:
                        self._log_provenance(label)
                    finally:
                        # What no line has, has a file.
                        self._write_held()
            finally:
                self._quantum_label = None
                self._release()

    def _release(self) -> None:
        """Let go of all resources."""
        self._open_datastore = None
        super().close()
        if self._journal is not None:
            self._journal.close()

    def _log_provenance(self, label: QuantumLabel) -> None:
        """Append the provenance to the log of this process.

        A quantum that an executor passes over, because its outputs are there
        from an earlier run, asks for nothing of what it would have read:
        logged, that would stand against what the earlier run has logged.
        """
        if (log := process_log()) is None:
            return
        failed = has_failed(self._beginning)
        if failed or not (log.has_contents and self._is_held_for(label)):
            self._write_held()
        looked_at = (self._available_inputs, self._unavailable_inputs, self._actual_inputs)
        if self._actual_output_refs or any(looked_at) or failed:
            try:
                if log.append(label, self, failed=failed):
                    self._held = None
            except OSError as error:
                if failed:
                    raise
                self._fail(label, error)

    def _is_held_for(self, label: QuantumLabel) -> bool:
        """Return whether what is held is what a line for a quantum will have."""
        if self._held is None or self._observed is None:
            return True
        found = self._observed.find(label.task_label)
        return all(any(obj is one for one in found) for obj, _ in self._held.puts)

    def _fail(self, label: QuantumLabel, reason: OSError) -> NoReturn:
        """Let a quantum have failed that cannot be logged.

        Executors pass over a quantum that has left its metadata, or, without that, all of its outputs.
        Tried again, it must run again, since nobody could tell later what it has read.
        """
        written = list(self._actual_output_refs)
        metadata = [ref for ref in written if ref.datasetType.storageClass_name == METADATA]
        what = "metadata have" if metadata else "outputs have"
        try:
            self.pruneDatasets(metadata or written, disassociate=True, unstore=True, purge=True)
            done = f"its {what} been removed, so that it is run again"
        except Exception as error:
            done = f"its {what} not been removed ({error}): remove them, lest it be taken for done"
        raise OSError(
            reason.errno,
            f"the provenance of quantum {label.quantum_id} cannot be logged ({reason.strerror}); {done}",
            reason.filename,
        ) from reason


def require_id(ref: DatasetRef) -> None:
    """Raise `AmbiguousDatasetError` for a ref without an id."""
    # Upstream's own refs always have one, and making it a UUID costs time.
    if type(ref) is not DatasetRef and ref.id is None:
        raise AmbiguousDatasetError(f"Dataset {ref} is not resolved: it has no id.")
