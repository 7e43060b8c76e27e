"""Bookkeeping and provenance of one quantum."""

__all__ = ()
