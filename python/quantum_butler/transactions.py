"""Transactions of a datastore that several threads use."""

from __future__ import annotations

__all__ = ("ThreadTransactions",)

import contextlib
import threading
from collections.abc import Iterator

from lsst.daf.butler.datastore import DatastoreTransaction


class ThreadTransactions:
    """Gives each thread that uses a datastore a transaction of its own.

    Upstream keeps the current transaction in an attribute of the datastore,
    where the transactions of two threads would become each other's parents.
    It also leaves a rolled-back transaction in that attribute; here the
    parent always comes back.
    """

    _thread: threading.local | None = None
    """Each thread's transaction, from the first one on."""

    @property
    def _transaction(self) -> DatastoreTransaction | None:
        return None if (thread := self._thread) is None else getattr(thread, "transaction", None)

    @_transaction.setter
    def _transaction(self, transaction: DatastoreTransaction | None) -> None:
        if (thread := self._thread) is None:
            # Upstream's constructors begin with this.
            if transaction is None:
                return
            # Two threads that come here at once must get the same.
            thread = self.__dict__.setdefault("_thread", threading.local())
        thread.transaction = transaction

    @contextlib.contextmanager
    def transaction(self) -> Iterator[DatastoreTransaction]:
        """Make this thread's changes to the datastore revocable.

        Yields
        ------
        transaction : `DatastoreTransaction`
            Transaction that is rolled back if the block raises.
        """
        parent = self._transaction
        transaction = self._transaction = DatastoreTransaction(parent)
        try:
            yield transaction
        except BaseException:
            transaction.rollback()
            raise
        else:
            transaction.commit()
        finally:
            self._transaction = parent
