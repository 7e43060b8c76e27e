"""A butler's records and provenance in a SQLite file, written through.

Reads are served from Rust, as without a file.  Each change is made in Rust
first, which knows the constraints; then what has become of the datasets
concerned is written to the file in one transaction; only then is the change
acknowledged.  If it cannot be written it is taken back in Rust, too.  What
removes records is written first and done in Rust second, for the same reason.

The room for each idea:

- `.errors`: one exception, which names the file.
- `.schema`: the tables, stock's and ours; `.keys`: ids in them.
- `.opening`: making a file, opening and closing it; `.identity`: which
  datastores it belongs to.
- `.record_file`: the transactions; `.units`: what is written in one.
- `.contents`: records and locations in the file; `.managers`: upstream's
  interfaces to them.
- `.quantum`: the provenance of the quantum; `.outputs`, `.predictions`: parts
  of that.
- `.resumption`: going on after a crash.

The file's layout and promises are in ``docs/file-mode.md``.
"""

from __future__ import annotations

__all__ = ("FileHasQuantumError", "RecordFile", "RecordFileError")

from .errors import FileHasQuantumError, RecordFileError
from .record_file import RecordFile
