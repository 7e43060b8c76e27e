"""Places that can be asked by name: an archive, or graphs."""

from __future__ import annotations

__all__ = ("Place",)

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING

from .found import DATASET, QUANTUM, Found, Kind, Name

if TYPE_CHECKING:
    import pyarrow

    from .resolving import Source


class Place(ABC):
    """An archive, or graphs: what has quanta and datasets that are asked for by name."""

    @property
    @abstractmethod
    def source(self) -> Source:
        """Source in which names are looked up."""

    def resolve(self, name: Name, *, kind: Kind | None = None) -> Found:
        """Find the quantum or the dataset that has a name.

        Parameters
        ----------
        name : `uuid.UUID`, `str`, or `~collections.abc.Sequence` [`str`]
            An id, the beginning or the end of one (four digits at least), a task or a dataset type with a
            data ID as in ``calexp visit=7 detector=3``, or the path of a file. Dimensions may be left out as
            long as only one has the others; ``run=...`` may stand among them.
        kind : `str`, optional
            ``quantum`` or ``dataset``, if it has to be one of these.

        Returns
        -------
        found : `Found`
            What has the name.

        Raises
        ------
        AmbiguousNameError
            Raised if there are several; they are its ``candidates``.
        LookupError
            Raised if there is none: an `UnknownIdError` by an archive, an `UnknownNameError` by graphs.
        ConditionError
            Raised if it cannot be the name of anything.
        """
        return self.source.resolve(name, (QUANTUM, DATASET) if kind is None else (kind,))

    def find_quanta(
        self,
        *,
        task: str | Iterable[str] | None = None,
        run: str | Iterable[str] | None = None,
        status: str | Iterable[str] | None = None,
        where: str | None = None,
        limit: int | None = None,
    ) -> pyarrow.Table:
        """Find quanta.

        Parameters
        ----------
        task, run : `str` or `~collections.abc.Iterable` [`str`], optional
            Labels of their tasks, and the runs that they write to.
        status : `str` or `~collections.abc.Iterable` [`str`], optional
            How they ended: ``successful``, ``failed``, ``blocked``, ``aborted``, ``log lost``, ``unknown`` or
            ``not seen``.
        where : `str`, optional
            Condition on their data IDs in the language of Butler queries, as in
            ``visit > 100 AND detector IN (4, 5)``.
        limit : `int`, optional
            Return so many at most.

        Returns
        -------
        quanta : `pyarrow.Table`
            ``quantum_id``, ``task_label``, ``data_id``, ``run`` and ``status``, with upstream's numbers.

        Raises
        ------
        ConditionError
            Raised if the condition or the status is none.
        """
        return self.source.find(QUANTUM, task, run, status, where, limit)

    def find_datasets(
        self,
        *,
        dataset_type: str | Iterable[str] | None = None,
        run: str | Iterable[str] | None = None,
        where: str | None = None,
        limit: int | None = None,
    ) -> pyarrow.Table:
        """Find datasets.

        Parameters
        ----------
        dataset_type, run : `str` or `~collections.abc.Iterable` [`str`], optional
            Names of their types, and the runs that they are in.
        where, limit
            As in `find_quanta`.

        Returns
        -------
        datasets : `pyarrow.Table`
            ``dataset_id``, ``dataset_type``, ``data_id``, ``run`` and more.

        Raises
        ------
        ConditionError
            Raised if the condition is none.
        """
        return self.source.find(DATASET, dataset_type, run, None, where, limit)

    def unused(
        self,
        *,
        dataset_type: str | Iterable[str] | None = None,
        run: str | Iterable[str] | None = None,
        where: str | None = None,
        limit: int | None = None,
    ) -> pyarrow.Table:
        """Find datasets that were written, or were there before, and that nothing used.

        Parameters
        ----------
        dataset_type, run : `str` or `~collections.abc.Iterable` [`str`], optional
            Names of their types, and the runs that they are in.
        where, limit
            As in `find_quanta`.

        Returns
        -------
        datasets : `pyarrow.Table`
            As `find_datasets` returns them.

        Raises
        ------
        ConditionError
            Raised if the condition is none.
        QuantumButlerError
            Raised if no log tells what was used.
        """
        return self.source.find(DATASET, dataset_type, run, None, where, limit, "unused")

    def missing(
        self,
        *,
        dataset_type: str | Iterable[str] | None = None,
        run: str | Iterable[str] | None = None,
        where: str | None = None,
        limit: int | None = None,
    ) -> pyarrow.Table:
        """Find datasets that were to be written, or read, and are not there.

        Parameters
        ----------
        dataset_type, run : `str` or `~collections.abc.Iterable` [`str`], optional
            Names of their types, and the runs that they are in.
        where, limit
            As in `find_quanta`.

        Returns
        -------
        datasets : `pyarrow.Table`
            As `find_datasets` returns them.

        Raises
        ------
        ConditionError
            Raised if the condition is none.
        """
        return self.source.find(DATASET, dataset_type, run, None, where, limit, "missing")
