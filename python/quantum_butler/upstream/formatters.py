"""Which formatter classes leave upstream's own methods alone."""

from __future__ import annotations

__all__ = ("import_formatter", "reads_as_upstream", "writes_as_upstream")

import functools
from operator import attrgetter

from lsst.daf.butler import Formatter, FormatterV2
from lsst.daf.butler.formatters.typeless import TypelessFormatter
from lsst.utils import doImportType

# The methods of `FormatterV2` that decide what happens around the formatter's
# own reading and writing, as they were before anybody could replace them.
_reading = attrgetter(
    "__init__",
    "read_directly_from_possibly_cached_uri",
    "read_from_possibly_cached_stream",
    "read_from_possibly_cached_local_file",
    "segregate_parameters",
)
_writing = attrgetter("write", "write_direct", "write_locally_then_move")
_READING, _WRITING = _reading(FormatterV2), _writing(FormatterV2)

# The ways of reading that are known here: as it is, or converted by upstream's
# base class for formats that do not keep the Python type.
_READ_AS_IT_IS = FormatterV2.read
_READ_AND_CONVERT = TypelessFormatter.read


@functools.lru_cache(maxsize=1024)
def import_formatter(name: str) -> type[Formatter | FormatterV2] | None:
    """Import a formatter class.

    Parameters
    ----------
    name : `str`
        Its fully-qualified name.

    Returns
    -------
    formatter_class : `type` or `None`
        The class; `None` if upstream will have to say what is wrong.
    """
    try:
        formatter_class = doImportType(name)
    except (ImportError, TypeError):
        return None
    return formatter_class if issubclass(formatter_class, Formatter | FormatterV2) else None


def reads_as_upstream(formatter_class: type[FormatterV2]) -> bool:
    """Tell whether a formatter class replaces only how contents are read.

    Parameters
    ----------
    formatter_class : `type`
        The class.

    Returns
    -------
    standard : `bool`
        Whether all that surrounds its ``read_from_*`` methods is upstream's.
    """
    convert = issubclass(formatter_class, TypelessFormatter)
    return (
        formatter_class.read is (_READ_AND_CONVERT if convert else _READ_AS_IT_IS)
        and _reading(formatter_class) == _READING
    )


def writes_as_upstream(formatter_class: type[FormatterV2]) -> bool:
    """Tell whether a formatter class replaces only how contents are written.

    Parameters
    ----------
    formatter_class : `type`
        The class.

    Returns
    -------
    standard : `bool`
        Whether all that surrounds its ``to_bytes`` and ``write_local_file``
        is upstream's.
    """
    return _writing(formatter_class) == _WRITING
