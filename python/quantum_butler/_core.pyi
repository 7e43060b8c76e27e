"""Private kernel of `quantum_butler`, written in Rust.

Wherever a dataset is asked for, a `uuid.UUID`, an `int`, or anything with an
``id`` (a `DatasetRef`, a `FakeDatasetRef`) will do.  A thing whose ``id`` is
`None` raises `lsst.daf.butler.AmbiguousDatasetError`.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from os import PathLike
from typing import Any, ClassVar, Literal, Never, TypeAlias, TypeVar, final
from uuid import UUID

from typing_extensions import Buffer

__all__ = [
    "ArrowStream",
    "ArrowTable",
    "Closure",
    "Contents",
    "DuplicateKeyError",
    "Duplicates",
    "FileRecords",
    "Folders",
    "Frontier",
    "GatheredBlocks",
    "Gatherer",
    "GraphWriter",
    "IdSet",
    "LineageBuilder",
    "LineageIndex",
    "Locations",
    "LogWriter",
    "Names",
    "PredictedGraph",
    "Provenance",
    "ProvenanceGraph",
    "ProvenanceScanner",
    "RecordMerge",
    "Table",
    "TableBatches",
    "Tracker",
    "Trash",
    "Undo",
    "UnfitValueError",
    "UnknownColumnError",
    "UnreadableGraphError",
    "compress",
    "file_of_dataset",
    "files_exist",
    "fingerprints",
    "frame_pieces",
    "is_plain_path",
    "is_unquoted_path",
    "lone_inputs",
    "partners",
    "ranges_of_ids",
    "remove_files",
    "rows_of_ids",
    "train_dictionary",
    "unpack",
    "write_file",
]

class DuplicateKeyError(ValueError): ...
class UnfitValueError(ValueError): ...
class UnknownColumnError(KeyError): ...
class UnreadableGraphError(ValueError): ...

@final
class Undo:
    """Function that takes one change back, once."""

    # Takes no arguments, which a call slot cannot tell `inspect`.
    def __call__(self, *args: Never, **kwargs: Never) -> None: ...

@final
class IdSet:
    """A live view of one of a tracker's sets of dataset ids."""

    def __len__(self) -> int: ...
    def __contains__(self, item: object, /) -> bool: ...
    def __iter__(self) -> Iterator[UUID | int]: ...
    def add(self, dataset: Any, /) -> None: ...
    def discard(self, dataset: Any, /) -> None: ...

@final
class Tracker:
    """Datasets that one quantum expected, found and used."""

    def __new__(cls, predicted_inputs: Iterable[Any], predicted_outputs: Iterable[Any]) -> Tracker: ...
    def view(
        self,
        role: Literal[
            "predicted_inputs", "predicted_outputs", "available_inputs", "unavailable_inputs", "actual_inputs"
        ],
        /,
    ) -> IdSet: ...
    def is_predicted_output(self, dataset: Any, /) -> bool: ...
    def note_read(self, dataset: Any, /) -> None: ...
    def note_read_failed(self, dataset: Any, /) -> None: ...
    def note_deferred(self, dataset: Any, /) -> None: ...
    def note_unused(self, dataset: Any, /) -> None: ...
    def note_written(self, dataset: Any, /) -> None: ...
    def note_stored(self, dataset: Any, exists: bool, /) -> None: ...
    def note_existence(self, existence: Mapping[Any, bool], /) -> None: ...
    def watch(self, is_new: bool, /) -> None: ...
    def is_settled(self) -> bool: ...
    def changes(
        self, held: Iterable[Any], /
    ) -> tuple[list[tuple[UUID | int, bool, bool, bool, bool, bool]], int]: ...
    def settle_changes(self, upto: int, held: Iterable[Any], /) -> None: ...
    def unpredicted(self, datasets: Sequence[Any], /) -> list[int]: ...
    def require_uuids(self) -> None: ...
    def drop_contradictions(self) -> None: ...
    def settle(self, limit: int, /) -> tuple[int, list[UUID | int], bool, int, list[UUID | int]]: ...

