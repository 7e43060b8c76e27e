"""The butler of one quantum, and what does not change between quanta."""

__all__ = ()
