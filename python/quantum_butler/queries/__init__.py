"""Language in which people name quanta and datasets, or choose among them. It needs no ``lsst``.

- `expressions`: conditions on data IDs, parsed; `conditions`: worked out for many rows at once.
- `spoken`: a name as it is written; `resolving`: what it is the name of; `nearest`: what is near it.
- `known`: refusal of names that nothing has; `alike`: the names like them.
- `order`: the order of dimensions where data IDs are shown.
- `found`: what has been found; `errors`: what goes wrong.
"""

from __future__ import annotations

__all__ = ()