@final
class Contents:
    """The keys and values of a dictionary at one moment: the very objects."""

    def __new__(cls, dict: dict[Any, Any], /) -> Contents: ...
    def are_in(self, dict: dict[Any, Any], /) -> bool: ...

@final
class Table:
    """One opaque table."""

    def __new__(
        cls,
        name: str,
        columns: Sequence[tuple[str, str, bool]],
        primary_key: Sequence[str],
        unique: Sequence[Sequence[str]] = (),
        indexes: Sequence[Sequence[str]] = (),
        lengths: Sequence[tuple[str, int]] = (),
    ) -> Table: ...
    @property
    def name(self) -> str: ...
    @property
    def columns(self) -> list[str]: ...
    def __len__(self) -> int: ...
    def insert(self, rows: Sequence[Mapping[str, Any]], /) -> Undo: ...
    def ensure(self, rows: Sequence[Mapping[str, Any]], /) -> Undo: ...
    def replace(self, rows: Sequence[Mapping[str, Any]], /) -> Undo: ...
    def fetch(self, where: Mapping[str, Any], /) -> list[dict[str, Any]]: ...
    def delete(self, columns: Sequence[str], rows: Sequence[Mapping[str, Any]], /) -> int: ...
    def memory(self) -> int: ...

@final
class Locations:
    """The datasets that one datastore holds, and those in its trash."""

    def __new__(cls, datastore: str) -> Locations: ...
    @property
    def datastore(self) -> str: ...
    def insert(self, datasets: Iterable[Any], /) -> Undo: ...
    def ensure(self, datasets: Iterable[Any], /) -> Undo: ...
    def forget(self, datasets: Iterable[Any], /) -> None: ...
    def move_to_trash(self, datasets: Iterable[Any], /) -> Undo: ...
    def check(self, datasets: Iterable[Any], /) -> set[UUID | int]: ...
    def present(self) -> list[UUID | int]: ...
    def trashed(self, selected: Iterable[Any] | None = None, /) -> list[UUID | int]: ...
    def drop_from_trash(self, datasets: Iterable[Any], /) -> None: ...
    def memory(self) -> int: ...
    def __contains__(self, dataset: object, /) -> bool: ...
    def __len__(self) -> int: ...

@final
class ArrowTable:
    """A table that `pyarrow.table` and others take as it is."""

    def __len__(self) -> int: ...
    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...

@final
class ArrowStream:
    """A table that is made while it is read, and read once."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...

@final
class Frontier:
    """The quanta of a graph, and which of them can run.

    Quanta are numbered from 0 in the order in which they should start.  The
    edges are two arrays of unsigned integers of 32 bits: ``before[i]`` must be
    done before ``after[i]`` can run.  Order and blocking are those of
    ``GraphWalker`` in ``lsst.pipe.base``.
    """

    def __new__(cls, quanta: int, before: Buffer, after: Buffer, /) -> Frontier: ...
    @property
    def left(self) -> int:
        """Number of quanta that are neither done nor failed nor blocked."""

    @property
    def has_ready(self) -> bool:
        """Return whether a quantum can be handed out now."""

    def take(self, most: int, /) -> list[int]:
        """Hand out quanta that can run, at most so many, those of the lowest numbers first."""

    def give_back(self, numbers: Sequence[int], /) -> None:
        """Take back quanta that were handed out, to be handed out again."""

    def finish(self, numbers: Sequence[int], /) -> None:
        """Note quanta that have succeeded, whether or not they were handed out."""

    def fail(self, number: int, /) -> list[int]:
        """Note a quantum that has failed, and return those that cannot run because of it."""

@final
class LineageBuilder:
    """Makes the lineage index of an archive, in about so many bytes of memory and files in a folder.

    Tables are those of the archive (or of some of its columns), in order of the quanta's numbers. Roles of
    edges may also be bits of one column, ``roles``.
    """

    def __new__(cls, folder: str | PathLike[str], memory: int, /) -> LineageBuilder: ...
    def add(self, quanta: Any, edges: Any, records: Any, /) -> None: ...
    def finish(self) -> tuple[ArrowStream, ArrowStream]:
        """Nodes of the index, and the bytes of each quantum's datasets by role."""

