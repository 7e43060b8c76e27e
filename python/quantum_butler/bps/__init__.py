"""Jobs of BPS in warm workers, for ``wmsServiceClass: quantum_butler.bps.WarmParslService``.

`service` is what ``bps`` commands call, and `workflow` runs the jobs, both
from upstream's classes for Parsl.  `state` is the file that tells of a run.
`job` is what a worker of Parsl runs, and `zygote` the process beside it that
has everything imported and forks for each job.

The package needs ``lsst.ctrl.bps.parsl``.  Names are imported when they are
first asked for: workers do without all but `job`.
"""

from __future__ import annotations

__all__ = ("WarmParslService",)

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .service import WarmParslService
else:

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from .service import WarmParslService

        return WarmParslService
