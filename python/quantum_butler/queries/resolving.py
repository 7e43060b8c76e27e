"""The one decision what a name is the name of, in an archive or in graphs."""

from __future__ import annotations

__all__ = ("MOST_CANDIDATES", "Source")

import uuid
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice

import pyarrow
import pyarrow.compute as pc

from .alike import SORTS, listing
from .choice import Choice, make_choice
from .conditions import conjunction
from .errors import AmbiguousNameError, ConditionError
from .expressions import Binary, Identifier, Literal, Node, Word
from .found import DATASET, QUANTUM, Found, Kind, Name, Use
from .nearest import nearest
from .spoken import Spoken, read_name

MOST_CANDIDATES = 20
"""As many are listed of those that a name may mean."""


class Source(ABC):
    """Source of quanta and datasets: an archive, or graphs."""

    @abstractmethod
    def shown(self) -> str:
        """Return what it is called in messages."""

    @abstractmethod
    def labels(self, kind: Kind) -> Sequence[str]:
        """Return the tasks of its quanta, or the types of its datasets."""

    @abstractmethod
    def found_by_id(self, kind: Kind, id_: uuid.UUID) -> Found | None:
        """Return what has an id."""

    @abstractmethod
    def found_by_part(self, kind: Kind, digits: str) -> Iterator[Found]:
        """Yield what has an id that begins or ends with some digits."""

    @abstractmethod
    def found_by_path(self, path: str) -> Iterator[Found]:
        """Yield the datasets that are in a file."""

    @abstractmethod
    def found(self, kind: Kind, choice: Choice) -> Iterator[Found]:
        """Yield what is wanted."""

    @abstractmethod
    def dimensions_by_label(
        self, kind: Kind, labels: Collection[str] | None
    ) -> Iterator[tuple[str, Iterable[str]]]:
        """Yield tasks or types, some or all, and perhaps others, with the dimensions of their data IDs."""

    @abstractmethod
    def scan(self, kind: Kind, choice: Choice, columns: Sequence[str] = ()) -> Iterator[pyarrow.Table]:
        """Yield the rows that are wanted, some at a time, with some columns or all."""

    @abstractmethod
    def scan_use(self, choice: Choice, use: Use) -> Iterator[pyarrow.Table]:
        """Yield the wanted datasets that no quantum has used, or that do not exist."""

    @abstractmethod
    def empty(self, kind: Kind) -> pyarrow.Table:
        """Return a table as `scan` yields them, without rows."""

    @abstractmethod
    def rows_of(self, kind: Kind, table: pyarrow.Table) -> Iterator[Found]:
        """Yield what the rows of a table are the names of."""

    @abstractmethod
    def unknown(self, message: str) -> Exception:
        """Return the error that says that there is no such thing."""

    def some_labels(self, kind: Kind) -> Iterator[Iterable[str]]:
        """Yield tasks or types, some at a time if it takes long to find all."""
        yield self.labels(kind)

    def runs(self, kind: Kind) -> Iterator[str]:
        """Yield the runs that rows have, each once or more often."""
        for table in self.scan(kind, Choice(), ["run"]):
            yield from filter(None, pc.unique(table["run"]).to_pylist())

    def look_up(self, kind: Kind, ids: Sequence[uuid.UUID], choices: Sequence[Choice]) -> None:
        """Find what has some ids or names at once, if that takes less than one by one."""
        return

    def resolve_all(self, names: Iterable[Name], kinds: Sequence[Kind]) -> list[Found]:
        """Return the quantum or dataset of each name, or raise. Tables are read once for all names."""
        spoken = [*map(read_name, names)]
        for kind in kinds if len(spoken) > 1 else ():
            ids = [id_ for one in spoken if (id_ := one.id) is not None]
            labels = {*self.labels(kind)} if len(ids) < len(spoken) else set[str]()
            choices = [_choice_of(one) for one in spoken if one.values and one.word in labels]
            self.look_up(kind, ids, [*dict.fromkeys(choices)])
        return [self._resolved(one, kinds) for one in spoken]

    def resolve(self, name: Name, kinds: Sequence[Kind]) -> Found:
        """Return the quantum or dataset with a name, or raise. Both kinds may be allowed."""
        return self._resolved(read_name(name), kinds)

    def _resolved(self, spoken: Spoken, kinds: Sequence[Kind]) -> Found:
        first = [*islice(_candidates(self, spoken, kinds), MOST_CANDIDATES + 1)]
        if not first:
            raise _unknown(self, spoken, kinds)
        if len(first) > 1:
            lines = [f"{self.shown()}: {spoken.text!r} may be any of these:"]
            lines += map(str, first[:MOST_CANDIDATES])
            if len(first) > MOST_CANDIDATES:
                lines.append("and more")
            raise AmbiguousNameError("\n  ".join(lines), first[:MOST_CANDIDATES])
        return first[0]

    def find(
        self,
        kind: Kind,
        labels: str | Iterable[str] | None,
        runs: str | Iterable[str] | None,
        statuses: str | Iterable[str] | None,
        where: str | None,
        limit: int | None,
        use: Use | None = None,
    ) -> pyarrow.Table:
        """Return the rows that are wanted, or the first of them."""
        found: list[pyarrow.Table] = []
        left = limit
        choice = make_choice(labels, runs, statuses, where)
        for table in self.scan(kind, choice) if use is None else self.scan_use(choice, use):
            found.append(table if left is None else table.slice(0, left))
            if left is not None and (left := left - len(found[-1])) <= 0:
                break
        return pyarrow.concat_tables(found) if found else self.empty(kind)


