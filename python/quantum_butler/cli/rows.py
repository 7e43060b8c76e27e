"""Prints answers of many rows while they are found."""

from __future__ import annotations

__all__ = ("print_rows",)

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import pyarrow

from ..archive.reports import PRODUCED_WORDS, data_id_text, plain, size_text, table
from ..queries.choice import Choice
from ..queries.found import QUANTUM, Kind, Use
from ..queries.known import require_known
from ..queries.resolving import Source
from ..queries.statuses import STATUS_WORDS
from .hints import hints_of_nothing
from .output import fitted, show, warn

# The widths of columns are those of so many rows, unless later ones are longer.
_AT_ONCE = 2000

_Row = dict[str, Any]


def print_rows(
    source: Source,
    kind: Kind,
    choice: Choice,
    use: Use | None,
    *,
    limit: int | None,
    summary: bool,
    wide: bool,
    style: str,
) -> None:
    """Print what is wanted, at most so many rows, or how much there is of it."""
    require_known(source, kind, choice)
    counted = _Counted(source.scan(kind, choice) if use is None else source.scan_use(choice, use))
    tables = iter(counted)
    if summary:
        parts = _summary(tables, kind, style)
    else:
        # One more says whether there are more.
        rows = islice(_rows(source, kind, tables), None if limit is None else limit + 1)
        parts = {"json": _as_json, "csv": _as_csv}.get(style, _as_text)(rows, kind, limit)
    show(fitted(part, style, wide) for part in parts)
    if not counted.rows:
        for hint in hints_of_nothing(source, kind, choice):
            warn(hint)


class _Counted:
    """Tables, and how many rows those that were looked at have."""

    def __init__(self, tables: Iterator[pyarrow.Table]):
        self._tables = tables
        self.rows = 0

    def __iter__(self) -> Iterator[pyarrow.Table]:
        for some in self._tables:
            self.rows += len(some)
            yield some


def _rows(source: Source, kind: Kind, tables: Iterator[pyarrow.Table]) -> Iterator[_Row]:
    """Yield rows as JSON has them."""
    for whole in tables:
        # A few at a time, so that the first of many come at once.
        for start in range(0, len(whole), _AT_ONCE):
            some = whole.slice(start, _AT_ONCE)
            more = _more(some, kind)
            for number, found in enumerate(source.rows_of(kind, some)):
                row: _Row = {f"{kind}_id": str(found.id), _label(kind): found.name}
                row |= {"data_id": found.data_id, "run": found.run}
                yield row | {name: values[number] for name, values in more.items()}


def _more(some: pyarrow.Table, kind: Kind) -> dict[str, list[Any]]:
    """Return what rows have besides their names."""
    if kind == QUANTUM:
        return {"status": [STATUS_WORDS.get(one, "unknown") for one in some["status"].to_pylist()]}
    there = [name for name in ("storage_class", "size", "produced") if name in some.column_names]
    return {name: some[name].to_pylist() for name in there}


def _label(kind: Kind) -> str:
    return "task_label" if kind == QUANTUM else "dataset_type"


def _columns(kind: Kind) -> list[str]:
    names = [f"{kind}_id", _label(kind), "data_id", "run"]
    return [*names, "status"] if kind == QUANTUM else [*names, "produced", "size"]


def _as_json(rows: Iterator[_Row], kind: Kind, limit: int | None) -> Iterator[str]:
    """Yield an array, a row on each line."""
    yield "["
    before = "\n"
    for row in islice(rows, limit):
        yield f"{before}{json.dumps(row)}"
        before = ",\n"
    yield "\n]\n"


def _as_csv(rows: Iterator[_Row], kind: Kind, limit: int | None) -> Iterator[str]:
    yield ",".join(_columns(kind)) + "\n"
    wanted = islice(rows, limit)
    while some := [*islice(wanted, _AT_ONCE)]:
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        for row in some:
            row["data_id"] = json.dumps(row["data_id"])
            cells = (row.get(name) for name in _columns(kind))
            writer.writerow([plain(cell) if isinstance(cell, str) else cell for cell in cells])
        yield out.getvalue()


def _as_text(rows: Iterator[_Row], kind: Kind, limit: int | None) -> Iterator[str]:
    header = [kind, "task" if kind == QUANTUM else "type", "data ID", "run"]
    header += ["status"] if kind == QUANTUM else ["", "size"]
    widths = [len(name) for name in header]
    count = 0
    wanted = islice(rows, limit)
    while some := [*islice(wanted, _AT_ONCE)]:
        cells = [_cells(row, kind) for row in some]
        widths = [max(width, *map(len, column)) for width, *column in zip(widths, *cells, strict=True)]
        if not count:
            cells[:0] = [header, ["-" * width for width in widths]]
        yield "".join(f"{_line(row, widths)}\n" for row in cells)
        count += len(some)
    noun = ("quantum" if count == 1 else "quanta") if kind == QUANTUM else f"dataset{'s' * (count != 1)}"
    more = ", and there are more" if next(rows, None) is not None else ""
    yield f"\n{count:,} {noun}{more}\n" if count else f"There is no such {kind}.\n"


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _cells(row: _Row, kind: Kind) -> list[str]:
    names = [
        row[f"{kind}_id"],
        row[_label(kind)] or "(no name)",
        data_id_text(row["data_id"] or {}),
        row["run"] or "",
    ]
    if kind == QUANTUM:
        return [*map(plain, names), row["status"]]
    written = PRODUCED_WORDS[row.get("produced")]
    size = row.get("size")
    return [*map(plain, names), written, "" if size is None else size_text(size)]


def _summary(tables: Iterator[pyarrow.Table], kind: Kind, style: str) -> Iterator[str]:
    """Yield counts by task or type, run and status."""
    last = "status" if kind == QUANTUM else "produced"
    counts: Counter[tuple[Any, ...]] = Counter()
    names = (_label(kind), "run", last)
    for some in tables:
        plain_columns = {name: _decoded(some[name]) for name in names}
        grouped = pyarrow.table(plain_columns).group_by([*names]).aggregate([([], "count_all")])
        for row in grouped.to_pylist():
            counts[tuple(row[name] for name in names)] += row["count_all"]
    words: dict[Any, str] = {**(STATUS_WORDS if kind == QUANTUM else PRODUCED_WORDS)}
    rows = sorted(
        (label or "(no name)", run or "", words.get(state, "unknown"), count)
        for (label, run, state), count in counts.items()
    )
    header = [_label(kind), "run", "status", "quanta" if kind == QUANTUM else "datasets"]
    if style == "json":
        yield json.dumps([dict(zip(header, row, strict=True)) for row in rows]) + "\n"
        return
    if style == "csv":
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows([header, *rows])
        yield out.getvalue()
        return
    shown = [[label, run, state, f"{count:,}"] for label, run, state, count in rows]
    total = ["total", "", "", f"{sum(counts.values()):,}"]
    yield table(["task" if kind == QUANTUM else "type", *header[1:]], [*shown, total], "   r")


def _decoded(column: pyarrow.ChunkedArray) -> pyarrow.ChunkedArray:
    return column.cast(pyarrow.string()) if pyarrow.types.is_dictionary(column.type) else column
