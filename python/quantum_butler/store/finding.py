"""Finds datasets, or their expected places, and says whether they exist."""

from __future__ import annotations

__all__ = (
    "all_exist",
    "exists",
    "expected_locations",
    "find_recorded_files",
    "find_unrecorded_files",
    "many_uris",
    "predict_records",
    "unrecorded_files",
)

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from lsst.daf.butler import DatasetRef
from lsst.daf.butler.datastore import DatasetRefURIs, FileTransferRecord
from lsst.daf.butler.datastore.record_data import DatastoreRecordData
from lsst.resources import ResourcePath
from lsst.utils.logging import VERBOSE

from .. import _core
from ..upstream import NotOurs, words
from ..upstream.refs import carried_records, dataset_key
from .file_store import LOG

if TYPE_CHECKING:
    from lsst.daf.butler import DatasetId, DatasetType, Location
    from lsst.daf.butler.datastore import FileTransferMap
    from lsst.daf.butler.datastore.stored_file_info import StoredFileInfo

    from .file_store import FileStore
    from .placement import Placement


def exists(store: FileStore, ref: DatasetRef) -> bool:
    """Return whether a recorded dataset in local files exists, as a whole."""
    root = store.folder()
    if store.has_words(logging.DEBUG) or store.may_be_cached([ref]):
        raise NotOurs
    if (found := store.records.exists(root, ref)) is None:
        raise NotOurs
    return found


def all_exist(
    store: FileStore,
    refs: Sequence[DatasetRef],
    artifact_existence: dict[ResourcePath, bool] | None = None,
    *,
    upstreams: Callable[[list[DatasetRef]], dict[DatasetRef, bool]],
) -> dict[DatasetRef, bool]:
    """Return which of many datasets exist: of recorded ones all artifacts, of others any."""
    if artifact_existence is not None or len(set(map(dataset_key, refs))) < len(refs):
        # Upstream answers only once for each dataset id.
        raise NotOurs
    if store.may_be_cached(refs):
        # Upstream takes a file in the cache for one in the datastore.
        cached = [ref for ref in refs if store.may_be_cached([ref])]
        if store.has_words(logging.DEBUG) or _share_places(store, refs, cached):
            raise NotOurs
        ids = set(map(dataset_key, cached))
        existence = upstreams(cached)
        existence.update(_exist(store, [ref for ref in refs if dataset_key(ref) not in ids], upstreams))
        return existence
    return _exist(store, refs, upstreams)


def _share_places(store: FileStore, refs: Sequence[DatasetRef], cached: Sequence[DatasetRef]) -> bool:
    """Return whether datasets in the cache may be in one place with others.

    Upstream answers for only one of them, so that they have to be asked about together.
    """
    artifacts = store.records.artifacts(refs)
    paths = [path for found in artifacts for path in {path for _, path in found}]
    if store.is_trusting and not all(store.records.known(cached)):
        unrecorded = [ref for ref, found in zip(refs, artifacts, strict=True) if not found]
        paths += [path for ref in unrecorded for path, _ in store.expected(store.as_registered(ref))]
    return len(set(paths)) < len(paths)


def _exist(
    store: FileStore,
    refs: Sequence[DatasetRef],
    upstreams: Callable[[list[DatasetRef]], dict[DatasetRef, bool]],
) -> dict[DatasetRef, bool]:
    """Return which datasets exist, none of them known to be in the file cache."""
    existence: dict[DatasetRef, bool] = {}
    rest = []
    for ref, found in zip(refs, _recorded_exist(store, refs), strict=True):
        if found is None:
            rest.append(ref)
        else:
            existence[ref] = found
    if rest:
        if store.is_trusting:
            if store.has_words(logging.DEBUG) or words.are_wanted(words.PLACING):
                _say_unrecorded(store, refs, rest)
            existence.update(_expected_exist(store, rest))
        if len(existence) < len(refs):
            existence.update(upstreams([ref for ref in rest if ref not in existence]))
    return existence


def _recorded_exist(store: FileStore, refs: Sequence[DatasetRef]) -> list[bool | None]:
    """Return which recorded datasets exist as a whole; `None` where only upstream can tell."""
    if (root := store.root) is not None:
        return store.records.exist(root, refs)
    artifacts = [[path for _, path in found] for found in store.records.artifacts(refs)]
    uses = Counter(path for paths in artifacts for path in set(paths))
    # Upstream answers for only one of several datasets in one place.
    is_ours = [
        bool(paths) and all(_core.is_plain_path(path) and uses[path] == 1 for path in paths)
        for paths in artifacts
    ]
    asked = [path for paths, ours in zip(artifacts, is_ours, strict=True) if ours for path in paths]
    found = dict(zip(asked, store.files_exist(asked), strict=True))
    return [
        all(found[path] for path in paths) if ours else None
        for paths, ours in zip(artifacts, is_ours, strict=True)
    ]