@final
class LineageIndex:
    """The lineage index of an archive.

    Datasets are rows of it, quanta numbers of their own; roles are the bits of the file's.
    """

    def __new__(cls, table: Any, /) -> LineageIndex: ...
    @property
    def datasets(self) -> int: ...
    @property
    def quanta(self) -> int: ...
    def dataset(self, id: int, /) -> int | None: ...
    def quantum(self, id: int, /) -> int | None: ...
    def find_datasets(self, ids: Sequence[int], /) -> list[int | None]: ...
    def find_quanta(self, ids: Sequence[int], /) -> list[int | None]: ...
    def dataset_ids(self, rows: Sequence[int], /) -> list[UUID]: ...
    def quantum_ids(self, numbers: Sequence[int], /) -> list[UUID]: ...
    def quanta_of(self, row: int, roles: int, /) -> list[int]: ...
    def writers(self, rows: Sequence[int], /) -> list[int | None]: ...
    def written(self, rows: Sequence[int], /) -> list[bool]: ...
    def producers(self, start: int, stop: int, /) -> ArrowTable: ...
    def datasets_of(self, number: int, /) -> list[tuple[int, int]]: ...
    def closure(self, rows: Sequence[int], /, *, up: bool, actual: bool, depth: int | None) -> Closure: ...
    def census(
        self, task_of: Any, tasks: int, /
    ) -> tuple[list[tuple[list[int], int, int]], tuple[list[int], int, int]]:
        """Numbers of datasets in each role, unused and missing; of each task, and of all."""

    def difference(
        self, other: LineageIndex, /
    ) -> tuple[list[list[UUID]], list[list[UUID]], list[tuple[UUID, UUID, int, int]]]: ...

@final
class Closure:
    """A part of the graph, in order of the distance from where it begins."""

    def datasets(self) -> dict[UUID, int]: ...
    def quanta(self) -> dict[UUID, int]: ...
    def dataset_rows(self) -> list[int]: ...
    def quantum_numbers(self) -> list[int]: ...
    def edges(self) -> list[tuple[int, int, bool]]: ...

@final
class Names:
    """Names of the rows of a table, as numbers of 128 bits."""

    def __new__(cls) -> Names: ...
    def add(self, table: Any, texts: Sequence[str], /) -> None:
        """Add rows, whose names are the values of all columns, of some as texts even if they are integers."""

@final
class FileRecords:
    """One file datastore's records: a table and the locations, changed together.

    ``record_class`` is called with the keyword arguments of
    `lsst.daf.butler.datastore.stored_file_info.StoredFileInfo`.
    """

    def __new__(cls, table: Table, locations: Locations, record_class: type) -> FileRecords: ...
    @property
    def table(self) -> Table: ...
    @property
    def locations(self) -> Locations: ...
    def empty_copy(self) -> FileRecords: ...
    def add(
        self,
        datasets: Sequence[Any],
        infos: Sequence[Any],
        mode: Literal["insert", "ensure", "replace"] = "insert",
        /,
    ) -> Undo: ...
    def import_data(self, records: Mapping[Any, Mapping[str, Sequence[Any]]], /) -> Undo: ...
    def get(self, dataset: Any, /) -> list[Any]: ...
    def get_many(self, datasets: Iterable[Any], /) -> dict[UUID, list[Any]]: ...
    def artifacts(self, datasets: Iterable[Any], /) -> list[list[tuple[str | None, str]]]: ...
    def predict(
        self, datasets: Sequence[Any], paths: Sequence[str], placements: Sequence[Any], /
    ) -> dict[UUID, dict[str, list[Any]]]:
        """Make records of unknown size, by dataset and opaque table.

        A placement has the attributes ``component``, ``storage_class`` and
        ``formatter``.
        """

    def known(self, datasets: Sequence[Any], /) -> list[bool]: ...
    def export(self, datasets: Iterable[Any], /) -> dict[UUID, list[Any]]: ...
    def export_table(self, datasets: Iterable[Any], /) -> ArrowTable: ...
    def import_table(self, table: Any, /) -> Undo: ...
    def exists(self, root: str, dataset: Any, /) -> bool | None: ...
    def exist(self, root: str, datasets: Sequence[Any], /) -> list[bool | None]: ...
    def watch(self) -> None: ...
    def is_settled(self) -> bool: ...
    def changes(
        self, held: Iterable[Any], /
    ) -> tuple[
        list[tuple[str]],
        list[tuple[Any, ...]],
        list[tuple[str, str]],
        list[tuple[str, str]],
        list[tuple[str, str]],
        tuple[int, int],
    ]: ...
    def settle(self, upto: tuple[int, int], held: Iterable[Any], /) -> None: ...
    def trash(self, selected: Iterable[Any] | None = None, /) -> Trash | None: ...

