"""Converters of storage classes, for several threads at once."""

from __future__ import annotations

__all__ = ("import_converters",)

import copy
from operator import attrgetter

from lsst.daf.butler import StorageClass

from ..locks import ForkSafeLock

_importing = ForkSafeLock()

# Subclasses convert in ways of their own.
_converting = attrgetter("coerce_type", "_get_converters_by_type")
_CONVERTING = _converting(StorageClass)


def import_converters(storage_class: StorageClass) -> None:
    """Import what a storage class converts with, before it is asked to.

    Parameters
    ----------
    storage_class : `StorageClass`
        Storage class that is about to convert a dataset.

    Notes
    -----
    Upstream imports its converters one by one when the first is needed.
    Another thread that comes in between finds those there are so far, and may
    conclude that there is none for its dataset.  Here they come at once.
    """
    if storage_class._converters_by_type is None and _converting(type(storage_class)) == _CONVERTING:
        with _importing:
            if storage_class._converters_by_type is None:
                # The copy takes its time where nobody sees it.
                twin = copy.copy(storage_class)
                twin._converters_by_type = None
                storage_class._converters_by_type = dict(twin._get_converters_by_type())
