"""Names that only an archive knows: paths; and names in place of ids."""

from __future__ import annotations

from pathlib import Path

import pytest
from archives import chain, dataset_id, quantum_id, write

from quantum_butler import AmbiguousNameError, Archive, UnknownIdError


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
