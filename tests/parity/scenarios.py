"""Run one scenario on the stock class and on ours, and compare step by step.

A test decorated with `scenario` is given a `Run`: a fresh copy of a
repository, and the class under test.  It makes a butler with `Run.butler`,
calls it through the run (``run(butler.get, ref)``) and asserts what it
expects.  It runs with the stock class, so that its assertions are held
against the oracle, and then with ours; the two journals must be equal: every
value returned, every exception by type, message and cause, and after each
step the butler's bookkeeping, its metrics, what it logged, and every file of
the repository with its permissions.  At the end come the provenance and the
datastore records.
"""

from __future__ import annotations

__all__ = ("Butler", "Run", "compare", "plain", "scenario")

import dataclasses
import functools
import inspect
import json
import logging
import os
import re
import stat
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow
import pydantic
import sqlalchemy.exc
from lsst.daf.butler import DatasetRef, DeferredDatasetHandle, Location, QuantumBackedButler
from lsst.daf.butler.datastore.record_data import DatastoreRecordTable
from lsst.resources import ResourcePath

from repositories import NewRepository, Repository

Butler: TypeAlias = QuantumBackedButler

BOOKKEEPING = (
    "_predicted_inputs",
    "_predicted_outputs",
    "_available_inputs",
    "_unavailable_inputs",
    "_actual_inputs",
    "_actual_output_refs",
)
"""Private sets that callers compare with ``==`` (`tuple` [ `str` ])."""

_VOLATILE = (
    (re.compile(r"InMemoryDatastore@[\d.]+"), "InMemoryDatastore@<time>"),
    (re.compile(r"mem://\d+_"), "mem://<object>_"),
    (re.compile(r" at 0x[0-9a-f]+"), " at <address>"),
    (re.compile(r"/[a-z0-9_]{16}(?=\w*\.tmp\b|\.\w+)"), "/<temporary>"),
)
_TEMPORARY = re.compile(r"[a-z0-9_]{16}(?=\w*\.tmp\.)")
_SET_OF_IDS = re.compile(r"\{UUID\('[^{}]*\}")


@dataclasses.dataclass(frozen=True)
class Step:
    """What one call did, in values that can be compared and printed."""

    call: str
    """What was called (`str`)."""

    outcome: Any
    """What it returned or raised."""

    effects: Mapping[str, Any]
    """What it left behind, by name."""


