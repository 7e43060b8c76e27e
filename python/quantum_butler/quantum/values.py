"""Values of data IDs in all that this package writes."""

from __future__ import annotations

__all__ = ("data_id_value",)

from numbers import Integral
from typing import Any


def data_id_value(value: Any) -> int | str:
    """Return a value of a data ID as a plain `int` or `str`; raise `TypeError` for what is neither.

    The rule for all that we write is that of upstream's ``DataCoordinate.standardize``, which not every data
    ID has been through: a `bool` is 0 or 1, but for those of `numpy`.  A path has what upstream's template
    makes of the value as it is.
    """
    if isinstance(value, str):
        # What is in it: a string enum says something else of itself.
        return str.__str__(value)
    if isinstance(value, Integral):
        return int(value)
    raise TypeError(f"a value of a data ID is an int or a str, not {type(value).__name__}.")
