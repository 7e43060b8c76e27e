"""Knowledge of refs: keys of their ids, and records that they carry."""

from __future__ import annotations

__all__ = ("carried_records", "dataset_key")

from operator import attrgetter

from lsst.daf.butler import DatasetRef

# Today's refs keep the id as an integer and make a UUID of it when asked.
dataset_key = attrgetter("_id" if "_id" in getattr(DatasetRef, "__slots__", ()) else "id")
"""Returns what is unique to a ref's dataset id (`~operator.attrgetter`)."""

carried_records = attrgetter("_datastore_records")
"""Returns the datastore records that a ref brings along, or `None` (`~operator.attrgetter`)."""
