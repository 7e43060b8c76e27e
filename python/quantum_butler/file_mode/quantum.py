"""A quantum's provenance in a butler's SQLite file: ids, roles and outputs."""

from __future__ import annotations

__all__ = (
    "FiledOutputs",
    "PredictedArtifact",
    "QuantumTables",
    "begin",
    "has_quantum",
    "id_of",
    "not_yet_filed",
    "predict_artifacts",
    "read_roles",
    "require_no_quantum",
    "restore_outputs",
)

import contextlib
import errno
import functools
import json
import sqlite3
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from lsst.daf.butler import DataCoordinate, DatasetRef, DatasetType

from .. import _core
from ..actual_outputs import ActualOutputs
from .errors import FileHasQuantumError, RecordFileError
from .record_file import hex_of
from .schema import FORMAT_VERSION

if TYPE_CHECKING:
    from lsst.daf.butler import DatasetId, DimensionUniverse
    from lsst.daf.butler.datastore import Datastore
    from lsst.daf.butler.datastore.record_data import DatastoreRecordData

    from ..file_datastore import NativeFileDatastore
    from .record_file import RecordFile

_WRITE_ROLES = """
    INSERT INTO quantum_butler_role VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (dataset_id) DO UPDATE SET
        predicted_input = excluded.predicted_input,
        predicted_output = excluded.predicted_output,
        available_input = excluded.available_input,
        unavailable_input = excluded.unavailable_input,
        actual_input = excluded.actual_input"""

_ROLES = ("predicted_input", "predicted_output", "available_input", "unavailable_input", "actual_input")


class PredictedArtifact(NamedTuple):
    """Where one artifact of a predicted output is going to be."""

    datastore: str
    """Name of the datastore."""

    dataset_id: DatasetId
    """The dataset."""

    path: str
    """Where it is going to be, below the datastore's root."""

    was_there: bool | None
    """Whether there was one when the butler was made, if that is known."""


class _Noted(NamedTuple):
    """What is to be written of a quantum."""

    roles: Sequence[tuple[Any, ...]]
    outputs: Sequence[DatasetRef]
    noted_before: Sequence[DatasetRef]


class QuantumTables:
    """What a file is told of a quantum.

    Parameters
    ----------
    tracker : `_core.Tracker`
        The quantum's bookkeeping.
    outputs : `FiledOutputs`
        What it has written.
    were_there : `set` [ `DatasetId` ]
        Predicted outputs that were there before.
    """

    def __init__(self, tracker: _core.Tracker, outputs: FiledOutputs, were_there: set[DatasetId]):
        self._tracker = tracker
        self._outputs = outputs
        self._were_there = were_there
        self._noted: list[DatasetRef] = []
        self._type_columns: dict[int, tuple[DatasetType, tuple[Any, ...]]] = {}

    def note_output(self, ref: DatasetRef) -> None:
        """Note that a dataset was made an output, or is none any more.

        Parameters
        ----------
        ref : `DatasetRef`
            The dataset, to be written with what comes next.
        """
        self._noted.append(ref)

    def take(self, outputs: Iterable[DatasetRef]) -> _Noted | None:
        """Take what has changed since the last time.

        Parameters
        ----------
        outputs : `~collections.abc.Iterable` [ `DatasetRef` ]
            Outputs to write in any case.

        Returns
        -------
        noted : `_Noted` or `None`
            What is to be written, if anything.
        """
        roles = self._tracker.take_changes()
        noted_before, self._noted = self._noted, []
        outputs = [*noted_before, *outputs]
        return _Noted(roles, outputs, noted_before) if roles or outputs else None

    def give_back(self, noted: _Noted) -> None:
        """Take note again of what could not be written.

        Parameters
        ----------
        noted : `_Noted`
            What had been taken.
        """
        self._tracker.note_changed([dataset_id for dataset_id, *_ in noted.roles])
        self._noted[:0] = noted.noted_before

    def write(self, connection: sqlite3.Connection, noted: _Noted) -> None:
        """Write what was taken.

        Parameters
        ----------
        connection : `sqlite3.Connection`
            Connection in a transaction.
        noted : `_Noted`
            What is to be written.
        """
        if noted.roles:
            connection.executemany(
                _WRITE_ROLES, [(_key(dataset_id), *roles) for dataset_id, *roles in noted.roles]
            )
        for ref in noted.outputs:
            if ref in self._outputs:
                connection.execute(
                    "INSERT OR REPLACE INTO quantum_butler_output VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    self._row(ref),
                )
            else:
                connection.execute("DELETE FROM quantum_butler_output WHERE dataset_id = ?", (_key(ref.id),))
            if self._were_there and ref.id in self._were_there:
                # What was there before no longer is.
                connection.execute(
                    "UPDATE quantum_butler_predicted_artifact SET was_there = 0 WHERE dataset_id = ?",
                    (_key(ref.id),),
                )

    def _row(self, ref: DatasetRef) -> tuple[Any, ...]:
        """Return what an actual output is in the file."""
        dataset_type, data_id = ref.datasetType, ref.dataId
        # Hashing a dataset type takes longer than all the rest.
        if (known := self._type_columns.get(id(dataset_type))) is None:
            known = self._type_columns[id(dataset_type)] = (dataset_type, _type_columns(dataset_type))
        values: Mapping[str, Any] = data_id.mapping if data_id.hasFull() else data_id.required
        return (_key(ref.id), *known[1], ref.run, json.dumps(dict(values)))


