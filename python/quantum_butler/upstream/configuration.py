"""Noticing that a butler configuration is no longer what it was.

Reading and merging a configuration takes two thirds of the stock class's time
for a small quantum, so factories keep the result.  They may only do so as long
as reading it again would give the same.  What upstream's configuration depends
on is:

- the content of a `Config`, or else the files that a path leads to, with all
  they include;
- the defaults found on the search paths and in ``DAF_BUTLER_CONFIG_PATH``;
- the environment, the current directory and the dimension universe.

`configuration_key` covers what can be compared by value, `Watch` what lies in
local files and the environment that they mention.  Where neither can tell, for
instance for a file on a server, the configuration is not cached at all.
"""

from __future__ import annotations

__all__ = ("Watch", "configuration_key", "read_configuration", "watch_configuration")

import contextlib
import hashlib
import marshal
import os
import time
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import pydantic_core
import yaml
from lsst.daf.butler import ButlerConfig, Config
from lsst.daf.butler._butler_config import CONFIG_COMPONENT_CLASSES
from lsst.daf.butler._butler_repo_index import ButlerRepoIndex
from lsst.daf.butler.datastore.composites import CompositesConfig
from lsst.daf.butler.datastores.chainedDatastore import ChainedDatastore
from lsst.daf.butler.datastores.fileDatastore import FileDatastore
from lsst.daf.butler.datastores.inMemoryDatastore import InMemoryDatastore
from lsst.resources import ResourcePath

from ..switches import environment_values

# Read by upstream's configuration classes, cache manager and repository index.
_ENVIRONMENT = (
    "DAF_BUTLER_CONFIG_PATH",
    "DAF_BUTLER_REPOSITORY_INDEX",
    "DAF_BUTLER_REPOSITORIES",
    "DAF_BUTLER_CACHE_DIRECTORY",
    "DAF_BUTLER_CACHE_DIRECTORY_IF_UNSET",
    "DAF_BUTLER_CACHE_EXPIRATION_MODE",
)

_SETTINGS = tuple(map(os.fsencode, _ENVIRONMENT))

# What upstream looks for in each folder that it searches for defaults.
_DEFAULTS = {
    configured.defaultConfigFile
    for configured in (
        *CONFIG_COMPONENT_CLASSES,
        CompositesConfig,
        ChainedDatastore,
        FileDatastore,
        InMemoryDatastore,
    )
    if configured.defaultConfigFile is not None
}

# A file that changed this recently may change again under the same time stamp.
_TIME_STAMP_NS = 2_000_000_000

# The one in C, where PyYAML has it.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# More files than this are not worth looking at for every butler.
_MOST_FILES = 500


def configuration_key(config: Any, search_paths: Sequence[Any] | None) -> Hashable | None:
    """Return a value that changes when a configuration's visible inputs do; `None` if there is none."""
    content: bytes | str
    if isinstance(config, Config):
        origin: Hashable = (str(config.configFile), str(getattr(config, "configDir", None)))
        try:
            # Without the object references of later formats, so that equal
            # contents give equal bytes.
            content = marshal.dumps(config._data, 1)
        except ValueError:
            try:
                content = pydantic_core.to_json(config._data, fallback=repr)
            except (TypeError, ValueError):
                return None
    elif isinstance(config, str | os.PathLike | ResourcePath):
        origin = getattr(config, "dirLike", None)
        content = str(config)
    else:
        return None
    try:
        current_folder = os.getcwd()
    except OSError:
        # It has been removed; it may matter or not.
        return None
    paths = None if search_paths is None else tuple(map(str, search_paths))
    settings = environment_values(_SETTINGS)
    environment = None
    if _mentions_environment(content) or (
        (paths or any(settings)) and _mentions_environment(repr((paths, settings)))
    ):
        environment = tuple(sorted(os.environ.items()))
    # The type counts: only a `str` may be a label of the repository index.
    return (type(config), origin, content, paths, settings, environment, current_folder)


def _mentions_environment(text: bytes | str) -> bool:
    """Return whether some part may mean what the environment says it means."""
    if isinstance(text, str):
        text = text.encode(errors="replace")
    return b"$" in text or b"~" in text or b"eups:" in text


class Watch:
    """Local files as they were when they were added."""

    def __init__(self) -> None:
        self._watched: dict[str, _Watched] = {}
        self._environment: dict[str, str] | None = None

    def __len__(self) -> int:
        return len(self._watched)

    def add(self, path: str) -> bytes | None:
        """Start to watch a file; return what is in it, or `None` if it is not there or cannot be read."""
        if path not in self._watched:
            self._watched[path] = _Watched(path)
        content = _read(path)
        if content is not None and _mentions_environment(content):
            self._environment = dict(os.environ)
        return content

    def unchanged(self) -> bool:
        """Return whether all files still are, and mean, what they were."""
        return all([watched.unchanged() for watched in self._watched.values()]) and (
            self._environment is None or self._environment == dict(os.environ)
        )


