"""Upstream's chained datastore, with a put that is all or nothing."""

from __future__ import annotations

__all__ = ("NativeChainedDatastore", "all_or_nothing", "writing")

import contextlib
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

from lsst.daf.butler import DatasetRef
from lsst.daf.butler.datastore import Datastore
from lsst.daf.butler.datastores.chainedDatastore import ChainedDatastore
from lsst.daf.butler.datastores.inMemoryDatastore import InMemoryDatastore

from ..locks import ForkSafeLock
from .file import NativeFileDatastore
from .transactions import ThreadTransactions

if TYPE_CHECKING:
    from lsst.daf.butler import DatasetProvenance
    from lsst.daf.butler.registry.interfaces import DatastoreRegistryBridgeManager
    from lsst.resources import ResourcePath


class NativeChainedDatastore(ThreadTransactions, ChainedDatastore):  # type: ignore[misc]  # transaction()
    """Upstream's chained datastore, whose put is all or nothing.

    Writes take turns, because members kept in memory are not safe to change
    from several threads.
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
        self._writing = ForkSafeLock()

    def clone(self, bridgeManager: DatastoreRegistryBridgeManager) -> Datastore:
        return type(self)(self, bridgeManager, [child.clone(bridgeManager) for child in self.datastores])

    def put(self, inMemoryDataset: Any, ref: DatasetRef, provenance: DatasetProvenance | None = None) -> None:
        with self._writing, all_or_nothing(self, ref):
            super().put(inMemoryDataset, ref, provenance)

    def trash(self, ref: DatasetRef | Iterable[DatasetRef], ignore_errors: bool = True) -> None:
        with self._writing:
            super().trash(ref, ignore_errors)

    def emptyTrash(
        self, ignore_errors: bool = True, refs: Collection[DatasetRef] | None = None, dry_run: bool = False
    ) -> set[ResourcePath]:
        with self._writing:
            if self.journal is not None and not dry_run:
                # Before a member in memory removes what it cannot bring back.
                try:
                    self.journal.commit()
                except Exception:
                    for member in self.datastores:
                        if refs is not None and isinstance(member, InMemoryDatastore):
                            member._trashedIds -= {ref.id for ref in refs}
                    raise
            return super().emptyTrash(ignore_errors, refs, dry_run)


def all_or_nothing(datastore: Datastore, ref: DatasetRef) -> contextlib.AbstractContextManager[Any]:
    """Return what takes back that a dataset was put, if something fails."""
    # Upstream's datastores are of a protocol, and slow to tell from each other.
    if type(datastore) is NativeFileDatastore:
        return datastore.transaction()
    if isinstance(datastore, InMemoryDatastore):
        return _TakenBackOnFailure(datastore, ref)
    if not isinstance(datastore, ChainedDatastore):
        return datastore.transaction()
    with contextlib.ExitStack() as members:
        # A member that took the dataset gives it back if another fails.
        for member in datastore.datastores:
            members.enter_context(all_or_nothing(member, ref))
        return members.pop_all()


def writing(datastore: Datastore) -> contextlib.AbstractContextManager[Any]:
    """Return what keeps others from putting into a datastore, if its members need that."""
    if type(datastore) is not NativeFileDatastore and isinstance(datastore, NativeChainedDatastore):
        return datastore._writing
    return contextlib.nullcontext()


class _TakenBackOnFailure(contextlib.AbstractContextManager[None]):
    """Removes a dataset that came to be in a datastore before a failure.

    Such a datastore's own rollback also removes what was there before.  What
    is said of transactions in general goes for this, too: it must not do
    anything when it is only collected.
    """

    def __init__(self, datastore: InMemoryDatastore, ref: DatasetRef):
        self._datastore = datastore
        self._ref = ref
        self._known = datastore.knows(ref)

    def __exit__(self, error_type: type[BaseException] | None, error: Any, traceback: Any) -> None:
        if error_type is not None and not self._known and self._datastore.knows(self._ref):
            self._datastore.remove(self._ref)
