"""Something to do as soon as a module has been imported."""

from __future__ import annotations

__all__ = ("when_imported",)

import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType


def when_imported(name: str, act: Callable[[], None]) -> None:
    """Act now, if a module has been imported, or else when it has been, before others see it."""
    if name in sys.modules:
        act()
    elif not any(isinstance(finder, _Finder) and finder.name == name for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder(name, act))


class _Finder(MetaPathFinder):
    """Finds one module, as the finders after it do, and has its loader act afterwards, once."""

    def __init__(self, name: str, act: Callable[[], None]):
        self.name = name
        self._act: Callable[[], None] | None = act

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        # Docstring inherited.  It stays on the list: taken off, it makes another thread's import skip one.
        if fullname != self.name or (act := self._act) is None:
            return None
        self._act = None
        if (spec := find_spec(fullname)) is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, act)
        return spec


class _Loader(Loader):
    """A module's own loader, which acts when the module is complete."""

    def __init__(self, loader: Loader, act: Callable[[], None]):
        self._loader = loader
        self._act = act

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        # Docstring inherited.
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        # Docstring inherited.
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._act()
