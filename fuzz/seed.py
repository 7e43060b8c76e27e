"""Make the seeds of the fuzz targets: ``python fuzz/seed.py`` writes them below ``fuzz/corpus``."""

from __future__ import annotations

import json
import random
import uuid
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent / "corpus"
CLASSES = (
    "lsst.daf.butler.datastore.stored_file_info.StoredFileInfo",
    "lsst.daf.butler.core.storedFileInfo.StoredFileInfo",
)
ROLES = ("predicted_inputs", "available_inputs", "actual_inputs", "predicted_outputs", "actual_outputs")


def _id(number: int) -> str:
    return str(uuid.UUID(int=number << 64 | number))


def _provenance(outputs: int, **changes: Any) -> dict[str, Any]:
    ids = [_id(number) for number in range(1, 3 + outputs)]
    row = {
        "formatter": "a.F",
        "path": "run/a b%20\u00e9.json",
        "storage_class": "S",
        "component": "__NULL_STRING__",
        "checksum": None,
        "file_size": 7,
    }
    rows = {uuid.UUID(one).hex: {"t": [{**row, **changes}]} for one in ids[:outputs]}
    records = {"d": {"dataset_ids": ids[:outputs], "records": {CLASSES[outputs % 2]: rows}}}
    return {
        **{role: ids[place:] for place, role in enumerate(ROLES)},
        "datastore_records": records if rows else {},
    }


def _line(number: int, provenance: dict[str, Any]) -> dict[str, Any]:
    data_id = [None, {}, {"instrument": "Cam", "detector": number}][number % 3]
    return {
        "quantum_id": _id(99 + number),
        "task_label": [None, "isr"][number % 2],
        "data_id": data_id,
        **provenance,
    }


def _compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def main() -> None:
    """Write the seeds."""
    dice = random.Random(1)
    documents = [_provenance(0), _provenance(1), _provenance(2, component="wcs", checksum="ab", file_size=-1)]
    lines = [_line(number, document) for number, document in enumerate(documents)]
    spelled = (
        json.dumps(lines[1]).replace(_id(1), "urn:uuid:" + _id(1)).replace(_id(2), uuid.UUID(_id(2)).hex)
    )
    odd = ["{", "[]", '{"quantum_id":"', spelled, json.dumps(lines[2], indent=1).replace("\n", " ")]
    log = "\n".join([*map(json.dumps, lines), *odd]).encode()
    seeds: dict[str, list[bytes]] = {
        "provenance": [json.dumps(document).encode() for document in documents]
        + [json.dumps(documents[2], indent=1).encode()],
        "log_lines": [b"\x07" + _compact(line) for line in lines] + [b"\x20" + log],
        "log_frames": [
            bytes([30, 0, 1, 0, 0]) + b"\xff".join(_compact(line) + b"\n" for line in lines),
            bytes([0, 0, 1, 0, 5]) + log,
            bytes([1, 4, 0]) + bytes.fromhex("28b52ffd0458090000610a0000000000"),
        ],
        "lineage": [bytes([kind, *dice.randbytes(size)]) for kind in (0, 1, 6, 7) for size in (16, 80, 200)],
        "tables": [bytes([kind, *dice.randbytes(size)]) for kind in range(4) for size in (16, 80, 200)],
    }
    manifest = {
        "format": "quantum-butler provenance archive",
        "version": 1,
        "created": "2026-01-01T00:00:00+00:00",
        "software": {"quantum-butler": "0.1.0"},
        "sources": [{"path": "logs"}],
        "counts": {"quanta": 1},
    }
    seeds["manifest"] = [
        json.dumps(manifest, indent=2).encode(),
        json.dumps(manifest | {"version": 2}).encode(),
    ]
    for target, contents in seeds.items():
        (FOLDER / target).mkdir(parents=True, exist_ok=True)
        for number, content in enumerate(contents):
            (FOLDER / target / f"seed-{number:02}").write_bytes(content)


if __name__ == "__main__":
    main()
