"""Everything that touches files, by name."""

from __future__ import annotations

__all__ = ("OPERATIONS",)

from collections.abc import Mapping

from collect_operations import Collect, WriteProvenance
from dataset_operations import Get, Prune, Put
from filed_operations import CloseFile, OpenFile, PruneFromFile, PutToFile, ResumeFile
from log_operations import Append, CloseButler, CloseLog, OpenLog, TryFolder
from operation_base import Operation

OPERATIONS: Mapping[str, type[Operation]] = {
    "put": Put,
    "get": Get,
    "prune": Prune,
    "try folder": TryFolder,
    "open log": OpenLog,
    "append": Append,
    "close log": CloseLog,
    "close butler": CloseButler,
    "write provenance": WriteProvenance,
    "collect": Collect,
    "open file": OpenFile,
    "put to file": PutToFile,
    "prune from file": PruneFromFile,
    "close file": CloseFile,
    "resume file": ResumeFile,
}
"""Operations by name (`~collections.abc.Mapping` [`str`, `type`])."""
