"""Dataset ids as a butler's SQLite file has them."""

from __future__ import annotations

__all__ = ("hex_of", "id_of", "key_of")

import uuid
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from lsst.daf.butler import DatasetId

# What fits into a column of integers.
_INTEGERS = range(-(1 << 63), 1 << 63)


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
        Thirty-two hexadecimal digits, or the integer.

    Raises
    ------
    ValueError
        Raised if the integer has more than 64 bits.
    """
    if not isinstance(dataset_id, int):
        return hex_of(dataset_id)
    if dataset_id not in _INTEGERS:
        raise ValueError(f"Dataset id {dataset_id} is too large for a file: integers have 64 bits there")
    return dataset_id


def id_of(key: str | int) -> DatasetId:
    """Return the id that a key of the quantum's tables stands for.

    Parameters
    ----------
    key : `str` or `int`
        Thirty-two hexadecimal digits, or an integer id.

    Returns
    -------
    dataset_id : `DatasetId`
        The id.
    """
    return cast(Any, key) if isinstance(key, int) else uuid.UUID(hex=key)
