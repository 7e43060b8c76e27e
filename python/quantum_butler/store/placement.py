"""Places that a datastore gives to datasets, and the formatters that it uses for them.

Upstream looks up the template, the formatter, the constraints and the rule for
disassembly anew for every dataset.  All of that depends on the dataset type,
the instrument and the shape of the data ID alone; `Placements` keeps it by
those.  What it keeps is compared with upstream's own answer for the first
dataset of each kind, and not used if they differ.
"""

from __future__ import annotations

__all__ = ("Kind", "Placement", "Placements")

import inspect
from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from lsst.daf.butler import Formatter, FormatterV2
from lsst.daf.butler.datastore.stored_file_info import StoredFileInfo

from ..upstream import NotOurs
from ..upstream.datastores import expected_records
from ..upstream.templates import CompiledTemplate, compile_template
from ..upstream.words import hushed

if TYPE_CHECKING:
    from lsst.daf.butler import DatasetRef, DatasetType
    from lsst.daf.butler.datastores.fileDatastore import FileDatastore

# More kinds than any repository has; a bound for programs that invent them.
_MOST_KINDS = 10_000


class Placement(NamedTuple):
    """Place of one artifact of each dataset of a kind."""

    component: str | None
    """Component that the artifact holds; `None` for a whole dataset."""

    storage_class: str
    """Name of the storage class that it is written with."""

    formatter: str
    """Fully-qualified name of the formatter that writes it."""

    extension: str
    """Extension of its file name."""

    options: Mapping[str, Any]
    """Arguments that the configuration gives to the formatter."""

    template: CompiledTemplate
    """Its path without the extension."""

    def path(self, ref: DatasetRef) -> str:
        """Return the artifact's path."""
        return self.template.format(ref) + self.extension

    def predict(self, path: str) -> StoredFileInfo:
        """Return the record of unknown size that upstream predicts for the artifact at a path."""
        return StoredFileInfo(
            formatter=self.formatter,
            path=path,
            storageClass=None,
            component=self.component,
            checksum=None,
            file_size=-1,
            storage_class_name=self.storage_class,
        )


class Kind(NamedTuple):
    """Treatment of datasets of one kind by a datastore."""

    acceptable: bool
    """Whether the constraints let them in."""

    placements: tuple[Placement, ...] | None
    """One for each artifact; `None` if only upstream can tell."""

    takes_parts: bool = False
    """Whether the constraints let in each artifact."""


