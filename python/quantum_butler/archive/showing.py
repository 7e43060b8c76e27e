"""Shows answers in a notebook, and converts them for other libraries."""

from __future__ import annotations

__all__ = ("Showable", "html_page", "html_table", "id_column")

import html
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from .texts import plain

if TYPE_CHECKING:
    import pandas  # type: ignore[import-untyped]
    import pyarrow

# A notebook is no place to read thousands of rows.
_MOST_ROWS = 50


class Showable(ABC):
    """An answer that a notebook shows, and that other libraries read as tables."""

    @abstractmethod
    def to_arrow(self) -> dict[str, pyarrow.Table]:
        """Return it as Arrow tables, by name."""

    @abstractmethod
    def _repr_html_(self) -> str: ...

    def to_pandas(self) -> dict[str, pandas.DataFrame]:
        """Return it as tables of pandas.

        Returns
        -------
        tables : `dict` [`str`, `pandas.DataFrame`]
            What `to_arrow` returns.

        Raises
        ------
        ModuleNotFoundError
            Raised if there is no pandas.
        """
        try:
            import pandas  # noqa: F401 - Arrow imports it
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                f"{error}; to_pandas needs it: pip install pandas; to_arrow does not", name=error.name
            ) from error
        return {name: table.to_pandas() for name, table in self.to_arrow().items()}


def html_page(title: str, *parts: str) -> str:
    """Return what a notebook shows: a line, and parts that are HTML already."""
    return f"<div><p><b>{html.escape(plain(title))}</b></p>{''.join(parts)}</div>"


def html_table(header: Sequence[str], rows: Iterable[Sequence[object]], count: int | None = None) -> str:
    """Return a table, not all of its rows if there are many."""
    some = [row for row, _ in zip(rows, range(_MOST_ROWS), strict=False)]
    cells = [[html.escape(plain(str(cell))) for cell in row] for row in some]
    head = "".join(f"<th>{html.escape(name)}</th>" for name in header)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in cells)
    more = "" if count is None or count <= len(some) else f"<p>and {count - len(some):,} more</p>"
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def id_column(ids: Sequence[Any]) -> pyarrow.Array:
    """Return ids as an Arrow column."""
    import pyarrow

    storage = pyarrow.array([id_.bytes for id_ in ids], pyarrow.binary(16))
    return pyarrow.ExtensionArray.from_storage(pyarrow.uuid(), storage)
