"""Our classes in place of upstream's, for code that knows only upstream.

A class has been handed out by the time anyone thinks of replacing it: every
``from lsst.daf.butler import QuantumBackedButler`` left a global name that
refers to it.  So `install` goes through the globals of all imported modules
and swaps the class wherever it finds the very object; modules imported
afterwards take what `lsst.daf.butler` then holds.
"""

from __future__ import annotations

__all__ = ("install", "uninstall")

import os
import sys
import threading
from collections.abc import Iterator, Mapping, Set
from types import ModuleType
from typing import Any

from ..switches import LogFailure, set_log_failure, set_log_folder
from .later import when_imported

_UPSTREAM = "lsst.daf.butler"
_EXECUTOR = "lsst.pipe.base.mp_graph_executor"
_AGGREGATOR = "lsst.pipe.base.quantum_graph.aggregator"
_OURS = __name__.partition(".")[0]
_HOMES = frozenset((f"{_OURS}.butler.butler", f"{_OURS}.quantum.provenance"))

# Guards what follows, and the swapping.  Nothing is imported while it is held:
# whoever holds an import lock may be waiting for it.
_LOCK = threading.RLock()

# Upstream's classes and functions, and what stands in for them; empty when nothing does.
_swaps: list[tuple[Any, Any]] = []

# Names, as (module, global name), that held one of ours before `install`:
# they were imported from this package, and `uninstall` leaves them alone.
_held_before: set[tuple[str, str]] = set()

# Read a module's globals past whatever its class does on attribute access:
# lazy modules import themselves, some even on ``__dict__``.
_globals_of = vars(ModuleType)["__dict__"].__get__


def install(
    *,
    provenance_log: str | os.PathLike[str] | None = None,
    provenance_contents: bool = False,
    on_log_failure: str | None = None,
    spill_to: str | os.PathLike[str] | None = None,
    executor: bool = False,
    aggregator: bool = False,
) -> None:
    """Put our classes in the place of upstream's in this process.

    From now on `lsst.daf.butler` gives our `QuantumBackedButler` and
    `QuantumProvenanceData` to whoever asks, and so does every module that had
    already imported them, under whatever name.  Calling it again does no
    harm.

    Parameters
    ----------
    provenance_log : `str`, `os.PathLike` or `None`, optional
        Folder for provenance logs, made if there is none.  Every butler that
        this process makes for a `Quantum` then appends the quantum's
        provenance to the log of this process there when it is closed.  With
        `None` the environment variable ``QUANTUM_BUTLER_PROVENANCE`` names the
        folder, and without that there is no log.
    provenance_contents : `bool`, optional
        Whether the log also has the contents of each quantum's metadata and
        log; see `ProvenanceLog`.  With `False` the environment variable
        ``QUANTUM_BUTLER_PROVENANCE_CONTENTS`` decides.
    on_log_failure : `str` or `None`, optional
        What happens if such a log cannot be written later: ``"fail"``, and the
        quantum fails and is run again when it is tried again; ``"warn"``, and
        its provenance is lost with a warning; ``"spill"``, and it goes to a
        log in a second folder.  With `None` the environment variable
        ``QUANTUM_BUTLER_PROVENANCE_FAILURE`` says so, and without that it is
        ``"fail"``, or ``"spill"`` with ``spill_to``.
    spill_to : `str`, `os.PathLike` or `None`, optional
        That folder, made if there is none.  If neither this nor
        ``on_log_failure`` is given, the environment variable
        ``QUANTUM_BUTLER_PROVENANCE_SPILL`` may name it.
    executor : `bool`, optional
        Whether graphs whose quanta run in several processes are executed with
        warm ones; see `quantum_butler.execution.WarmGraphExecutor`.  Upstream's
        ``MPGraphExecutor`` is replaced for that, as soon as it is imported.
    aggregator : `bool`, optional
        Whether runs are aggregated as `quantum_butler.aggregate` does it. Upstream's ``aggregate_graph`` is
        replaced for that, as soon as it is imported.

    Raises
    ------
    OSError
        Raised if nothing can be written in one of these folders.
    ValueError
        Raised if there is no such policy, or one of ``"spill"`` and its folder
        is without the other.
    ImportError
        Raised if `lsst.daf.butler` or our own classes cannot be imported.
        Nothing is replaced then.

    Notes
    -----
    Only global names of modules are replaced.  A class attribute, a default
    argument, a subclass or an instance that was made from upstream's class
    earlier goes on referring to it: install first, then set up.
    """
    import lsst.daf.butler as upstream

    # What nobody has imported yet nobody holds.
    may_be_held = not _HOMES.isdisjoint(sys.modules)
    from ..butler.butler import QuantumBackedButler
    from ..paths import absolute_path, require_writable
    from ..quantum.provenance import QuantumProvenanceData

    chosen = None
    if on_log_failure is not None or spill_to is not None:
        chosen = LogFailure.of(on_log_failure, spill_to)
        if chosen.spill_to is not None:
            require_writable(chosen.spill_to)
    if provenance_log is not None:
        require_writable(provenance_log := absolute_path(provenance_log))
    with _LOCK:
        set_log_folder(provenance_log, contents=provenance_contents)
        set_log_failure(chosen)
        if not _swaps:
            _swaps[:] = [
                (upstream.QuantumBackedButler, QuantumBackedButler),
                (upstream.QuantumProvenanceData, QuantumProvenanceData),
            ]
            wanted = {id(ours): ours for _, ours in _swaps if may_be_held}
            _held_before.update((module, name) for module, name, _, _ in _holders(wanted))
        _replace({id(stock): ours for stock, ours in _swaps})
    if executor:
        when_imported(_EXECUTOR, _install_executor)
    if aggregator:
        when_imported(_AGGREGATOR, _install_aggregator)


