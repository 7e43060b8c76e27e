"""Names of parametrized cases that are the same in every process."""

from __future__ import annotations

__all__ = ("name_of",)

import re


def name_of(value: object) -> str:
    """Return what to call a case after one of its values.

    The workers of pytest-xdist must agree on the names, and neither an
    object's address nor the order of strings in a set is the same for all.

    Parameters
    ----------
    value : `object`
        The value.

    Returns
    -------
    name : `str`
        Its representation without any of these.
    """
    if isinstance(value, dict):
        items = ", ".join(f"{name_of(key)}: {name_of(item)}" for key, item in value.items())
        return f"{{{items}}}"
    if isinstance(value, set | frozenset) and value:
        return f"{{{', '.join(sorted(map(name_of, value)))}}}"
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))
