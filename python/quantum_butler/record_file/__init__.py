"""A butler's records and provenance in a SQLite file.

Reads are served from Rust, as without a file.  Rust knows which datasets have
changed since they were last settled.  `Journal.commit` writes what these are
now in one transaction, and settles them; only then is a call acknowledged.

- `.errors`: one exception, which names the file.
- `.schema`: the tables, stock's and ours; `.rows`: what their rows mean.
- `.database`: making a file, opening and closing it.
- `.journal`: the transactions, and what is written in them.
- `.resume`: going on after a crash.

The file's layout and promises are in ``docs/file-mode.md``.
"""

from __future__ import annotations

__all__ = ("FileHasQuantumError", "Journal", "RecordFileError")

from .errors import FileHasQuantumError, RecordFileError
from .journal import Journal
