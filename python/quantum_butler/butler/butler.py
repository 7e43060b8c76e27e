"""The butler that backs the execution of one quantum."""

from __future__ import annotations

__all__ = ("ClosedButlerError", "QuantumBackedButler", "predictions")

import contextlib
import functools
import itertools
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Self, cast

from lsst.daf.butler import (
    AmbiguousDatasetError,
    ButlerMetrics,
    Config,
    DatasetRef,
    DatasetType,
    LimitedButler,
    StorageClass,
    StorageClassFactory,
    _quantum_backed,
)
from sqlalchemy.exc import IntegrityError

from .. import _core
from ..datastore.chained import all_or_nothing, writing
from ..datastore.file import NativeFileDatastore
from ..datastore.spawn import file_datastores, record_sources
from ..errors import QuantumButlerError
from ..locks import ForkSafeLock
from ..quantum.attempt import Beginning, has_failed
from ..quantum.ids import DatasetIdSet, IdSample
from ..quantum.outputs import ActualOutputs
from ..quantum.process_log import QuantumLabel, label_of, process_log, require_writable_log
from ..quantum.provenance import QuantumProvenanceData
from ..record_file import Journal
from ..record_file.resume import (
    Resumption,
    check_datastores,
    explain_trash,
    has_quantum,
    look_around,
    read_roles,
    require_log,
    require_no_quantum,
    unfiled_records,
)
from ..record_file.rows import identities, predict_artifacts
from ..switches import native_enabled, wanted_log_folder
from .documented_names import DocumentedNames
from .factory import (
    Parts,
    cached_blueprint,
    check_durability,
    file_wanted,
    kept_in_rust,
    stock_parts,
)

if TYPE_CHECKING:
    from lsst.daf.butler import (
        DatasetId,
        DatasetProvenance,
        DeferredDatasetHandle,
        DimensionUniverse,
        Quantum,
    )
    from lsst.daf.butler.datastore import Datastore
    from lsst.daf.butler.datastore.record_data import DatastoreRecordData
    from lsst.daf.butler.registry.interfaces import (
        Database,
        DatastoreRegistryBridgeManager,
        OpaqueTableStorageManager,
    )
    from lsst.resources import ResourcePathExpression

    from ..quantum.log import NativeParts
    from ..record_file.database import Durability

# The name under which upstream's messages are looked for and configured.
_LOG = logging.getLogger(_quantum_backed.__name__)

# Upstream times every `get` here, if anybody wants to know.
_GET_LOG = logging.getLogger(LimitedButler.__module__)

_counting = ForkSafeLock()
_logging = ForkSafeLock()

# How many dataset ids a log message names; a graph-wide butler has millions.
_MOST_IDS_LOGGED = 100


class ClosedButlerError(QuantumButlerError, RuntimeError):
    """Raised when a butler is used after it was closed."""


# Bound here, because the names in upstream's module may come to mean ours.
_Upstream = _quantum_backed.QuantumBackedButler


def _id_set(role: Any, doc: str) -> Any:
    """Make a property that is one of the tracker's sets.

    Parameters
    ----------
    role : `str`
        Name of the set.
    doc : `str`
        What is in it.

    Returns
    -------
    ids : `property`
        Property that can be read, changed and assigned like a `set`.
    """

    def get(butler: QuantumBackedButler) -> DatasetIdSet:
        return DatasetIdSet(butler._tracker.view(role))

    def assign(butler: QuantumBackedButler, ids: Iterable[DatasetId]) -> None:
        wanted = set(ids)
        current = get(butler)
        current |= wanted
        current &= wanted

    return property(get, assign, doc=doc)


