"""Processes that are forked to do one thing, and may be killed in the middle of it."""

from __future__ import annotations

__all__ = ("in_child", "start")

import faulthandler
import os
import traceback
from collections.abc import Callable
from typing import Any

_MOST_SECONDS = 120
"""After so many a process is taken for one that hangs, and ended (`int`)."""


def start(work: Callable[[], Any], seconds: float | None = _MOST_SECONDS) -> int:
    """Start a process that does something, and return its id.

    Its exit status is 0 if that has been done, 1 if it has failed.
    """
    child = os.fork()
    if child == 0:
        status = 1
        if seconds is not None:
            faulthandler.dump_traceback_later(seconds, exit=True)
        try:
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return child


def in_child(work: Callable[[], Any]) -> str:
    """Do something in a process of its own, and return the text that comes of it.

    Threads that it leaves behind would not survive the next fork.
    """
    reading, writing = os.pipe()

    def tell() -> None:
        os.close(reading)
        failed, text = b"0", ""
        try:
            text = str(work())
        except BaseException:
            failed, text = b"1", traceback.format_exc()
        with open(writing, "wb") as stream:
            stream.write(failed + text.encode())

    child = start(tell)
    os.close(writing)
    with open(reading, "rb") as stream:
        told = stream.read()
    os.waitpid(child, 0)
    if not told.startswith(b"0"):
        raise AssertionError(told[1:].decode() or "the process has not told anything")
    return told[1:].decode()
