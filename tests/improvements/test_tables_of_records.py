"""Tables of records never go through Python row by row, and are imported as a whole or not at all."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy.exc
from lsst.daf.butler import DatasetRef
from lsst.daf.butler.datastore.record_data import DatastoreRecordTable

import quantum_butler
from quantum_butler.datastore.managers import NativeOpaqueTableStorage
from repositories import NewRepository, Repository


def _ids(refs: Sequence[DatasetRef]) -> list[uuid.UUID]:
    return [ref.id for ref in refs]


@pytest.mark.parametrize("kind", ["file", "chained"])
def test_rows_are_none_of_pythons_business(
    new_repository: NewRepository, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = new_repository(kind)
    refs = repository.stored["measured"]

    def forbidden(*args: Any, **options: Any) -> None:
        raise AssertionError("This goes row by row.")

    with (
        repository.butler(quantum_butler.QuantumBackedButler, inputs=refs) as butler,
        repository.butler(quantum_butler.QuantumBackedButler, inputs=refs, recorded=[]) as other,
    ):
        for name in ("insert", "fetch", "fetch_batches"):
            monkeypatch.setattr(NativeOpaqueTableStorage, name, forbidden)
        table = butler._datastore.export_table(_ids(refs))
        assert len(table) == len(refs) * (2 if kind == "chained" else 1)
        other._datastore.import_table(table)
        assert len(other._datastore.export_table(_ids(refs))) == len(table)


def test_transaction(repository: Repository) -> None:
    # Of the stock class only the database could take an import back, and here it has no part in it.
    refs = repository.stored["measured"]
    with (
        repository.butler(quantum_butler.QuantumBackedButler, inputs=refs) as butler,
        repository.butler(quantum_butler.QuantumBackedButler, inputs=refs, recorded=[]) as other,
    ):
        table = butler._datastore.export_table(_ids(refs))
        with pytest.raises(ZeroDivisionError), other._datastore.transaction():
            other._datastore.import_table(table)
            assert len(other._datastore.export_table(_ids(refs))) == 4
            1 / 0  # noqa: B018
        assert len(other._datastore.export_table(_ids(refs))) == 0
        assert other._datastore.knows_these(refs) == dict.fromkeys(refs, False)
        with other._datastore.transaction():
            other._datastore.import_table(table)
        assert len(other._datastore.export_table(_ids(refs))) == 4


def test_a_refused_table_leaves_nothing(repository: Repository) -> None:
    # The stock class goes on to hold the datasets, without records.
    refs = repository.stored["measured"]
    with (
        repository.butler(quantum_butler.QuantumBackedButler, inputs=refs) as butler,
        repository.butler(quantum_butler.QuantumBackedButler, inputs=refs, recorded=[]) as other,
    ):
        table = butler._datastore.export_table(_ids(refs)).to_arrow()
        index = table.schema.get_field_index("component")
        components = pa.array(["fine", "fine", "fine", ""]).dictionary_encode()
        for wrong in (
            pa.concat_tables([table, table.slice(3)]),
            table.set_column(index, table.schema.field(index), components),
        ):
            with pytest.raises(sqlalchemy.exc.IntegrityError):
                other._datastore.import_table(DatastoreRecordTable(wrong))
            assert other._datastore._bridge.check(_ids(refs)) == set()
        other._datastore.import_table(DatastoreRecordTable(table))
        assert len(other._datastore.export_table(_ids(refs))) == 4
