"""The provenance log: the provenance of many quanta in one file.

A log is JSON Lines: one object a line, with the quantum's id, its task's label,
its data ID, and when the attempt was made and whether it failed, before the
documented fields of `QuantumProvenanceData`.  It is read by anything that reads
JSON Lines, and gathered by ``quantum-butler collect``.
"""

from __future__ import annotations

__all__ = ("ProvenanceLog", "ProvenanceSource", "native_provenance")

import logging
import os
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from .. import _core
from ..locks import ForkSafeLock, warn_of_no_locks
from ..paths import local_path
from ..switches import LogFailure
from .attempt import Beginning, has_failed, microseconds, now
from .execution import AttemptError, Observed, details_of
from .values import data_id_value

if TYPE_CHECKING:
    import uuid
    from datetime import datetime

    from lsst.daf.butler import (
        DataCoordinate,
        DatasetRef,
        Quantum,
        QuantumBackedButler,
        QuantumProvenanceData,
    )
    from lsst.daf.butler.logging import ButlerLogRecords
    from lsst.pipe.base import TaskMetadata

    ProvenanceSource: TypeAlias = QuantumBackedButler | QuantumProvenanceData
    NativeParts: TypeAlias = tuple[
        _core.Tracker, Collection[DatasetRef] | None, Sequence[tuple[str, _core.FileRecords]]
    ]

_LOG = logging.getLogger(__name__)


