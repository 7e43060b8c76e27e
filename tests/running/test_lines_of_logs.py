"""What the logs of an interrupted run tell of its quanta, however many there are."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from quantum_butler.running.campaign import Campaign
from quantum_butler.running.kept import read_kept
from quantum_butler.running.plan import Plan
from quantum_butler.running.unnoted import find_logged


def ids(count: int) -> list[uuid.UUID]:
    """Return ids of so many quanta."""
    return [uuid.UUID(int=number + 1) for number in range(count)]


def line(quantum_id: uuid.UUID, **told: Any) -> str:
    """Return the line of a quantum, as logs have it."""
    first = {"quantum_id": str(quantum_id), "actual_outputs": [], "datastore_records": {}}
    return json.dumps({**first, "contents": {"metadata": "{}"}, **told}, separators=(",", ":")) + "\n"


def test_thousands_of_quanta_are_looked_for_at_once(tmp_path: Path) -> None:
    quanta = ids(5000)
    # Outputs and inputs of quanta have ids, too.
    outputs = [str(uuid.UUID(int=1 << 100 | number)) for number in range(40)]
    (tmp_path / "a.jsonl").write_text("".join(line(one, actual_outputs=outputs) for one in quanta[::2]))
    assert find_logged(quanta, [str(tmp_path)]) == read_kept(quanta, [str(tmp_path)]).keys() == {*quanta[::2]}


def test_a_damaged_line_tells_nothing_and_hides_no_other(tmp_path: Path) -> None:
    quanta = ids(6)
    whole, torn, mixed, zeros, failed, last = (line(one, failed=one == quanta[4]) for one in quanta)
    damaged = [
        torn[: len(torn) // 2] + "\n",
        mixed[: len(mixed) // 2] + failed,
        zeros[:60] + "\0" * 100 + "\n",
        failed,
        whole,
        last.removesuffix("\n"),
    ]
    (tmp_path / "a.jsonl").write_text("".join(damaged))
    (tmp_path / "b.jsonl").write_bytes(line(quanta[1]).encode().replace(b"{}", b"\xff\xfe"))
    found = find_logged(quanta, [str(tmp_path)])
    assert found == read_kept(quanta, [str(tmp_path)]).keys() == {quanta[0]}


def test_a_folder_and_a_log_that_are_gone_tell_nothing(tmp_path: Path) -> None:
    quanta = ids(1)
    (tmp_path / "a.jsonl").symlink_to(tmp_path / "away")
    (tmp_path / "b.jsonl").write_text(line(quanta[0]))
    assert find_logged(quanta, [str(tmp_path / "nowhere"), str(tmp_path)]) == {*quanta}


class Blocked(set[int]):
    """Quanta that are blocked, which count how often they are put together with others."""

    unions = 0

    def union(self, *others: Any) -> set[Any]:
        """Put them together."""
        self.unions += 1
        return super().union(*others)


def test_quanta_of_a_task_that_cannot_be_imported_are_taken_out_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A large graph would otherwise wait for minutes."""
    quanta = [(label, (number,)) for label in ("bad", "good") for number in range(50)]
    named = [(*one, quantum_id) for one, quantum_id in zip(quanta, ids(len(quanta)), strict=True)]
    tasks = {label: (label.title(), ("detector",), ()) for label in ("bad", "good")}
    blocked = Blocked({50, 51})
    monkeypatch.setattr(Campaign, "_blocked_by", lambda campaign, failed: blocked)
    campaign = Campaign.__new__(Campaign)
    campaign.plan = Plan("graph.qg", tasks, named, ())
    campaign.to_run, campaign._not_chosen = list(range(100)), set()
    campaign._fail_task(
        "bad",
        "no module",
        SimpleNamespace(fail_all=lambda *_: None, blocked=lambda *_: None),  # type: ignore[arg-type]
    )
    assert campaign.to_run == list(range(52, 100))
    assert blocked.unions <= 1
