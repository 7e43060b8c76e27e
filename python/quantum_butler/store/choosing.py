"""Chooses the files of a dataset that are read for a request, and who converts them."""

from __future__ import annotations

__all__ = ("Choice", "File", "choose")

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from lsst.daf.butler import DatasetRef, Location, StorageClass
from lsst.daf.butler.datastore.stored_file_info import StoredFileInfo

File: TypeAlias = tuple[Location, StoredFileInfo]
"""Where a file of a dataset is, and its record."""


class Choice(NamedTuple):
    """Recipe that makes an answer from the files of a dataset."""

    files: Sequence[File]
    """What is read."""

    storage_class: StorageClass
    """What each formatter is to return, unless the dataset is put together of several."""

    component: str | None
    """What the formatter takes out of its file, if it does."""

    checks: StorageClass | None
    """Storage class that has to know the parameters; `None` for that which the file was written with."""

    is_assembled: bool = False
    """Whether the dataset is put together of what was read."""

    ref: DatasetRef | None = None
    """Dataset that the formatter is told of, if that is not the one of the repository."""


def choose(files: Sequence[File], wanted: DatasetRef, component: str | None) -> Choice | None:
    """Choose what is read of the files that there are; `None` if only upstream can tell.

    Upstream decides this in four places. ``as`` is the storage class that the formatter has to return, and
    "checked by" the one that has to know the parameters. "written" is the record's storage class, "wanted"
    that of the caller, be it the component's, overridden or not.

    | files           | asked for               | read          | as      | taken out by | checked by |
    |-----------------|-------------------------|---------------|---------|--------------|------------|
    | one, whole      | the dataset             | it            | wanted  | -            | written    |
    | one, whole      | component of "written"  | it            | wanted  | formatter    | written    |
    | one, whole      | component of another    | upstream's: converts, then takes out, and warns      |
    | one, a part     | anything                | upstream's: it takes the part for the dataset        |
    | several parts   | the dataset             | all           | written | put together | wanted     |
    | several parts   | one of the parts        | that          | wanted  | -            | wanted     |
    | several parts   | derived component       | its delegate's| wanted  | formatter    | written    |
    | several parts   | a part that is not there| upstream's: it is missing                            |
    | several, others | anything                | upstream's: fails in words of its own                |
    """
    storage_class = wanted.datasetType.storageClass
    if len(files) == 1:
        _, info = files[0]
        if info.component is not None:
            return None
        if component is not None and component not in info.storageClass.allComponents():
            return None
        return Choice(files, storage_class, component, None)
    parts = {info.component: (location, info) for location, info in files if info.component is not None}
    if len(parts) < len(files):
        return None
    if component is None:
        return Choice(files, storage_class, None, storage_class, is_assembled=True)
    parent = wanted.datasetType.parentStorageClass
    if parent is not None and component in parent.derivedComponents:
        return _choose_for_derived(parts, wanted, component, parent)
    if (part := parts.get(component)) is None:
        return None
    return Choice([part], storage_class, None, storage_class)


def _choose_for_derived(
    parts: dict[str, File], wanted: DatasetRef, component: str, parent: StorageClass
) -> Choice | None:
    """Choose the part that a derived component is made of, as the delegate of the whole says."""
    names: set[str | None] = set(parts)
    part = parts.get(parent.delegate().selectResponsibleComponent(component, names))
    if part is None:
        return None
    return Choice([part], wanted.datasetType.storageClass, component, None, ref=wanted)