def _say_unrecorded(store: FileStore, refs: Sequence[DatasetRef], rest: Sequence[DatasetRef]) -> None:
    """Say that some datasets have no records, and where they are looked for."""
    registered = {ref.id: store.as_registered(ref) for ref in refs}
    paths = [path for ref in rest for path, _ in store.expected(registered[ref.id])]
    if any(store.records.known(rest)) or len(set(paths)) < len(paths):
        # Upstream is asked about some of them, and says all of it.
        raise NotOurs
    # Upstream's order is that of a set which comes about like this.
    others = set(registered) - {ref.id for ref in rest}
    unrecorded = set(registered.keys()) - others
    LOG.debug("%d datasets were not known to datastore during initial existence check.", len(unrecorded))
    store.say_places(registered[dataset_id] for dataset_id in unrecorded)


def _expected_exist(store: FileStore, refs: Sequence[DatasetRef]) -> dict[DatasetRef, bool]:
    """Return whether any artifact exists of those unrecorded datasets that are ours to place."""
    owners: list[DatasetRef] = []
    paths: list[str] = []
    for ref, is_recorded in zip(refs, store.records.known(refs), strict=True):
        # A recorded dataset is here because its path is a peculiar one.
        if not is_recorded:
            try:
                expected = store.expected(store.as_registered(ref))
            except NotOurs:
                continue
            owners += [ref] * len(expected)
            paths += [path for path, _ in expected]
    if len(set(paths)) < len(paths):
        # Upstream answers for only one of several datasets in one place.
        return {}
    existence: dict[DatasetRef, bool] = {}
    for ref, is_there in zip(owners, store.files_exist(paths), strict=True):
        existence[ref] = is_there or existence.get(ref, False)
    return existence


def expected_locations(store: FileStore, ref: DatasetRef) -> list[tuple[Location, StoredFileInfo]]:
    """Return where the artifacts of a dataset are expected, with what is expected to be recorded."""
    whole = ref.makeCompositeRef() if ref.isComponent() else ref
    expected = store.expected(whole)
    store.say_places([whole])
    of_path = store.locations.of_predicted
    return [(of_path(path), placement.predict(path)) for path, placement in expected]


def many_uris(
    store: FileStore,
    refs: Iterable[DatasetRef],
    predict: bool,
    allow_missing: bool,
    *,
    upstreams: Callable[[list[DatasetRef], bool, bool], dict[DatasetRef, DatasetRefURIs]],
) -> dict[DatasetRef, DatasetRefURIs]:
    """Return the URIs of recorded datasets, and predict those of others."""
    # An iterator would be at its end when upstream goes through it again.
    if not isinstance(refs, Collection) or any(map(_carries_records, refs)):
        raise NotOurs
    locations = store.locations
    result: dict[DatasetRef, DatasetRefURIs] = {}
    recorded: list[tuple[DatasetRef, list[tuple[str | None, ResourcePath]]]] = []
    rest = []
    for ref, artifacts in zip(refs, store.records.artifacts(refs), strict=True):
        if artifacts:
            if all(_core.is_plain_path(path) for _, path in artifacts):
                found = [(component, locations.uri(path)) for component, path in artifacts]
            else:
                infos = store.records.get(ref)
                found = [(info.component, locations.of_record(info).uri) for info in infos]
            recorded.append((ref, found))
            continue
        if not predict:
            # Upstream looks for it, or says that it is missing.
            raise NotOurs
        try:
            expected = store.expected(ref)
        except NotOurs:
            rest.append(ref)
        else:
            found = [(placement.component, locations.predicted(path)) for path, placement in expected]
            result[ref] = _ref_uris(found)
    if words.are_wanted(words.PLACING):
        if rest:
            # Upstream says all of it, in the order of the datasets.
            raise NotOurs
        store.say_places(list(result))
    for ref, found in recorded:
        # A single one is the dataset, whatever component it is said to hold.
        result[ref] = DatasetRefURIs(found[0][1]) if len(found) == 1 else _ref_uris(found)
    if rest:
        result.update(upstreams(rest, predict, allow_missing))
    return result


def _carries_records(ref: DatasetRef) -> bool:
    return carried_records(ref) is not None


def _ref_uris(artifacts: Sequence[tuple[str | None, ResourcePath]]) -> DatasetRefURIs:
    """Return the URI of a whole dataset, or those of its components."""
    uris = DatasetRefURIs()
    for component, uri in artifacts:
        if component is None:
            uris.primaryURI = uri
        else:
            uris.componentURIs[component] = uri
    return uris


