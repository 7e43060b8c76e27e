"""The provenance archive, and the questions to it."""

from __future__ import annotations

__all__ = ("Archive",)

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..paths import PathError, text_path
from ..queries.found import Name
from .errors import ArchiveError, unreadable
from .format import Manifest, read_manifest, role_bit, role_names
from .lineage import Lineage
from .rebuilding import Connected, Neighbours
from .results import (
    Change,
    Dataset,
    DatasetDetails,
    Difference,
    Quantum,
    QuantumDetails,
    Statistics,
    Use,
)
from .showing import Showable, html_page, html_table

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Sequence

    import pyarrow
    import pyarrow.dataset

    from ..progress import Progress
    from ..queries.resolving import Source
    from .checks.findings import Verification
    from .reader import Reader
    from .rows import WrittenBatch


class Archive(Connected, Showable):
    """The provenance of many quanta, gathered by ``quantum-butler collect``.

    Parameters
    ----------
    path : `str` or `os.PathLike`
        Folder of the archive.

    Raises
    ------
    ArchiveError
        Raised if it is not an archive, or one of a newer format; by any method
        if the file that it needs is missing or damaged.

    Notes
    -----
    Opening an archive reads its manifest; other files are opened when a
    question needs them.  Quanta and datasets are asked for by any name that
    `resolve` knows: an id, a part of one, a task or a dataset type with a
    data ID, a path.
    """

    def __init__(self, path: str | os.PathLike[str]):
        # Files are opened later, when the process may work in another folder.
        try:
            self._path = Path(text_path(path))
        except PathError as error:
            raise ArchiveError(str(error)) from error
        self._manifest = read_manifest(self._path)

    def __repr__(self) -> str:
        return f"Archive({str(self._path)!r})"

    @property
    def path(self) -> Path:
        """Folder of the archive (`pathlib.Path`)."""
        return self._path

    @property
    def manifest(self) -> Manifest:
        """The archive's manifest (`Manifest`)."""
        return self._manifest

    @property
    def quanta(self) -> pyarrow.dataset.Dataset:
        """The table ``quanta.parquet`` (`pyarrow.dataset.Dataset`)."""
        return _dataset(self._path / "quanta.parquet")

    @property
    def edges(self) -> pyarrow.dataset.Dataset:
        """The table ``edges.parquet`` (`pyarrow.dataset.Dataset`)."""
        return _dataset(self._path / "edges.parquet")

    @property
    def records(self) -> pyarrow.dataset.Dataset:
        """The table ``records.parquet`` (`pyarrow.dataset.Dataset`)."""
        return _dataset(self._path / "records.parquet")

    @property
    def datasets(self) -> pyarrow.dataset.Dataset:
        """The table ``datasets.parquet``: names (`pyarrow.dataset.Dataset`)."""
        return _dataset(self._path / "datasets.parquet")

    @property
    def attempts(self) -> pyarrow.dataset.Dataset:
        """The table ``attempts.parquet``, of those that are not kept (`pyarrow.dataset.Dataset`)."""
        return _dataset(self._path / "attempts.parquet")

    @property
    def exceptions(self) -> pyarrow.dataset.Dataset:
        """The table ``exceptions.parquet`` (`pyarrow.dataset.Dataset`)."""
        return _dataset(self._path / "exceptions.parquet")

    @property
    def tasks(self) -> pyarrow.dataset.Dataset:
        """The table ``tasks.parquet``: connections of tasks (`pyarrow.dataset.Dataset`)."""
        return _dataset(self._path / "tasks.parquet")

    @property
    def source(self) -> Source:
        """Source in which names are looked up."""
        return self._reader.names

    def stats(self) -> Statistics:
        """Count quanta, datasets and bytes, task by task.

        Returns
        -------
        statistics : `Statistics`
            The numbers.
        """
        from .statistics import count

        return count(self._reader)

    def show(self, quantum: Name) -> QuantumDetails:
        """Look up a quantum and its datasets.

        Parameters
        ----------
        quantum : `uuid.UUID` or `str`
            Id of the quantum, or another name of it; see `resolve`.

        Returns
        -------
        details : `QuantumDetails`
            The quantum and its datasets.

        Raises
        ------
        UnknownIdError
            Raised if the archive does not have the quantum.
        """
        number = self._reader.find_quantum(quantum)
        found = self._reader.ask(lambda index: index.datasets_of(number))
        (description,) = self.describe_quanta([number])
        datasets = self.describe_datasets([row for row, _ in found])
        uses = [Use(dataset, role_names(roles)) for dataset, (_, roles) in zip(datasets, found, strict=True)]
        return QuantumDetails(description, uses, **self._reader.describe_attempt(number))

    def show_dataset(self, dataset: Name) -> DatasetDetails:
        """Look up a dataset, and the quanta that have to do with it.

        Parameters
        ----------
        dataset : `uuid.UUID` or `str`
            Id of the dataset, or another name of it; see `resolve`.

        Returns
        -------
        details : `DatasetDetails`
            The dataset, its producer and its consumers.

        Raises
        ------
        UnknownIdError
            Raised if the archive does not have the dataset.
        """
        return self._reader.show_dataset(dataset)

    def lineage(
        self,
        dataset: Name,
        *,
        direction: Literal["up", "down"] = "up",
        depth: int | None = None,
        actual: bool | None = None,
    ) -> Lineage:
        """Find out what a dataset was made from, or what was made from it.

        Parameters
        ----------
        dataset : `uuid.UUID` or `str`
            Id of the dataset, or another name of it; see `resolve`. The name
            of a quantum stands for all that it has written.
        direction : `str`, optional
            ``up`` goes to the quanta that wrote a dataset and to their inputs,
            ``down`` to the quanta that read it and to their outputs.
        depth : `int`, optional
            The most quanta between the dataset and any other; by default there
            is no limit.
        actual : `bool`, optional
            Whether to go by what was really used and written, or by what was
            predicted; by default the former, unless the archive was made of
            graphs only, which do not know it.

        Returns
        -------
        lineage : `Lineage`
            That part of the graph, the dataset itself included.

        Raises
        ------
        UnknownIdError
            Raised if the archive does not have the dataset.
        ValueError
            Raised for another direction, or a depth that is negative.
        """
        if direction not in ("up", "down"):
            raise ValueError(f"a direction is 'up' or 'down', not {direction!r}")
        if depth is not None and depth < 0:
            raise ValueError(f"a depth is a number of quanta, not {depth}")
        actual = self._knows_use if actual is None else actual
        start, rows = self._reader.find_starts(dataset, actual)
        # More than all quanta there can be is no limit.
        most = None if depth is None else min(depth, 2**32 - 1)
        up = direction == "up"
        closure = self._reader.ask(lambda index: index.closure(rows, up=up, actual=actual, depth=most))
        return Lineage(self._reader, start, direction, actual, depth, closure)

    def producer(self, dataset: Name, *, actual: bool | None = None) -> Quantum | None:
        """Find the quantum that wrote a dataset.

        Parameters
        ----------
        dataset : `uuid.UUID` or `str`
            Id of the dataset, or another name of it; see `resolve`.
        actual : `bool`, optional
            Whether it has to have written it, or only to have been expected
            to; by default as in `lineage`.

        Returns
        -------
        quantum : `Quantum` or `None`
            The quantum, the first if there are more; `None` if it is not in the
            archive.

        Raises
        ------
        UnknownIdError
            Raised if the archive does not have the dataset.
        """
        actual = self._knows_use if actual is None else actual
        role = role_bit("actual_output" if actual else "predicted_output")
        quanta = self._reader.quanta_with(dataset, role)
        return self.describe_quanta(quanta[:1])[0] if quanta else None

    def consumers(self, dataset: Name, *, actual: bool | None = None) -> list[Quantum]:
        """Find the quanta that read a dataset.

        Parameters
        ----------
        dataset : `uuid.UUID` or `str`
            Id of the dataset, or another name of it; see `resolve`.
        actual : `bool`, optional
            Whether they have to have used it, or only to have been expected
            to; by default as in `lineage`.

        Returns
        -------
        quanta : `list` [`Quantum`]
            The quanta, in order of the archive.

        Raises
        ------
        UnknownIdError
            Raised if the archive does not have the dataset.
        """
        actual = self._knows_use if actual is None else actual
        role = role_bit("actual_input" if actual else "predicted_input")
        return self.describe_quanta(self._reader.quanta_with(dataset, role))

    def diff(self, other: Archive) -> Difference:
        """Compare with another archive.

        Parameters
        ----------
        other : `Archive`
            Archive to compare with, the right one; this is the left one.

        Returns
        -------
        difference : `Difference`
            What only one of them has, and what quanta of both have in
            different roles; each sorted by id.
        """
        left, right = self._reader.index, other._reader.index
        try:
            quanta, datasets, changes = left.difference(right)
        except ValueError as error:
            raise ArchiveError(f"{self._path} or {other._path}: {error}") from error
        return Difference(
            quanta[0],
            quanta[1],
            datasets[0],
            datasets[1],
            [
                Change(quantum, dataset, role_names(before), role_names(after))
                for quantum, dataset, before, after in changes
            ],
        )

    def written(self, at_once: int = 2_000) -> Iterator[WrittenBatch]:
        """Go through what all quanta have written.

        Parameters
        ----------
        at_once : `int`, optional
            How many quanta are held in memory at once.

        Returns
        -------
        batches : `~collections.abc.Iterator` [`WrittenBatch`]
            What the quanta, in order of the archive, have written.

        Raises
        ------
        ArchiveError
            Raised while going, if a table cannot be read or the tables do not
            fit together.
        ValueError
            Raised if it is not one quantum at least.
        """
        from .rows import read_written

        if at_once < 1:
            raise ValueError(f"a batch has at least one quantum, not {at_once}")
        return read_written(self._path, at_once)

    def to_arrow(self) -> dict[str, pyarrow.Table]:
        """Return all tables, in memory.

        Returns
        -------
        tables : `dict` [`str`, `pyarrow.Table`]
            ``quanta``, ``edges``, ``records`` and what else there is, by name. `quanta`, `edges` and
            `records` read no more than they are asked for.
        """
        return {path.stem: _dataset(path).to_table() for path in sorted(self._path.glob("*.parquet"))}

    def _repr_html_(self) -> str:
        counts = [(name, f"{number:,}") for name, number in self._manifest.counts.items()]
        sources = [(one.get("source", ""), one.get("quanta", "")) for one in self._manifest.sources]
        return html_page(
            f"Archive {self._path}, written {self._manifest.created}",
            html_table(("what", "how many"), counts),
            html_table(("source", "quanta"), sources, len(sources)),
        )

    def verify(
        self,
        *,
        scratch: str | os.PathLike[str] | None = None,
        progress: Callable[[Progress], object] | None = None,
    ) -> Verification:
        """Check the archive whole: every table, and whether they agree.

        Parameters
        ----------
        scratch : `str` or `os.PathLike`, optional
            Folder for what memory does not hold, some 40 bytes an edge; by
            default that of the system for temporary files.
        progress : `~collections.abc.Callable`, optional
            Called with how far the work is.

        Returns
        -------
        verification : `Verification`
            What is wrong: the file, the row and the id of each finding.

        Notes
        -----
        Every table is read to its end, and the lineage index is made once
        more, in about 300 MiB of memory whatever the size of the archive.
        """
        from .checks.whole import verify

        place = None if scratch is None else Path(text_path(scratch))
        return verify(self._path, self._manifest, place, progress)

    def describe_quanta(self, numbers: Sequence[int]) -> list[Quantum]:
        """Look up quanta by their numbers.

        Parameters
        ----------
        numbers : `~collections.abc.Sequence` [`int`]
            Rows of ``quanta.parquet``.

        Returns
        -------
        quanta : `list` [`Quantum`]
            The quanta, in that order.
        """
        return self._reader.describe_quanta(numbers)

    def describe_datasets(self, rows: Sequence[int]) -> list[Dataset]:
        """Look up datasets by their rows in the lineage index.

        Parameters
        ----------
        rows : `~collections.abc.Sequence` [`int`]
            Rows of ``lineage.arrow``.

        Returns
        -------
        datasets : `list` [`Dataset`]
            The datasets, in that order.
        """
        return self._reader.describe_datasets(rows)

    def _neighbours(self, actual: bool | None) -> tuple[Neighbours, bool]:
        """Return who writes and reads what, and whether to go by what was really used."""
        by_use = self._knows_use if actual is None else actual
        return self._reader.neighbours(by_use), by_use

    @property
    def _knows_use(self) -> bool:
        """Return whether there may be logs among the sources, which tell what was used."""
        sources = [str(one.get("source", "")) for one in self._manifest.sources]
        return not sources or not all(source.endswith(".qg") for source in sources)

    # Manifests are read without pyarrow, which takes a while to be imported.
    @cached_property
    def _reader(self) -> Reader:
        from .reader import Reader

        return Reader(self._path)


def _dataset(path: Path) -> pyarrow.dataset.Dataset:
    import pyarrow
    import pyarrow.dataset

    try:
        return pyarrow.dataset.dataset(path, format="parquet")
    except (pyarrow.ArrowException, OSError) as error:
        raise unreadable(path, error) from error
