"""A butler's records and provenance in a SQLite file.

Reads are served from Rust, as without a file.  Rust knows which datasets have
changed since they were last settled.  `Journal.commit` writes what these are
now in one transaction, and settles them; only then is a call acknowledged.

- `.errors`: one exception, which names the file.
- `.schema`: the tables, stock's and ours; `.rows`: what their rows mean.
- `.database`: making a file, opening and closing it.
- `.journal`: the transactions, and what is written in them.
- `.resume`: going on after a crash.

Names are imported when they are first asked for: few quanta have such a file,
and each would pay for it when its process starts.

The file's layout and promises are in ``docs/file-mode.md``.
"""

from __future__ import annotations

__all__ = (
    "FileHasQuantumError",
    "FileSchema",
    "Journal",
    "RecordFileError",
    "check_datastores",
    "explain_trash",
    "has_quantum",
    "identities",
    "look_around",
    "predict_artifacts",
    "read_roles",
    "require_log",
    "require_no_quantum",
    "unfiled_records",
)

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .errors import FileHasQuantumError, RecordFileError
    from .journal import Journal
    from .resume import (
        check_datastores,
        explain_trash,
        has_quantum,
        look_around,
        read_roles,
        require_log,
        require_no_quantum,
        unfiled_records,
    )
    from .rows import identities, predict_artifacts
    from .schema import FileSchema
else:
    _MODULES = {
        "FileHasQuantumError": "errors",
        "FileSchema": "schema",
        "Journal": "journal",
        "RecordFileError": "errors",
        "check_datastores": "resume",
        "explain_trash": "resume",
        "has_quantum": "resume",
        "identities": "rows",
        "look_around": "resume",
        "predict_artifacts": "rows",
        "read_roles": "resume",
        "require_log": "resume",
        "require_no_quantum": "resume",
        "unfiled_records": "resume",
    }

    def __getattr__(name: str) -> object:
        if (module := _MODULES.get(name)) is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        value = globals()[name] = getattr(import_module(f"{__name__}.{module}"), name)
        return value
