"""Transfers outputs of quanta into a repository.

`quanta` does it with the provenance of quanta that a program has, as
``QuantumProvenanceData.collect_and_transfer``.

`archive` does it for a whole graph and an archive of its quanta.  `graph_outputs`
reads from the graph what the quanta were to write, `paths` looks at where the
archive says that files are, `repository` brings in what is new, `report` is
what there is to tell, and `command` is ``quantum-butler transfer``.
"""

__all__ = ()
