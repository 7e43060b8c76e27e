"""The provenance of one quantum, as the pydantic model that users know."""

from __future__ import annotations

__all__ = ("QuantumProvenanceData",)

import inspect
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Self

import pydantic
from lsst.daf.butler import _quantum_backed
from lsst.daf.butler.datastore.record_data import SerializedDatastoreRecordData
from lsst.daf.butler.persistence_context import PersistenceContextVars

from .. import _core
from ..switches import native_enabled
from .transfer import collect_and_transfer

if TYPE_CHECKING:
    from lsst.daf.butler import Butler, Quantum

# Where pydantic's models keep their fields; the class below puts a property
# of the same name before it.
_fields = pydantic.BaseModel.__dict__["__dict__"]

# What pydantic itself sets attributes with that are no fields.
_set = object.__setattr__

_ID_FIELDS = (
    "predicted_inputs",
    "available_inputs",
    "actual_inputs",
    "predicted_outputs",
    "actual_outputs",
)


# Bound here, because the name in upstream's module may come to mean ours.
_Upstream = _quantum_backed.QuantumProvenanceData


class QuantumProvenanceData(_Upstream):
    """Provenance information and datastore records of one quantum.

    An `lsst.daf.butler.QuantumProvenanceData` in every respect.  One that a
    butler extracts, or that is read from JSON, keeps its content in Rust until
    a field is asked for, and writes JSON straight from there.

    Notes
    -----
    From then on the Python objects are the truth, as they can be changed, and
    pydantic serializes them.  The ids of a set stand in ascending order in the
    JSON as long as the content is in Rust or can be brought back there.
    """

    # A slot, because a pydantic field or private attribute would take part in
    # comparisons, copies and pickles.
    __slots__ = ("_native",)

    model_config: ClassVar[pydantic.ConfigDict] = pydantic.ConfigDict(
        json_schema_extra={"description": inspect.getdoc(_Upstream) or ""}
    )

    @classmethod
    def from_native(cls, native: _core.Provenance) -> Self:
        """Make a model whose content is in Rust.

        Parameters
        ----------
        native : `_core.Provenance`
            The content.

        Returns
        -------
        provenance : `QuantumProvenanceData`
            Model with that content.
        """
        self = cls.__new__(cls)
        _set(self, "__pydantic_fields_set__", {*_ID_FIELDS, "datastore_records"})
        _set(self, "__pydantic_extra__", None)
        _set(self, "__pydantic_private__", None)
        _set(self, "_native", native)
        return self

    def to_native(self) -> _core.Provenance | None:
        """Return the content in Rust.

        Returns
        -------
        native : `_core.Provenance` or `None`
            The content; `None` if the fields hold anything else than a valid
            model's fields do.
        """
        native = _native_of(self)
        return _core.Provenance.from_fields(_fields.__get__(self)) if native is None else native

    # pydantic-core, `copy` and `pickle` come for the fields here; ordinary
    # attribute access goes to the real dictionary, and misses in
    # `__getattr__` while that is empty.

    @property
    def __dict__(self) -> dict[str, Any]:
        if _native_of(self) is not None:
            _materialize(self)
        fields: dict[str, Any] = _fields.__get__(self)
        return fields

    @__dict__.setter
    def __dict__(self, fields: dict[str, Any]) -> None:
        _set(self, "_native", None)
        _fields.__set__(self, fields)

    def __getattr__(self, name: str) -> Any:
        # Another thread may be moving the fields here just now.
        if name in type(self).model_fields and name in (fields := self.__dict__):
            return fields[name]
        return super().__getattr__(name)  # type: ignore[misc]

    def __delattr__(self, name: str) -> None:
        if name in type(self).model_fields and _native_of(self) is not None:
            _materialize(self)
        super().__delattr__(name)

    def __eq__(self, other: Any) -> bool:
        if isinstance(other, QuantumProvenanceData):
            if (mine := _native_of(self)) is not None and (theirs := _native_of(other)) is not None:
                return mine == theirs
        elif type(other) is _Upstream:
            # pydantic calls models of two classes unequal.
            return self.__dict__ == other.__dict__
        return super().__eq__(other)

    def model_dump_json(self, *, indent: int | None = None, **kwargs: Any) -> str:
        """Serialize the model to JSON.

        Parameters
        ----------
        indent : `int` or `None`, optional
            Number of spaces to indent by; on one line if `None`.
        **kwargs
            Any other option of `pydantic.BaseModel.model_dump_json`, with the
            same meaning.

        Returns
        -------
        text : `str`
            The documented JSON.
        """
        if not kwargs and (indent is None or (type(indent) is int and indent >= 0)):
            native = getattr(self, "_native", None) or self.to_native()
            if native is not None:
                return native.to_json(indent)
        return super().model_dump_json(indent=indent, **kwargs)

    @classmethod
    def model_validate_json(cls, json_data: str | bytes | bytearray, **kwargs: Any) -> Self:
        """Validate JSON.

        Parameters
        ----------
        json_data : `str`, `bytes` or `bytearray`
            The JSON.
        **kwargs
            Any option of `pydantic.BaseModel.model_validate_json`, with the
            same meaning.

        Returns
        -------
        provenance : `QuantumProvenanceData`
            The model.

        Raises
        ------
        pydantic.ValidationError
            Raised if the JSON is broken or does not fit the model.
        """
        if not kwargs and cls is QuantumProvenanceData:
            if (native := _core.Provenance.from_json(json_data)) is not None:
                return cls.from_native(native)
        return super().model_validate_json(json_data, **kwargs)

    @staticmethod
    def collect_and_transfer(
        butler: Butler, quanta: Iterable[Quantum], provenance: Iterable[_Upstream]
    ) -> None:
        """Transfer the output datasets of many quanta to a repository.

        Parameters
        ----------
        butler : `lsst.daf.butler.Butler`
            Full butler of the repository to transfer datasets to.
        quanta : `~collections.abc.Iterable` [ `lsst.daf.butler.Quantum` ]
            Quanta with their predicted outputs; may be a single-pass iterator.
        provenance : `~collections.abc.Iterable` [ `QuantumProvenanceData` ]
            Provenance of each quantum, in the same order; may be a single-pass
            iterator.

        Raises
        ------
        ValueError
            Raised if there are more quanta than provenances, or fewer.
        lsst.daf.butler.registry.ConflictingDefinitionError
            Raised if a dataset contradicts one that is there, or comes twice.
        lsst.daf.butler.MissingDatasetTypeError
            Raised if a dataset type is not registered.

        Notes
        -----
        The datasets must be where the records say, and their dataset types and
        runs must be registered.  Datastores that only one side has are
        ignored.  See `quantum_butler.quantum.transfer` for how memory is kept
        within bounds.
        """
        # A record cache of upstream's answers for what it has seen before.
        if native_enabled() and PersistenceContextVars.dataStoreRecords.get() is None:
            collect_and_transfer(butler, quanta, provenance)
        else:
            _Upstream.collect_and_transfer(butler, quanta, provenance)


def _native_of(model: QuantumProvenanceData) -> _core.Provenance | None:
    """Return the content of a model while it is in Rust only."""
    # A model that pydantic made has nothing in the slot.
    return getattr(model, "_native", None)


def _materialize(model: QuantumProvenanceData) -> None:
    """Move the content of a model from Rust to Python's fields."""
    if (native := _native_of(model)) is None:
        return
    fields: dict[str, Any] = {name: native.ids(name) for name in _ID_FIELDS}
    fields["datastore_records"] = {
        name: SerializedDatastoreRecordData.model_construct(
            _fields_set={"dataset_ids", "records"}, dataset_ids=dataset_ids, records=records
        )
        for name, (dataset_ids, records) in native.datastore_records().items()
    }
    # Two threads that ask for the fields at once must get the same objects.
    # A lock might be held by a thread that a fork leaves behind.
    held = _fields.__get__(model)
    for name, value in fields.items():
        held.setdefault(name, value)
    _set(model, "_native", None)
