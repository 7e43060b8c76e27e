"""Common work is done without upstream's methods; nothing else would notice."""

from __future__ import annotations

import pytest
from lsst.daf.butler.datastores.fileDatastore import FileDatastore
from lsst.resources import ResourcePath

import quantum_butler
from repositories import Repository

_SPARED = (
    "trash",
    "_empty_trash_subset",
    "getManyURIs",
    "get_file_info_for_transfer",
    "locate_missing_files_for_transfer",
)


def _forbidden(*args: object, **options: object) -> None:
    raise AssertionError("Upstream was asked.")


def test_removing_and_finding(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, parts = repository.stored["measured"], repository.stored["parts"]
    zipped, outputs = repository.stored["zipped"], repository.predicted["derived"]
    everything = [*inputs, *parts, *zipped, *outputs]
    with repository.butler(
        quantum_butler.QuantumBackedButler,
        inputs=[*inputs, *parts, *zipped],
        outputs=outputs,
        recorded=[*inputs[:2], *parts[:2], *zipped],
    ) as butler:
        butler.put({}, outputs[0])
        source = butler._file_transfer_source
        for name in _SPARED:
            monkeypatch.setattr(FileDatastore, name, _forbidden)
        assert len(butler.get_many_uris(everything, predict=True)) == len(everything)
        assert butler.getURI(inputs[0]).exists()
        assert len(source.get_file_info_for_transfer([ref.id for ref in everything])) == 2 + 2 + 4 + 1
        existence: dict[ResourcePath, bool] = {}
        found = source.locate_missing_files_for_transfer([*inputs[2:], *parts[2:], *outputs[1:]], existence)
        assert len(found) == 4
        assert len(existence) == 2 + 6 + 3
        options = {"disassociate": True, "unstore": True, "purge": True}
        butler.pruneDatasets(inputs[:1], **options)
        butler.pruneDatasets(zipped[1:], **options)
        butler.pruneDatasets(everything, **options)
    assert not any(
        name in path for path in repository.artifacts() for name in ("measured", "parts", "zips", "derived")
    )
