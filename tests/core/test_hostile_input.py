"""What strangers may write, beside what pydantic and `json` say of it."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lsst.daf.butler import QuantumProvenanceData

from quantum_butler import ArchiveError, _core
from quantum_butler.archive.format import FORMAT, Manifest, read_manifest

CLASS = "lsst.daf.butler.datastore.stored_file_info.StoredFileInfo"
ROLES = ("predicted_inputs", "available_inputs", "actual_inputs", "predicted_outputs", "actual_outputs")

_IDS = st.integers(0, 5).map(lambda number: uuid.UUID(int=number << 90 | number))
_SPELLINGS = (
    str,
    lambda one: one.hex,
    lambda one: one.urn,
    lambda one: f"{{{one}}}",
    lambda one: str(one).upper(),
)
_ID_TEXTS = st.builds(lambda one, spell: spell(one), _IDS, st.sampled_from(_SPELLINGS))
_ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | _ID_TEXTS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
_CELLS = st.none() | st.text(max_size=5) | st.integers(-(2**65), 2**65) | _ID_TEXTS | st.floats()
_ROWS = st.lists(st.dictionaries(st.text(max_size=4), _CELLS, max_size=3), max_size=2)
_TABLES = st.dictionaries(st.text(max_size=3), _ROWS, max_size=2)
_RECORDS = st.fixed_dictionaries(
    {
        "dataset_ids": st.lists(_ID_TEXTS, max_size=3),
        "records": st.dictionaries(
            st.just(CLASS) | st.text(max_size=4),
            st.dictionaries(_IDS.map(lambda one: one.hex) | st.text(max_size=5), _TABLES, max_size=2),
            max_size=2,
        ),
    }
)
_PROVENANCE = st.fixed_dictionaries(
    {
        **{role: st.lists(_ID_TEXTS, max_size=3) for role in ROLES},
        "datastore_records": st.dictionaries(st.text(max_size=3), _RECORDS, max_size=2),
    }
)


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Return each container with each of its keys."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, inner in list(items) for place in ((value, key), *_places(inner))]


@st.composite
def documents(draw: st.DrawFn) -> str:
    """Provenance as JSON, right or not quite right."""
    document = draw(_PROVENANCE)
    for _ in range(draw(st.integers(0, 2))):
        if places := _places(document):
            container, key = draw(st.sampled_from(places))
            if draw(st.booleans()):
                container[key] = draw(_ODD)
            else:
                del container[key]
    text = json.dumps(document, ensure_ascii=draw(st.booleans()), indent=draw(st.sampled_from([None, 1])))
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        place = draw(st.integers(0, len(text) - 1))
        text = text[:place] + draw(st.sampled_from([*list('"{}[],:\\ \n0-e'), ""])) + text[place + 1 :]
    return text


@given(documents())
def test_what_is_accepted_is_what_pydantic_accepts(text: str) -> None:
    try:
        found = _core.Provenance.from_json(text.encode("utf-8", "surrogatepass"))
    except UnicodeDecodeError:
        return
    if found is None:
        # Left to pydantic, whatever it says.
        return
    expected = QuantumProvenanceData.model_validate_json(text)
    again = QuantumProvenanceData.model_validate_json(found.to_json())
    assert again == expected


@given(documents())
def test_the_scanner_takes_ids_as_pydantic_does(text: str) -> None:
    scanner = _core.ProvenanceScanner()
    scanner.document(0, str(uuid.UUID(int=1)), text.encode("utf-8", "surrogatepass"))
    tables, rejected = scanner.take()
    try:
        expected = QuantumProvenanceData.model_validate_json(text)
    except ValueError:
        # Nothing is let in that the model does not take.
        assert len(rejected) == 1, text
        return
    if rejected:
        # What the model takes and an archive has no place for.
        assert "datastore_records[" in rejected[0][2], rejected
        return
    import pyarrow as pa

    edges = pa.table(tables[1])
    roles = {
        one.bytes if isinstance(one, uuid.UUID) else one: bits
        for one, bits in zip(edges["dataset_id"].to_pylist(), edges["roles"].to_pylist(), strict=True)
    }
    for bit, role in enumerate(ROLES):
        assert {one for one, bits in roles.items() if bits >> bit & 1} == {
            one.bytes for one in getattr(expected, role)
        }


_MANIFEST = {"format": FORMAT, "version": 1, "created": "", "software": {}, "sources": [], "counts": {}}


@given(st.data())
def test_manifests_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("manifest")
    content = dict(_MANIFEST)
    for name in data.draw(st.lists(st.sampled_from(sorted(_MANIFEST)), max_size=3)):
        content[name] = data.draw(_ODD)
    written = bytearray(json.dumps(content).encode())
    for place in data.draw(st.lists(st.integers(0, len(written) - 1), max_size=2)):
        written[place] = data.draw(st.integers(0, 255))
    (folder / "manifest.json").write_bytes(bytes(written))
    try:
        assert isinstance(read_manifest(folder), Manifest)
    except ArchiveError as error:
        assert str(folder) in str(error)


@pytest.mark.parametrize(
    "content", [b"[" * 200_000, b'{"a":' * 200_000, b"9" * 5_000, b'"\\ud800"', b"NaN", b"\xef\xbb\xbf{}"]
)
def test_manifests_that_json_is_in_trouble_with(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(ArchiveError):
        read_manifest(tmp_path)