class ProvenanceLog:
    """A file that the provenance of one quantum after the other goes to.

    Parameters
    ----------
    path : `str` or `os.PathLike`
        Local file to append to, made if there is none.  With the ending
        ``.jsonl`` it holds the lines as they are, with ``.jsonl.zst`` in
        Zstandard frames.
    fsync : `bool`, optional
        Whether to wait until the disk has what is written.
    provenance_contents : `bool`, optional
        Whether lines also have, compressed, what was put as metadata and log of
        the quantum.  ``quantum-butler aggregate`` then need not read them.
    on_failure : `str` or `None`, optional
        What happens if something cannot be written later: ``"fail"``, an
        error; ``"warn"``, a warning, and it is lost; ``"spill"``, it goes to a
        log of the same name in a second folder.  By default ``"fail"``, or
        ``"spill"`` with ``spill_to``.
    spill_to : `str` or `os.PathLike` or `None`, optional
        That folder, made if there is none.

    Raises
    ------
    ValueError
        Raised if the path has another ending or is a URI, or the file is not a
        provenance log, or is a log that somebody is writing to; if there is no
        such policy, or one of ``"spill"`` and its folder is without the other.
    OSError
        Raised if the file cannot be opened or made; its folder must exist.

    Notes
    -----
    When `append` returns, the operating system has the line; of a
    ``.jsonl.zst`` log that is so when `flush` or `close` returns.  A process
    that is killed leaves a log of which at most the end is incomplete; opening
    it again cuts that end off, with a warning.

    One instance may be used from several threads, but not from several
    processes: each has a log of its own.  On a file system without locks
    nobody is kept from that, and there is a warning.
    """

    _lenient = False
    """Whether what a line cannot have, but its provenance, is written as its
    text; else it is an error (`bool`).
    """

    _opens_late = False
    """Whether the file is opened with the first line (`bool`)."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        fsync: bool = False,
        provenance_contents: bool = False,
        on_failure: str | None = None,
        spill_to: str | os.PathLike[str] | None = None,
    ):
        self._path = local_path(path)
        self._has_contents = provenance_contents
        if not self._path.endswith((".jsonl", ".jsonl.zst")):
            raise ValueError(f"{self._path}: the name of a provenance log ends with .jsonl or .jsonl.zst")
        self._sync = fsync
        self._failure = LogFailure.of(on_failure, spill_to)
        self._spill: _core.LogWriter | None = None
        self._is_closed = False
        self._opening = ForkSafeLock()
        self._writer: _core.LogWriter | None = None
        if not self._opens_late:
            self._writer = self._make_writer(self._path)

    def _make_writer(self, path: str) -> _core.LogWriter:
        """Open a file to append to, and say what is odd about it."""
        writer = _core.LogWriter(
            path, compressed=path.endswith(".zst"), sync=self._sync, lenient=self._lenient
        )
        if not writer.locked:
            warn_of_no_locks(path)
        if (torn := writer.torn) is not None:
            offset, length = torn
            _LOG.warning(
                "%s: the last %d bytes, from offset %d, were the beginning of what a process did not live to "
                "write; they have been cut off.",
                path,
                length,
                offset,
            )
        return writer

    def _main_writer(self) -> _core.LogWriter:
        """Return what writes the file, or raise `OSError` if it could not be opened, and cannot be now."""
        if self._writer is None:
            with self._opening:
                if self._writer is None:
                    self._writer = self._make_writer(self._path)
        return self._writer

    def _spill_writer(self, reason: OSError) -> _core.LogWriter:
        """Return what writes to the second folder, where a log is made with the first line."""
        folder = self._failure.spill_to
        assert folder is not None
        with self._opening:
            if self._spill is None:
                os.makedirs(folder, exist_ok=True)
                self._spill = self._make_writer(os.path.join(folder, os.path.basename(self._path)))
                _LOG.warning(
                    "%s cannot be written (%s): what is meant for it goes to %s.", self._path, reason, folder
                )
            return self._spill

    @property
    def path(self) -> str:
        """The file (`str`)."""
        return self._path

    def append(
        self,
        quantum_id: uuid.UUID,
        source: ProvenanceSource,
        *,
        task_label: str | None = None,
        data_id: DataCoordinate | Mapping[str, int | str] | None = None,
        begin: datetime | None = None,
        end: datetime | None = None,
        failed: bool | None = None,
        quantum: Quantum | None = None,
        connections: Mapping[str, Mapping[str, str]] | None = None,
        metadata: TaskMetadata | None = None,
        logs: ButlerLogRecords | None = None,
        error: AttemptError | None = None,
        warn: bool = True,
    ) -> bool:
        """Append the provenance of one quantum.

        Parameters
        ----------
        quantum_id : `uuid.UUID`
            Id of the quantum.
        source : `QuantumBackedButler` or `QuantumProvenanceData`
            Butler that backed it, or what was extracted from that.
        task_label : `str` or `None`, optional
            Label of its task.
        data_id : `DataCoordinate` or `~collections.abc.Mapping` [`str`, \
                `int` or `str`] or `None`, optional
            Its data ID; of a `DataCoordinate`, the required dimensions.
            Values are texts, and whole numbers of 64 bits.  As in upstream's
            data IDs, integers of `numpy` are such numbers, and so is a `bool`.
        begin : `datetime.datetime` or `None`, optional
            When this attempt at the quantum began, with its time zone; by
            default, of a `QuantumBackedButler` of this package, when that was
            made.
        end : `datetime.datetime` or `None`, optional
            When it ended; by default, of a butler, now.
        failed : `bool` or `None`, optional
            Whether it failed; by default that is known, of a butler of this
            package, only while an exception is being handled that was not when
            the butler was made.
        quantum : `Quantum` or `None`, optional
            The quantum, whose outputs and overall inputs are named then; by
            default that for which a butler of this package was made.
        connections : `~collections.abc.Mapping` or `None`, optional
            Names of the dataset types of its task by that of the connection,
            for each of ``inputs``, ``outputs`` and so on.
        metadata : `lsst.pipe.base.TaskMetadata` or `None`, optional
            The metadata that the task has written; by default what was put
            into a butler of this package.
        logs : `lsst.daf.butler.logging.ButlerLogRecords` or `None`, optional
            The log that was written; by default what was put into a butler of
            this package.
        error : `BaseException` or `tuple` [`str`, `str`] or `None`, optional
            What has ended it, or the name of its class and its message, if the
            log does not tell; by default, of a butler of this package, the
            exception that is being handled.
        warn : `bool`, optional
            Whether to warn of what is odd about a butler's inputs, as its
            `~QuantumBackedButler.extract_provenance_data` does.

        Returns
        -------
        written : `bool`
            `False` if it cannot be written, and ``"warn"`` lets it be lost.

        Raises
        ------
        OSError
            Raised if it cannot be written, nor, with ``"spill"``, in the second
            folder.  The log is as it was before.
        TypeError
            Raised if an argument is of another type.
        ValueError
            Raised if the log is closed, a dataset id is an integer, a number
            has more than 64 bits, or a time has no time zone.

        Notes
        -----
        Of several attempts at a quantum, ``quantum-butler collect`` keeps the
        last that did not fail, or else the last.
        """
        cls = type(source)
        ours = getattr(cls, "_for_log", None)
        beginning: Beginning | None = getattr(source, "_beginning", None) if ours is not None else None
        observed: Observed | None = getattr(source, "_observed", None) if ours is not None else None
        labels = quantum_id, task_label, self._values(data_id)
        times = [None if moment is None else microseconds(moment) for moment in (begin, end)]
        if beginning is not None:
            times[0] = beginning.time if begin is None else times[0]
            if has_failed(beginning):
                failed = True if failed is None else failed
                error = sys.exception() if error is None else error
        if end is None and hasattr(cls, "extract_provenance_data"):
            times[1] = now()
        details = details_of(
            observed,
            task_label=task_label,
            failed=failed,
            quantum=quantum,
            connections=connections,
            metadata=metadata,
            logs=logs,
            error=error,
            dataset_types=getattr(source, "_dataset_types", None) or {} if ours is not None else {},
            with_contents=self._has_contents,
        )
        heading = *labels, (times[0], times[1], failed), details
        made_from: Any = source if ours is None else ours(source, warn=warn)
        if type(made_from) is not tuple:
            made_from = native_provenance(made_from)
        try:
            writer = self._writer or self._main_writer()
            if type(made_from) is tuple:
                # From the butler's books into the log, with no copy in between.
                writer.append_extracted(heading, *made_from)
            else:
                writer.append(heading, made_from)
        except OSError as error:
            if self._failure.policy == "fail":
                raise
            return self._see_to(error, heading, made_from)
        return True

    def _see_to(self, error: OSError, heading: Any, made_from: Any) -> bool:
        """Do with a line that cannot be written what the policy says, and return whether it is written."""
        if self._failure.policy == "warn":
            _LOG.warning("The provenance of quantum %s is lost: %s", heading[0], error)
            return False
        if self._writer is not None:
            self._give_up_pending(self._writer, error)
        writer = self._spill_writer(error)
        if type(made_from) is tuple:
            writer.append_extracted(heading, *made_from)
        else:
            writer.append(heading, made_from)
        return True

    def _values(self, data_id: Any) -> dict[str, Any] | None:
        """Return the values of a data ID, by `data_id_value`."""
        if data_id is None:
            return None
        values = dict(getattr(data_id, "required", data_id))
        for name, value in values.items():
            if type(value) is not int and type(value) is not str:
                try:
                    values[name] = data_id_value(value)
                except TypeError as error:
                    if not self._lenient:
                        raise TypeError(f"the value of {name} is wrong: {error}") from None
        return values

    def flush(self) -> None:
        """Hand over to the operating system whatever it does not have yet.

        Raises
        ------
        OSError
            Raised if it cannot be written, nor, with ``"spill"``, in the second
            folder.  It stays to be written later.
        ValueError
            Raised if the log is closed.
        """
        self._write_rest(_core.LogWriter.flush)

    def close(self) -> None:
        """Flush and let go of the file.  Closing a closed log does nothing.

        Raises
        ------
        OSError
            Raised if something cannot be written, nor, with ``"spill"``, in the
            second folder.  The log is still open.
        """
        if not self._is_closed:
            self._write_rest(_core.LogWriter.finish)
            self._is_closed = True

    def _write_rest(self, write: Callable[[_core.LogWriter], None]) -> None:
        """Have both files written, as far as there are any."""
        if self._writer is not None:
            try:
                write(self._writer)
            except OSError as error:
                if self._failure.policy == "fail":
                    raise
                self._give_up_pending(self._writer, error)
                if write is _core.LogWriter.finish:
                    self._writer.abandon()
        if self._spill is not None:
            write(self._spill)

    def _give_up_pending(self, writer: _core.LogWriter, error: OSError) -> None:
        """Do with the lines that a file does not get what the policy says."""
        lines = writer.take_pending()
        if self._failure.policy == "warn":
            if lines:
                _LOG.warning("The provenance of %d quanta is lost: %s", lines.count(b"\n"), error)
            return
        try:
            spill = self._spill_writer(error)
        except OSError:
            writer.add_pending(lines)
            raise
        spill.add_pending(lines)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def native_provenance(source: ProvenanceSource) -> _core.Provenance:
    """Return the provenance of a butler's quantum, or of a model, without making Python objects of it."""
    # A model would look for a name it does not have in many places.
    extracts = hasattr(type(source), "extract_provenance_data")
    data: Any = source.extract_provenance_data() if extracts else source  # type: ignore[union-attr]
    if hasattr(type(data), "to_native"):
        native = data.to_native()
    elif hasattr(data, "model_dump_json"):
        native = _core.Provenance.from_json(data.model_dump_json())
    else:
        raise TypeError(
            "provenance comes from a QuantumBackedButler or a QuantumProvenanceData, "
            f"not {type(source).__name__}"
        )
    if native is None:
        raise ValueError(f"{type(data).__name__} holds values that its fields do not allow")
    provenance: _core.Provenance = native
    return provenance
