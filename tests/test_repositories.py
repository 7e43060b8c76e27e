"""The repositories that other tests rely on hold what they say."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from lsst.daf.butler import QuantumBackedButler

from repositories import DATASTORES, Repository


@pytest.mark.parametrize("kind", DATASTORES)
def test_every_stored_dataset_can_be_read(kind: str, template: Callable[[str], Repository]) -> None:
    repository = template(kind)
    refs = [ref for refs in repository.stored.values() for ref in refs]
    assert len(refs) > 20
    with repository.butler(QuantumBackedButler, inputs=refs) as butler:
        assert {ref.id: butler.get(ref) for ref in refs} == repository.values
    for name in set(repository.stored) - {"external"}:
        for ref in repository.stored[name]:
            assert all(path.exists() for path in repository.paths(ref))
            assert repository.paths(ref)


def test_kinds_of_records(template: Callable[[str], Repository]) -> None:
    repository = template("file")

    def paths(name: str) -> list[str]:
        return [
            info.path
            for data in repository.records_of(repository.stored[name]).values()
            for tables in data.records.values()
            for infos in tables.values()
            for info in infos
        ]

    assert len(paths("measured")) == len(set(paths("measured"))) == 4
    assert len(paths("parts")) == 12
    assert len(paths("whole")) == 4
    assert len(set(paths("grouped"))) == 1
    assert len({path.partition("#zip-path=")[0] for path in paths("zipped")}) == 1
    assert len(set(paths("zipped"))) == 4
    assert all(path.startswith("file:///") for path in paths("external"))


def test_ids_are_the_same_everywhere(template: Callable[[str], Repository]) -> None:
    first, second = template("file"), template("checksum")
    assert [ref.id for ref in first.stored["measured"]] == [ref.id for ref in second.stored["measured"]]
    assert all(ref.id.version == 4 for ref in first.stored["measured"])