class Placements:
    """Treatment of each kind of dataset by a file datastore, as it was configured."""

    def __init__(self, datastore: FileDatastore):
        self._datastore = datastore
        self._templates = datastore.templates
        self._formatters = datastore.formatterFactory
        self._constraints = datastore.constraints
        self._composites = datastore.composites
        self._kinds: dict[Hashable, Kind] = {}
        # The same dataset type is mostly the same object, which is faster to
        # recognize; the objects are kept so that no other gets their id.
        self._seen: dict[int, DatasetType] = {}

    def are_by(self, templates: Any, constraints: Any, composites: Any) -> bool:
        """Return whether these are what decides here."""
        return (
            templates is self._templates
            and constraints is self._constraints
            and composites is self._composites
        )

    def expected(self, ref: DatasetRef) -> list[tuple[str, Placement]]:
        """Return the path of each artifact of a dataset, and what else is known of it."""
        if ref.isComponent() or (placements := self.kind(ref).placements) is None:
            raise NotOurs
        return [(placement.path(ref), placement) for placement in placements]

    def written(self, ref: DatasetRef, registered: DatasetRef) -> list[tuple[DatasetRef, Placement, str]]:
        """Return what a dataset is written as, in one artifact or in parts: dataset or component, and path.

        As upstream has it, the caller's storage class decides whether it is taken apart, and that of the
        repository everything else.
        """
        acceptable, placements, takes_parts = self.kind(ref)
        if not placements or ref.isComponent():
            raise NotOurs
        if placements[0].component is not None:
            if registered is not ref or not takes_parts:
                raise NotOurs
            return [(_part(ref, placement), placement, placement.path(ref)) for placement in placements]
        if registered is not ref:
            acceptable, placements, _ = self.kind(registered)
        if not acceptable or not placements or placements[0].component is not None:
            raise NotOurs
        return [(registered, placements[0], placements[0].path(registered))]

    def kind(self, ref: DatasetRef) -> Kind:
        """Look up or find out what is done with a dataset and all others of its kind."""
        dataset_type = ref.datasetType
        data_id = ref.dataId
        instrument = data_id["instrument"] if "instrument" in dataset_type.dimensions.required else None
        shape = (instrument, type(data_id), data_id.hasRecords())
        key: Hashable = (id(dataset_type), *shape)
        kind = self._kinds.get(key)
        if kind is None or self._seen.get(id(dataset_type)) is not dataset_type:
            by_value: Hashable = (dataset_type, *shape)
            if (kind := self._kinds.get(by_value)) is None:
                with hushed():
                    try:
                        kind = self._find_out(ref)
                    except NotOurs:
                        # This dataset says nothing about others of its kind.
                        return Kind(self._constraints.isAcceptable(ref), None)
            if len(self._kinds) >= _MOST_KINDS:
                self._kinds.clear()
                self._seen.clear()
            self._seen[id(dataset_type)] = dataset_type
            self._kinds[key] = self._kinds[by_value] = kind
        return kind

    def _find_out(self, ref: DatasetRef) -> Kind:
        """Find out what is done with a dataset, and hold it against upstream's answer."""
        parts = self._resolve(ref)
        placements = None
        if parts is not None:
            mine = [placement.predict(placement.path(part)) for part, placement in parts]
            if mine == expected_records(self._datastore, ref):
                placements = tuple(placement for _, placement in parts)
        is_acceptable = self._constraints.isAcceptable
        takes_parts = all(is_acceptable(part) for part, _ in parts or ())
        return Kind(is_acceptable(ref), placements, takes_parts)

    def _resolve(self, ref: DatasetRef) -> list[tuple[DatasetRef, Placement]] | None:
        """Find out where a dataset goes, or each of its components; `None` if only upstream can tell."""
        if ref.isComponent():
            return None
        refs = [ref]
        if self._composites.shouldBeDisassembled(ref):
            refs = [ref.makeComponentRef(name) for name in ref.datasetType.storageClass.components]
        try:
            return [(part, self._resolve_artifact(part)) for part in refs]
        except NotOurs:
            return None

    def _resolve_artifact(self, ref: DatasetRef) -> Placement:
        """Find out where one artifact goes; the ref may be a component's."""
        try:
            template = self._templates.getTemplate(ref)
            template.validateTemplate(ref)
            _, formatter, options = self._formatters.getFormatterClassWithMatch(ref)
        except Exception:
            # Upstream will say what is wrong.
            raise NotOurs from None
        return Placement(
            ref.datasetType.component(),
            ref.datasetType.storageClass_name,
            formatter.name(),
            _fixed_extension(formatter),
            options,
            compile_template(template, ref),
        )


def _part(ref: DatasetRef, placement: Placement) -> DatasetRef:
    """Return the component of a dataset that an artifact holds."""
    if placement.component is None:
        raise NotOurs
    return ref.makeComponentRef(placement.component)


def _fixed_extension(formatter: Any) -> str:
    """Return the extension that a formatter class gives to all its files, whatever the instance."""
    extension: Any = None
    if issubclass(formatter, FormatterV2):
        if _inherits(formatter, FormatterV2, "__init__", "get_write_extension", "make_updated_location"):
            extension = inspect.getattr_static(formatter, "default_extension", None)
    elif issubclass(formatter, Formatter):
        if _inherits(formatter, Formatter, "__init__", "make_updated_location"):
            extension = inspect.getattr_static(formatter, "extension", None)
    if not isinstance(extension, str) or not extension.startswith("."):
        raise NotOurs
    return extension


def _inherits(cls: type, base: type, *names: str) -> bool:
    """Return whether a class leaves methods as a base defines them."""
    return all(getattr(cls, name) is getattr(base, name) for name in names)