@final
class Trash:
    """Datasets in the trash of a file datastore, and what is to become of their artifacts."""

    @property
    def artifacts(self) -> list[str]: ...
    @property
    def datasets(self) -> list[Any]: ...
    @property
    def kept(self) -> int: ...
    def remove_files(self, root: str, /) -> list[tuple[int, OSError]]: ...
    def empty(self) -> None: ...

@final
class Folders:
    """Local folders that something depends on."""

    def __new__(cls, paths: Iterable[str], /) -> Folders: ...
    def exist(self) -> bool: ...

def rows_of_ids(ids: Any, wanted: Any, /) -> ArrowTable:
    """Return the row of each wanted id among others, each of which is there once, or the greatest number."""

def ranges_of_ids(bounds: Any, wanted: Any, /) -> ArrowTable:
    """Return how many of some ascending ids are not greater, for each wanted one."""

def partners(left: Names, right: Names, /) -> tuple[ArrowTable, ArrowTable]:
    """Return for each row the row of the other side with the same name, or the greatest number."""

def lone_inputs(
    left: Any, right: Any, quanta: Any, of_left: Any, of_right: Any, /
) -> tuple[ArrowTable, ArrowTable]:
    """Return inputs on one side only: which of the quanta has it, and its row there."""

def compress(data: bytes, /) -> bytes: ...
def file_of_dataset(folder: str, dataset: Any, component: str | None, extension: str, /) -> str | None: ...
def files_exist(root: str, paths: Sequence[str], /) -> list[bool]: ...
def is_plain_path(path: str, /) -> bool: ...
def is_unquoted_path(path: str, /) -> bool: ...
def remove_files(root: str, paths: Sequence[str], /) -> list[tuple[int, OSError]]: ...
def write_file(path: str | PathLike[str], temporary: str, data: bytes, /) -> None: ...

# Begin and end in microseconds since 1970, and whether it failed.
_Attempt: TypeAlias = tuple[int | None, int | None, bool | None]

# Scalars and arrays of a part of a task's metadata.
_Section: TypeAlias = tuple[dict[str, Any], dict[str, Any]] | None

# Status, attempt, process and number of earlier quanta; whether there are caveats; host; type and message of
# an exception; what the butler has counted: gets, puts and their seconds; and what the metadata has of the
# quantum, the butler and the job.
_Execution: TypeAlias = tuple[
    tuple[int | None, int | None, int | None, int | None],
    bool,
    str | None,
    tuple[str, str] | None,
    tuple[int, int, float, float] | None,
    _Section,
    _Section,
    _Section,
]

# Name, storage class and required dimensions of a dataset type, and refs.
_OfType: TypeAlias = tuple[str, str | None, Sequence[str], Iterable[Any]]

# Refs that are named in any case, those that are if they are overall inputs, and mappings by ids of these.
_Refs: TypeAlias = tuple[Sequence[_OfType], Sequence[_OfType], Sequence[dict[Any, Any]]]

# An attempt, earlier ones, the connections of its task as JSON, and datasets to be named.
# The last is what was put of metadata and log.
_Details: TypeAlias = tuple[
    _Execution | None, Sequence[_Execution], str | None, _Refs | None, tuple[bytes | None, bytes | None]
]

# Id of a quantum, label of its task, its data ID, the attempt, and what is known besides.
_Heading: TypeAlias = tuple[UUID, str | None, dict[str, int | str] | None, _Attempt, _Details | None]

