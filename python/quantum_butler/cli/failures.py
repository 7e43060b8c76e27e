"""Errors of archives and graphs, as the command line ends with them.

Importing this module is cheap; the function imports what it needs.
"""

from __future__ import annotations

__all__ = ("failure_of",)

import click


class _CalledWronglyError(click.ClickException):
    """Something else is named than what the command is for."""

    exit_code = 2


def failure_of(error: Exception) -> click.ClickException:
    """Return how a command ends: what is no archive was named wrongly, all else is a failure."""
    from ..archive.errors import NotAnArchiveError
    from ..archive.reports import plain

    kind = _CalledWronglyError if isinstance(error, NotAnArchiveError) else click.ClickException
    return kind(plain(str(error)))
