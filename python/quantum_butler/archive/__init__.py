"""The provenance archive: many quanta, to be asked.

- `archive`: the class `Archive`, which asks.
- `manifest`: what the archive says of itself.
- `index`: the file of the lineage index.
- `tables`: rows of the Parquet tables, by number.
- `written`: what quanta have written, from beginning to end.
- `results`: what the answers are made of.
- `commands`: the same on the command line, in the words of `reports`,
  `drawing` and `svg`, and `plots`.

Importing this package is cheap: pyarrow is imported when the first question
needs it, and ``lsst`` never.
"""

from __future__ import annotations

__all__ = (
    "Archive",
    "ArchiveError",
    "Change",
    "Dataset",
    "Difference",
    "Edge",
    "Lineage",
    "Manifest",
    "Quantum",
    "QuantumDetails",
    "Statistics",
    "TaskStatistics",
    "UnknownIdError",
    "Use",
)

from .archive import Archive
from .errors import ArchiveError, UnknownIdError
from .manifest import Manifest
from .results import (
    Change,
    Dataset,
    Difference,
    Edge,
    Lineage,
    Quantum,
    QuantumDetails,
    Statistics,
    TaskStatistics,
    Use,
)
