"""A quantum's provenance in a butler's SQLite file: ids, roles and outputs."""

from __future__ import annotations

__all__ = (
    "OutputHolder",
    "QuantumTables",
    "begin",
    "has_quantum",
    "not_yet_filed",
    "read_roles",
    "require_no_quantum",
    "restore_outputs",
)

import errno
import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from lsst.daf.butler import DataCoordinate, DatasetRef, DatasetType
from lsst.daf.butler.datastores.chainedDatastore import ChainedDatastore
from lsst.daf.butler.datastores.inMemoryDatastore import InMemoryDatastore

from .. import _core
from ..quantum.outputs import ActualOutputs
from ..upstream.refs import dataset_key
from .errors import FileHasQuantumError, RecordFileError, damage_told
from .identity import DatastoreIdentity, write_identities
from .keys import id_of, key_of
from .outputs import FiledOutputs
from .predictions import PredictedArtifact, write_predicted
from .schema import FORMAT_VERSION

if TYPE_CHECKING:
    from lsst.daf.butler import DatasetId, DimensionUniverse
    from lsst.daf.butler.datastore import Datastore
    from lsst.daf.butler.datastore.record_data import DatastoreRecordData

    from .record_file import RecordFile

_WRITE_ROLES = """
    INSERT INTO quantum_butler_role VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (dataset_id) DO UPDATE SET
        predicted_input = excluded.predicted_input,
        predicted_output = excluded.predicted_output,
        available_input = excluded.available_input,
        unavailable_input = excluded.unavailable_input,
        actual_input = excluded.actual_input"""

# Data IDs may have the integers of numpy.
_encode = json.JSONEncoder(default=int).encode

_ROLES = ("predicted_input", "predicted_output", "available_input", "unavailable_input", "actual_input")


class OutputHolder(Protocol):
    """A butler, as far as its outputs go."""

    _outputs: Any


class _Noted(NamedTuple):
    """What is to be written of a quantum."""

    roles: Sequence[tuple[Any, ...]]
    outputs: Sequence[DatasetRef]
    noted_before: Sequence[DatasetRef]
    is_everything: bool


