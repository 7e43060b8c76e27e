"""The comparison itself: it sees what differs, and nothing where nothing does."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lsst.daf.butler import DatasetRef, QuantumBackedButler
from scenarios import Run, compare, scenario

from repositories import NewRepository


@scenario
def a_quantum(run: Run) -> None:
    here, gone, output = run.ref("measured"), run.ref("measured", 1), run.ref("derived")
    run.remove(gone)
    butler = run.butler(inputs=[here, gone], outputs=[output])
    run(butler.stored_many, [here, gone])
    run(butler.get, here)
    run.error(butler.get, gone)
    run(butler.put, {"a": 1}, output)


class _OtherValue(QuantumBackedButler):
    def get(self, ref: DatasetRef, /, **options: Any) -> Any:
        return {**super().get(ref, **options), "more": 1}


class _OtherMessage(QuantumBackedButler):
    def get(self, ref: DatasetRef, /, **options: Any) -> Any:
        try:
            return super().get(ref, **options)
        except FileNotFoundError as error:
            raise FileNotFoundError("It is not there.") from error


class _OtherError(QuantumBackedButler):
    def get(self, ref: DatasetRef, /, **options: Any) -> Any:
        try:
            return super().get(ref, **options)
        except FileNotFoundError as error:
            raise LookupError(str(error)) from error.__cause__


class _OtherBooks(QuantumBackedButler):
    def stored_many(self, refs: Any) -> Any:
        before = set(self._unavailable_inputs)
        try:
            return super().stored_many(refs)
        finally:
            self._unavailable_inputs = before


class _OtherFile(QuantumBackedButler):
    def put(self, obj: Any, ref: DatasetRef, /, **options: Any) -> DatasetRef:
        return super().put({**obj, "more": 1}, ref, **options)


class _OtherPermissions(QuantumBackedButler):
    def put(self, obj: Any, ref: DatasetRef, /, **options: Any) -> DatasetRef:
        super().put(obj, ref, **options)
        Path(self.getURI(ref).ospath).chmod(0o600)
        return ref


class _OtherLog(QuantumBackedButler):
    def put(self, obj: Any, ref: DatasetRef, /, **options: Any) -> DatasetRef:
        logging.getLogger("quantum_butler").info("Something was put.")
        return super().put(obj, ref, **options)


class _OtherMetrics(QuantumBackedButler):
    def put(self, obj: Any, ref: DatasetRef, /, **options: Any) -> DatasetRef:
        self._metrics.increment_put(1.0)
        return super().put(obj, ref, **options)


class _OtherRecords(QuantumBackedButler):
    def put(self, obj: Any, ref: DatasetRef, /, **options: Any) -> DatasetRef:
        super().put(obj, ref, **options)
        self._datastore.forget([ref])
        return ref


@pytest.mark.parametrize(
    ["mutant", "message"],
    [
        (_OtherValue, "another answer at step 3, get"),
        (_OtherMessage, "another answer at step 4, get"),
        (_OtherError, "another answer at step 4, get"),
        (_OtherBooks, "other _unavailable_inputs of butler 0 after step 2, stored_many"),
        (_OtherFile, "other artifacts after step 5, put"),
        (_OtherPermissions, "other permissions after step 5, put"),
        (_OtherLog, "other logs after step 5, put"),
        (_OtherMetrics, "other metrics of butler 0 after step 5, put"),
        (_OtherRecords, "another answer at step 6, extract_provenance_data"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_difference_is_seen(
    new_repository: NewRepository, tmp_path: Path, mutant: type[QuantumBackedButler], message: str
) -> None:
    with pytest.raises(AssertionError) as raised:
        compare(a_quantum, QuantumBackedButler, mutant, new_repository, tmp_path)
    assert message in str(raised.value)


def test_no_difference_where_there_is_none(new_repository: NewRepository, tmp_path: Path) -> None:
    compare(a_quantum, QuantumBackedButler, QuantumBackedButler, new_repository, tmp_path)


def _nothing(run: Run) -> None:
    pass


def test_scenario_must_do_something(new_repository: NewRepository, tmp_path: Path) -> None:
    empty: Callable[..., None] = scenario(_nothing)
    with pytest.raises(AssertionError, match="did nothing"):
        compare(empty, QuantumBackedButler, QuantumBackedButler, new_repository, tmp_path)
