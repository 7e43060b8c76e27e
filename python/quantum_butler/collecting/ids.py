"""Ids of datasets and quanta as arrays, as all of the archive has them."""

from __future__ import annotations

__all__ = ("ids_of", "uuids_of")

from ..archive.ids import ids_of, uuids_of
