"""All that is known of upstream's insides: private names are used here and nowhere else."""

__all__ = ("NotOurs",)

from .versions import require_supported

# What is older lacks names that the modules here import: their errors would not say why.
require_supported()


class NotOurs(Exception):  # noqa: N818  # It is no error: upstream answers instead.
    """Raised, before anything has happened, where only upstream can answer."""