class _LogKeeper(logging.Handler):
    """Keeps the messages that a user would see."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.messages: list[tuple[str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append((record.levelname, record.getMessage()))


class Run:
    """One scenario, run on one class.

    Parameters
    ----------
    butler_class : `type`
        Class under test.
    new_repository : `NewRepository`
        Gives the repositories.
    kind : `str`
        Kind of repository that the scenario wants.
    folder : `pathlib.Path`
        Folder for files outside the repository.
    """

    def __init__(
        self, butler_class: type[Butler], new_repository: NewRepository, kind: str, folder: Path
    ) -> None:
        self.butler_class = butler_class
        """Class under test (`type`)."""
        self.repository: Repository = new_repository(kind)
        """A copy of the repository, the run's own (`Repository`)."""
        self.folder = folder
        """An empty folder, the run's own (`pathlib.Path`)."""
        self.steps: list[Step] = []
        """What happened so far (`list` [ `Step` ])."""
        self._butlers: list[Butler] = []

    def refs(self, name: str, *numbers: int) -> list[DatasetRef]:
        """Return datasets of the repository.

        Parameters
        ----------
        name : `str`
            Dataset type, stored or predicted.
        *numbers : `int`
            Which ones; the default is all.
        """
        refs = {**self.repository.stored, **self.repository.predicted}[name]
        return [refs[number] for number in numbers] if numbers else list(refs)

    def ref(self, name: str, number: int = 0) -> DatasetRef:
        """Return one dataset of the repository."""
        return self.refs(name, number)[0]

    def value(self, ref: DatasetRef) -> Any:
        """Return what was stored as ``ref``."""
        return self.repository.values[ref.id]

    def remove(self, ref: DatasetRef, *components: str) -> None:
        """Remove the files of a stored dataset, as an accident would.

        Parameters
        ----------
        ref : `DatasetRef`
            The dataset.
        *components : `str`
            Which files, if it has one for each component; the default is
            all of them.
        """
        paths = [
            path
            for path in self.repository.paths(ref)
            if not components or any(f".{component}/" in path.as_posix() for component in components)
        ]
        assert paths, "There is nothing to remove."
        for path in paths:
            path.unlink()

    def butler(self, *args: Any, **options: Any) -> Butler:
        """Initialize a butler that is watched from now on.

        Parameters
        ----------
        *args, **options
            Passed to `Repository.butler`.
        """
        butler = self(self.repository.butler, self.butler_class, *args, **options)
        self.watch(butler)
        return butler  # type: ignore[no-any-return]

    def watch(self, butler: Butler) -> None:
        """Note the effects of later steps on ``butler``, and close it."""
        self._butlers.append(butler)
        self.note("new butler", type(butler) is self.butler_class)

    def __call__(self, function: Callable[..., Any], /, *args: Any, **options: Any) -> Any:
        """Call a function and note what comes of it.

        An exception is noted, then raised.
        """
        outcome, error = self._watch(function, args, options)
        if error is not None:
            raise error
        return outcome

    def error(self, function: Callable[..., Any], /, *args: Any, **options: Any) -> BaseException:
        """Call a function that raises, note what it raises and return it."""
        outcome, error = self._watch(function, args, options)
        assert error is not None, f"{_name(function)} raised nothing and returned {outcome!r}"
        return error

    def note(self, name: str, value: Any) -> None:
        """Note something else that must be equal."""
        self.steps.append(Step(name, self.plain(value), self._effects()))

    def plain(self, value: Any) -> Any:
        """Return ``value`` as something that can be compared between runs."""
        return plain(value, {str(self.repository.root): "<root>", str(self.folder): "<folder>"})

    def finish(self) -> None:
        """Note what every butler has to say at the end, and close it."""
        refs = [
            ref
            for kinds in (self.repository.stored, self.repository.predicted)
            for kind in kinds.values()
            for ref in kind
        ]
        for butler in self._butlers:
            self._watch(butler.extract_provenance_data, (), {})
            self._watch(butler._datastore.export_records, (refs,), {})
        while self._butlers:
            self._butlers.pop().close()

    def forget(self, butler: Butler) -> None:
        """Stop watching a butler, which the scenario closes itself."""
        self._butlers.remove(butler)

    def _watch(
        self, function: Callable[..., Any], args: tuple[Any, ...], options: Mapping[str, Any]
    ) -> tuple[Any, BaseException | None]:
        keeper = _LogKeeper()
        loggers = [logging.getLogger(), logging.getLogger("lsst"), logging.getLogger("quantum_butler")]
        levels = [logger.level for logger in loggers]
        loggers[0].addHandler(keeper)
        for logger in loggers:
            logger.setLevel(logging.INFO)
        outcome, error = None, None
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                outcome = function(*args, **options)
        except BaseException as e:
            error = e
        finally:
            loggers[0].removeHandler(keeper)
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
        effects = self._effects()
        effects["logs"] = [(level, self.plain(message)) for level, message in keeper.messages]
        effects["warnings"] = {self.plain(f"{w.category.__name__}: {w.message}") for w in caught}
        noted = self._describe(error) if error is not None else self.plain(outcome)
        self.steps.append(Step(_name(function), noted, effects))
        return outcome, error

    def _describe(self, error: BaseException | None) -> Any:
        if error is None:
            return None
        if isinstance(error, sqlalchemy.exc.IntegrityError):
            # The message is a SQL statement; ours executes none.
            return {"raised": "IntegrityError"}
        cause = self._describe(error.__cause__)
        if isinstance(error.__cause__, OSError):
            # In the words of whoever called the operating system.
            cause = {"raised": type(error.__cause__).__name__}
        described = {
            "raised": type(error).__name__,
            "message": self.plain(str(error)),
            "notes": self.plain(getattr(error, "__notes__", ())),
            "cause": cause,
        }
        if isinstance(error, BaseExceptionGroup):
            described["group"] = sorted((self._describe(e) for e in error.exceptions), key=repr)
        return described

    def _effects(self) -> dict[str, Any]:
        effects: dict[str, Any] = {}
        for number, butler in enumerate(self._butlers):
            for name in BOOKKEEPING:
                effects[f"{name} of butler {number}"] = set(getattr(butler, name))
            metrics = butler._metrics
            effects[f"metrics of butler {number}"] = (metrics.n_get, metrics.n_put, metrics.n_ingest)
        effects["artifacts"], effects["permissions"] = _tree(str(self.repository.root))
        return effects


