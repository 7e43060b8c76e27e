"""All that is known of upstream's insides: private names are used here and nowhere else."""

__all__ = ()
