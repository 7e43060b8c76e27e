"""Makes the butlers of one repository, for executors that run many quanta in one process."""

from __future__ import annotations

__all__ = ("QuantumBackedButlerFactory",)

import functools
import os
import pickle
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from lsst.daf.butler import DimensionConfig, DimensionUniverse

from ..upstream.configuration import read_configuration
from .blueprint import Blueprint, make_parts
from .butler import QuantumBackedButler

if TYPE_CHECKING:
    from lsst.daf.butler import ButlerMetrics, Config, DatasetId, DatasetRef, DatasetType, Quantum
    from lsst.daf.butler.datastore.record_data import DatastoreRecordData
    from lsst.resources import ResourcePathExpression

    from ..record_file.database import Durability


class QuantumBackedButlerFactory:
    """Makes butlers for the quanta of one repository.

    The configuration is read when the factory is made, and never again.

    Parameters
    ----------
    config : `Config` or `~lsst.resources.ResourcePathExpression`
        A butler repository root, configuration filename, or configuration
        instance.
    dimensions : `DimensionUniverse`
        Object managing all dimension definitions.
    dataset_types : `~collections.abc.Mapping` [`str`, `DatasetType`], optional
        Mapping of the dataset type name to its registry definition.
    search_paths : `list` of `str`, optional
        Additional search paths for butler configuration.

    Notes
    -----
    An instance can be called with a `Quantum`, so it is ready to be the
    ``limited_butler_factory`` of ``lsst.pipe.base``'s
    ``SingleQuantumExecutor``.  It can be used from several threads and pickled
    to worker processes, where it reads the configuration again.
    """

    def __init__(
        self,
        config: Config | ResourcePathExpression,
        dimensions: DimensionUniverse,
        dataset_types: Mapping[str, DatasetType] | None = None,
        search_paths: list[str] | None = None,
    ):
        self._config = config
        self._dimensions = dimensions
        self._dataset_types = dataset_types
        self._search_paths = search_paths
        self._blueprint = Blueprint(read_configuration(config, search_paths), dimensions)

    def __call__(
        self,
        quantum: Quantum,
        *,
        metrics: ButlerMetrics | None = None,
        filename: str | os.PathLike[str] | None = None,
        durability: Durability = "disk",
    ) -> QuantumBackedButler:
        """Make a butler for one quantum.

        Parameters
        ----------
        quantum : `Quantum`
            Object describing the predicted input and output datasets, with
            the datastore records of the inputs.
        metrics : `ButlerMetrics` or `None`, optional
            Metrics object for gathering butler statistics.
        filename : `str` or `os.PathLike`, optional
            Name of an SQLite file to keep the records in.
        durability : `str`, optional
            What the file survives; see `QuantumBackedButler.initialize`.

        Returns
        -------
        butler : `QuantumBackedButler`
            Butler that backs the execution of the quantum.
        """
        make = functools.partial(
            self.from_predicted, metrics=metrics, filename=filename, durability=durability
        )
        return QuantumBackedButler._for_quantum(quantum, make)

    def from_predicted(
        self,
        predicted_inputs: Iterable[DatasetId | DatasetRef],
        predicted_outputs: Iterable[DatasetId | DatasetRef],
        datastore_records: Mapping[str, DatastoreRecordData] | None = None,
        *,
        metrics: ButlerMetrics | None = None,
        filename: str | os.PathLike[str] | None = None,
        durability: Durability = "disk",
    ) -> QuantumBackedButler:
        """Make a butler from sets of input and output dataset IDs.

        Parameters
        ----------
        predicted_inputs : `~collections.abc.Iterable` [`DatasetId`]
            Dataset IDs (or refs) for datasets that can be read from this
            butler.
        predicted_outputs : `~collections.abc.Iterable` [`DatasetId`]
            Dataset IDs (or refs) for datasets that can be stored in this
            butler.
        datastore_records : `dict` [`str`, `DatastoreRecordData`] or `None`, \
                optional
            Datastore records to import into the datastore.
        metrics : `ButlerMetrics` or `None`, optional
            Metrics object for gathering butler statistics.
        filename : `str` or `os.PathLike`, optional
            Name of an SQLite file to keep the records in.
        durability : `str`, optional
            What the file survives; see `QuantumBackedButler.initialize`.

        Returns
        -------
        butler : `QuantumBackedButler`
            Butler for those datasets.
        """
        parts = make_parts(
            self._config,
            self._dimensions,
            self._search_paths,
            filename,
            durability=durability,
            blueprint=self._blueprint,
        )
        return QuantumBackedButler._from_parts(
            parts,
            predicted_inputs,
            predicted_outputs,
            self._dimensions,
            datastore_records,
            dataset_types=self._dataset_types,
            metrics=metrics,
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return (
            _unpickle_factory,
            (
                self._config,
                _universe_definition(self._dimensions),
                # To be unpickled only once the universe exists over there.
                pickle.dumps(None if self._dataset_types is None else dict(self._dataset_types)),
                self._search_paths,
            ),
        )


def _unpickle_factory(
    config: Any, definition: DimensionConfig | None, dataset_types: bytes, search_paths: list[str] | None
) -> QuantumBackedButlerFactory:
    """Make a factory in another process."""
    universe = DimensionUniverse(definition)
    return QuantumBackedButlerFactory(config, universe, pickle.loads(dataset_types), search_paths)


def _universe_definition(universe: DimensionUniverse) -> DimensionConfig | None:
    """Return what makes a universe anew; `None` for the default one."""
    definition, default = universe.dimensionConfig, DimensionConfig()
    identity = ("namespace", "version")
    return None if all(definition[key] == default[key] for key in identity) else definition
