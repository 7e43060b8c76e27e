"""One datastore, local or on a server: where artifacts are, and how to read, write, remove and find them."""

__all__ = ()
