"""One datastore below a local root: where artifacts are, and how to read, write, remove and find them."""

__all__ = ()