def predict_records(
    store: FileStore,
    refs: Sequence[DatasetRef],
    *,
    upstreams: Callable[[list[DatasetRef]], dict[str, DatastoreRecordData]],
) -> dict[str, DatastoreRecordData]:
    """Return the expected records of datasets. Datasets that the datastore does not accept have none."""
    placements = store.configured_placements()
    owners: list[DatasetRef] = []
    paths: list[str] = []
    places: list[Placement] = []
    accepted: list[DatasetRef] = []
    rest: list[DatasetRef] = []
    known_type: DatasetType | None = None
    is_as_registered = False
    for ref in refs:
        if ref.datasetType is not known_type:
            known_type = ref.datasetType
            is_as_registered = not ref.isComponent() and store.as_registered(ref) is ref
        stored_ref = ref if is_as_registered else store.as_registered(ref)
        try:
            if not is_as_registered and stored_ref.isComponent():
                raise NotOurs
            acceptable, artifacts, _ = placements.kind(stored_ref)
            if artifacts is None:
                raise NotOurs
            found = [artifact.path(stored_ref) for artifact in artifacts] if acceptable else []
        except NotOurs:
            rest.append(ref)
        else:
            owners += [ref] * len(found)
            paths += found
            places += artifacts[: len(found)]
            if found:
                accepted.append(stored_ref)
    if words.are_wanted(words.PLACING):
        if rest:
            raise NotOurs
        store.say_places(accepted)
    records: dict[Any, Any] = store.records.predict(owners, paths, places)
    if rest:
        table_name = store.configuration.table_name
        for dataset_id, tables in upstreams(rest)[store.name].records.items():
            known = records.setdefault(dataset_id, {}).setdefault(table_name, [])
            for infos in tables.values():
                known += infos
    return {store.name: DatastoreRecordData(records=records)}


def unrecorded_files(store: FileStore, refs: Sequence[DatasetRef]) -> list[tuple[str, str]]:
    """Return the one local file from which each dataset would be read, and the formatter that would read it.

    None of them is recorded, and nothing would be said about reading them.
    """
    root = store.folder()
    if not store.is_trusting or store.cache_folder() is not None or any(store.records.known(refs)):
        raise NotOurs
    if store.has_words(logging.DEBUG) or words.are_wanted(words.READING) or words.are_wanted(words.PLACING):
        raise NotOurs
    files = []
    for ref in refs:
        ((path, placement),) = _single(store.expected(store.as_registered(ref)))
        files.append((root + path, placement.formatter))
    return files


def _single(artifacts: list[tuple[str, Placement]]) -> list[tuple[str, Placement]]:
    """Return the artifact of a dataset that is not taken apart."""
    if len(artifacts) != 1 or artifacts[0][1].component is not None:
        raise NotOurs
    return artifacts


def find_recorded_files(store: FileStore, dataset_ids: Iterable[DatasetId]) -> FileTransferMap:
    """Return records and locations of the files of those datasets that are recorded."""
    location = store.locations.of_record
    return {
        dataset_id: [FileTransferRecord(location(info), info) for info in infos]
        for dataset_id, infos in store.records.get_many(dataset_ids).items()
    }


def find_unrecorded_files(
    store: FileStore, refs: Iterable[DatasetRef], artifact_existence: dict[ResourcePath, bool]
) -> FileTransferMap:
    """Look for datasets where they are expected; complete what is known of the existence of files."""
    if not isinstance(refs, Collection) or not store.is_trusting:
        raise NotOurs
    if store.has_words(VERBOSE) or words.are_wanted(words.PLACING) or store.may_be_cached(refs):
        raise NotOurs
    locations = store.locations
    expected = [(ref, store.expected(ref)) for ref in refs]
    paths = [path for _, artifacts in expected for path, _ in artifacts]
    if len(set(paths)) < len(paths) or len(set(map(dataset_key, refs))) < len(refs):
        # Upstream gets into trouble over several datasets in one place, and
        # answers only once for each dataset id.
        raise NotOurs
    places = list(map(locations.uri, paths))
    known = [artifact_existence.get(place) for place in places] if artifact_existence else [None] * len(paths)
    unknown = [path for path, is_there in zip(paths, known, strict=True) if is_there is None]
    existence = dict(zip(unknown, store.files_exist(unknown), strict=True))
    for place, path, is_there in zip(places, paths, known, strict=True):
        if is_there is None:
            artifact_existence[place] = existence[path]
        else:
            existence[path] = is_there
    files: FileTransferMap = {}
    for ref, artifacts in expected:
        infos = [placement.predict(path) for path, placement in artifacts if existence[path]]
        if infos:
            files[ref.id] = [FileTransferRecord(locations.of_record(info), info) for info in infos]
    return files
