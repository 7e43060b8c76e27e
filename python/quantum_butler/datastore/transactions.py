"""Transactions of a datastore that several threads use."""

from __future__ import annotations

__all__ = ("ThreadTransactions",)

import contextlib
import threading
import weakref
from typing import Any

from lsst.daf.butler.datastore import DatastoreTransaction

from ..store.file_store import Journal


class ThreadTransactions:
    """Gives each thread that uses a datastore a transaction of its own.

    Upstream keeps the current transaction in an attribute of the datastore,
    where the transactions of two threads would become each other's parents.
    It also leaves a rolled-back transaction in that attribute; here the
    parent always comes back.
    """

    journal: Journal | None = None
    """What else has the records, if they are not in memory only."""

    _thread: threading.local | None = None
    """Each thread's transactions, from the first one on."""

    def current_transaction(self) -> DatastoreTransaction | None:
        """Return this thread's transaction, if it is in one."""
        if (thread := self._thread) is None:
            return None
        contexts: list[weakref.ref[_TransactionContext]] = getattr(thread, "contexts", [])
        while contexts:
            if (context := contexts[-1]()) is not None:
                return context.transaction
            # `KeyboardInterrupt` came just before its block began, or ended.
            contexts.pop()
        return None

    def _set_transaction(self, transaction: None) -> None:
        # Upstream's constructors begin with this, and nobody else does it.
        assert transaction is None and self._thread is None

    _transaction = property(current_transaction, _set_transaction)

    def transaction(self) -> contextlib.AbstractContextManager[DatastoreTransaction]:
        """Make this thread's changes to the datastore revocable."""
        return _TransactionContext(self)

    def _contexts(self) -> list[weakref.ref[_TransactionContext]]:
        """Return this thread's transactions, the innermost last."""
        if (thread := self._thread) is None:
            # Two threads that come here at once must get the same.
            thread = self.__dict__.setdefault("_thread", threading.local())
        contexts: list[weakref.ref[_TransactionContext]] | None = getattr(thread, "contexts", None)
        if contexts is None:
            contexts = thread.contexts = []
        return contexts


class _TransactionContext(contextlib.AbstractContextManager[DatastoreTransaction]):
    """The time of one transaction.

    Something like `KeyboardInterrupt` can come when the block has not begun
    yet, or is over, and `__exit__` is not: then nobody rolls it back.  So a
    generator must not be made of this: such a one is rolled back whenever it
    is collected, with all that was done in between.  The datastore only keeps
    it as long as somebody is in its block.
    """

    def __init__(self, datastore: ThreadTransactions):
        self._datastore = datastore

    def __enter__(self) -> DatastoreTransaction:
        self.transaction = DatastoreTransaction(self._datastore.current_transaction())
        self._contexts = self._datastore._contexts()
        self._depth = len(self._contexts)
        self._contexts.append(weakref.ref(self))
        return self.transaction

    def __exit__(self, error_type: type[BaseException] | None, error: Any, traceback: Any) -> None:
        try:
            if error_type is None:
                self.transaction.commit()
            else:
                self.transaction.rollback()
        finally:
            del self._contexts[self._depth :]
        if error is not None and (journal := self._datastore.journal) is not None:
            journal.commit_rest(error)
