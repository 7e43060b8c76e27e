"""Converters of a storage class that several threads need at once."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from lsst.daf.butler import StorageClass, _storage_class
from lsst.daf.butler.tests import MetricsExample, MetricsExampleModel
from together import at_once

from quantum_butler.upstream.formatters import convert


def test_a_thread_in_the_middle_of_another_finds_all(monkeypatch: pytest.MonkeyPatch) -> None:
    example = MetricsExample({"a": 1.0}, {}, [])
    names = {"lsst.daf.butler.tests.MetricsExample": "lsst.daf.butler.tests.MetricsExampleModel.from_metrics"}
    storage_class = StorageClass("Made", "lsst.daf.butler.tests.MetricsExampleModel", converters=names)
    importing, go_on = threading.Event(), threading.Event()
    import_type = _storage_class.doImportType

    def slowly(name: str) -> Any:
        if name in names:
            importing.set()
            assert go_on.wait(60)
        return import_type(name)

    monkeypatch.setattr(_storage_class, "doImportType", slowly)

    def first() -> Any:
        return convert(example, storage_class)

    def second() -> Any:
        assert importing.wait(60)
        # What upstream would have shown it just now.
        assert storage_class._converters_by_type is None
        go_on.set()
        return first()

    made = at_once([first, second])
    assert [type(one) for one in made] == [MetricsExampleModel, MetricsExampleModel]
