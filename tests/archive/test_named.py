"""Names that only an archive knows: paths; and names in place of ids."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from archives import chain, dataset_id, quantum_id, write

from quantum_butler import AmbiguousNameError, Archive, UnknownIdError
from quantum_butler.archive.name_values import MOST_VALUES, NameValues


def test_paths(tmp_path: Path) -> None:
    """A path within the datastore, or with what comes before it; several datasets may share a file."""
    quanta = chain()
    quanta[0].files[0].path = "post/a b#x=1/det0.fits"
    quanta[1].files[1].path = "zip.zip#path_in_zip=1"
    quanta[3].files[1].path = "zip.zip#path_in_zip=2"
    quanta[4].files[0].path = "coadd%20of.fits"
    run = Archive(write(tmp_path / "archive", quanta))
    for name, number in (
        ("image/det0.fits", 2),
        ("/somewhere/else/image/det1.fits", 12),
        ("s3://bucket/image/det1.fits", 12),
        ("coadd of.fits", 200),
        ("/a/coadd%20of.fits", 200),
        ("zip.zip#path_in_zip=2", 12),
    ):
        assert run.resolve(name).id == dataset_id(number)
    with pytest.raises(AmbiguousNameError) as caught:
        run.resolve("/repo/zip.zip")
    assert {one.id for one in caught.value.candidates} == {dataset_id(2), dataset_id(12)}
    with pytest.raises(UnknownIdError, match="no path"):
        run.resolve("det0.fits")


def test_a_quantum_is_not_a_dataset(tmp_path: Path) -> None:
    run = Archive(write(tmp_path / "archive", chain()))
    assert run.resolve("coadd tract=3").id == quantum_id(99)
    assert run.show("coadd").quantum.task_label == "coadd"
    assert run.producer(str(dataset_id(200))[-8:]) == run.producer(dataset_id(200))


def test_names_without_some_dimensions_are_completed() -> None:
    """Each data ID that a type has with some values is among those that the index tells."""
    names: list[tuple[str | None, dict[str, Any]]] = [
        *(("image", {"instrument": "Cam", "visit": n, "detector": n % 3}) for n in range(MOST_VALUES + 1)),
        *(("image", {"instrument": "Cam", "detector": n}) for n in range(2)),
        *(("coadd", {"skymap": one, "tract": n}) for one in ("rings", "\u00e4") for n in (0, -5)),
        ("versions", {}),
        (None, {}),
    ]
    dimensions = ("detector", "instrument", "skymap", "tract", "visit")
    values = NameValues()
    for start in range(0, len(names), 100):
        some = names[start : start + 100]
        types = pa.array([name for name, _ in some], pa.string()).dictionary_encode()
        # What none of these have needs no column.
        there = [name for name in dimensions if any(name in one for _, one in some)]
        columns = {name: pa.array([one.get(name) for _, one in some]) for name in there}
        kinds = {name: pa.string() if name in ("instrument", "skymap") else pa.int64() for name in dimensions}
        values.add(types, {name: column.cast(kinds[name]) for name, column in columns.items()})
    read = NameValues.read(values.content())
    assert {*read.known} == {"image", "coadd", "versions"}
    assert read.known["image"] == {"detector": {0, 1, 2}, "instrument": {"Cam"}, "visit": None}
    asked = 0
    for name, whole in names[-20:]:
        for count in range(len(whole) + 1):
            for wanted in itertools.combinations(whole.items(), count):
                found = read.completions(name or "", dict(wanted), 1000)
                if found is None:
                    assert name == "image" and "visit" not in dict(wanted)
                    continue
                plain = [{key: one for key, one in data_id.items() if one is not None} for data_id in found]
                assert all(wanted_one in one.items() for one in plain for wanted_one in wanted)
                met = [one for of, one in names if of == name and one.items() >= {*wanted}]
                assert all(one in plain for one in met) or name is None
                asked += 1
    assert asked > 20
    assert read.completions("coadd", {"visit": 1}, 1000) == read.completions("nothing", {}, 1000) == []
    assert read.completions("coadd", {}, 3) is None
    with pytest.raises(ValueError, match="do not tell"):
        NameValues.read(b'{"types": {"image": {"visit": 7}}, "values": []}')
