"""Dataset ids as a butler's SQLite file has them."""

from __future__ import annotations

__all__ = ("hex_of", "id_of", "key_of")

import uuid
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from lsst.daf.butler import DatasetId

# What fits into a column of integers.
_INTEGERS = range(-(1 << 63), 1 << 63)
_LARGE = "integer "


def hex_of(dataset_id: DatasetId | int) -> str:
    """Return an id as upstream's column type for SQLite has it.

    Parameters
    ----------
    dataset_id : `DatasetId` or `int`
        The id.

    Returns
    -------
    text : `str`
        Thirty-two hexadecimal digits.
    """
    return f"{dataset_id if isinstance(dataset_id, int) else dataset_id.int:032x}"


def key_of(dataset_id: Any) -> str | int:
    """Return the key of a dataset in the quantum's tables.

    Parameters
    ----------
    dataset_id : `DatasetId` or `int`
        The id.

    Returns
    -------
    key : `str` or `int`
        Thirty-two hexadecimal digits, or the integer; as text if it has more
        than 64 bits.
    """
    if not isinstance(dataset_id, int):
        return hex_of(dataset_id)
    return dataset_id if dataset_id in _INTEGERS else f"{_LARGE}{dataset_id}"


def id_of(key: str | int) -> DatasetId:
    """Return the id that a key of the quantum's tables stands for.

    Parameters
    ----------
    key : `str` or `int`
        What `key_of` returns.

    Returns
    -------
    dataset_id : `DatasetId`
        The id.
    """
    if isinstance(key, int) or key.startswith(_LARGE):
        return cast("DatasetId", int(str(key).removeprefix(_LARGE)))
    return uuid.UUID(hex=key)
