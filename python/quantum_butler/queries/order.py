"""The order of dimensions in data IDs, wherever they are shown: that of upstream's dimension universe."""

from __future__ import annotations

__all__ = ("DIMENSIONS", "ordered")

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

DIMENSIONS = (
    "band",
    "instrument",
    "skymap",
    "ssp_hypothesis_table",
    "day_obs",
    "detector",
    "group",
    "physical_filter",
    "ssp_balanced_index",
    "ssp_hypothesis_bundle",
    "subfilter",
    "tract",
    "visit_system",
    "exposure",
    "patch",
    "visit",
)
"""Upstream's dimensions in its order, without pixels of the sky. Others come last, in alphabetical order."""

_RANKS = {name: rank + (rank > 0) for rank, name in enumerate(DIMENSIONS)}

# Upstream has those of all levels right after the band.
_PIXELS = re.compile(r"(healpix|htm)(\d+)", re.ASCII)


def ordered(data_id: Mapping[str, Any]) -> dict[str, Any]:
    """Return a data ID with its dimensions in order."""
    return {name: data_id[name] for name in _order((*data_id,))}


@lru_cache(maxsize=1024)
def _order(names: tuple[str, ...]) -> tuple[str, ...]:
    return (*sorted(names, key=_key),)


def _key(name: str) -> tuple[int, str, int, str]:
    if (pixels := _PIXELS.fullmatch(name)) is not None:
        return 1, pixels.group(1), int(pixels.group(2)), name
    return _RANKS.get(name, len(DIMENSIONS) + 1), "", 0, name
