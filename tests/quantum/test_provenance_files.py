"""`write_provenance`: one quantum's provenance in a file, in any form and anywhere."""

from __future__ import annotations

import gzip
import http.server
import json
import os
import stat
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow
import pytest
import yaml
from lsst.daf.butler import QuantumBackedButler as StockButler
from lsst.daf.butler import QuantumProvenanceData as Stock
from lsst.resources import ResourcePath

from quantum_butler import QuantumBackedButler, QuantumProvenanceData
from quantum_butler.quantum.file import write_provenance
from repositories import Repository


def unpacked(data: bytes) -> bytes:
    with pyarrow.input_stream(pyarrow.py_buffer(data), compression="zstd") as stream:
        return bytes(stream.read())


READERS: dict[str, Callable[[bytes], Any]] = {
    ".json": json.loads,
    ".json.zst": lambda data: json.loads(
        pyarrow.input_stream(pyarrow.py_buffer(data), compression="zstd").read()
    ),
    ".json.gz": lambda data: json.loads(gzip.decompress(data)),
    ".yaml": yaml.safe_load,
    ".yml": yaml.safe_load,
}
ENDINGS = pytest.mark.parametrize("ending", READERS)


@pytest.fixture(scope="module")
def provenance() -> QuantumProvenanceData:
    """Return provenance with what formats may stumble over."""
    ids = [uuid.UUID(int=n) for n in (1, 10**37, uuid.uuid5(uuid.NAMESPACE_OID, "x").int)]
    row = {
        "formatter": "a.Formatter",
        "path": "ünïcode/a: 'b' #c.json",
        "storage_class": "no",
        "component": "__NULL_STRING__",
        # A checksum that a careless writer of YAML turns into a number.
        "checksum": "00012345678901234567890123456789",
        "file_size": 2**40,
    }
    # So are the hexadecimal ids of which all digits are decimal.
    rows = {id_.hex: {"table": [{**row, "path": f"{row['path']}{n}"}]} for n, id_ in enumerate(ids)}
    data = {
        "predicted_inputs": [],
        "available_inputs": [],
        "actual_inputs": [str(ids[0])],
        "predicted_outputs": [str(id_) for id_ in ids],
        "actual_outputs": [str(id_) for id_ in ids],
        "datastore_records": {
            "yes": {"dataset_ids": [str(id_) for id_ in ids], "records": {"a.Class": rows}},
            "empty": {"dataset_ids": [], "records": {}},
        },
    }
    return QuantumProvenanceData.model_validate_json(json.dumps(data))


def read(data: bytes, ending: str) -> Stock:
    """Read a file as anybody would, and make upstream's model of it."""
    return Stock.model_validate(READERS[ending](data))


