"""Words of upstream's logs for each step, and a way to log the same where upstream's code is not run.

Messages at ``DEBUG`` and ``VERBOSE`` are part of what users get.  They come under
the names of upstream's loggers, in upstream's order.
"""

from __future__ import annotations

__all__ = (
    "CACHING",
    "DATASTORE",
    "FORMATTER",
    "PLACING",
    "READING",
    "WRITING",
    "are_wanted",
    "hushed",
    "say_artifact",
    "say_place",
)

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from lsst.daf.butler import _formatter
from lsst.daf.butler.datastore import cache_manager, composites, file_templates
from lsst.daf.butler.datastores import fileDatastore
from lsst.daf.butler.datastores.file_datastore import get
from lsst.utils.logging import getLogger

if TYPE_CHECKING:
    from lsst.daf.butler import DatasetRef

DATASTORE = getLogger(fileDatastore.__name__)
"""Log in which upstream's datastore counts what it does."""

FORMATTER = logging.getLogger(_formatter.__name__)
"""Log in which formatters say what they read and write, and how they were chosen."""


def _timer(name: str) -> logging.Logger:
    """Return the log in which upstream says how long something took."""
    return logging.getLogger(f"timer.{name}")


PLACING = (
    logging.getLogger(composites.__name__),
    logging.getLogger(file_templates.__name__),
    FORMATTER,
)
"""Logs that say something on the way from a dataset to its place."""

CACHING = (logging.getLogger(cache_manager.__name__),)
"""Log in which the file cache says something."""

READING = (
    logging.getLogger(fileDatastore.__name__),
    logging.getLogger(get.__name__),
    *CACHING,
    _timer(_formatter.__name__),
)
"""Logs that say something when a dataset is read, besides where it is expected."""

WRITING = (
    logging.getLogger(fileDatastore.__name__),
    logging.getLogger("lsst.resources.file"),
    _timer(fileDatastore.__name__),
    *PLACING,
)
"""Logs that say something when a dataset is written to a local file."""

_hushed = ContextVar("_hushed", default=False)


def are_wanted(logs: Sequence[logging.Logger], level: int = logging.DEBUG) -> bool:
    """Return whether anybody wants to hear one of some logs."""
    for log in logs:  # Quicker than a generator, and asked for each dataset.
        if log.isEnabledFor(level):
            return True
    return False


def say_place(datastore: Any, ref: DatasetRef) -> None:
    """Say what upstream says when it works out where a whole dataset is expected, by its own functions.

    A datastore is all that has ``composites``, ``templates`` and ``formatters``.
    """
    if not are_wanted(PLACING):
        return
    if datastore.composites.shouldBeDisassembled(ref):
        for component in ref.datasetType.storageClass.components:
            say_artifact(datastore, ref.makeComponentRef(component))
    else:
        say_artifact(datastore, ref)


def say_artifact(datastore: Any, ref: DatasetRef) -> None:
    """Say what upstream says when it works out where one artifact goes."""
    datastore.templates.getTemplate(ref)
    datastore.formatters.getFormatterClassWithMatch(ref)


@contextmanager
def hushed() -> Iterator[None]:
    """Ask upstream where something goes, which nobody has asked for and nobody is to hear of."""
    for log in PLACING:
        log.addFilter(_is_heard)
    token = _hushed.set(True)
    try:
        yield
    finally:
        _hushed.reset(token)


def _is_heard(_: logging.LogRecord) -> bool:
    """Return whether a message is said in earnest (a filter, which the log has from then on)."""
    return not _hushed.get()
