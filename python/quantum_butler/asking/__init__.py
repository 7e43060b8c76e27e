"""Questions to a run, whether an archive or graphs tell of it.

- `runs`: `open_run`, and graphs that answer as archives do.
"""

from __future__ import annotations

__all__ = ("GraphRun", "open_run")

from .runs import GraphRun, open_run