def _tree(root: str) -> tuple[dict[str, bytes], dict[str, str]]:
    """Return contents and permissions by path; this runs after each step.

    Empty folders are left out: stock leaves them where it undid a put.
    """
    contents: dict[str, bytes] = {}
    permissions: dict[str, str] = {}

    def look_into(folder: str) -> bool:
        empty = True
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False) and not look_into(entry.path):
                    continue
                empty = False
                name = _TEMPORARY.sub("<temporary>", entry.path[len(root) :])
                permissions[name] = stat.filemode(entry.stat(follow_symlinks=False).st_mode)
                if name != "/butler.yaml" and entry.is_file() and os.access(entry.path, os.R_OK):
                    with open(entry.path, "rb") as file:
                        contents[name] = file.read()
        return not empty

    look_into(root)
    return contents, permissions


def plain(value: Any, places: Mapping[str, str] | None = None) -> Any:
    """Return a value as something that can be compared with ``==``.

    Parameters
    ----------
    value : `object`
        What a butler returned.
    places : `~collections.abc.Mapping` [ `str`, `str` ], optional
        Folders, and what to write instead.

    Returns
    -------
    plain : `object`
        Numbers, strings, ids, refs and collections of these; whatever is
        none of these stays as it is.
    """
    again = functools.partial(plain, places=places)
    match value:
        case str():
            for place, name in (places or {}).items():
                value = value.replace(place, name)
            for pattern, name in _VOLATILE:
                value = pattern.sub(name, value)
            return _SET_OF_IDS.sub(_sorted_ids, value)
        case ResourcePath():
            return again(str(value))
        case Location():
            return ("location", again(value.uri))
        case Path():
            return again(value.as_posix())
        case DatasetRef():
            # Equality of refs does not see an override of the storage class.
            return (value, value.datasetType.storageClass_name)
        case DeferredDatasetHandle():
            return ("handle", again(value.ref), again(value.parameters), again(value.storageClass))
        case DatastoreRecordTable():
            return again(value.to_arrow())
        case pyarrow.Table():
            rows = value.to_pylist()
            return (str(value.schema), sorted((again(row) for row in rows), key=repr))
        case pydantic.BaseModel():
            fields = {name: getattr(value, name) for name in type(value).model_fields}
            if {"dataset_ids", "records"} <= fields.keys():
                fields["dataset_ids"] = sorted(fields["dataset_ids"])
            return {name: again(field) for name, field in fields.items()}
        case Mapping():
            return {again(key): again(item) for key, item in value.items()}
        case tuple() | list():
            return [again(item) for item in value]
        case set() | frozenset():
            return {_hashable(again(item)) for item in value}
        case QuantumBackedButler():
            return "a butler"
        case type():
            return value
    if dataclasses.is_dataclass(value):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return (type(value).__name__, again(fields))
    if isinstance(value, Collection) and not isinstance(value, bytes | bytearray):
        return [again(item) for item in value]
    return value


