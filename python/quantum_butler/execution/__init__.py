"""Running the quanta of a graph in warm processes.

`executor` is upstream's executor of graphs with another way to run quanta.
`scheduling` decides which quantum runs when, and keeps the report.  `worker` is
one forked process as its parent sees it, `child` what happens inside.
`forking` checks that a process may be forked, and prepares it.  `watching` is
what others are told as it goes on.

Each quantum is run by upstream's own executor of single quanta.  Nothing here
is needed by a butler: the package needs ``lsst.pipe.base``.
"""

from __future__ import annotations

__all__ = ("ForkRefusedError", "Isolation", "WarmGraphExecutor", "Watcher", "end_with_parent")

from .executor import Isolation, WarmGraphExecutor
from .forking import ForkRefusedError, end_with_parent
from .watching import Watcher
