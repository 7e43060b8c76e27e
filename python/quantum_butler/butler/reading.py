"""Reading from a butler, and what that says of a quantum's inputs."""

from __future__ import annotations

__all__ = ("ReadingMethods",)

import logging
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from lsst.daf.butler import ButlerMetrics, DatasetRef, LimitedButler

from ..datastore.file import NativeFileDatastore
from .state import ButlerState, counting, part_of_butler, require_id

if TYPE_CHECKING:
    from lsst.daf.butler import DeferredDatasetHandle, StorageClass

# Upstream times every `get` here, if anybody wants to know.
_GET_LOG = logging.getLogger(LimitedButler.__module__)


@part_of_butler
class ReadingMethods(ButlerState):
    """The methods of a butler that read, or look whether there is something to read."""

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
        require_id(ref)
        datastore, metrics = self._datastore, self._metrics
        try:
            if type(metrics) is not ButlerMetrics or _GET_LOG.isEnabledFor(logging.DEBUG):
                # Not upstream's override, whose bookkeeping this one replaces.
                obj = LimitedButler.get(self, ref, parameters=parameters, storageClass=storageClass)
            else:
                start = time.perf_counter()
                obj = datastore.get(ref, parameters=parameters, storageClass=storageClass)
                duration = time.perf_counter() - start
                with counting:
                    metrics.increment_get(duration)
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
        require_id(ref)
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
        # As upstream's, this is a question to `stored_many`; somebody may have put another in its place.
        is_usual = getattr(self.stored_many, "__func__", None) is _STORED_MANY
        if is_usual and type(datastore) is NativeFileDatastore and "mexists" not in vars(datastore):
            require_id(ref)
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
            require_id(ref)
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
        require_id(ref)
        self._tracker.note_unused(ref)

    # The names by which upstream's documentation has called them.

    def datasetExistsDirect(self, ref: DatasetRef) -> bool:
        """Return `True` if a dataset is actually present in the Datastore.

        The documented name of `stored`, which see.

        Parameters
        ----------
        ref : `DatasetRef`
            Resolved reference to a dataset.

        Returns
        -------
        exists : `bool`
            Whether the dataset exists in the Datastore.
        """
        return self.stored(ref)

    def getDirect(
        self,
        ref: DatasetRef,
        *,
        parameters: dict[str, Any] | None = None,
        storageClass: StorageClass | str | None = None,
    ) -> Any:
        """Retrieve a stored dataset.

        The documented name of `get`, which see.

        Parameters
        ----------
        ref : `DatasetRef`
            Resolved reference to an already stored dataset.
        parameters : `dict`, optional
            Additional StorageClass-defined options to control reading.
        storageClass : `StorageClass` or `str`, optional
            The storage class to be used to override the Python type returned.

        Returns
        -------
        obj : `object`
            The dataset.

        Raises
        ------
        AmbiguousDatasetError
            Raised if ``ref.id`` is `None`.
        """
        return self.get(ref, parameters=parameters, storageClass=storageClass)

    def getDirectDeferred(
        self,
        ref: DatasetRef,
        *,
        parameters: dict[str, Any] | None = None,
        storageClass: StorageClass | str | None = None,
    ) -> DeferredDatasetHandle:
        """Create a `DeferredDatasetHandle` which can later retrieve a dataset.

        The documented name of `getDeferred`, which see.

        Parameters
        ----------
        ref : `DatasetRef`
            Resolved reference to an already stored dataset.
        parameters : `dict`, optional
            Additional StorageClass-defined options to control reading.
        storageClass : `StorageClass` or `str`, optional
            The storage class to be used to override the Python type returned.

        Returns
        -------
        obj : `DeferredDatasetHandle`
            A handle which can be used to retrieve a dataset at a later time.

        Raises
        ------
        AmbiguousDatasetError
            Raised if ``ref.id`` is `None`.
        """
        return self.getDeferred(ref, parameters=parameters, storageClass=storageClass)


_STORED_MANY = ReadingMethods.stored_many