class FiledOutputs(ActualOutputs):
    """Refs of the datasets that were written, which go to a file, too.

    Parameters
    ----------
    tracker : `_core.Tracker`
        The quantum's bookkeeping, which is told of each dataset.
    file : `RecordFile`
        The file.
    """

    def __init__(self, tracker: _core.Tracker, file: RecordFile):
        super().__init__(tracker)
        self._file: RecordFile | None = file

    def add(self, ref: DatasetRef, /) -> None:
        # Docstring inherited.
        before = len(self)
        super().add(ref)
        if self._file is not None:
            restore = functools.partial(self.discard, ref) if len(self) > before else _nothing
            self._file.note_output(ref, restore)

    def discard(self, ref: object, /) -> None:
        """Remove a ref, if it is there.

        Parameters
        ----------
        ref : `DatasetRef`
            Ref of a dataset that is none of the outputs any more.
        """
        if ref in self:
            super().discard(ref)
            if self._file is not None:
                self._file.note_output(ref, functools.partial(self.add, cast(DatasetRef, ref)))


def _telling_the_file(name: str) -> Callable[..., Any]:
    """Make a method of `set` that tells the file what has changed."""
    change = getattr(ActualOutputs, name)

    def changed(refs: FiledOutputs, *others: Iterable[Any]) -> Any:
        before = refs.copy()
        result = change(refs, *others)
        if (file := refs._file) is not None:
            for ref in before ^ refs:
                file.note_output(ref, _nothing)
        return result

    changed.__name__, changed.__doc__ = name, change.__doc__
    return changed


for _name in (
    "__iand__",
    "__ior__",
    "__isub__",
    "__ixor__",
    "clear",
    "difference_update",
    "intersection_update",
    "pop",
    "remove",
    "symmetric_difference_update",
    "update",
):
    setattr(FiledOutputs, _name, _telling_the_file(_name))


class _Beginning:
    """A quantum's first entry in a file."""

    is_over = False
    is_written = False

    def __init__(self, predicted: Sequence[PredictedArtifact]):
        self._predicted = predicted

    def write(self, connection: sqlite3.Connection) -> None:
        connection.execute(
            "INSERT OR REPLACE INTO quantum_butler_meta VALUES ('format_version', ?)", (str(FORMAT_VERSION),)
        )
        connection.executemany(
            "INSERT OR REPLACE INTO quantum_butler_predicted_artifact VALUES (?, ?, ?, ?)",
            [(name, _key(dataset_id), path, there) for name, dataset_id, path, there in self._predicted],
        )

    def take_back(self) -> None:
        """Do nothing: without its beginning there is no butler."""


