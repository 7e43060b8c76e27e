"""Upstream's reading of configurations, without the same work again and again.

Each butler reads some twenty files: the repository's own, and upstream's defaults. The
tests make many thousands of butlers. What comes of a document without includes depends
on its content alone, and upstream's installed defaults stay as they are, so both are
read once in a process and copied from then on. Upstream itself finds the files and
merges what is in them, as always.
"""

from __future__ import annotations

__all__ = ("Kept", "reading_once")

import contextlib
import pickle
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from lsst.daf.butler import _config
from lsst.resources import ResourcePath

DEFAULTS = "resource://lsst.daf.butler/configs/"


class Kept:
    """What has been read in this process."""

    def __init__(self) -> None:
        self.documents: dict[bytes, bytes] = {}
        """Pickled documents by their text."""
        self.defaults: dict[tuple[type, str], bytes] = {}
        """Pickled defaults by the class that has read them, and their place."""

    def __getattr__(self, name: str) -> Any:
        # For the rest, it is the module ``yaml`` to upstream.
        return getattr(yaml, name)

    def load(self, stream: Any, Loader: Any) -> Any:
        """Parse a document, or copy what came of it."""
        if Loader is not _config.Loader or not hasattr(stream, "getvalue"):
            return yaml.load(stream, Loader)
        text = stream.getvalue()
        if (known := self.documents.get(text)) is not None:
            return pickle.loads(known)
        value = yaml.load(stream, Loader)
        if b"!include" not in text:
            self.documents[text] = pickle.dumps(value)
        return value

    def update(self, config: _config.ConfigSubset, file: Any) -> None:
        """Merge a file into a configuration, as upstream does it."""
        if not isinstance(file, ResourcePath) or not str(file).startswith(DEFAULTS):
            config.update(type(config)(file, validate=False, mergeDefaults=False))
            return
        key = type(config), str(file)
        if (known := self.defaults.get(key)) is None:
            read = type(config)(file, validate=False, mergeDefaults=False)
            known = self.defaults[key] = pickle.dumps(read.toDict())
        config.update(pickle.loads(known))


@contextlib.contextmanager
def reading_once() -> Iterator[Kept]:
    """Have upstream read each configuration once in this process."""
    kept = Kept()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_config, "yaml", kept)
        patch.setattr(
            _config.ConfigSubset, "_updateWithOtherConfigFile", lambda config, file: kept.update(config, file)
        )
        yield kept
