"""Locations put together from parts are what upstream makes by parsing."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lsst.daf.butler import Location
from lsst.daf.butler._location import LocationFactory
from lsst.daf.butler.datastore.stored_file_info import StoredFileInfo
from lsst.resources import ResourcePath
from lsst.resources.file import FileResourcePath

from quantum_butler.upstream.locations import PlainLocationFactory

ROOTS = (
    "/data/repo",
    "/data/repo with space/100%/a#b",
    "/dätä/repo+x",
    "file:///data/re%20po/",
    "mem://bucket/repo",
    "s3://bucket/repo/",
    "s3://profile@bucket/re%20po",
    "https://example.org:8443/dav/repo",
)
PATHS = (
    "a.json",
    "run/type/type_Cam_1_run.fits.gz",
    "u/some-one/DM-1/20260101T000000Z/type.part/x_y.z",
    "7/8",
    "a+b/c=d,e@f.json",
    "a b.json",
    "a%20b.json",
    "a#b.json",
    "a.zip#unzip=b",
    "a?b.json",
    "ümläut.json",
    ".hidden/a.json",
    "a/.b",
    "a//b",
    "a/./b",
    "a/../b",
    "../a",
    "./a",
    "a/",
    "",
    ".",
    "~/a",
    "$HOME/a",
    "a$b",
    "/a/b.json",
    "file:///elsewhere/a.json",
    "mem://elsewhere/a.json",
    "a\nb",
    "a.json\n",
)


def _record(path: str) -> StoredFileInfo:
    return StoredFileInfo(
        "some.Formatter", path, None, None, None, -1, storage_class_name="StructuredDataDict"
    )


def _described(make: Any) -> Any:
    """Return all that can be seen of a location, or of the error instead."""
    try:
        location = make()
    except Exception as error:
        return type(error), str(error)
    assert type(location) is Location
    return [_seen(location), _seen(copy.copy(location)), _seen(pickle.loads(pickle.dumps(location)))]


def _seen(location: Location) -> Any:
    renamed = location.clone()
    renamed.updateExtension(".odd")
    return [
        *map(_uri, (location.uri, location.pathInStore, location.toAbsolute().uri, renamed.uri)),
        [str(location), repr(location), location.path, location.netloc, location.relativeToPathRoot],
        [location.getExtension(), location._datastoreRootUri],
    ]


def _uri(uri: ResourcePath) -> Any:
    return [
        type(uri),
        type(uri._uri),
        vars(uri),
        str(uri),
        hash(uri),
        uri.basename(),
        uri.dirname(),
        uri.isdir(),
    ]


def _compare(root: str, path: str, trusted: bool) -> bool:
    stock = LocationFactory(root)
    ours = PlainLocationFactory(LocationFactory(root))
    expected = _described(lambda: stock.fromPath(path, trusted_path=trusted))
    assert _described(lambda: ours.fromPath(path, trusted_path=trusted)) == expected
    of_record = _described(lambda: _record(path).file_location(stock))
    assert _described(lambda: ours.of_record(_record(path))) == of_record
    assert str(ours).partition("@")[2] == str(stock).partition("@")[2]
    return ours._is_quick


@pytest.mark.parametrize("trusted", [True, False])
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("root", ROOTS)
def test_location(root: str, path: str, trusted: bool) -> None:
    assert _compare(root, path, trusted) is not root.startswith("mem:")


@given(
    st.text(alphabet="ab1_-./", max_size=12)
    | st.text(alphabet="aZ0_-.~/+=,@#%?&;:!'()*$ \\\u00e4\t\n", max_size=12),
    st.booleans(),
)
def test_any_path(path: str, trusted: bool) -> None:
    assert _compare("/data/repo", path, trusted)


def test_path_that_is_no_string() -> None:
    ours = PlainLocationFactory(LocationFactory("/data/repo"))
    for path in (Path("a/b.json"), ResourcePath("a/b.json", forceAbsolute=False)):
        assert ours.fromPath(path) == LocationFactory("/data/repo").fromPath(path)


@pytest.mark.parametrize("root", [root for root in ROOTS if not root.startswith(("s3:", "https:"))])
@pytest.mark.parametrize("name", ["abcdefghijklmnop_x.tmp.json", "a b#c%20.tmp.json"])
def test_temporary_file(root: str, name: str) -> None:
    ours = PlainLocationFactory(LocationFactory(root))
    location = ours.fromPath("a/b.json")
    expected = location.uri.dirname().join(name, isTemporary=True)
    expected.isdir()
    assert _uri(ours.temporary_beside(location, name)) == _uri(expected)


def test_upstream_that_is_not_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    def note(uri: Any) -> None:
        uri.noted = True

    monkeypatch.setattr(FileResourcePath, "_set_proxy", note)
    ours = PlainLocationFactory(LocationFactory("/data/repo"))
    assert ours._is_quick is False
    assert ours.fromPath("a/b.json").uri.noted is True  # type: ignore[attr-defined]
    assert ours.of_record(_record("a/b.json")).uri.noted is True  # type: ignore[attr-defined]


def test_factory_of_another_class() -> None:
    class Other(LocationFactory):
        """Somebody's own."""

    assert PlainLocationFactory(Other("/data/repo"))._is_quick is False