def predict_artifacts(datastore: Datastore, outputs: Iterable[Any]) -> list[PredictedArtifact]:
    """Tell where predicted outputs are going to be.

    Parameters
    ----------
    datastore : `Datastore`
        Datastore that they are going to be put into.
    outputs : `~collections.abc.Iterable` [ `DatasetId` or `DatasetRef` ]
        The outputs.  Nothing can be told of those that are given as ids.

    Returns
    -------
    predicted : `list` [ `PredictedArtifact` ]
        Where each of their artifacts is going to be, in each file datastore.
    """
    from ..datastores import file_datastores

    refs = [ref for ref in outputs if isinstance(ref, DatasetRef)]
    return [
        PredictedArtifact(name, dataset_id, path, was_there)
        for member in file_datastores(datastore)
        for name, dataset_id, path, was_there in _predict(member, refs)
    ]


def _predict(
    datastore: NativeFileDatastore, refs: Iterable[DatasetRef]
) -> Iterator[tuple[str, DatasetId, str, bool | None]]:
    owners: list[DatasetId] = []
    paths: list[str] = []
    for ref in refs:
        # What the datastore refuses, or cannot place, is never put there.
        with contextlib.suppress(Exception):
            ref = datastore._cast_storage_class(ref)
            if (predicted := datastore._predict(ref)) is not None:
                found = [path for path, _ in predicted]
            else:
                found = [info.path for _, info in datastore._get_expected_dataset_locations_info(ref)]
            owners += [ref.id] * len(found)
            paths += found
    there: Sequence[bool | None] = [None] * len(paths)
    if datastore.root_path is not None:
        there = _core.files_exist(datastore.root_path, paths)
    for owner, path, was_there in zip(owners, paths, there, strict=True):
        yield datastore.name, owner, path, was_there


def has_quantum(file: RecordFile) -> bool:
    """Tell whether a file has a quantum's provenance.

    Parameters
    ----------
    file : `RecordFile`
        The file.

    Returns
    -------
    has_quantum : `bool`
        Whether it has; files of the stock class do not.

    Raises
    ------
    RecordFileError
        Raised if it was written by a later version of this package.
    """
    if not file.has_table("quantum_butler_meta"):
        return False
    rows = file.read("SELECT value FROM quantum_butler_meta WHERE name = 'format_version'")
    for (version,) in rows:
        if version != str(FORMAT_VERSION):
            raise RecordFileError(
                errno.EINVAL,
                f"The file is of format {version}; this version of quantum-butler knows {FORMAT_VERSION}",
                file.path,
            )
    return bool(rows)


def require_no_quantum(file: RecordFile) -> None:
    """Make sure that a file is not that of another quantum.

    Parameters
    ----------
    file : `RecordFile`
        The file.

    Raises
    ------
    FileHasQuantumError
        Raised if there is another quantum in the file.
    """
    if has_quantum(file):
        raise FileHasQuantumError(
            errno.EEXIST, "The file has a quantum in it already; go on with it by resume", file.path
        )


def not_yet_filed(
    datastore: Datastore, records: Mapping[str, DatastoreRecordData]
) -> Mapping[str, DatastoreRecordData]:
    """Leave out records of datasets that a file of the stock class has.

    Parameters
    ----------
    datastore : `Datastore`
        Datastore with the records of the file.
    records : `~collections.abc.Mapping` [ `str`, `DatastoreRecordData` ]
        Records to import, by the name of a datastore.

    Returns
    -------
    missing : `~collections.abc.Mapping` [ `str`, `DatastoreRecordData` ]
        Those of datasets that the file does not have.
    """
    from ..datastores import file_datastores

    missing = dict(records)
    for member in file_datastores(datastore):
        if len(member._records.locations) and (data := records.get(member.name)) is not None:
            ids = set(data.records)
            subset = data.subset(ids - member.bridge.check(ids))
            missing[member.name] = type(data)() if subset is None else subset
    return missing


