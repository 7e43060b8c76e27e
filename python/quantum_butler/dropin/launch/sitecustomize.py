"""Start-up of every Python that runs under ``quantum-butler exec``.

The launcher puts this folder first on ``PYTHONPATH``, so that Python imports
this file as its `sitecustomize` module.  It arranges that `quantum_butler`'s
classes are installed as soon as `lsst.daf.butler` has been imported, and then
hands on to the `sitecustomize` that Python would have imported otherwise.

Any Python may come by, down to the 3.6 that enterprise systems run their own
tools with, and without `quantum_butler`: hence no newer syntax, and no import
until `lsst.daf.butler` calls for one.
"""

import os
import sys
from _thread import get_ident

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.abc import Loader
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

SWITCH = "QUANTUM_BUTLER_DROPIN"
LOG_SWITCH = "QUANTUM_BUTLER_PROVENANCE"
SPILL_SWITCH = "QUANTUM_BUTLER_PROVENANCE_SPILL"
LOGS_BEFORE = "QUANTUM_BUTLER_LOGS_BEFORE"
EXECUTOR_SWITCH = "QUANTUM_BUTLER_EXECUTOR"
AGGREGATOR_SWITCH = "QUANTUM_BUTLER_AGGREGATOR"
PACKAGE = "quantum_butler"
UPSTREAM = "lsst.daf.butler"
STACK = "lsst"


class QuantumButlerFinder:
    """A meta path finder that installs our classes once it is possible.

    It finds what the finders after it find, and wraps the loader, for
    modules of the stack and for our own.  The latter because one of ours may
    be the first to import `lsst.daf.butler`: installing then has to wait
    until that one is complete.

    Afterwards it stays, and finds nothing: to take a finder off the list
    makes an import that is going through the list in another thread skip one.
    """

    def __init__(self) -> None:
        self._executing = []  # type: list[str]
        self._pause = CollectorPause()
        self._upstream_is_complete = False
        self._done = False

    def find_spec(
        self, fullname: str, path: "Sequence[str] | None" = None, target: "ModuleType | None" = None
    ) -> "ModuleSpec | None":
        """Find one of the modules to watch, as the finders after this do."""
        if self._done or fullname.partition(".")[0] not in (STACK, PACKAGE):
            return None
        spec = found_after(self, fullname, path, target)
        if spec is not None and spec.loader is not None and hasattr(spec.loader, "exec_module"):
            spec.loader = WatchedLoader(spec.loader, self)  # type: ignore[assignment]
        return spec

    def execute(self, loader: "Loader", module: "ModuleType") -> None:
        """Execute a module, then install our classes if it is time."""
        is_mine = self._pause.begin()
        try:
            self._execute(loader, module)
        finally:
            if is_mine:
                self._pause.end(is_complete=self._done)

    def _execute(self, loader: "Loader", module: "ModuleType") -> None:
        name = module.__name__
        if name != UPSTREAM and name.partition(".")[0] == STACK:
            loader.exec_module(module)
            return
        self._executing.append(name)
        try:
            loader.exec_module(module)
        finally:
            self._executing.remove(name)
        if name == UPSTREAM:
            self._upstream_is_complete = True
            # Python does this only later, and what gets imported now may rely on it.
            setattr(sys.modules["lsst.daf"], "butler", module)  # noqa: B010
        if self._upstream_is_complete and not self._executing and not self._done:
            self._done = True
            try:
                put_in_force()
            except BaseException:
                self._upstream_is_complete = self._done = False
                raise


class CollectorPause:
    """A time in which Python looks for no garbage, while a thread imports the stack.

    What imports make stays.  To go through it again and again as it grows, and
    once more to take it apart when the process ends, is a quarter of what a
    process with one quantum costs.
    """

    def __init__(self) -> None:
        self._depth = 0
        self._thread = 0

    def begin(self) -> bool:
        """Begin, and return whether `end` is to be called: not in another thread meanwhile."""
        import gc

        if self._depth == 0:
            if not gc.isenabled():
                return False
            self._thread = get_ident()
            # What is garbage already must not be kept by what comes at the end.
            gc.collect()
            gc.disable()
        elif self._thread != get_ident():
            return False
        self._depth += 1
        return True

    def end(self, is_complete: bool) -> None:
        """End it when the outermost import does; if that was the stack's, the collector leaves it alone."""
        import gc

        self._depth -= 1
        if self._depth == 0:
            if is_complete:
                gc.freeze()
            gc.enable()


class WatchedLoader:
    """A loader that tells the finder when its module has been executed."""

    def __init__(self, loader: "Loader", finder: QuantumButlerFinder) -> None:
        self._loader = loader
        self._finder = finder

    def __getattr__(self, name: str) -> "Any":
        return getattr(self._loader, name)

    def create_module(self, spec: "ModuleSpec") -> "ModuleType | None":
        """Do what the real loader does."""
        return self._loader.create_module(spec)

    def exec_module(self, module: "ModuleType") -> None:
        """Step aside, so that the module has its real loader, and execute."""
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        if getattr(module, "__loader__", None) is self:
            module.__loader__ = self._loader
        self._finder.execute(self._loader, module)


