"""Ctrl-C during a run: the first one lets what runs come to its end, the second one ends that, too."""

from __future__ import annotations

__all__ = ("Interruptions",)

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType


class Interruptions:
    """Counts interruptions while a run goes on, instead of raising `KeyboardInterrupt` wherever it is."""

    def __init__(self, first: Callable[[], object] | None = None):
        self.count = 0
        """How many there were (`int`)."""
        self._first = first

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count them from here on; a thread other than the main one has none."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGINT, self._note)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        if self.count == 1 and self._first is not None:
            self._first()