def read_roles(file: RecordFile) -> dict[str, list[DatasetId]]:
    """Read a quantum's id sets from a file.

    Parameters
    ----------
    file : `RecordFile`
        The file.

    Returns
    -------
    roles : `dict` [ `str`, `list` [ `DatasetId` ] ]
        Ids by the name of the set.

    Raises
    ------
    RecordFileError
        Raised if there is no quantum in the file.
    """
    if not has_quantum(file):
        if not file.has_table("dataset_location") or file.has_table("quantum_butler_meta"):
            raise RecordFileError(
                errno.EINVAL, "The file has no quantum in it yet; make its butler with initialize", file.path
            )
        # A file of the stock class has records, and none of this.
        return {f"{role}s": [] for role in _ROLES}
    return {
        f"{role}s": [
            id_of(key) for (key,) in file.read(f"SELECT dataset_id FROM quantum_butler_role WHERE {role}")
        ]
        for role in _ROLES
    }


def begin(file: RecordFile, tracker: _core.Tracker, predicted: Sequence[PredictedArtifact]) -> FiledOutputs:
    """Write a quantum's provenance to a file from now on.

    Parameters
    ----------
    file : `RecordFile`
        The file.
    tracker : `_core.Tracker`
        The quantum's bookkeeping.
    predicted : `~collections.abc.Sequence` [ `PredictedArtifact` ]
        Where its outputs are going to be.

    Returns
    -------
    outputs : `FiledOutputs`
        What has been written, to be kept by the butler.
    """
    tracker.watch()
    outputs = FiledOutputs(tracker, file)
    were_there = {artifact.dataset_id for artifact in predicted if artifact.was_there}
    file.keep_quantum(QuantumTables(tracker, outputs, were_there))
    file.apply(_Beginning(predicted))
    return outputs


def restore_outputs(file: RecordFile, tracker: _core.Tracker, universe: DimensionUniverse) -> FiledOutputs:
    """Go on writing a quantum's provenance to the file it was read from.

    Parameters
    ----------
    file : `RecordFile`
        The file.
    tracker : `_core.Tracker`
        The quantum's bookkeeping.
    universe : `DimensionUniverse`
        All dimension definitions.

    Returns
    -------
    outputs : `FiledOutputs`
        What had been written.
    """
    outputs = FiledOutputs(tracker, file)
    tracker.watch()
    tracker.take_changes()
    rows: list[tuple[Any, ...]] = []
    if has_quantum(file):
        for row in file.read("SELECT * FROM quantum_butler_output"):
            outputs.add(_ref(row, universe))
        rows = file.read("SELECT DISTINCT dataset_id FROM quantum_butler_predicted_artifact WHERE was_there")
    file.keep_quantum(QuantumTables(tracker, outputs, {id_of(key) for (key,) in rows}))
    return outputs


def id_of(key: str | int) -> DatasetId:
    """Return the id that a key of the quantum's tables stands for.

    Parameters
    ----------
    key : `str` or `int`
        Thirty-two hexadecimal digits, or an integer id.

    Returns
    -------
    dataset_id : `DatasetId`
        The id.
    """
    return cast(Any, key) if isinstance(key, int) else uuid.UUID(hex=key)


def _key(dataset_id: Any) -> str | int:
    return dataset_id if isinstance(dataset_id, int) else hex_of(dataset_id)


def _type_columns(dataset_type: DatasetType) -> tuple[Any, ...]:
    parent = dataset_type.parentStorageClass
    return (
        dataset_type.name,
        json.dumps(list(dataset_type.dimensions.names)),
        dataset_type.storageClass_name,
        None if parent is None else parent.name,
        dataset_type.isCalibration(),
    )


def _ref(row: Sequence[Any], universe: DimensionUniverse) -> DatasetRef:
    """Return the ref that a row of the outputs stands for."""
    key, name, dimensions, storage_class, parent, is_calibration, run, data_id = row
    dataset_type = DatasetType(
        name,
        universe.conform(json.loads(dimensions)),
        storage_class,
        parentStorageClass=parent,
        isCalibration=bool(is_calibration),
    )
    coordinate = DataCoordinate.standardize(json.loads(data_id), dimensions=dataset_type.dimensions)
    return DatasetRef(dataset_type, coordinate, run, id=id_of(key))


def _nothing() -> None:
    """Restore nothing."""