@final
class LogWriter:
    """Appends to a provenance log that nobody else writes."""

    def __new__(
        cls, path: str | PathLike[str], /, *, compressed: bool, sync: bool, lenient: bool = False
    ) -> LogWriter: ...
    @property
    def torn(self) -> tuple[int, int] | None:
        """Offset and number of the bytes that were cut off because they were incomplete."""

    @property
    def locked(self) -> bool:
        """Return whether another writer is kept out; not where the file system has no locks."""

    def append(self, heading: _Heading, provenance: Provenance, /) -> None: ...
    def append_extracted(
        self,
        heading: _Heading,
        tracker: Tracker,
        actual_outputs: Collection[Any] | None,
        datastores: Sequence[tuple[str, FileRecords]],
        /,
    ) -> None:
        """Append what `Provenance.extract` makes of the last three."""

    def take_pending(self) -> bytes:
        """Return the lines that are not in the file yet; they will not get there from here."""

    def add_pending(self, lines: bytes, /) -> None:
        """Add lines that another log had pending."""

    def abandon(self) -> None:
        """Let go of the file without writing anything."""

    def flush(self) -> None: ...
    def finish(self) -> None: ...

_Dataset = TypeVar("_Dataset")

@final
class ProvenanceScanner:
    """Reads the provenance of quanta into tables: pieces of logs, and files of one quantum each.

    Once ``most_rejected`` entries of a source are rejected, the rest of it is not read.
    With ``contents``, those of metadata and logs are kept.
    """

    def __new__(cls, *, most_rejected: int | None = None, contents: bool = False) -> ProvenanceScanner: ...
    def open_log(self, path: str | PathLike[str], start: int, end: int, /, *, compressed: bool) -> int:
        """Open a log to read a range of it, and return where the first byte of that is."""

    def open_logs(self, logs: Sequence[tuple[int, str, int, bool]], /) -> None:
        """Make ready to read whole logs: number of the source, path, bytes, and whether it is compressed."""

    def advance(self) -> bool:
        """Read on until the tables are full or, which is `True`, what was opened has been read."""

    def start(self, source: int, /) -> None:
        """Go on with another source, from its beginning."""

    def feed(self, data: bytes, /) -> None:
        """Read the next bytes of a log."""

    def finish(self) -> None:
        """Read what is left when a log has ended."""

    def skip(self, reason: str, /) -> None:
        """Reject what comes next, with the line that has begun."""

    def files(self, first_source: int, paths: Sequence[str], /) -> list[int]:
        """Read files of JSON, each a source, and return how many bytes each has."""

    def document(self, source: int, name: str, data: bytes, /) -> None:
        """Read the JSON of one quantum, whose id may be only in the name."""

    @property
    def position(self) -> int:
        """Number of bytes of the source that have come."""

    @property
    def content(self) -> int:
        """Number of bytes of all sources that have come."""

    @property
    def has_given_up(self) -> bool:
        """Return whether the rest of the source is not read, since too much of it was rejected."""

    @property
    def is_full(self) -> bool:
        """Return whether it is time to take the tables."""

    def take(self) -> tuple[list[ArrowTable], list[tuple[int, int, str]]]:
        """Return quanta, edges, records, earlier attempts, names, contents; and what was rejected.

        Of that, the source, the offset and the reason.
        """

@final
class Duplicates:
    """Finds quanta that are there more than once, in one share of them all."""

    PAST: ClassVar[int]
    """Number of the part that has the attempts which an archive knows and does not keep."""

    def __new__(cls, share: int, shares: int, /) -> Duplicates: ...
    def add(self, part: int, first_row: int, quanta: Any, /) -> None: ...
    def places(self) -> ArrowTable:
        """Return the positions of quanta that occur more than once, in order."""

    def finish(self, attempts: Sequence[Any], /) -> tuple[ArrowTable, ArrowTable]:
        """Places of those repeated, and of those replaced with what is kept instead.

        ``attempts`` are those at the `places`: tables with ``content``, the fingerprint, and ``begin``,
        ``end`` and ``failed``.  Which of them counts, ``rust/core/src/scan/attempts.rs`` says.
        """

