"""Implements ``quantum-butler collect``: provenance of many quanta becomes an archive.

The work goes in four steps.  `sources` finds the input and parts it into
pieces of bounded size, as `found` has them.  `pieces` reads one piece, in
whatever process that happens, into tables in a scratch folder.  `duplicates`
finds quanta that are there more than once, and `replaced` tells where they are
from.  `tables` writes the archive from the tables, in order.  `driver` does all
that; `scratch` has the folder beside the archive in which it happens, and puts
the result in place.  `archived` reads an archive back, for ``--append``.

Nothing here imports ``lsst``, but for sources that are URIs.
"""

__all__ = ()