class QuantumTables:
    """What a file is told of a quantum.

    Parameters
    ----------
    tracker : `_core.Tracker`
        The quantum's bookkeeping.
    outputs : `FiledOutputs`
        What it has written.
    datastore : `Datastore`
        Where to.
    """

    def __init__(self, tracker: _core.Tracker, outputs: FiledOutputs, datastore: Datastore):
        self._tracker = tracker
        self._outputs = outputs
        # Whether there are datasets that no file datastore has.
        self._locations = None if _is_all_in_files(datastore) else _locations(datastore)
        self._noted: list[DatasetRef] = []
        # Whether something was taken of which nobody knows if it was written.
        self._in_doubt = False
        self._of_types: dict[int, _OfType] = {}

    def note_output(self, ref: DatasetRef) -> None:
        """Note that a dataset was made an output, or is none any more.

        Parameters
        ----------
        ref : `DatasetRef`
            The dataset, to be written with what comes next.
        """
        self._noted.append(ref)

    def replace_outputs(self, refs: Iterable[DatasetRef], file: RecordFile, butler: OutputHolder) -> None:
        """Let other refs be a butler's actual outputs.

        Parameters
        ----------
        refs : `~collections.abc.Iterable` [ `DatasetRef` ]
            The refs.
        file : `RecordFile`
            The file that this is written to.
        butler : `OutputHolder`
            The butler.
        """
        outputs = FiledOutputs.of(refs, file)
        self._noted += set(self._outputs) ^ set(outputs)
        # Nothing comes between the two.
        self._outputs = butler._outputs = outputs

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
        is_everything, self._in_doubt = self._in_doubt, True
        if is_everything:
            # It begins with all that there are.
            self._tracker.watch()
        roles = self._tracker.take_changes()
        noted_before, self._noted = self._noted, []
        outputs = self._outputs.copy() if is_everything else [*noted_before, *outputs]
        if not (roles or outputs or is_everything):
            self._in_doubt = False
            return None
        return _Noted(roles, list(outputs), noted_before, is_everything)

    def give_back(self, noted: _Noted) -> None:
        """Take note again of what could not be written.

        Parameters
        ----------
        noted : `_Noted`
            What had been taken.
        """
        self._tracker.note_changed([dataset_id for dataset_id, *_ in noted.roles])
        self._noted[:0] = noted.noted_before
        self._in_doubt = noted.is_everything

    def settle(self) -> None:
        """Take what was taken for written."""
        self._in_doubt = False

    def write(self, connection: sqlite3.Connection, noted: _Noted) -> None:
        """Write what was taken.

        Parameters
        ----------
        connection : `sqlite3.Connection`
            Connection in a transaction.
        noted : `_Noted`
            What is to be written.
        """
        if noted.is_everything:
            connection.execute("DELETE FROM quantum_butler_role")
            connection.execute("DELETE FROM quantum_butler_output")
        if noted.roles:
            self._write_roles(connection, noted.roles)
        gone = []
        for ref in noted.outputs:
            if ref in self._outputs:
                self._write_output(connection, ref)
            else:
                gone.append(ref)
        if gone:
            self._write_gone(connection, gone)

    def _write_gone(self, connection: sqlite3.Connection, refs: Sequence[DatasetRef]) -> None:
        connection.executemany(
            "DELETE FROM quantum_butler_output WHERE dataset_id = ?", [(key_of(ref.id),) for ref in refs]
        )
        # A dataset may be among the outputs with several storage classes.
        ids = set(map(dataset_key, refs))
        for ref in self._outputs.copy():
            if dataset_key(ref) in ids:
                self._write_output(connection, ref)

    @staticmethod
    def _write_roles(connection: sqlite3.Connection, roles: Iterable[tuple[Any, ...]]) -> None:
        connection.executemany(_WRITE_ROLES, [(key_of(dataset_id), *of) for dataset_id, *of in roles])

    def _write_output(self, connection: sqlite3.Connection, ref: DatasetRef) -> None:
        connection.execute(
            "INSERT OR REPLACE INTO quantum_butler_output VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", self._row(ref)
        )

    def _row(self, ref: DatasetRef) -> tuple[Any, ...]:
        """Return what an actual output is in the file."""
        dataset_type = ref.datasetType
        # Hashing a dataset type takes longer than all the rest.
        if (known := self._of_types.get(id(dataset_type))) is None:
            known = self._of_types[id(dataset_type)] = _OfType(dataset_type)
        dataset_id = ref.id
        in_memory = self._locations is not None and not any(dataset_id in one for one in self._locations)
        return (key_of(dataset_id), *known.columns, ref.run, known.data_id(ref.dataId), in_memory)


class _OfType:
    """What rows of outputs have from their dataset type.

    Parameters
    ----------
    dataset_type : `DatasetType`
        The type.
    """

    __slots__ = ("_keys", "columns", "dataset_type")

    def __init__(self, dataset_type: DatasetType):
        # Kept, so that no other gets its address.
        self.dataset_type = dataset_type
        self.columns = _type_columns(dataset_type)
        # Those that every data ID has come first.
        self._keys = [f"{_encode(name)}: " for name in dataset_type.dimensions.data_coordinate_keys]

    def data_id(self, data_id: DataCoordinate) -> str:
        """Return a data ID as JSON.

        Parameters
        ----------
        data_id : `DataCoordinate`
            A data ID of the type's dimensions.

        Returns
        -------
        text : `str`
            An object with all the values that it has.
        """
        values = data_id.full_values if data_id.hasFull() else data_id.required_values
        # Most are integers; an encoder is made anew with each call.
        items = [
            f"{key}{value}" if type(value) is int else key + _encode(value)
            for key, value in zip(self._keys, values, strict=False)
        ]
        return f"{{{', '.join(items)}}}"