def fingerprints(quanta: Any, edges: Any, records: Any, /) -> ArrowTable:
    """Return ``content``, the fingerprints of quanta: of rows of the three tables, in one piece each."""

def unpack(dictionary: int, packed: str, /) -> bytes:
    """Return what was packed as contents in a line; a `ValueError` says why that cannot be told."""

def frame_pieces(path: str | PathLike[str], size: int, /) -> list[tuple[int, int]]:
    """Part a log of frames into ranges of about so many bytes."""

@final
class Provenance:
    """The provenance of one quantum, kept out of Python until asked for."""

    @staticmethod
    def extract(
        tracker: Tracker,
        actual_outputs: Collection[Any] | None,
        datastores: Sequence[tuple[str, FileRecords]],
        /,
    ) -> Provenance:
        """Take a quantum's provenance as it stands.

        ``actual_outputs`` of `None` are those that the tracker was told of.
        """

    @staticmethod
    def from_json(data: str | bytes | bytearray, /) -> Provenance | None: ...
    @staticmethod
    def from_fields(fields: Mapping[str, Any], /) -> Provenance | None: ...
    def to_json(self, indent: int | None = None, /) -> str: ...
    def ids(self, field: str, /) -> set[UUID]: ...
    def among(self, field: str, datasets: Sequence[_Dataset], /) -> list[_Dataset]: ...
    def datastore_records(
        self,
    ) -> dict[str, tuple[list[UUID], dict[str, dict[str, dict[str, list[dict[str, Any]]]]]]]: ...
    def __eq__(self, other: object, /) -> bool: ...

@final
class RecordMerge:
    """The datastore records of many quanta, each handed over once.

    The first records of a dataset in an opaque table stay, as with
    `lsst.daf.butler.datastore.record_data.DatastoreRecordData.update`; only
    what is new comes back, by datastore, dataset and opaque table.
    """

    def __new__(cls, record_class: type, /) -> RecordMerge: ...
    def add(self, provenance: Provenance, /) -> dict[str, dict[UUID, dict[str, list[Any]]]] | None: ...
    def add_other(
        self, datastore: str, records: Mapping[UUID, Mapping[str, Sequence[Any]]], /
    ) -> dict[UUID, dict[str, list[Any]]]: ...

_Dimensions: TypeAlias = tuple[list[str], int]
_Types: TypeAlias = tuple[
    list[tuple[str, tuple[str, _Dimensions, dict[str, str], dict[str, str]]]],
    list[tuple[str, tuple[str, _Dimensions]]],
]
_DataId: TypeAlias = Sequence[tuple[str, int | str]]

@final
class TableBatches:
    """An iterator over tables of some quanta or datasets at a time; there is at least one of each."""

    def __iter__(self) -> TableBatches: ...
    def __next__(self) -> list[ArrowTable]: ...

@final
class ProvenanceGraph:
    """Provenance graphs as one; `quantum_graphs` says what the tuples hold."""

    def __new__(cls, paths: Sequence[str | PathLike[str]], /) -> ProvenanceGraph: ...
    @property
    def rows(self) -> int: ...
    def header(self, file: int, /) -> bytes: ...
    def member(self, file: int, name: str, /) -> bytes: ...
    def types(self, file: int, /) -> _Types: ...
    def quantum(self, id: int, /) -> tuple[Any, ...] | None: ...
    def dataset(self, id: int, /) -> tuple[Any, ...] | None: ...
    def logs(self, id: int, /) -> bytes | None: ...
    def metadata(self, id: int, /) -> bytes | None: ...
    def init_quanta(self) -> list[tuple[Any, ...]]: ...
    def find_quanta(self, task: str, data_id: _DataId, /) -> list[UUID]: ...
    def find_datasets(self, dataset_type: str, data_id: _DataId, /) -> list[UUID]: ...
    def alike(self) -> list[list[int]]:
        """Numbers of files that may become one graph."""
    def unite(
        self,
        files: Sequence[int],
        path: str | PathLike[str],
        folder: str | PathLike[str],
        command: str,
        memory: int,
        progress: Callable[[int], object],
        /,
    ) -> tuple[int, int, int, int, int]:
        """Write one graph; numbers of files, quanta, repeated ones, datasets, repeated ones."""
    def quanta(self, rows: int, /) -> TableBatches:
        """Tables of quanta, attempts and edges."""
    def datasets(self, rows: int, /) -> TableBatches: ...