class QuantumBackedButler(DocumentedNames, _Upstream):
    """A `LimitedButler` intended to back execution of a single `Quantum`.

    Gives the answers of `lsst.daf.butler.QuantumBackedButler`, with its
    records and its bookkeeping kept in Rust.

    Parameters
    ----------
    predicted_inputs : `~collections.abc.Iterable` [`DatasetId`]
        Dataset IDs for datasets that can be read from this butler.
    predicted_outputs : `~collections.abc.Iterable` [`DatasetId`]
        Dataset IDs for datasets that can be stored in this butler.
    dimensions : `DimensionUniverse`
        Object managing all dimension definitions.
    datastore : `Datastore`
        Datastore to use for all dataset I/O and existence checks.
    storageClasses : `StorageClassFactory`
        Object managing all storage class definitions.
    dataset_types : `~collections.abc.Mapping` [`str`, `DatasetType`], optional
        The registry dataset type definitions, indexed by name.
    metrics : `ButlerMetrics` or `None`, optional
        Metrics object for tracking butler statistics.
    database : `Database`, optional
        Database that the datastore keeps its records in, to be closed with
        the butler.

    Notes
    -----
    Most callers should use `initialize` or `from_predicted`, and executors
    that run many quanta a `QuantumBackedButlerFactory`.

    One butler may be used from several threads.  After `close` every
    operation raises `ClosedButlerError`.
    """

    _quantum_label: QuantumLabel | None = None
    """Which quantum this is for, while its provenance is to be logged."""
    _journal: Journal | None = None

    resumption: Resumption | None = None
    """What was found amiss when the butler was made by `resume`; `None` if it
    was made otherwise (`Resumption` or `None`).
    """

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

    @classmethod
    def initialize(
        cls,
        config: Config | ResourcePathExpression,
        quantum: Quantum,
        dimensions: DimensionUniverse,
        filename: str | os.PathLike[str] | None = None,
        OpaqueManagerClass: type[OpaqueTableStorageManager] | None = None,
        BridgeManagerClass: type[DatastoreRegistryBridgeManager] | None = None,
        search_paths: list[str] | None = None,
        dataset_types: Mapping[str, DatasetType] | None = None,
        metrics: ButlerMetrics | None = None,
        *,
        durability: Durability = "disk",
    ) -> Self:
        """Construct a butler from repository configuration and a quantum.

        Parameters
        ----------
        config : `Config` or `~lsst.resources.ResourcePathExpression`
            A butler repository root, configuration filename, or configuration
            instance.
        quantum : `Quantum`
            Object describing the predicted input and output datasets.  All
            its refs must be resolved.
        dimensions : `DimensionUniverse`
            Object managing all dimension definitions.
        filename : `str` or `os.PathLike`, optional
            Name of an SQLite file to keep records and provenance in.  `None`
            and ``":memory:"`` mean that they are kept in memory.
        OpaqueManagerClass : `type`, optional
            A subclass of `OpaqueTableStorageManager` to use for datastore
            opaque records.  The default keeps them in Rust.
        BridgeManagerClass : `type`, optional
            A subclass of `DatastoreRegistryBridgeManager` to use for datastore
            location records.  The default keeps them in Rust.
        search_paths : `list` of `str`, optional
            Additional search paths for butler configuration.
        dataset_types : `~collections.abc.Mapping` [`str`, `DatasetType`], \
                optional
            Mapping of the dataset type name to its registry definition.
        metrics : `ButlerMetrics` or `None`, optional
            Metrics object for gathering butler statistics.
        durability : `str`, optional
            What the file survives once a call has returned: with ``"disk"``
            (the default) a power cut, with ``"process"`` the end of the
            process, however sudden.

        Returns
        -------
        butler : `QuantumBackedButler`
            Butler that backs the execution of the quantum.

        Raises
        ------
        FileNotFoundError
            Raised if there is no configuration at ``config``.
        ValueError
            Raised if the configured datastore has no usable root.
        FileHasQuantumError
            Raised if there is a quantum in the SQLite file; see `resume`.
        RecordFileError
            Raised if the SQLite file cannot be opened or written.
        OSError
            Raised if the quantum's provenance is to be logged, and nothing can
            be written in the folder for logs.
        """
        require_writable_log()
        inputs, outputs = predictions(quantum)
        butler = cls._initialize(
            config=config,
            predicted_inputs=inputs,
            predicted_outputs=outputs,
            dimensions=dimensions,
            filename=filename,
            datastore_records=quantum.datastore_records,
            OpaqueManagerClass=OpaqueManagerClass,
            BridgeManagerClass=BridgeManagerClass,
            search_paths=search_paths,
            dataset_types=dataset_types,
            metrics=metrics,
            durability=durability,
        )
        butler._note_quantum(quantum)
        return butler

    @classmethod
    def from_predicted(
        cls,
        config: Config | ResourcePathExpression,
        predicted_inputs: Iterable[DatasetId],
        predicted_outputs: Iterable[DatasetId],
        dimensions: DimensionUniverse,
        datastore_records: Mapping[str, DatastoreRecordData],
        filename: str | os.PathLike[str] | None = None,
        OpaqueManagerClass: type[OpaqueTableStorageManager] | None = None,
        BridgeManagerClass: type[DatastoreRegistryBridgeManager] | None = None,
        search_paths: list[str] | None = None,
        dataset_types: Mapping[str, DatasetType] | None = None,
        metrics: ButlerMetrics | None = None,
        *,
        durability: Durability = "disk",
    ) -> Self:
        """Construct a butler from sets of input and output dataset IDs.

        Parameters
        ----------
        config : `Config` or `~lsst.resources.ResourcePathExpression`
            A butler repository root, configuration filename, or configuration
            instance.
        predicted_inputs : `~collections.abc.Iterable` [`DatasetId`]
            Dataset IDs for datasets that can be read from this butler.
        predicted_outputs : `~collections.abc.Iterable` [`DatasetId`]
            Dataset IDs for datasets that can be stored in this butler.
        dimensions : `DimensionUniverse`
            Object managing all dimension definitions.
        datastore_records : `dict` [`str`, `DatastoreRecordData`] or `None`
            Datastore records to import into a datastore, by its name.
        filename : `str` or `os.PathLike`, optional
            Name of an SQLite file to keep records and provenance in.  `None`
            and ``":memory:"`` mean that they are kept in memory.
        OpaqueManagerClass : `type`, optional
            A subclass of `OpaqueTableStorageManager` to use for datastore
            opaque records.  The default keeps them in Rust.
        BridgeManagerClass : `type`, optional
            A subclass of `DatastoreRegistryBridgeManager` to use for datastore
            location records.  The default keeps them in Rust.
        search_paths : `list` of `str`, optional
            Additional search paths for butler configuration.
        dataset_types : `~collections.abc.Mapping` [`str`, `DatasetType`], \
                optional
            Mapping of the dataset type name to its registry definition.
        metrics : `ButlerMetrics` or `None`, optional
            Metrics object for gathering butler statistics.
        durability : `str`, optional
            What the file survives once a call has returned: with ``"disk"``
            (the default) a power cut, with ``"process"`` the end of the
            process, however sudden.

        Returns
        -------
        butler : `QuantumBackedButler`
            Butler for those datasets.

        Raises
        ------
        FileNotFoundError
            Raised if there is no configuration at ``config``.
        ValueError
            Raised if the configured datastore has no usable root.
        FileHasQuantumError
            Raised if there is a quantum in the SQLite file; see `resume`.
        RecordFileError
            Raised if the SQLite file cannot be opened or written.
        """
        return cls._initialize(
            config=config,
            predicted_inputs=predicted_inputs,
            predicted_outputs=predicted_outputs,
            dimensions=dimensions,
            filename=filename,
            datastore_records=datastore_records,
            OpaqueManagerClass=OpaqueManagerClass,
            BridgeManagerClass=BridgeManagerClass,
            search_paths=search_paths,
            dataset_types=dataset_types,
            metrics=metrics,
            durability=durability,
        )

    @classmethod
    def _initialize(
        cls,
        *,
        config: Config | ResourcePathExpression,
        predicted_inputs: Iterable[Any],
        predicted_outputs: Iterable[Any],
        dimensions: DimensionUniverse,
        filename: str | os.PathLike[str] | None = None,
        datastore_records: Mapping[str, DatastoreRecordData] | None = None,
        OpaqueManagerClass: type[OpaqueTableStorageManager] | None = None,
        BridgeManagerClass: type[DatastoreRegistryBridgeManager] | None = None,
        search_paths: list[str] | None = None,
        dataset_types: Mapping[str, DatasetType] | None = None,
        metrics: ButlerMetrics | None = None,
        durability: Durability = "disk",
    ) -> Self:
        check_durability(durability)
        filename = file_wanted(filename)
        parts = None
        if native_enabled() and kept_in_rust(OpaqueManagerClass, BridgeManagerClass):
            parts = cached_blueprint(config, dimensions, search_paths).make_parts(filename, durability)
        if parts is None:
            parts = stock_parts(
                config, dimensions, search_paths, filename, OpaqueManagerClass, BridgeManagerClass
            )
        return cls._from_parts(
            parts,
            predicted_inputs,
            predicted_outputs,
            dimensions,
            datastore_records,
            dataset_types=dataset_types,
            metrics=metrics,
        )

    @classmethod
    def _from_parts(
        cls,
        parts: Parts,
        predicted_inputs: Iterable[Any],
        predicted_outputs: Iterable[Any],
        dimensions: DimensionUniverse,
        datastore_records: Mapping[str, DatastoreRecordData] | None,
        *,
        dataset_types: Mapping[str, DatasetType] | None,
        metrics: ButlerMetrics | None,
    ) -> Self:
        """Construct a butler on a new datastore; see `from_predicted`."""
        if isinstance(journal := parts.database, Journal):
            with journal.beginning():
                predicted_outputs = list(predicted_outputs)
                require_no_quantum(journal)
                datastores = identities(parts.datastore)
                check_datastores(journal, datastores)
                butler = cls._from_parts(
                    parts._replace(database=None),
                    predicted_inputs,
                    predicted_outputs,
                    dimensions,
                    None
                    if datastore_records is None
                    else unfiled_records(parts.datastore, datastore_records),
                    dataset_types=dataset_types,
                    metrics=metrics,
                )
                predicted = predict_artifacts(parts.datastore, predicted_outputs)
                journal.begin(
                    butler._tracker,
                    cast(ActualOutputs, butler._outputs),
                    parts.datastore,
                    datastores,
                    predicted,
                )
                butler._journal = journal
            return butler
        if datastore_records is not None:
            parts.datastore.import_records(datastore_records)
        return cls(
            predicted_inputs,
            predicted_outputs,
            dimensions,
            parts.datastore,
            storageClasses=parts.storage_classes,
            dataset_types=dataset_types,
            metrics=metrics,
            database=cast("Database | None", parts.database),
        )

    @classmethod
    def resume(
        cls,
        filename: str | os.PathLike[str],
        config: Config | ResourcePathExpression,
        dimensions: DimensionUniverse,
        dataset_types: Mapping[str, DatasetType] | None = None,
        *,
        repair: bool = False,
        search_paths: list[str] | None = None,
        metrics: ButlerMetrics | None = None,
        durability: Durability = "disk",
    ) -> Self:
        """Go on with a quantum whose butler kept its records in a file.

        Parameters
        ----------
        filename : `str` or `os.PathLike`
            Name of the SQLite file.  Nobody else may be using it.
        config : `Config` or `~lsst.resources.ResourcePathExpression`
            A butler repository root, configuration filename, or configuration
            instance; the same that the file was written with.
        dimensions : `DimensionUniverse`
            Object managing all dimension definitions.
        dataset_types : `~collections.abc.Mapping` [`str`, `DatasetType`], \
                optional
            Mapping of the dataset type name to its registry definition.
        repair : `bool`, optional
            Whether to mend what an interrupted call has left, instead of only
            telling of it in `resumption`.
        search_paths : `list` of `str`, optional
            Additional search paths for butler configuration.
        metrics : `ButlerMetrics` or `None`, optional
            Metrics object for gathering butler statistics.
        durability : `str`, optional
            What the file survives; see `initialize`.

        Returns
        -------
        butler : `QuantumBackedButler`
            Butler with the records, predictions, inputs and outputs that the
            file has.

        Raises
        ------
        FileNotFoundError
            Raised if there is no such file, or no configuration at ``config``.
        RecordFileError
            Raised if the file cannot be opened, is none of a butler's, or has
            no quantum in it; or if ``repair``, and what SQLite keeps beside a
            file that was not closed is not there.
        NotImplementedError
            Raised if the configured datastore is of a class that has no file
            of ours.
        """
        check_durability(durability)
        if (wanted := file_wanted(filename)) is None:
            raise ValueError(f"A butler is resumed from a file, not from {filename!r}.")
        blueprint = cached_blueprint(config, dimensions, search_paths)
        parts = blueprint.make_parts(wanted, durability, must_exist=True)
        if parts is None:
            raise NotImplementedError("Only upstream's own classes of datastores can be resumed.")
        journal = cast(Journal, parts.database)
        with journal.beginning():
            require_log(journal, is_needed=repair)
            datastores = identities(parts.datastore)
            check_datastores(journal, datastores, same_roots=repair)
            roles = read_roles(journal)
            butler = cls(
                roles["predicted_inputs"],
                roles["predicted_outputs"],
                dimensions,
                parts.datastore,
                storageClasses=parts.storage_classes,
                dataset_types=dataset_types,
                metrics=metrics,
            )
            butler._available_inputs = roles["available_inputs"]
            butler._unavailable_inputs = roles["unavailable_inputs"]
            butler._actual_inputs = roles["actual_inputs"]
            outputs = cast(ActualOutputs, butler._outputs)
            if has_quantum(journal):
                journal.go_on(butler._tracker, outputs, parts.datastore, dimensions)
            else:
                journal.begin(butler._tracker, outputs, parts.datastore, datastores)
            butler._journal = journal
            butler.resumption = look_around(journal, parts.datastore, outputs, repair=repair)
        return butler

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

    _predicted_inputs = _id_set("predicted_inputs", "Datasets that may be read.")
    _predicted_outputs = _id_set("predicted_outputs", "Datasets that may be written.")
    _available_inputs = _id_set("available_inputs", "Predicted inputs that were found.")
    _unavailable_inputs = _id_set("unavailable_inputs", "Datasets that were looked for in vain.")
    _actual_inputs = _id_set("actual_inputs", "Predicted inputs that were read.")

    @functools.cached_property
    def _metrics(self) -> ButlerMetrics:  # type: ignore[override]
        """Where operations are counted, if nobody says otherwise."""
        # Two threads that come here at once must count into the same.
        metrics: ButlerMetrics = self.__dict__.setdefault("_metrics", ButlerMetrics())
        return metrics

    @property
    def _datastore(self) -> Datastore:
        """Datastore of an open butler; every operation comes through here."""
        if (datastore := self._open_datastore) is None:
            self._raise_closed()
        return datastore

    @_datastore.setter
    def _datastore(self, datastore: Datastore) -> None:
        self._open_datastore = datastore

    def _raise_closed(self) -> NoReturn:
        raise ClosedButlerError("This QuantumBackedButler has been closed; make another one.")

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
                    self._log_provenance(label)
            finally:
                self._quantum_label = None
                self._release()

    def _release(self) -> None:
        """Let go of all resources."""
        self._open_datastore = None
        super().close()
        if self._journal is not None:
            self._journal.close()

    def _note_quantum(self, quantum: Quantum) -> None:
        """Find out which quantum this is for, if provenance is logged."""
        if wanted_log_folder() is not None:
            self._quantum_label = label_of(quantum)

    def _log_provenance(self, label: QuantumLabel) -> None:
        """Append the provenance to the log of this process.

        A quantum that an executor passes over, because its outputs are there
        from an earlier run, asks for nothing of what it would have read:
        logged, that would stand against what the earlier run has logged.
        """
        if (log := process_log()) is None:
            return
        failed = has_failed(self._beginning)
        looked_at = (self._available_inputs, self._unavailable_inputs, self._actual_inputs)
        if self._actual_output_refs or any(looked_at) or failed:
            log.append(label, self, failed=failed)

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

    def get(
        self,
        ref: DatasetRef,
        /,
        *,
        parameters: dict[str, Any] | None = None,
        storageClass: StorageClass | str | None = None,
    ) -> Any:
        """Retrieve a stored dataset.

        Parameters
        ----------
        ref : `DatasetRef`
            Resolved reference to an already stored dataset.
        parameters : `dict`, optional
            Additional StorageClass-defined options to control reading,
            typically used to efficiently read only a subset of the dataset.
        storageClass : `StorageClass` or `str`, optional
            The storage class to be used to override the Python type returned
            by this method.  It must be compatible with the original type.

        Returns
        -------
        obj : `object`
            The dataset.

        Raises
        ------
        AmbiguousDatasetError
            Raised if ``ref.id`` is `None`.
        FileNotFoundError
            Raised if the dataset does not exist.
        ClosedButlerError
            Raised if the butler has been closed.

        Notes
        -----
        A dataset that is read is an actual and available input if it was
        predicted; one that cannot be found is unavailable in any case.
        """
        _require_id(ref)
        datastore = self._datastore
        try:
            if _GET_LOG.isEnabledFor(logging.DEBUG):
                # Not upstream's override, whose bookkeeping this one replaces.
                obj = LimitedButler.get(self, ref, parameters=parameters, storageClass=storageClass)
            else:
                start = time.perf_counter()
                obj = datastore.get(ref, parameters=parameters, storageClass=storageClass)
                self._count(self._metrics.increment_get, start)
        except (LookupError, OSError):
            self._tracker.note_read_failed(ref)
            raise
        self._tracker.note_read(ref)
        return obj

    def getDeferred(
        self,
        ref: DatasetRef,
        /,
        *,
        parameters: dict[str, Any] | None = None,
        storageClass: str | StorageClass | None = None,
    ) -> DeferredDatasetHandle:
        """Create a `DeferredDatasetHandle` which can later retrieve a dataset.

        Parameters
        ----------
        ref : `DatasetRef`
            Resolved reference to an already stored dataset.
        parameters : `dict`, optional
            Additional StorageClass-defined options to control reading.
        storageClass : `StorageClass` or `str`, optional
            The storage class to be used to override the Python type of the
            dataset.

        Returns
        -------
        obj : `DeferredDatasetHandle`
            A handle which can be used to retrieve a dataset at a later time.

        Raises
        ------
        AmbiguousDatasetError
            Raised if ``ref.id`` is `None`.
        ClosedButlerError
            Raised if the butler has been closed.

        Notes
        -----
        A predicted input counts as actually used from now on, even if the
        handle never is; see `markInputUnused`.
        """
        self._require_open()
        _require_id(ref)
        self._tracker.note_deferred(ref)
        return LimitedButler.getDeferred(self, ref, parameters=parameters, storageClass=storageClass)

    def stored(self, ref: DatasetRef) -> bool:
        """Indicate whether the dataset's artifacts are present.

        Parameters
        ----------
        ref : `DatasetRef`
            Resolved reference to a dataset.

        Returns
        -------
        stored : `bool`
            Whether the dataset artifact exists in the datastore and can be
            retrieved.

        Raises
        ------
        AmbiguousDatasetError
            Raised if ``ref.id`` is `None`.
        ClosedButlerError
            Raised if the butler has been closed.
        """
        datastore = self._datastore
        if type(datastore) is NativeFileDatastore:
            _require_id(ref)
            exists = datastore.stored(ref)
            self._tracker.note_stored(ref, exists)
            return exists
        return self.stored_many([ref])[ref]

    def stored_many(self, refs: Iterable[DatasetRef]) -> dict[DatasetRef, bool]:
        """Check the datastore for artifact existence of multiple datasets.

        Parameters
        ----------
        refs : `~collections.abc.Iterable` of `DatasetRef`
            The datasets to be checked.

        Returns
        -------
        existence : `dict` of [`DatasetRef`, `bool`]
            Mapping from given dataset refs to boolean indicating artifact
            existence.

        Raises
        ------
        AmbiguousDatasetError
            Raised if the ``id`` of a ref is `None`.
        ClosedButlerError
            Raised if the butler has been closed.
        """
        refs = list(refs)
        for ref in refs:
            _require_id(ref)
        existence = LimitedButler.stored_many(self, refs)
        self._tracker.note_existence(existence)
        return existence

    def markInputUnused(self, ref: DatasetRef) -> None:
        """Indicate that a predicted input was not actually used.

        Parameters
        ----------
        ref : `DatasetRef`
            Reference to the unused dataset.

        Raises
        ------
        AmbiguousDatasetError
            Raised if ``ref.id`` is `None`.
        ClosedButlerError
            Raised if the butler has been closed.

        Notes
        -----
        A dataset counts as used once it is read with `get` or a handle to it
        is obtained with `getDeferred`.  This method must be called after
        those to take it from the actual inputs.
        """
        self._require_open()
        self._tracker.note_unused(ref)

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
        self._require_open()
        _require_id(ref)
        if not self._tracker.is_predicted_output(ref):
            raise RuntimeError("Cannot `put` dataset that was not predicted as an output.")
        datastore = self._datastore
        if _LOG.isEnabledFor(logging.DEBUG):
            with self._metrics.instrument_put(log=_LOG, msg="Put QBB dataset"):
                self._put(datastore, obj, ref, provenance)
        else:
            start = time.perf_counter()
            self._put(datastore, obj, ref, provenance)
            self._count(self._metrics.increment_put, start)
        return ref

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
                explain_trash(error, datastore, ref)
            raise

    @staticmethod
    def _count(increment: Callable[[float], None], start: float) -> None:
        """Add an operation, and the time since its start, to the metrics."""
        duration = time.perf_counter() - start
        # Adding is not atomic, and a metrics object may serve many butlers.
        with _counting:
            increment(duration)

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
            _require_id(ref)
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
            yield recorded

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
        self._require_open()
        if _LOG.isEnabledFor(logging.WARNING):
            self._settle_with_warnings()
        return self._extract()

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
        # Not every executor writes files; YAML and compression take a while to import.
        from ..quantum.file import write_provenance

        write_provenance(self, destination)

    def _extract(self) -> QuantumProvenanceData:
        """Extract provenance without a word of what is odd about it."""
        if (parts := self._native_parts()) is not None:
            return QuantumProvenanceData.from_native(_core.Provenance.extract(*parts))
        datastore, output_refs = self._datastore, self._actual_output_refs
        self._tracker.require_uuids()
        self._tracker.drop_contradictions()
        # A copy, because another thread may be putting.
        output_refs = output_refs.copy()
        return QuantumProvenanceData(
            predicted_inputs=set(self._predicted_inputs),
            available_inputs=set(self._available_inputs),
            actual_inputs=set(self._actual_inputs),
            predicted_outputs=set(self._predicted_outputs),
            actual_outputs={ref.id for ref in output_refs},
            datastore_records={
                name: records.to_simple() for name, records in datastore.export_records(output_refs).items()
            },
        )

    def _native_parts(self) -> NativeParts | None:
        """Return what provenance is extracted from in Rust, if it can be."""
        if (sources := record_sources(self._datastore)) is None:
            return None
        refs = self._outputs
        to_look_at = refs.refs_to_look_at() if isinstance(refs, ActualOutputs) else refs.copy()
        return self._tracker, to_look_at, sources

    def _for_log(self, *, warn: bool) -> NativeParts | QuantumProvenanceData:
        """Return what a log makes its line from."""
        self._require_open()
        if warn and _LOG.isEnabledFor(logging.WARNING):
            self._settle_with_warnings()
        parts = self._native_parts()
        return self._extract() if parts is None else parts

    def _settle_with_warnings(self) -> None:
        """Take what does not exist from the actual inputs, and warn."""
        self._tracker.require_uuids()
        n_contradicted, contradicted, unchecked, n_missed, missed = self._tracker.settle(_MOST_IDS_LOGGED)
        if n_contradicted:
            _LOG.warning(
                "Inputs %s were marked as actually used (probably because a DeferredDatasetHandle) "
                "was obtained, but did not actually exist.  This task should be be using markInputUnused "
                "directly to clarify its provenance.",
                IdSample(contradicted, n_contradicted),
            )
        if unchecked:
            _LOG.warning(
                "Execution harness did not check predicted inputs %s for existence; available inputs "
                "recorded in provenance may be incomplete.",
                IdSample(missed, n_missed),
            )

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
        if unknown := self._tracker.unpredicted(refs):
            raise ValueError(
                f"Cannot export datastore records for unknown outputs: {[refs[i] for i in unknown]}"
            )
        return self._datastore.export_predicted_records(refs)


def predictions(quantum: Quantum) -> tuple[list[DatasetRef], list[DatasetRef]]:
    """Return what a quantum is predicted to read and to write.

    Parameters
    ----------
    quantum : `Quantum`
        Quantum to look at.

    Returns
    -------
    inputs : `list` [ `DatasetRef` ]
        Its inputs and init-inputs.
    outputs : `list` [ `DatasetRef` ]
        Its outputs.
    """
    inputs = list(itertools.chain.from_iterable(quantum.inputs.values()))
    inputs += quantum.initInputs.values()
    return inputs, list(itertools.chain.from_iterable(quantum.outputs.values()))


def _require_id(ref: DatasetRef) -> None:
    """Raise `AmbiguousDatasetError` for a ref without an id."""
    # Upstream's own refs always have one, and making it a UUID costs time.
    if type(ref) is not DatasetRef and ref.id is None:
        raise AmbiguousDatasetError(f"Dataset {ref} is not resolved: it has no id.")