class _Beginning:
    """A quantum's first entry in a file."""

    is_over = False
    is_written = False

    def __init__(self, datastores: Sequence[DatastoreIdentity], predicted: Sequence[PredictedArtifact]):
        self._datastores = datastores
        self._predicted = predicted

    def write(self, connection: sqlite3.Connection) -> None:
        connection.execute(
            "INSERT OR REPLACE INTO quantum_butler_meta VALUES ('format_version', ?)", (str(FORMAT_VERSION),)
        )
        write_identities(connection, self._datastores)
        write_predicted(connection, self._predicted)

    def take_back(self) -> None:
        """Do nothing: without its beginning there is no butler."""


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
        Those of datasets that the file does not have, be it in the trash.
    """
    from ..datastore.spawn import file_datastores

    missing = dict(records)
    for member in file_datastores(datastore):
        if (data := records.get(member.name)) is not None:
            ids = set(data.records)
            filed = member.bridge.check(ids).union(member._records.locations.trashed(ids))
            if filed:
                subset = data.subset(ids - filed)
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
        Raised if there is no quantum in the file, or it is damaged.
    """
    if not has_quantum(file):
        if not file.has_table("dataset_location") or file.has_table("quantum_butler_meta"):
            raise RecordFileError(
                errno.EINVAL,
                "The file has no quantum in it, be it that none has begun or that it was copied without "
                "the -wal beside it; a new one is begun by initialize",
                file.path,
            )
        # A file of the stock class has records, and none of this.
        return {f"{role}s": [] for role in _ROLES}
    with damage_told(file.path, "quantum_butler_role"):
        return {
            f"{role}s": [
                id_of(key) for (key,) in file.read(f"SELECT dataset_id FROM quantum_butler_role WHERE {role}")
            ]
            for role in _ROLES
        }


def begin(
    file: RecordFile,
    tracker: _core.Tracker,
    datastore: Datastore,
    datastores: Sequence[DatastoreIdentity],
    predicted: Sequence[PredictedArtifact] = (),
) -> FiledOutputs:
    """Write a quantum's provenance to a file from now on.

    Parameters
    ----------
    file : `RecordFile`
        The file.
    tracker : `_core.Tracker`
        The quantum's bookkeeping.
    datastore : `Datastore`
        The butler's datastore.
    datastores : `~collections.abc.Sequence` [ `DatastoreIdentity` ]
        What tells it from others.
    predicted : `~collections.abc.Sequence` [ `PredictedArtifact` ], optional
        Where its outputs are going to be.

    Returns
    -------
    outputs : `FiledOutputs`
        What has been written, to be kept by the butler.
    """
    tracker.watch()
    outputs = FiledOutputs(tracker, file)
    file.keep_quantum(QuantumTables(tracker, outputs, datastore))
    with file.unit(join=True) as unit:
        # It is in doubt for nobody: without it there is no butler.
        unit.changes.append(_Beginning(datastores, predicted))
    return outputs


def restore_outputs(
    file: RecordFile, tracker: _core.Tracker, datastore: Datastore, universe: DimensionUniverse
) -> FiledOutputs:
    """Go on writing a quantum's provenance to the file it was read from.

    Parameters
    ----------
    file : `RecordFile`
        The file, which has a quantum.
    tracker : `_core.Tracker`
        The quantum's bookkeeping.
    datastore : `Datastore`
        The butler's datastore.
    universe : `DimensionUniverse`
        All dimension definitions.

    Returns
    -------
    outputs : `FiledOutputs`
        What had been written.

    Raises
    ------
    RecordFileError
        Raised if the file is damaged.
    """
    outputs = FiledOutputs(tracker, file)
    with damage_told(file.path, "quantum_butler_output"):
        for row in file.read("SELECT * FROM quantum_butler_output"):
            # The file need not be told of what it has.
            ActualOutputs.add(outputs, _ref(row, universe))
    tracker.watch()
    tracker.take_changes()
    file.keep_quantum(QuantumTables(tracker, outputs, datastore))
    return outputs


def _is_all_in_files(datastore: Datastore) -> bool:
    """Tell whether no dataset is kept in memory only."""
    if isinstance(datastore, ChainedDatastore):
        return all(map(_is_all_in_files, datastore.datastores))
    return not isinstance(datastore, InMemoryDatastore)


def _locations(datastore: Datastore) -> list[_core.Locations]:
    """Return which datasets the file datastores have."""
    from ..datastore.spawn import file_datastores

    return [member._records.locations for member in file_datastores(datastore)]


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
    key, name, dimensions, storage_class, parent, is_calibration, run, data_id, _ = row
    dataset_type = DatasetType(
        name,
        universe.conform(json.loads(dimensions)),
        storage_class,
        parentStorageClass=parent,
        isCalibration=bool(is_calibration),
    )
    coordinate = DataCoordinate.standardize(json.loads(data_id), dimensions=dataset_type.dimensions)
    return DatasetRef(dataset_type, coordinate, run, id=id_of(key))
