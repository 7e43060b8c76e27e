"""Upstream's datastores and record managers, with whole operations over records in Rust."""

__all__ = ()
