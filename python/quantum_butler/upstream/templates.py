"""Filling in upstream's file templates without parsing them every time.

The language is that of `lsst.daf.butler.datastore.file_templates.FileTemplate`
(see its documentation).  Which fields of a template apply depends only on the
dataset type and on what the data ID carries, so `compile_template` decides
that once; what is left for each dataset is to look up values and join them.
"""

from __future__ import annotations

__all__ = ("CompiledTemplate", "compile_template")

import functools
import os.path
import re
import string
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import _core
from . import NotOurs

if TYPE_CHECKING:
    from lsst.daf.butler import DataCoordinate, DatasetRef
    from lsst.daf.butler.datastore.file_templates import FileTemplate

_NOT_NORMAL = re.compile(r"//|(?:^|/)\.{1,2}(?:/|$)|^/")

# Characters that upstream keeps out of file names.
_TROUBLESOME = str.maketrans(dict.fromkeys(' <>:"\\|?*', "_"))


class _Part(NamedTuple):
    """Literal text and the value that follows it."""

    literal: str
    source: str
    """Where the value comes from: "value", "record", "run", "id" or ""."""
    place: int
    """Position of a dimension's value in the data ID."""
    record: str
    """Dimension whose record has the value."""
    attribute: str
    """Attribute of the record."""
    spec: str
    keep_slash: bool


class CompiledTemplate:
    """A file template resolved for one kind of dataset, with values of implied dimensions or not."""

    def __init__(self, parts: Sequence[_Part], full: bool):
        self._parts = tuple(parts)
        self._full = full

    def format(self, ref: DatasetRef) -> str:
        """Return the path for a dataset of the kind, relative to the root and without a file extension."""
        data_id: DataCoordinate = ref.dataId
        values = data_id.full_values if self._full else data_id.required_values
        output = ""
        for literal, source, place, record, attribute, spec, keep_slash in self._parts:
            value: Any
            if source == "value":
                value = values[place]
            elif source == "record":
                value = getattr(data_id.records[record], attribute, None)
                if value is None:
                    raise NotOurs
            elif source == "run":
                value = ref.run
            elif source == "id":
                value = str(ref.id)
            else:
                output += literal
                continue
            if type(value) is str:
                value = _clean(value, keep_slash)
                output += literal + (format(value, spec) if spec else value)
            elif isinstance(value, str):
                # It may hash and compare as it likes.
                output += literal + format(_clean.__wrapped__(value, keep_slash), spec)
            else:
                output += literal + format(value, spec)
        head, slash, tail = output.rpartition("/")
        path = head + slash + tail.replace(".", "_").replace("#", "HASH")
        if _NOT_NORMAL.search(path) is not None:
            path = os.path.normpath(path)
            if path.startswith("/"):
                path = os.path.relpath(path, start="/")
        if not _core.is_plain_path(path):
            raise NotOurs
        return path


def compile_template(template: FileTemplate, ref: DatasetRef) -> CompiledTemplate:
    """Resolve a valid file template for all datasets of the same type whose data IDs carry the same."""
    full = ref.dataId.hasFull()
    dimensions = ref.dimensions
    names = list(dimensions.data_coordinate_keys if full else dimensions.required)
    places = {name: index for index, name in enumerate(names)}
    skypix = next(iter(dimensions.skypix)) if len(dimensions.skypix) == 1 else None
    if skypix is not None:
        places["skypix"] = places[skypix]
    name, component = ref.datasetType.nameAndComponent()
    constants = {"datasetType": name} if component is None else {"datasetType": name, "component": component}
    fields = places.keys() | constants.keys() | {"run", "id"}

    parts: list[_Part] = []
    text = ""
    uses_component = False
    for literal, alternatives, spec, conversion in string.Formatter().parse(template.template):
        if alternatives is None or spec is None:
            text += literal
            continue
        if conversion:
            raise NotOurs
        candidates = alternatives.split("|")
        field = next((c for c in candidates if c.partition(".")[0] in fields), candidates[0])
        uses_component |= field == "component"
        optional, keep_slash = "?" in spec, "/" in spec
        spec = spec.replace("?", "").replace("/", "")
        primary, _, attribute = field.partition(".")
        if primary not in fields:
            if not optional:
                raise NotOurs
            text += literal if "/" in literal else ""
            continue
        text += literal
        if attribute:
            if primary not in places or not ref.dataId.hasRecords() or "." in attribute:
                raise NotOurs
            record = skypix if primary == "skypix" and skypix is not None else primary
            parts.append(_Part(text, "record", 0, record, attribute, spec, keep_slash))
        elif field in constants:
            text += format(_clean.__wrapped__(constants[field], keep_slash), spec)
            continue
        elif field in places:
            parts.append(_Part(text, "value", places[field], "", "", spec, keep_slash))
        elif field == "id" and spec:
            # A UUID knows no format specification.
            raise NotOurs
        else:
            parts.append(_Part(text, field, 0, "", "", spec, keep_slash))
        text = ""
    if component is not None and not uses_component:
        raise NotOurs
    parts.append(_Part(text, "", 0, "", "", "", False))
    return CompiledTemplate(parts, full)


@functools.lru_cache(maxsize=4096)
def _clean(value: str, keep_slash: bool) -> str:
    """Keep from a value what may stand in a file name."""
    value = value.translate(_TROUBLESOME)
    return value if keep_slash else value.replace("/", "_")