def scenario(test: Callable[..., None] | str) -> Any:
    """Make a test of a function that takes a `Run`.

    Parameters
    ----------
    test : `~collections.abc.Callable` or `str`
        The function; or, as in ``@scenario("chained")``, the kind of
        repository that it wants, by default ``file``.

    Returns
    -------
    decorated : `~collections.abc.Callable`
        A test for pytest with the function's other arguments, or a
        decorator that makes one.
    """
    if isinstance(test, str):
        return functools.partial(_decorate, kind=test)
    return _decorate(test, kind="file")


def compare(
    test: Callable[..., None],
    stock_class: type[Butler],
    our_class: type[Butler],
    new_repository: NewRepository,
    folder: Path,
    **others: Any,
) -> None:
    """Run a scenario on both classes and compare the journals.

    Parameters
    ----------
    test : `~collections.abc.Callable`
        A test that `scenario` has made.
    stock_class, our_class : `type`
        The two classes.
    new_repository : `NewRepository`
        Gives the repositories.
    folder : `pathlib.Path`
        Folder for files outside the repositories.
    **others
        The test's other arguments.
    """
    stock = _run(test, stock_class, "stock", new_repository, folder, others)
    _compare(stock, _run(test, our_class, "ours", new_repository, folder, others))


def _run(
    test: Any,
    butler_class: type[Butler],
    label: str,
    new_repository: NewRepository,
    folder: Path,
    others: Mapping[str, Any],
) -> list[Step]:
    own = folder / f"folder-{label}"
    own.mkdir()
    run = Run(butler_class, new_repository, test.kind, own)
    try:
        test.body(run, **others)
        run.finish()
    except BaseException as error:
        error.add_note(f"This was the run of the class called {label}.")
        raise
    assert run.steps, "The scenario did nothing."
    return run.steps


def _decorate(body: Callable[..., None], kind: str) -> Callable[..., None]:
    @functools.wraps(body)
    def test(
        stock_class: type[Butler],
        our_class: type[Butler],
        new_repository: NewRepository,
        tmp_path: Path,
        **others: Any,
    ) -> None:
        compare(test, stock_class, our_class, new_repository, tmp_path, **others)

    own = list(inspect.signature(test, follow_wrapped=False).parameters.values())[:-1]
    others = list(inspect.signature(body).parameters.values())[1:]
    made: Any = test
    made.__signature__ = inspect.Signature([*own, *others])
    made.kind, made.body = kind, body
    return test


def _compare(stock: list[Step], ours: list[Step]) -> None:
    for number, (expected, found) in enumerate(zip(stock, ours, strict=False)):
        where = f"step {number}, {expected.call}"
        assert found.call == expected.call, f"The scenario itself took another turn at {where}."
        _require(
            found.outcome == expected.outcome, f"another answer at {where}", expected.outcome, found.outcome
        )
        for name, effect in expected.effects.items():
            seen = found.effects[name]
            # Ours may warn less.
            equal = seen <= effect if name == "warnings" else seen == effect
            _require(equal, f"other {name} after {where}", effect, seen)
    assert len(ours) == len(stock), "One of the classes took more steps."


def _require(equal: bool, what: str, stock: Any, ours: Any) -> None:
    __tracebackhide__ = True
    if not equal:
        if isinstance(stock, Mapping) and isinstance(ours, Mapping):
            differing = [key for key in {**stock, **ours} if stock.get(key) != ours.get(key)]
            stock, ours = ({key: of.get(key) for key in differing} for of in (stock, ours))
        raise AssertionError(f"Ours has {what}\nstock: {stock!r}\nours:  {ours!r}")


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__name__", repr(function))


def _hashable(value: Any) -> Any:
    try:
        hash(value)
    except TypeError:
        return json.dumps(value, sort_keys=True, default=repr)
    return value


def _sorted_ids(found: re.Match[str]) -> str:
    ids: Iterable[str] = sorted(found.group()[1:-1].split(", "))
    return "{" + ", ".join(ids) + "}"
