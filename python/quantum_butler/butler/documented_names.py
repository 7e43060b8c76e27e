"""The documented names of methods that upstream calls otherwise today."""

from __future__ import annotations

__all__ = ("DocumentedNames",)

from typing import TYPE_CHECKING, Any

from lsst.daf.butler import LimitedButler

if TYPE_CHECKING:
    from lsst.daf.butler import DatasetRef, DeferredDatasetHandle, StorageClass


class DocumentedNames(LimitedButler):
    """Gives a butler the methods that its documentation describes."""

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
