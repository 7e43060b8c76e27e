"""What is known of refs: keys of their ids, records that they carry, values of their data IDs."""

from __future__ import annotations

__all__ = ("carried_records", "data_id_value", "dataset_key")

from numbers import Integral
from operator import attrgetter
from typing import Any

from lsst.daf.butler import DatasetRef

# Today's refs keep the id as an integer and make a UUID of it when asked.
dataset_key = attrgetter("_id" if "_id" in getattr(DatasetRef, "__slots__", ()) else "id")
"""Returns what is unique to a ref's dataset id (`~operator.attrgetter`)."""

carried_records = attrgetter("_datastore_records")
"""Returns the datastore records that a ref brings along, or `None` (`~operator.attrgetter`)."""


def data_id_value(value: Any) -> int | str:
    """Return a value of a data ID as a plain `int` or `str`; raise `TypeError` for what is neither.

    The rule is that of upstream's ``DataCoordinate.standardize``, which not every data ID has been through.
    """
    if isinstance(value, str):
        # What is in it: a string enum says something else of itself.
        return str.__str__(value)
    if isinstance(value, Integral):
        return int(value)
    raise TypeError(f"A value of a data ID is an int or a str, not {type(value).__name__}.")