@ENDINGS
def test_content_is_that_of_the_model(provenance: QuantumProvenanceData, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"quantum{ending}"
    write_provenance(provenance, path)
    found = read(path.read_bytes(), ending)
    assert found.model_dump() == Stock.model_validate_json(provenance.model_dump_json()).model_dump()
    assert list(tmp_path.iterdir()) == [path]


@ENDINGS
def test_equal_content_has_equal_bytes(
    provenance: QuantumProvenanceData, tmp_path: Path, ending: str
) -> None:
    written = []
    for name in ("a", "b"):
        path = tmp_path / f"{name}{ending}"
        write_provenance(Stock.model_validate_json(provenance.model_dump_json()), path)
        written.append(path.read_bytes())
    assert written[0] == written[1]


def test_plain_json_is_the_documented_json(provenance: QuantumProvenanceData, tmp_path: Path) -> None:
    path = tmp_path / "quantum.json"
    write_provenance(provenance, path)
    assert path.read_text() == provenance.model_dump_json()
    assert QuantumProvenanceData.model_validate_json(path.read_bytes()) == provenance


@pytest.mark.parametrize("cls", [StockButler, QuantumBackedButler])
def test_from_a_butler(repository: Repository, tmp_path: Path, cls: type[StockButler]) -> None:
    inputs, outputs = repository.stored["measured"], repository.predicted["derived"]
    with repository.butler(cls, inputs=inputs, outputs=outputs) as butler:
        butler.stored_many(inputs)
        butler.get(inputs[0])
        butler.put({"a": 1}, outputs[0])
        write_provenance(butler, tmp_path / "quantum.yaml")
        expected = butler.extract_provenance_data()
    assert expected.actual_outputs == {outputs[0].id}
    found = read((tmp_path / "quantum.yaml").read_bytes(), ".yaml")
    assert found.model_dump() == expected.model_dump()


@ENDINGS
def test_the_butlers_own_method(repository: Repository, tmp_path: Path, ending: str) -> None:
    inputs, outputs = repository.stored["measured"], repository.predicted["derived"]
    path = tmp_path / "folder" / f"quantum{ending}"
    with repository.butler(QuantumBackedButler, inputs=inputs, outputs=outputs) as butler:
        for n in range(2):
            butler.put({"a": n}, outputs[n])
            butler.write_provenance(path)
            expected = butler.extract_provenance_data()
            assert read(path.read_bytes(), ending).model_dump() == expected.model_dump()
    assert os.listdir(path.parent) == [path.name]


PLACES: dict[str, Callable[[Path], Any]] = {
    "str": str,
    "path": Path,
    "resource path": ResourcePath,
    "file URI": lambda path: path.as_uri(),
    "resource path of a URI": lambda path: ResourcePath(path.as_uri()),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", ["quantum.json", "new/folders/quantum.json", "a b/ü'c.json"])
def test_local_places(provenance: QuantumProvenanceData, tmp_path: Path, name: str, place: str) -> None:
    path = tmp_path / name
    write_provenance(provenance, PLACES[place](path))
    assert [found for found in tmp_path.rglob("*") if found.is_file()] == [path]
    assert path.read_text() == provenance.model_dump_json()


@pytest.mark.parametrize("name", ["quantum.json", "folder/quantum.json", "./quantum.json"])
def test_relative_paths(
    provenance: QuantumProvenanceData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_provenance(provenance, name)
    assert tmp_path.joinpath(name).read_text() == provenance.model_dump_json()


def test_a_file_is_replaced_as_a_whole(
    provenance: QuantumProvenanceData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "quantum.json"
    path.write_text("what was there")
    with path.open() as reader:
        write_provenance(provenance, path)
        # Whoever has the old file open has all of it.
        assert reader.read() == "what was there"
    assert path.read_text() == provenance.model_dump_json()
    usual = tmp_path / "usual"
    usual.touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(usual.stat().st_mode)


@pytest.mark.parametrize("name", ["quantum", "quantum.txt", "quantum.json.bz2", "json", ".zst", "a.json/b"])
def test_other_endings_are_refused(provenance: QuantumProvenanceData, tmp_path: Path, name: str) -> None:
    with pytest.raises(
        ValueError, match=r"must end with one of \.json, \.json\.zst, \.json\.gz, \.yaml, \.yml"
    ):
        write_provenance(provenance, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_other_sources_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="not dict"):
        write_provenance({}, tmp_path / "quantum.json")  # type: ignore[arg-type]
    odd = QuantumProvenanceData.model_construct(predicted_inputs={1})
    with pytest.raises(ValueError, match="values that its fields do not allow"):
        write_provenance(odd, tmp_path / "quantum.json")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_leaves_nothing(provenance: QuantumProvenanceData, tmp_path: Path) -> None:
    tmp_path.joinpath("file").touch()
    with pytest.raises(NotADirectoryError):
        write_provenance(provenance, tmp_path / "file" / "quantum.json")
    tmp_path.joinpath("folder.json").mkdir()
    with pytest.raises(IsADirectoryError):
        write_provenance(provenance, tmp_path / "folder.json")
    assert sorted(os.listdir(tmp_path)) == ["file", "folder.json"]
    assert os.listdir(tmp_path / "folder.json") == []


class Store(http.server.ThreadingHTTPServer):
    """As much of an S3 service as writing and reading one object needs."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(http.server.BaseHTTPRequestHandler):
    server: Store

    def do_PUT(self) -> None:
        self.server.objects[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(200)

    def do_HEAD(self) -> None:
        self._answer(200 if self.path in self.server.objects else 404)

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """Run an object store on this machine."""
    pytest.importorskip("boto3")
    with Store() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        for name, value in {
            "S3_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
            "LSST_DISABLE_BUCKET_VALIDATION": "1",
            "AWS_ACCESS_KEY_ID": "somebody",
            "AWS_SECRET_ACCESS_KEY": "something",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }.items():
            monkeypatch.setenv(name, value)
        yield server
        server.shutdown()
        thread.join()


@ENDINGS
def test_an_object_store(provenance: QuantumProvenanceData, store: Store, ending: str) -> None:
    for _ in range(2):
        write_provenance(provenance, f"s3://bucket/some/quantum{ending}")
    [(name, data)] = store.objects.items()
    assert name == f"/bucket/some/quantum{ending}"
    assert (
        read(data, ending).model_dump()
        == Stock.model_validate_json(provenance.model_dump_json()).model_dump()
    )
