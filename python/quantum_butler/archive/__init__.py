"""The provenance archive: many quanta, to be asked.

- `archive`: the class `Archive`, which asks; `results` and `lineage`: what
  its answers are made of.
- `rebuilding`: which quanta make datasets again.
- `format`: the manifest, and the roles of datasets.
- `reader`: what the archive has, by number; `columns`: rows of one table by
  number; `index`: the file of the lineage index.
- `rows`: all tables side by side, from beginning to end.
- `checks`: whether the archive is sound.
- `statistics`: counts of quanta, datasets and bytes.
- `reports`, `rebuilt`, `cells`, `graph`, `plots`: the answers in words, graphs
  and pictures.

Importing this package is cheap: pyarrow is imported when the first question
needs it, and ``lsst`` never.
"""

from __future__ import annotations

__all__ = (
    "Archive",
    "ArchiveError",
    "Change",
    "Consumer",
    "Dataset",
    "DatasetDetails",
    "Difference",
    "Edge",
    "Finding",
    "Lineage",
    "Manifest",
    "NotMadeError",
    "Quantum",
    "QuantumDetails",
    "Rebuild",
    "Statistics",
    "TaskStatistics",
    "UnknownIdError",
    "Use",
    "Verification",
)

from .archive import Archive
from .checks.findings import Finding, Verification
from .errors import ArchiveError, NotMadeError, UnknownIdError
from .format import Manifest
from .lineage import Edge, Lineage
from .rebuilding import Rebuild
from .results import (
    Change,
    Consumer,
    Dataset,
    DatasetDetails,
    Difference,
    Quantum,
    QuantumDetails,
    Statistics,
    TaskStatistics,
    Use,
)
