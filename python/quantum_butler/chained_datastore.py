"""Upstream's chained datastore, with a put that is all or nothing."""

from __future__ import annotations

__all__ = ("NativeChainedDatastore", "all_or_nothing")

import contextlib
import threading
from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from lsst.daf.butler import DatasetRef
from lsst.daf.butler.datastore import Datastore
from lsst.daf.butler.datastores.chainedDatastore import ChainedDatastore
from lsst.daf.butler.datastores.inMemoryDatastore import InMemoryDatastore

from .file_datastore import NativeFileDatastore
from .file_mode.managers import FiledBridgeManager
from .transactions import ThreadTransactions

if TYPE_CHECKING:
    from lsst.daf.butler import DatasetProvenance
    from lsst.daf.butler.registry.interfaces import DatastoreRegistryBridgeManager
    from lsst.resources import ResourcePath


class NativeChainedDatastore(ThreadTransactions, ChainedDatastore):
    """Upstream's chained datastore, whose put is all or nothing.

    Writes take turns, because members kept in memory are not safe to change
    from several threads.

    Parameters
    ----------
    prototype : `ChainedDatastore`
        Datastore to take the configuration from.
    bridgeManager : `DatastoreRegistryBridgeManager`
        Manager that the members keep their records with.
    datastores : `list` [ `Datastore` ]
        Members of the chain.
    """

    def __init__(
        self,
        prototype: ChainedDatastore,
        bridgeManager: DatastoreRegistryBridgeManager,
        datastores: list[Datastore],
    ):
        super().__init__(prototype.config, bridgeManager, datastores)
        # The class's name is no part of the data.
        self.name = f"{ChainedDatastore.__qualname__}[{','.join(self.names)}]"
        self._writing = threading.RLock()
        # What the members' records go to, if not only to memory.
        self._file = bridgeManager.file if isinstance(bridgeManager, FiledBridgeManager) else None

    def clone(self, bridgeManager: DatastoreRegistryBridgeManager) -> Datastore:
        # Docstring inherited.
        return type(self)(self, bridgeManager, [child.clone(bridgeManager) for child in self.datastores])

    def put(self, inMemoryDataset: Any, ref: DatasetRef, provenance: DatasetProvenance | None = None) -> None:
        # Docstring inherited.
        with all_or_nothing(self, ref):
            super().put(inMemoryDataset, ref, provenance)

    def trash(self, ref: DatasetRef | Iterable[DatasetRef], ignore_errors: bool = True) -> None:
        # Docstring inherited.
        with self._writing:
            super().trash(ref, ignore_errors)

    def emptyTrash(
        self, ignore_errors: bool = True, refs: Collection[DatasetRef] | None = None, dry_run: bool = False
    ) -> set[ResourcePath]:
        # Docstring inherited.
        with self._writing:
            if self._file is not None and not dry_run:
                # Before a member in memory removes what it cannot bring back.
                try:
                    self._file.commit()
                except Exception:
                    for member in self.datastores:
                        if refs is not None and isinstance(member, InMemoryDatastore):
                            member._trashedIds -= {ref.id for ref in refs}
                    raise
            return super().emptyTrash(ignore_errors, refs, dry_run)


def all_or_nothing(datastore: Datastore, ref: DatasetRef) -> contextlib.AbstractContextManager[Any]:
    """Return what takes back that a dataset was put, if something fails.

    Parameters
    ----------
    datastore : `Datastore`
        Datastore that it is put into.
    ref : `DatasetRef`
        The dataset.

    Returns
    -------
    context : `contextlib.AbstractContextManager`
        Context in which to put it.
    """
    # Upstream's datastores are of a protocol, and slow to tell from each other.
    if type(datastore) is NativeFileDatastore:
        return datastore.transaction()
    if isinstance(datastore, InMemoryDatastore):
        return _taken_back_on_failure(datastore, ref)
    if not isinstance(datastore, ChainedDatastore):
        return datastore.transaction()
    return _all_members_or_none(datastore, ref)


@contextlib.contextmanager
def _all_members_or_none(datastore: ChainedDatastore, ref: DatasetRef) -> Iterator[None]:
    """Have a member that took the dataset give it back if another fails."""
    # Nobody else may put it between the look at what there is and what is taken back.
    writing = (
        datastore._writing if isinstance(datastore, NativeChainedDatastore) else contextlib.nullcontext()
    )
    with writing, contextlib.ExitStack() as members:
        for member in datastore.datastores:
            members.enter_context(all_or_nothing(member, ref))
        yield


@contextlib.contextmanager
def _taken_back_on_failure(datastore: InMemoryDatastore, ref: DatasetRef) -> Iterator[None]:
    """Remove a dataset that came to be in a datastore before a failure.

    Such a datastore's own rollback also removes what was there before.
    """
    known = datastore.knows(ref)
    try:
        yield
    except BaseException:
        if not known and datastore.knows(ref):
            datastore.remove(ref)
        raise
