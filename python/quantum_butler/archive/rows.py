"""The tables of an archive, read side by side, once through from beginning to end.

`quanta.parquet` says how many rows of `edges.parquet` and `records.parquet`
belong to each quantum, and all three have the quanta in one order.
"""

from __future__ import annotations

__all__ = ("QuantumRows", "read_quanta", "read_rows")

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .columns import column_kind
from .errors import ArchiveError, unreadable

if TYPE_CHECKING:
    from pathlib import Path

    import numpy
    import pyarrow

# Columns of ``records.parquet``, and what they have.
_RECORDS = {
    "datastore_name": "text",
    "dataset_id": "ids",
    "path": "text",
    "formatter": "text",
    "storage_class": "text",
    "component": "text",
    "checksum": "text",
    "file_size": "integers",
}

# Columns of any table that may have nulls.
_NULLABLE = ("task_label", "data_id", "begin", "end", "failed", "component", "checksum", "file_size")

# Rows that are decoded at once.
_AT_ONCE = 1 << 14


@dataclass(frozen=True)
class QuantumRows:
    """Some quanta with their rows of the other tables.

    Parameters
    ----------
    quanta : `pyarrow.Table`
        Rows of ``quanta.parquet``.
    edges : `pyarrow.Table`
        Their rows of ``edges.parquet``.
    records : `pyarrow.Table`
        Their rows of ``records.parquet``.
    edge_counts : `numpy.ndarray`
        How many rows of ``edges`` each has.
    record_counts : `numpy.ndarray`
        How many rows of ``records`` each has.
    """

    quanta: pyarrow.Table
    edges: pyarrow.Table
    records: pyarrow.Table
    edge_counts: numpy.ndarray[Any, Any]
    record_counts: numpy.ndarray[Any, Any]


def read_quanta(
    folder: Path, of_quanta: Mapping[str, str], of_edges: Mapping[str, str], at_once: int
) -> Iterator[QuantumRows]:
    """Read quanta with their rows of the other tables.

    Parameters
    ----------
    folder : `pathlib.Path`
        Folder of the archive.
    of_quanta : `~collections.abc.Mapping` [`str`, `str`]
        Columns of the quanta to read, ``edges`` and ``records`` among them,
        and what they must have; see `column_kind`.
    of_edges : `~collections.abc.Mapping` [`str`, `str`]
        The same of the edges; of records, all columns are read.
    at_once : `int`
        Most quanta to give at once.

    Yields
    ------
    rows : `QuantumRows`
        The next quanta.

    Raises
    ------
    ArchiveError
        Raised if a table cannot be read, or the tables do not fit together.
    """
    with ExitStack() as files:
        quanta, edges, records = (
            files.enter_context(_opened(folder / f"{name}.parquet", columns))
            for name, columns in {"quanta": of_quanta, "edges": of_edges, "records": _RECORDS}.items()
        )
        while (some := quanta.take(at_once)).num_rows:
            edge_counts, record_counts = _counts(some["edges"], edges), _counts(some["records"], records)
            of_some = edges.take_all(int(edge_counts.sum())), records.take_all(int(record_counts.sum()))
            yield QuantumRows(some, *of_some, edge_counts, record_counts)
        for table in (edges, records):
            table.require_end()


def read_rows(path: Path, columns: Mapping[str, str], at_once: int) -> Iterator[pyarrow.Table]:
    """Read one table.

    Parameters
    ----------
    path : `pathlib.Path`
        The file.
    columns : `~collections.abc.Mapping` [`str`, `str`]
        Columns to read, and what they must have; see `column_kind`.
    at_once : `int`
        Most rows to give at once.

    Yields
    ------
    rows : `pyarrow.Table`
        The next rows.

    Raises
    ------
    ArchiveError
        Raised if it cannot be read.
    """
    with _opened(path, columns) as table:
        while (rows := table.take(at_once)).num_rows:
            yield rows


class _TableRows:
    """A Parquet file of an archive that is read once through.

    Parameters
    ----------
    path : `pathlib.Path`
        The file.
    columns : `~collections.abc.Mapping` [`str`, `str`]
        Columns to read, and what they must have; see `column_kind`.
    file : `pyarrow.parquet.ParquetFile`
        The file, opened.

    Raises
    ------
    ArchiveError
        Raised, here and later, if it is damaged, or is another table.
    """

    def __init__(self, path: Path, columns: Mapping[str, str], file: Any):
        import pyarrow

        self.path = path
        """The file (`pathlib.Path`)."""
        self._errors = (pyarrow.ArrowException, OSError, ValueError)
        schema = file.schema_arrow
        for name, kind in columns.items():
            if name not in schema.names or column_kind(schema.field(name).type) != kind:
                raise ArchiveError(f"{path}: column {name} is missing, or does not have {kind}")
        self._schema = pyarrow.schema([schema.field(name) for name in columns])
        self._batches = file.iter_batches(_AT_ONCE, columns=list(columns))
        self._left: list[pyarrow.RecordBatch] = []

    def take(self, rows: int) -> pyarrow.Table:
        """Return the next rows.

        Parameters
        ----------
        rows : `int`
            How many.

        Returns
        -------
        table : `pyarrow.Table`
            The rows; fewer if there are no more.
        """
        import pyarrow

        taken: list[pyarrow.RecordBatch] = []
        try:
            while rows:
                batch = self._left.pop() if self._left else next(self._batches, None)
                if batch is None:
                    break
                batch = batch.select(self._schema.names)
                taken.append(batch.slice(0, rows))
                if batch.num_rows > rows:
                    self._left.append(batch.slice(rows))
                rows -= taken[-1].num_rows
            table = pyarrow.Table.from_batches(taken, self._schema)
        except self._errors as error:
            raise unreadable(self.path, error) from error
        for name in table.column_names:
            if table[name].null_count and name not in _NULLABLE:
                raise ArchiveError(f"{self.path}: column {name} has a row without a value")
        return table

    def take_all(self, rows: int) -> pyarrow.Table:
        """Return the next rows, all of which there have to be.

        Parameters
        ----------
        rows : `int`
            How many.

        Returns
        -------
        table : `pyarrow.Table`
            The rows.
        """
        table = self.take(rows)
        if table.num_rows != rows:
            raise ArchiveError(f"{self.path}: there are fewer rows than the quanta should have")
        return table

    def require_end(self) -> None:
        """Make sure that there are no more rows."""
        if self.take(1).num_rows:
            raise ArchiveError(f"{self.path}: there are rows of no quantum")


@contextmanager
def _opened(path: Path, columns: Mapping[str, str]) -> Iterator[_TableRows]:
    """Open a table for reading it once through."""
    import pyarrow
    import pyarrow.parquet

    try:
        # Whole columns of a row group are not wanted ahead of time.
        file = pyarrow.parquet.ParquetFile(path, pre_buffer=False)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise unreadable(path, error) from error
    with file:
        yield _TableRows(path, columns, file)


def _counts(column: pyarrow.ChunkedArray, table: _TableRows) -> numpy.ndarray[Any, Any]:
    """Return how many rows of another table each quantum has."""
    counts: numpy.ndarray[Any, Any] = column.to_numpy().astype("int64")
    if len(counts) and counts.min() < 0:
        raise ArchiveError(f"{table.path}: a quantum cannot have {counts.min()} rows")
    return counts
