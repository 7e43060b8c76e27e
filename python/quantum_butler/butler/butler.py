"""The butler that backs the execution of one quantum."""

from __future__ import annotations

__all__ = ("QuantumBackedButler",)

import functools
import itertools
import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from .. import record_file
from ..quantum.execution import Observed
from ..quantum.keeping import kept_types
from ..quantum.outputs import ActualOutputs
from ..quantum.process_log import label_of, require_writable_log
from ..switches import wanted_log_folder
from .blueprint import Parts, make_parts, resumed_parts
from .holding import Held
from .provenance import ProvenanceMethods
from .reading import ReadingMethods
from .writing import WritingMethods

if TYPE_CHECKING:
    from lsst.daf.butler import ButlerMetrics, Config, DatasetId, DatasetType, DimensionUniverse, Quantum
    from lsst.daf.butler.datastore.record_data import DatastoreRecordData
    from lsst.daf.butler.registry.interfaces import DatastoreRegistryBridgeManager, OpaqueTableStorageManager
    from lsst.resources import ResourcePathExpression

    from ..record_file.database import Durability
    from ..record_file.resume import Resumption


class QuantumBackedButler(ReadingMethods, WritingMethods, ProvenanceMethods):
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

    resumption: Resumption | None = None
    """What was found amiss when the butler was made by `resume`; `None` if it
    was made otherwise (`Resumption` or `None`).
    """

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
        make = functools.partial(
            cls._initialize,
            config=config,
            dimensions=dimensions,
            filename=filename,
            OpaqueManagerClass=OpaqueManagerClass,
            BridgeManagerClass=BridgeManagerClass,
            search_paths=search_paths,
            dataset_types=dataset_types,
            metrics=metrics,
            durability=durability,
        )
        return cls._for_quantum(quantum, make)

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
        filename, OpaqueManagerClass, BridgeManagerClass, search_paths, \
                dataset_types, metrics, durability : optional
            As with `initialize`.

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
        # Docstring inherited.
        parts = make_parts(
            config,
            dimensions,
            search_paths,
            filename,
            OpaqueManagerClass,
            BridgeManagerClass,
            durability=durability,
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

    @staticmethod
    def _for_quantum(quantum: Quantum, make: Callable[..., _Butler]) -> _Butler:
        """Make a butler of what a quantum is predicted to read and write; its provenance may be logged."""
        require_writable_log()
        inputs = itertools.chain.from_iterable(quantum.inputs.values())
        butler = make(
            predicted_inputs=[*inputs, *quantum.initInputs.values()],
            predicted_outputs=list(itertools.chain.from_iterable(quantum.outputs.values())),
            datastore_records=quantum.datastore_records,
        )
        butler._observed = Observed(quantum)
        if wanted_log_folder() is not None:
            butler._quantum_label = label_of(quantum)
            if butler._journal is None and (types := kept_types()):
                butler._held = Held(types)
        return butler

    @classmethod
    def _from_parts(
        cls,
        parts: Parts,
        predicted_inputs: Iterable[Any],
        predicted_outputs: Iterable[Any],
        dimensions: DimensionUniverse,
        datastore_records: Mapping[str, DatastoreRecordData] | None,
        **options: Any,
    ) -> Self:
        """Make a butler of new parts, and begin a quantum in their file, if there is one."""
        if (journal := parts.journal) is None:
            if datastore_records is not None:
                parts.datastore.import_records(datastore_records)
            return cls._of(parts, predicted_inputs, predicted_outputs, dimensions, **options)
        with journal.beginning():
            predicted_outputs = list(predicted_outputs)
            record_file.require_no_quantum(journal)
            datastores = record_file.identities(parts.datastore)
            record_file.check_datastores(journal, datastores)
            if datastore_records is not None:
                parts.datastore.import_records(
                    record_file.unfiled_records(parts.datastore, datastore_records)
                )
            butler = cls._of(parts, predicted_inputs, predicted_outputs, dimensions, **options)
            predicted = record_file.predict_artifacts(parts.datastore, predicted_outputs)
            outputs = cast(ActualOutputs, butler._outputs)
            journal.begin(butler._tracker, outputs, parts.datastore, datastores, predicted)
            butler._journal = journal
        return butler

    @classmethod
    def _of(
        cls,
        parts: Parts,
        predicted_inputs: Iterable[Any],
        predicted_outputs: Iterable[Any],
        dimensions: DimensionUniverse,
        *,
        dataset_types: Mapping[str, DatasetType] | None,
        metrics: ButlerMetrics | None,
    ) -> Self:
        """Make a butler of parts, with the records that they have."""
        return cls(
            predicted_inputs,
            predicted_outputs,
            dimensions,
            parts.datastore,
            storageClasses=parts.storage_classes,
            dataset_types=dataset_types,
            metrics=metrics,
            database=parts.database,
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
        parts, journal = resumed_parts(config, dimensions, search_paths, filename, durability)
        with journal.beginning():
            record_file.require_log(journal, is_needed=repair)
            datastores = record_file.identities(parts.datastore)
            record_file.check_datastores(journal, datastores, same_roots=repair)
            roles = record_file.read_roles(journal)
            predicted = roles["predicted_inputs"], roles["predicted_outputs"]
            butler = cls._of(parts, *predicted, dimensions, dataset_types=dataset_types, metrics=metrics)
            butler._available_inputs = roles["available_inputs"]
            butler._unavailable_inputs = roles["unavailable_inputs"]
            butler._actual_inputs = roles["actual_inputs"]
            outputs = cast(ActualOutputs, butler._outputs)
            if record_file.has_quantum(journal):
                journal.go_on(butler._tracker, outputs, parts.datastore, dimensions)
            else:
                journal.begin(butler._tracker, outputs, parts.datastore, datastores)
            butler._journal = journal
            butler.resumption = record_file.look_around(journal, parts.datastore, outputs, repair=repair)
        return butler


_Butler = TypeVar("_Butler", bound=QuantumBackedButler)
