"""The provenance of one quantum, in a file of its own."""

from __future__ import annotations

__all__ = ("write_provenance",)

import gzip
import json
import os
import uuid
from typing import TYPE_CHECKING

import yaml
from lsst.resources import ResourcePath

from .. import _core
from ..paths import is_uri, local_path
from .log import native_provenance

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lsst.resources import ResourcePathExpression

    from .log import ProvenanceSource


def write_provenance(source: ProvenanceSource, destination: ResourcePathExpression) -> None:
    """Write the provenance of one quantum to a file, in the format that its ending names.

    A file that is there is replaced.  A local file is there as a whole or not
    at all; so it is elsewhere if the store writes objects as a whole.
    """
    uri = None
    if isinstance(destination, str | os.PathLike) and not is_uri(destination):
        # Nothing in a path is quoted, and it need not be UTF-8.
        path = local_path(destination)
    else:
        uri = ResourcePath(destination, forceDirectory=False)
        path = uri.ospath if uri.isLocal else uri.basename()
    encode = next((encode for ending, encode in _FORMATS.items() if path.endswith(ending)), None)
    if encode is None:
        endings = ", ".join(_FORMATS)
        raise ValueError(f"{destination}: the name of a provenance file must end with one of {endings}")
    data = encode(native_provenance(source).to_json())
    if uri is not None and not uri.isLocal:
        uri.write(data, overwrite=True)
        return
    temporary = f".{uuid.uuid4().hex}"
    try:
        _core.write_file(path, temporary, data)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        _core.write_file(path, temporary, data)


def _to_yaml(text: str) -> bytes:
    """Return JSON as YAML."""
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    dumped: bytes = yaml.dump(json.loads(text), Dumper=dumper, sort_keys=False, encoding="utf-8")
    return dumped


_FORMATS: Mapping[str, Callable[[str], bytes]] = {
    ".json": str.encode,
    ".json.zst": lambda text: _core.compress(text.encode()),
    # Without the time, equal content has equal bytes.
    ".json.gz": lambda text: gzip.compress(text.encode(), mtime=0),
    ".yaml": _to_yaml,
    ".yml": _to_yaml,
}