def _candidates(source: Source, spoken: Spoken, kinds: Sequence[Kind]) -> Iterator[Found]:
    """Yield what a name may mean: the first way to read it that leads to anything counts."""
    if (id_ := spoken.id) is not None:
        yield from filter(None, (source.found_by_id(kind, id_) for kind in kinds))
        return
    labelled = [kind for kind in kinds if spoken.word in source.labels(kind)]
    if labelled:
        choice = _choice_of(spoken)
        for kind in labelled:
            yield from source.found(kind, choice)
        return
    if (digits := spoken.id_part) is not None:
        found = False
        for kind in kinds:
            for one in source.found_by_part(kind, digits):
                found = True
                yield one
        if found:
            return
    if not spoken.values and DATASET in kinds:
        yield from source.found_by_path(spoken.word)


def _choice_of(spoken: Spoken) -> Choice:
    """Return what the values of a name ask for; a run is no dimension, but has a value like one."""
    runs = next((frozenset((_unquoted(text),)) for name, text in spoken.values if name == "run"), None)
    return Choice(frozenset((spoken.word,)), runs, where=conjunction(_nodes_of(spoken)))


def _nodes_of(spoken: Spoken) -> list[Node]:
    """Return a condition for each dimension that a name has a value of."""
    pairs = [(name, text, _unquoted(text)) for name, text in spoken.values if name != "run"]
    return [
        Binary("=", Identifier(name), Word(text) if value is text else Literal(value))
        for name, text, value in pairs
    ]


def _unquoted(text: str) -> str:
    return text[1:-1] if text[0] == text[-1] == "'" and len(text) > 1 else text


def _unknown(source: Source, spoken: Spoken, kinds: Sequence[Kind]) -> Exception:
    """Return the error for a name that nothing has. It lists similar names."""
    place, word = source.shown(), spoken.word
    what = " or ".join(kinds)
    if (id_ := spoken.id) is not None:
        text = f"{place}: there is no {what} {id_}"
        for kind in {QUANTUM, DATASET}.difference(kinds):
            if source.found_by_id(kind, id_) is not None:
                text += f"; it is the id of a {kind}"
        return source.unknown(text)
    for kind in kinds:
        if word in source.labels(kind):
            text = f"{place}: there is no {kind} {spoken.text!r}"
            values = {name: _unquoted(value) for name, value in spoken.values}
            some = nearest(partial(source.found, kind), word, _nodes_of(spoken), values)
            near = f"; near it there is, for instance, {', or '.join(map(str, some))}" if some else ""
            return source.unknown(text + near)
    known = {kind: source.labels(kind) for kind in (QUANTUM, DATASET)}
    head, _, rest = word.partition(" ")
    if rest and any(head in labels for labels in known.values()):
        return ConditionError(f"{spoken.text!r}: {rest!r} is no dimension=value")
    for kind in {QUANTUM, DATASET}.difference(kinds):
        if word in known[kind]:
            return source.unknown(f"{place}: {word} is a {SORTS[kind]}, and a {what} is asked for")
    names = [name for kind in kinds for name in known[kind]]
    sorts = " or ".join(SORTS[kind] for kind in kinds)
    text = f"{place}: {word!r} is no {sorts}"
    if not spoken.values:
        text += f", no beginning or end of the id of a {what}"
        text += ", and no path of a file" if DATASET in kinds else ""
    return source.unknown(text + listing(word, names))
