"""Sources that are not local files: what stores raise of them."""

from __future__ import annotations

__all__ = ("PlaceError", "elsewhere")

from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import QuantumButlerError


class PlaceError(QuantumButlerError, OSError):
    """A URI that nothing can be read from, such as one of a store that wants credentials."""


@contextmanager
def elsewhere(uri: str) -> Iterator[None]:
    """Turn whatever a store raises of a URI into a `PlaceError` that names it; our own errors stay."""
    try:
        yield
    except QuantumButlerError:
        raise
    except Exception as error:
        # Which exceptions there are, the library of each store decides.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise PlaceError(f"{uri} cannot be read: {reason}") from error