def put_in_force() -> None:
    """Install our classes, or say why upstream's stay in force."""
    try:
        from quantum_butler.dropin.install import install

        install(
            executor=os.environ.get(EXECUTOR_SWITCH) != "0",
            aggregator=os.environ.get(AGGREGATOR_SWITCH) != "0",
        )
    except Exception as error:
        if os.environ.get(SWITCH) == "require":
            raise
        import logging

        logging.getLogger(PACKAGE).warning(
            "quantum-butler exec: the stock butler stays in force in process %d (%s): %s: %s",
            os.getpid(),
            sys.executable,
            type(error).__name__,
            error,
        )


def watch_logs() -> None:
    """Have it said when the command ends that nothing was logged, if nothing was, or not all of it.

    Only butlers for single quanta log, and nothing else tells a user that a
    command has none, as ``pipetask run``.  Processes below the command do not
    say it: others of them may log.  One that has run quanta with a butler for
    all of them says so wherever it is: these are in no log.
    """
    import atexit

    process = os.getpid()
    folder, spill = os.environ[LOG_SWITCH], os.environ.get(SPILL_SWITCH)
    command, before = os.environ[LOGS_BEFORE].split()

    def say() -> None:
        if os.getpid() != process or is_worker():
            return
        executor = sys.modules.get(PACKAGE + ".dropin.graph_executor")
        quanta = getattr(executor, "quanta_with_full_butler", 0)
        is_run = os.path.basename(sys.argv[0]) == "pipetask" and "run" in sys.argv[1:]
        # With nothing left to do, run-qbb logs nothing either.
        if not quanta and not is_run and (process != int(command) or "run-qbb" in sys.argv):
            return
        logs = count_logs(folder) + (count_logs(spill) if spill else 0)
        if sys.stderr is None or (logs > int(before) and not quanta):
            return
        if quanta:
            text = "{} quanta were run with a full butler, and so nothing of them is logged in {}; "
            text = text.format(quanta, folder)
            text += "pipetask run-qbb has a QuantumBackedButler for each quantum, which logs"
        else:
            text = (
                "nothing was logged in {}; a QuantumBackedButler logs, as pipetask run-qbb has for a quantum"
            )
            text = text.format(folder) + (", and pipetask run has none" if is_run else "")
        try:
            sys.stderr.write(f"quantum-butler exec: {text}\n")
            sys.stderr.flush()
        except (OSError, ValueError):
            pass

    atexit.register(say)


def count_logs(folder: str) -> int:
    """Return how many logs there are in a folder."""
    try:
        return sum(".jsonl" in name for name in os.listdir(folder))
    except OSError:
        return 0


def is_worker() -> bool:
    """Return whether `multiprocessing` has started this process."""
    process = sys.modules.get("multiprocessing.process")
    return process is not None and getattr(process, "parent_process", lambda: None)() is not None


def watch() -> None:
    """Have our classes installed, now or after `lsst.daf.butler` is there."""
    if UPSTREAM in sys.modules:
        put_in_force()
    elif not any(type(finder).__name__ == QuantumButlerFinder.__name__ for finder in sys.meta_path):
        sys.meta_path.insert(0, QuantumButlerFinder())


def hand_on() -> None:
    """Import the `sitecustomize` that this one hides, further along the path.

    If there is none, the `ImportError` tells `site` so, and the process goes
    on without a module of that name, as it would have without us.  This
    folder is off the path meanwhile: another such file may do the same as we
    do here, and the two must not find each other in turn.
    """
    here = os.path.dirname(__file__)
    place = sys.path.index(here) if here in sys.path else None
    further = [entry for entry in sys.path[place:] if entry != here]
    sys.path[:] = [entry for entry in sys.path if entry != here]
    sys.modules.pop(__name__, None)
    sys.meta_path.insert(0, FurtherAlong(further))
    try:
        __import__(__name__)
    finally:
        if place is not None:
            sys.path.insert(place, here)


class FurtherAlong:
    """A meta path finder for one import, which it confines to a path."""

    def __init__(self, path: "Sequence[str]") -> None:
        self._path = path

    def find_spec(
        self, fullname: str, path: "Sequence[str] | None" = None, target: "ModuleType | None" = None
    ) -> "ModuleSpec":
        """Find the module on the path, or fail as Python does."""
        spec = found_after(self, fullname, self._path, target)
        sys.meta_path.remove(self)
        if spec is None:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)
        return spec


def found_after(
    this: "QuantumButlerFinder | FurtherAlong",
    fullname: str,
    path: "Sequence[str] | None",
    target: "ModuleType | None",
) -> "ModuleSpec | None":
    """Find what is found by the finders after this one.

    Those before it were asked already, or are asking just now.
    """
    for finder in sys.meta_path[sys.meta_path.index(this) + 1 :]:
        find_spec = getattr(finder, "find_spec", None)
        spec = find_spec(fullname, path, target) if find_spec else None  # type: ModuleSpec | None
        if spec is not None:
            return spec
    return None


if __name__ == "sitecustomize":
    if os.environ.get(SWITCH, "0") not in ("", "0"):
        watch()
        if LOG_SWITCH in os.environ and LOGS_BEFORE in os.environ:
            watch_logs()
    hand_on()
