"""Reports of finished runs: what succeeded, what failed and why, and how long it took."""

from __future__ import annotations

__all__ = ("Comparison", "RunReport", "TaskTimes", "compare", "report", "times")

from .comparing import compare
from .comparison import Comparison
from .counts import RunReport, report
from .times import TaskTimes, times
