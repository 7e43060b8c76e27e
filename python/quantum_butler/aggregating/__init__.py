"""Writes the provenance graph of a run from the metadata and logs that its quanta have left."""

__all__ = ()
