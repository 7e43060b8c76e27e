"""Where a datastore puts datasets, and which formatters it uses for them.

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

from ..upstream.templates import CompiledTemplate, compile_template

if TYPE_CHECKING:
    from lsst.daf.butler import DatasetRef, DatasetType
    from lsst.daf.butler.datastores.fileDatastore import FileDatastore

# More kinds than any repository has; a bound for programs that invent them.
_MOST_KINDS = 10_000


class Placement(NamedTuple):
    """Where one artifact of each dataset of a kind goes."""

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

    def path(self, ref: DatasetRef) -> str | None:
        """Return the artifact's path, as `CompiledTemplate.format` does."""
        stem = self.template.format(ref)
        return None if stem is None else stem + self.extension

    def predict(self, path: str) -> StoredFileInfo:
        """Return the record that upstream predicts for the artifact.

        Parameters
        ----------
        path : `str`
            Path of the artifact.

        Returns
        -------
        info : `StoredFileInfo`
            Record of unknown size.
        """
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
    """What a datastore does with datasets of one kind."""

    acceptable: bool
    placements: tuple[Placement, ...] | None


class Placements:
    """What a file datastore does with each kind of dataset.

    Parameters
    ----------
    datastore : `FileDatastore`
        Datastore whose configuration decides.
    """

    def __init__(self, datastore: FileDatastore):
        self._templates = datastore.templates
        self._formatters = datastore.formatterFactory
        self._constraints = datastore.constraints
        self._composites = datastore.composites
        self._expected = datastore._get_expected_dataset_locations_info
        self._kinds: dict[Hashable, Kind] = {}
        # The same dataset type is mostly the same object, which is faster to
        # recognize; the objects are kept so that no other gets their id.
        self._seen: dict[int, DatasetType] = {}

    def are_for(self, datastore: FileDatastore) -> bool:
        """Tell whether a datastore still decides as it was configured to.

        Parameters
        ----------
        datastore : `FileDatastore`
            Datastore made after the one that these are about.

        Returns
        -------
        same : `bool`
            Whether it has the same templates, constraints and composites.
        """
        return (
            datastore.templates is self._templates
            and datastore.constraints is self._constraints
            and datastore.composites is self._composites
        )

    def acceptable(self, ref: DatasetRef) -> bool:
        """Tell whether the datastore's constraints let a dataset in.

        Parameters
        ----------
        ref : `DatasetRef`
            Dataset with the storage class of the repository.

        Returns
        -------
        acceptable : `bool`
            Whether the datastore takes it.
        """
        return self.kind(ref).acceptable

    def of(self, ref: DatasetRef) -> tuple[Placement, ...] | None:
        """Return where the artifacts of a dataset are expected.

        Parameters
        ----------
        ref : `DatasetRef`
            Dataset with the storage class of the repository; not a component.

        Returns
        -------
        placements : `tuple` [ `Placement` ] or `None`
            One for each artifact; `None` if only upstream can tell.
        """
        return self.kind(ref).placements

    def of_whole(self, ref: DatasetRef) -> Placement | None:
        """Return where a dataset goes that is written as one artifact.

        Parameters
        ----------
        ref : `DatasetRef`
            Dataset with the storage class of the repository.

        Returns
        -------
        placement : `Placement` or `None`
            Where it goes; `None` if it is a component, is to be disassembled
            or not to be taken, or if only upstream can tell.
        """
        kind = self.kind(ref)
        if not kind.acceptable or kind.placements is None or len(kind.placements) != 1:
            return None
        (placement,) = kind.placements
        return placement if placement.component is None else None

    def kind(self, ref: DatasetRef) -> Kind:
        """Look up or find out what is done with a dataset.

        Parameters
        ----------
        ref : `DatasetRef`
            Dataset with the storage class of the repository; not a component.

        Returns
        -------
        kind : `Kind`
            What is done with it and all others of its kind.
        """
        dataset_type = ref.datasetType
        data_id = ref.dataId
        instrument = data_id["instrument"] if "instrument" in dataset_type.dimensions.required else None
        shape = (instrument, type(data_id), data_id.hasRecords())
        key: Hashable = (id(dataset_type), *shape)
        kind = self._kinds.get(key)
        if kind is None or self._seen.get(id(dataset_type)) is not dataset_type:
            by_value: Hashable = (dataset_type, *shape)
            if (kind := self._kinds.get(by_value)) is None:
                parts = self._resolve(ref)
                if parts is not None and any(placement.path(part) is None for part, placement in parts):
                    # This dataset says nothing about others of its kind.
                    return Kind(self._constraints.isAcceptable(ref), None)
                kind = Kind(self._constraints.isAcceptable(ref), self._confirmed(ref, parts))
            if len(self._kinds) >= _MOST_KINDS:
                self._kinds.clear()
                self._seen.clear()
            self._seen[id(dataset_type)] = dataset_type
            self._kinds[key] = self._kinds[by_value] = kind
        return kind

    def _resolve(self, ref: DatasetRef) -> list[tuple[DatasetRef, Placement]] | None:
        """Find out where the artifacts of a dataset are expected.

        Parameters
        ----------
        ref : `DatasetRef`
            Dataset of the kind in question.

        Returns
        -------
        parts : `list` [ `tuple` [ `DatasetRef`, `Placement` ] ] or `None`
            The dataset, or its components if it is to be disassembled, each
            with its place; `None` if only upstream can tell.
        """
        if ref.isComponent():
            return None
        if self._composites.shouldBeDisassembled(ref):
            refs = [ref.makeComponentRef(name) for name in ref.datasetType.storageClass.components]
        else:
            refs = [ref]
        parts = []
        for part in refs:
            if (placement := self._resolve_artifact(part)) is None:
                return None
            parts.append((part, placement))
        return parts

    def _confirmed(
        self, ref: DatasetRef, parts: list[tuple[DatasetRef, Placement]] | None
    ) -> tuple[Placement, ...] | None:
        """Return places only if upstream gives the same for a dataset."""
        if parts is None:
            return None
        expected = [info for _, info in self._expected(ref)]
        mine = [placement.predict(placement.path(part) or "") for part, placement in parts]
        return tuple(placement for _, placement in parts) if mine == expected else None

    def _resolve_artifact(self, ref: DatasetRef) -> Placement | None:
        """Find out where one artifact goes; ``ref`` may be a component's."""
        try:
            template = self._templates.getTemplate(ref)
            template.validateTemplate(ref)
            _, formatter, options = self._formatters.getFormatterClassWithMatch(ref)
        except Exception:
            # Upstream will say what is wrong.
            return None
        compiled = compile_template(template, ref)
        extension = _fixed_extension(formatter)
        if compiled is None or extension is None:
            return None
        return Placement(
            ref.datasetType.component(),
            ref.datasetType.storageClass_name,
            formatter.name(),
            extension,
            options,
            compiled,
        )


def _fixed_extension(formatter: Any) -> str | None:
    """Return the extension that a formatter class gives to all its files.

    Parameters
    ----------
    formatter : `type`
        Formatter class of either of upstream's generations.

    Returns
    -------
    extension : `str` or `None`
        The extension; `None` if an instance may choose another.
    """
    extension: Any = None
    if issubclass(formatter, FormatterV2):
        if all(
            _inherits(formatter, FormatterV2, name)
            for name in ("__init__", "get_write_extension", "make_updated_location")
        ):
            extension = inspect.getattr_static(formatter, "default_extension", None)
    elif issubclass(formatter, Formatter):
        if all(_inherits(formatter, Formatter, name) for name in ("__init__", "make_updated_location")):
            extension = inspect.getattr_static(formatter, "extension", None)
    return extension if isinstance(extension, str) and extension.startswith(".") else None


def _inherits(cls: type, base: type, name: str) -> bool:
    """Tell whether a class leaves a method as a base defines it."""
    return getattr(cls, name) is getattr(base, name)
