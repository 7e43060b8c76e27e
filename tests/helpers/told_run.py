"""What tells of one run: upstream's graphs, and archives that were made of them."""

from __future__ import annotations

__all__ = ("Told",)

import dataclasses
from pathlib import Path

from mixed_run import MixedRun


@dataclasses.dataclass
class Told:
    """What tells of the run: upstream's graphs, and archives that were made of one of them."""

    run: MixedRun
    provenance: Path
    predicted: Path
    archive: Path
    planned: Path

    @property
    def places(self) -> list[Path]:
        return [self.provenance, self.predicted, self.archive, self.planned]
