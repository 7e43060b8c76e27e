"""Times are converted as upstream converts them, but the same one once."""

from __future__ import annotations

from typing import Any

import pytest
from astropy.time import Time
from lsst.daf.butler.time_utils import TimeConverter

from quantum_butler.upstream.times import converted_once


def test_the_same_time_once(monkeypatch: pytest.MonkeyPatch) -> None:
    times = [Time("2026-11-30T12:00:00", scale=scale) for scale in ("tai", "utc")]
    convert = TimeConverter.astropy_to_nsec
    expected = [convert(TimeConverter(), time) for time in times]
    assert len(set(expected)) == 2
    converted = []

    def counting(self: TimeConverter, time: Any) -> int:
        converted.append(time)
        return convert(self, time)

    monkeypatch.setattr(TimeConverter, "astropy_to_nsec", counting)
    order = [0, 0, 0, 1, 1, 0, 0]
    with converted_once():
        with converted_once():
            assert [TimeConverter().astropy_to_nsec(times[n]) for n in order[:4]] == [
                expected[n] for n in order[:4]
            ]
        # As long as anybody wants it.
        assert [TimeConverter().astropy_to_nsec(times[n]) for n in order[4:]] == [
            expected[n] for n in order[4:]
        ]
    assert [times.index(time) for time in converted] == [0, 1, 0]
    with pytest.raises(KeyError), converted_once():
        raise KeyError
    TimeConverter().astropy_to_nsec(times[0])
    assert TimeConverter().astropy_to_nsec(times[0]) == expected[0]
    assert len(converted) == 5
