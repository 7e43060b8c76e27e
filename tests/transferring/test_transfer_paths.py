"""No record of an archive leads out of the datastore that it goes to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from lsst.daf.butler import Butler
from lsst.daf.butler.datastore.stored_file_info import StoredFileInfo
from lsst.resources import ResourcePath

pytest.importorskip("lsst.ctrl.mpexec", reason="the demo's graph needs an executor")

from campaigns import Campaign, arguments, changed, each_row, transferred, write_archive

from quantum_butler.cli.main import main
from quantum_butler.transferring.report import TransferError
from quantum_butler.upstream.paths import is_within
from registries import Registries, content

OUTSIDE = [
    "../victim.json",
    "a/../../victim.json",
    "a/../victim.json",
    "%2e%2e/victim.json",
    "..%2fvictim.json",
    "{outside}/victim.json",
    "file://{outside}/victim.json",
    "s3://bucket/victim.json",
    "~/victim.json",
    "$OUTSIDE/victim.json",
    "a/$UP/$UP/victim.json",
    "../victim.json#unzip=a",
    "a#../../victim.json",
    "a#b/../../victim.json#c",
    ".",
    "..",
    "",
    "/",
]
ALIASES = ["a//b.json", "./a.json", "a/./b.json", "a%2Fb.json", "a/b.json/", "$EMPTY/a.json"]
WITHIN = [
    "victim.json",
    "run/one/type/a-b_c+d@e=f,g.json.gz",
    "run/..hidden/...",
    "run/a b/ü'c.json",
    "a:b/c",
    "run/a.zip#unzip=member.json",
    "run/a.zip#unzip=folder/member.json",
]


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Set what upstream expands in paths."""
    for name, value in {"OUTSIDE": str(tmp_path), "UP": "..", "EMPTY": "."}.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("path", [*OUTSIDE, *ALIASES])
def test_paths_that_are_refused(path: str, tmp_path: Path) -> None:
    assert not is_within(path.format(outside=tmp_path))


@pytest.mark.parametrize("path", WITHIN)
def test_paths_that_are_taken(path: str, tmp_path: Path) -> None:
    assert is_within(path)
    root = ResourcePath(tmp_path, forceDirectory=True)
    assert root.join(path).relative_to(root) is not None


@pytest.mark.slow
@pytest.mark.parametrize("path", ["../victim.json", "%2e%2e/victim.json", "{outside}/victim.json"])
def test_a_batch_with_such_a_record_is_refused(
    on_sqlite: Campaign, registries: Registries, tmp_path: Path, path: str
) -> None:
    path = path.format(outside=tmp_path)

    def lead_out(data: dict[str, Any]) -> None:
        next(each_row(data))["path"] = path

    *others, last = on_sqlite.entries
    archive = write_archive(tmp_path / "hostile", [*others, changed(last, lead_out)])
    root = registries.copy(on_sqlite.executed)
    done = CliRunner().invoke(main, [*arguments(root, on_sqlite, archive), "--batch", "1"])
    assert done.exit_code == 1
    assert repr(path) in done.stderr
    assert any(str(dataset) in done.stderr for dataset in last.provenance.actual_outputs)
    assert "Traceback" not in done.stderr
    outputs = {dataset for entry in others for dataset in entry.provenance.actual_outputs}
    assert outputs <= content(root).refs.keys()
    assert last.provenance.actual_outputs.isdisjoint(content(root).refs)
    with pytest.raises(TransferError, match="not a plain path below the root"):
        transferred(registries.copy(on_sqlite.executed), on_sqlite, archive, dry_run=True)


@pytest.mark.slow
def test_what_such_a_record_would_do(on_sqlite: Campaign, registries: Registries) -> None:
    """Upstream removes what such a record names: that it is refused is not for nothing."""
    root = registries.copy(on_sqlite.executed)
    transferred(root, on_sqlite)
    victim = root.parent / "victim.json"
    victim.write_text("{}")
    one = on_sqlite.expected.refs[min(on_sqlite.entries[0].provenance.actual_outputs)]
    with Butler.from_config(str(root), writeable=True) as butler:
        datastore: Any = butler._datastore
        [record] = datastore.export_records([one])[datastore.name].records[one.id][datastore._table.name]
        hostile = StoredFileInfo.from_record({**record.to_record(), "path": "%2e%2e/victim.json"})
        datastore.forget([one])
        datastore._bridge.insert([one])
        datastore._table.insert(hostile.to_record(dataset_id=one.id))
        butler.pruneDatasets([one], disassociate=True, unstore=True, purge=True)
    assert not victim.exists()