class _Watched:
    """One file as it was at one moment."""

    __slots__ = ("_digest", "_path", "_settled", "_state")

    def __init__(self, path: str):
        self._path = path
        self._state = self._stat()
        self._digest = self._read()
        self._settled = False

    def unchanged(self) -> bool:
        """Return whether the file is still as it was."""
        now = time.time_ns()
        state = self._stat()
        if state != self._state:
            return False
        if not self._settled:
            # The time stamps cannot tell two changes within one tick apart.
            if self._read() != self._digest:
                return False
            self._settled = state is None or now - max(state[0], state[1]) > _TIME_STAMP_NS
        return True

    def _stat(self) -> tuple[int, int, int, int] | None:
        """Return what the file system says of a change, `None` if absent."""
        try:
            status = os.stat(self._path)
        except OSError:
            return None
        return (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)

    def _read(self) -> bytes | None:
        """Return a digest of the file, `None` if it cannot be read."""
        content = _read(self._path)
        return None if content is None else hashlib.blake2b(content).digest()


def _read(path: str) -> bytes | None:
    """Return what is in a file, `None` if it cannot be read."""
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except OSError:
        return None


def watch_configuration(config: Any, search_paths: Sequence[Any] | None) -> Watch | None:
    """Start to watch the local files that a configuration is read from.

    Return `None` if some of them are not local, are too many to watch, or cannot be
    searched for what they include.
    """
    watch = Watch()
    # Files, each with the folder that its includes may be relative to.
    pending = [(uri, uri.dirname()) for uri in _configuration_files(config, search_paths)]
    done = set()
    while pending:
        uri, folder = pending.pop()
        if not uri.isLocal or len(watch) > _MOST_FILES:
            return None
        if (uri, folder) in done:
            continue
        done.add((uri, folder))
        if (content := watch.add(uri.ospath)) is not None:
            try:
                pending += _included(content, uri, folder)
            except (UnicodeDecodeError, yaml.YAMLError):
                return None
    return watch


def read_configuration(config: Any, search_paths: Sequence[Any] | None) -> ButlerConfig:
    """Read a butler configuration with all its defaults."""
    return ButlerConfig(config, searchPaths=search_paths)


def _configuration_files(config: Any, search_paths: Sequence[Any] | None) -> Iterator[ResourcePath]:
    """Yield the files where upstream starts to read, existing or not."""
    folders = list(search_paths or ())
    if (config_path := os.environ.get("DAF_BUTLER_CONFIG_PATH")) is not None:
        # An empty entry is the current directory.
        folders += config_path.split(os.pathsep)
    for folder in folders:
        uri = ResourcePath(folder, forceDirectory=True)
        for name in _DEFAULTS:
            yield uri.join(name, forceDirectory=False)
    if isinstance(config, Config):
        return
    if isinstance(config, str):
        # Any failure means that it is not a label, as for upstream, which
        # will look again for an index that it did not find.
        with contextlib.suppress(Exception):
            index = ResourcePath(os.environ[ButlerRepoIndex.index_env_var])
            if index.isLocal:
                yield index
        with contextlib.suppress(Exception):
            config = str(ButlerRepoIndex.get_repo_uri(config, False))
    uri = ResourcePath(config)
    yield uri.join("butler.yaml", forceDirectory=False) if uri.isdir() else uri


def _included(
    content: bytes, here: ResourcePath, folder: ResourcePath
) -> Iterator[tuple[ResourcePath, ResourcePath]]:
    """Yield the files that a YAML file includes, each with the folder for its own ``includeConfigs``.

    Upstream knows two ways: the tag ``!include``, relative to the file, and the key
    ``includeConfigs``, relative to the current directory or to the file that was not
    itself included by a tag.
    """
    document = yaml.compose(content.decode(), _LOADER)
    pending = [] if document is None else [document]
    done = set()
    while pending:
        node = pending.pop()
        # An alias may stand for the node that holds it.
        if id(node) in done:
            continue
        done.add(id(node))
        if node.tag == "!include":
            for name in _scalars(node):
                uri = ResourcePath(name, forceAbsolute=False, forceDirectory=False)
                yield (uri if uri.scheme else here.updatedFile(name)), folder
        elif isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                pending.append(value)
                if key.value == "includeConfigs":
                    for name in _scalars(value):
                        name = os.path.expandvars(name)
                        uri = ResourcePath(name, forceDirectory=False)
                        yield uri, uri.dirname()
                        if not ResourcePath(name, forceAbsolute=False, forceDirectory=False).isabs():
                            uri = folder.join(name, forceDirectory=False)
                            yield uri, uri.dirname()
        elif isinstance(node, yaml.SequenceNode):
            pending += node.value


def _scalars(node: yaml.Node) -> Iterator[str]:
    """Yield the text values in a node, its items or its mapped values."""
    if isinstance(node, yaml.ScalarNode):
        yield node.value
    elif isinstance(node, yaml.SequenceNode):
        yield from (item.value for item in node.value if isinstance(item, yaml.ScalarNode))
    elif isinstance(node, yaml.MappingNode):
        yield from (value.value for _, value in node.value if isinstance(value, yaml.ScalarNode))