def _install_executor() -> None:
    """Put our executor of graphs in the place of upstream's, unless `uninstall` has come first."""
    from lsst.pipe.base.mp_graph_executor import MPGraphExecutor

    from .graph_executor import StandInGraphExecutor

    with _LOCK:
        if _swaps and MPGraphExecutor is not StandInGraphExecutor:
            _swaps.append((MPGraphExecutor, StandInGraphExecutor))
            _replace({id(MPGraphExecutor): StandInGraphExecutor})


def _install_aggregator() -> None:
    """Put our aggregation of runs in the place of upstream's, unless `uninstall` has come first."""
    from lsst.pipe.base.quantum_graph import aggregator

    # Upstream's own, which ours must have before it is replaced.
    stock = aggregator.aggregate_graph
    ours = _aggregate_graph
    with _LOCK:
        if _swaps and stock is not ours:
            _swaps.append((stock, ours))
            _replace({id(stock): ours})


def _aggregate_graph(predicted_path: str, butler_path: str, config: Any) -> None:
    """Stand in for upstream's ``aggregate_graph``; what does it is imported when it is called."""
    from .aggregator import aggregate_graph

    stock = next(stock for stock, ours in _swaps if ours is _aggregate_graph)
    aggregate_graph(stock, predicted_path, butler_path, config)


def uninstall() -> None:
    """Give upstream its own classes back, in this process.

    Undoes `install`, also in modules that imported our classes through
    `lsst.daf.butler` in the meantime, and its choice of a folder for logs.
    Without a preceding `install` it does nothing.

    Notes
    -----
    A module that was imported after `install` and has one of our classes as a
    global name is taken to have it from `lsst.daf.butler`, even if it asked
    `quantum_butler` for it.
    """
    if not _swaps:
        return
    with _LOCK:
        set_log_folder(None)
        set_log_failure(None)
        _replace({id(ours): stock for stock, ours in _swaps}, except_for=_held_before)
        _swaps.clear()
        _held_before.clear()


def _replace(replacements: Mapping[int, Any], *, except_for: Set[tuple[str, str]] = frozenset()) -> None:
    """Replace objects, given by `id`, in the globals of imported modules."""
    # Upstream comes first: a module that is imported while this runs then takes the replacement from there.
    for within in (_UPSTREAM, ""):
        for module, name, namespace, replacement in _holders(replacements, within=within):
            if (module, name) not in except_for:
                namespace[name] = replacement


def _holders(
    wanted: Mapping[int, Any], *, within: str = ""
) -> Iterator[tuple[str, str, dict[str, Any], Any]]:
    """Find the global names that refer to objects given by their `id`, with module, globals and the value."""
    if not wanted:
        return
    for module_name, module in sys.modules.copy().items():
        if not module_name.startswith(within) or module_name.partition(".")[0] == _OURS:
            continue
        if not issubclass(type(module), ModuleType):
            continue
        namespace = _globals_of(module)
        snapshot = namespace.copy()
        if wanted.keys().isdisjoint(map(id, snapshot.values())):
            continue
        for name, value in snapshot.items():
            if id(value) in wanted:
                yield module_name, name, namespace, wanted[id(value)]