@final
class PredictedGraph:
    """Predicted graphs as one."""

    def __new__(cls, paths: Sequence[str | PathLike[str]], /) -> PredictedGraph: ...
    @property
    def rows(self) -> int: ...
    def header(self, file: int, /) -> bytes: ...
    def member(self, file: int, name: str, /) -> bytes: ...
    def types(self, file: int, /) -> _Types: ...
    def quantum(self, id: int, /) -> tuple[Any, ...] | None: ...
    def text(self, id: int, /) -> bytes | None: ...
    def init_quanta(self) -> list[tuple[Any, ...]]: ...
    def order(self, file: int, /) -> list[tuple[UUID, UUID]]: ...
    def find_quanta(self, task: str, data_id: _DataId, /) -> list[UUID]: ...
    def find_datasets(self, dataset_type: str, data_id: _DataId, /) -> list[UUID]: ...
    def quanta(self, rows: int, /) -> TableBatches:
        """Tables of quanta and edges."""
    def datasets(self, rows: int, /) -> TableBatches: ...

# Id, type, run, and values of the data ID.
_Named: TypeAlias = tuple[int, str, str, list[int | str]]

@final
class Gatherer:
    """Makes blocks of a provenance graph from what logs have of quanta that have just succeeded.

    Of edges from datasets to quanta it has the ids, sixteen bytes each and sorted by dataset, and the ids of
    all datasets that the run was to write.
    """

    def __new__(
        cls, path: str | PathLike[str], datasets: bytes, quanta: bytes, outputs: bytes, /
    ) -> Gatherer: ...
    def lose(self, datasets: Sequence[int], /) -> None:
        """Take notice of what failed or blocked quanta were to write."""
    def plans(self, quanta: Sequence[int], /) -> list[tuple[int, _Named, _Named]]:
        """Return the metadata and the log of quanta that nothing lost stands in the way of."""
    def gather(self, quanta: bytes, contents: ArrowTable | Any, /) -> GatheredBlocks:
        """Gather from logs; given are ids, and a table with dictionary, metadata and log of each."""
    def gather_files(
        self, stored: Sequence[tuple[int, str | PathLike[str], str | PathLike[str]]], /
    ) -> GatheredBlocks:
        """Gather from files; given are id, metadata and log."""

@final
class GatheredBlocks:
    """Blocks of quanta that have just succeeded, and of their datasets."""

    def __len__(self) -> int: ...
    def quanta(self) -> list[int]: ...
    def written(self) -> list[_Named]:
        """Return what the quanta have written."""
    def blocks(self) -> list[tuple[str, int, int | None, bytes]]:
        """Return them as `GraphWriter.add` takes them."""

@final
class GraphWriter:
    """Writes a provenance graph, in about so many bytes of memory and files in a folder."""

    def __new__(
        cls,
        path: str | PathLike[str],
        folder: str | PathLike[str],
        dictionary: bytes,
        level: int,
        memory: int,
        /,
    ) -> GraphWriter: ...
    @staticmethod
    def training(
        path: str | PathLike[str],
        folder: str | PathLike[str],
        bytes: int,
        samples: int,
        level: int,
        memory: int,
        /,
    ) -> GraphWriter:
        """Return one that trains its dictionary with so many blocks of each kind, which wait for it."""
    def datasets(self) -> int:
        """Return how many datasets there are."""
    def without(self, ids: Sequence[int], /) -> list[int]:
        """Return those of some datasets that are not there."""
    def add(self, blocks: Sequence[tuple[str, int, int | None, bytes]], /) -> None:
        """Write blocks: kind, id, the dataset that a log or metadata is of, and JSON."""
    def add_gathered(self, gathered: GatheredBlocks, /) -> None: ...
    def finish(self, header: bytes, members: Sequence[tuple[str, bytes]], /) -> None: ...

def train_dictionary(samples: Sequence[bytes], size: int, /) -> bytes: ...
