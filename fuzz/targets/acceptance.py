"""JSON of one quantum: nothing is let in that upstream's model refuses, and what is let in means the same.

Run by ``fuzz/run.sh``.  The extension does not tell atheris what of it is reached, so inputs grow from
those that the target ``provenance`` has found: all files in the given folders.
"""

from __future__ import annotations

import random
import sys
import uuid
from pathlib import Path

import atheris
import pyarrow as pa
from lsst.daf.butler import QuantumProvenanceData

from quantum_butler import _core

ROLES = ("predicted_inputs", "available_inputs", "actual_inputs", "predicted_outputs", "actual_outputs")
QUANTUM = str(uuid.UUID(int=1))

_MOST_MUTATIONS = 4

_scanner = _core.ProvenanceScanner()


def expected_of(data: bytes) -> QuantumProvenanceData | None:
    """Return what upstream's model takes this for."""
    try:
        return QuantumProvenanceData.model_validate_json(data)
    except ValueError:
        return None


def check_model(data: bytes, expected: QuantumProvenanceData | None) -> None:
    """Hold our own model against upstream's; what it does not take it leaves to pydantic."""
    if (found := _core.Provenance.from_json(data)) is not None:
        assert expected is not None, "pydantic refuses what was let in"
        assert QuantumProvenanceData.model_validate_json(found.to_json()) == expected


def check_scanner(data: bytes, expected: QuantumProvenanceData | None) -> None:
    """Hold the reader of `collect` against upstream's model."""
    _scanner.document(0, QUANTUM, data)
    (quanta, edges, *_), rejected = _scanner.take()
    if expected is None:
        assert len(rejected) == 1, "pydantic refuses what was let in"
        return
    if rejected:
        # Upstream's model takes any records; the archive has a place for those of files.
        assert "datastore_records[" in rejected[0][2], rejected
        return
    assert pa.table(quanta).num_rows == 1
    edges = pa.table(edges)
    ids = (one if isinstance(one, bytes) else one.bytes for one in edges["dataset_id"].to_pylist())
    roles = dict(zip(ids, edges["roles"].to_pylist(), strict=True))
    for bit, role in enumerate(ROLES):
        found = {one for one, bits in roles.items() if bits >> bit & 1}
        assert found == {one.bytes for one in getattr(expected, role)}, role


def test_one(data: bytes) -> None:
    """Try one input."""
    expected = expected_of(data)
    check_model(data, expected)
    check_scanner(data, expected)


def main() -> None:
    """Try what libFuzzer's arguments say."""
    folders = [Path(argument) for argument in sys.argv[1:] if not argument.startswith("-")]
    found = [file.read_bytes() for folder in folders for file in sorted(folder.iterdir())]
    if not found:
        raise SystemExit(f"There is nothing to grow from in {', '.join(map(str, folders)) or 'no folder'}.")

    def grow(data: bytes, most: int, seed: int) -> bytes:
        """Return one of the inputs that were found, changed."""
        dice = random.Random(seed)
        one = dice.choice(found)
        for _ in range(dice.randrange(_MOST_MUTATIONS)):
            one = atheris.Mutate(one, most)
        return one[:most]

    atheris.Setup(sys.argv, test_one, custom_mutator=grow)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
