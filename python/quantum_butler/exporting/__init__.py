"""A run's provenance in the languages of other tools.

`driver` has `export`, which users call.  `contents` reads an archive, whole or
a part, and gives quanta with the datasets that they used and wrote.  Each other
module writes one format: `w3c` PROV, `events` OpenLineage, `crate` RO-Crate, and
`runtime` a table of what quanta needed; `formats` is what they have in common.
"""

__all__ = ()
