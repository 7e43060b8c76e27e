"""Checks an archive whole: whether its tables are what docs/archive.md says, and agree with each other.

- `findings`: what is wrong, a bounded number of each kind.
- `tables`: one table: whether it can be read, has its columns, and ids once.
- `graph`: quanta, edges, records and the lineage index; `datasets`;
  `indexes`: the indexes by name; `others`: what is beside them.
- `whole`: all of these, one after the other.
"""

from __future__ import annotations

__all__ = ()
