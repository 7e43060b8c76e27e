"""The classes of this package under upstream's names."""

__all__ = ()
