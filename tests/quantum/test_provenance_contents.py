"""What was put as metadata and log is in the log of provenance, if that is wanted."""

from __future__ import annotations

import json
import logging
import uuid
from pathlib import Path

import pytest

pytest.importorskip("lsst.pipe.base")

from lsst.daf.butler import QuantumProvenanceData
from lsst.daf.butler.logging import ButlerLogRecord, ButlerLogRecords
from lsst.pipe.base import TaskMetadata

from quantum_butler import ProvenanceLog, _core
from quantum_butler.collecting.contents import all_contents
from quantum_butler.dropin.launcher import environment
from quantum_butler.switches import CONTENTS_SWITCH, contents_wanted, set_log_folder

SOURCE = QuantumProvenanceData(
    predicted_inputs=set(),
    available_inputs=set(),
    actual_inputs=set(),
    predicted_outputs=set(),
    actual_outputs=set(),
    datastore_records={},
)


def made_up() -> tuple[TaskMetadata, ButlerLogRecords]:
    record = logging.LogRecord("lsst.x", logging.INFO, "/a/b.py", 7, "caf\u00e9 %s", ("\u0000\n",), None)
    metadata = TaskMetadata.from_dict({"quantum": {"caveats": 0, "large": 10**30, "nan": float("nan")}})
    return metadata, ButlerLogRecords.from_records([ButlerLogRecord.from_record(record)], extra={"a": [1]})


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.zst"])
def test_they_come_back(tmp_path: Path, ending: str) -> None:
    metadata, records = made_up()
    ids = [uuid.UUID(int=number) for number in range(1, 4)]
    with ProvenanceLog(tmp_path / f"log{ending}", provenance_contents=True) as log:
        log.append(ids[0], SOURCE, metadata=metadata, logs=records)
        log.append(ids[1], SOURCE, logs=records)
        log.append(ids[2], SOURCE)
    written = metadata.model_dump_json().encode(), records.to_json_data().encode()
    assert list(all_contents([tmp_path])) == [(ids[0], True, *written), (ids[1], True, None, written[1])]


def test_they_are_not_there_unless_wanted(tmp_path: Path) -> None:
    metadata, records = made_up()
    with ProvenanceLog(tmp_path / "log.jsonl") as log:
        log.append(uuid.UUID(int=1), SOURCE, metadata=metadata, logs=records)
    assert "contents" not in json.loads((tmp_path / "log.jsonl").read_text())
    assert list(all_contents([tmp_path])) == []


def test_switches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(CONTENTS_SWITCH, raising=False)
    assert not contents_wanted()
    for value, wanted in (("1", True), ("0", False), ("", False)):
        monkeypatch.setenv(CONTENTS_SWITCH, value)
        assert contents_wanted() is wanted
    try:
        set_log_folder(tmp_path, contents=True)
        assert contents_wanted()
    finally:
        set_log_folder(None)
    assert CONTENTS_SWITCH not in environment({}, provenance_log=tmp_path)
    assert environment({}, provenance_log=tmp_path, provenance_contents=True)[CONTENTS_SWITCH] == "1"


def test_what_cannot_be_unpacked_is_told() -> None:
    for dictionary, packed, reason in ((2, "", "no dictionary 2"), (1, "?", "Base64"), (1, "Zm9v", "frame")):
        with pytest.raises(ValueError, match=reason):
            _core.unpack(dictionary, packed)
