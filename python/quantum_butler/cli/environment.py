"""``quantum-butler env``: what ``exec`` sets, for a shell that goes on by itself."""

from __future__ import annotations

__all__ = ("env",)

import json
import os
import shlex
from pathlib import Path

import click

from .options import drop_in_options
from .output import show


@click.command(
    short_help="Print what to set so that Python commands use our classes.",
    epilog="Exit status: 0; 1 if no provenance log can be written in FOLDER; 2 when it was called wrongly.",
)
@click.option(
    "--format",
    "style",
    type=click.Choice(["sh", "csh", "fish", "json"]),
    default="sh",
    show_default=True,
    help="For which shell, or for a program.",
)
@drop_in_options
def env(
    style: str,
    require: bool,
    provenance_log: Path | None,
    provenance_contents: bool,
    on_log_failure: str | None,
    spill_to: Path | None,
) -> None:
    """Print the environment in which Python commands use our classes, as exec sets it.

    \b
    eval "$(quantum-butler env)"                  # sh, bash, zsh
    eval "`quantum-butler env --format csh`"      # csh, tcsh
    quantum-butler env --format fish | source     # fish

    It goes by the environment that it is called in: PYTHONPATH keeps what it has. So let it be called
    where the commands run. In a script of a batch system the first of these lines does that; it also is
    what to give to BPS as commandPrefix.
    """  # noqa: D301 - click wants the character \b itself
    from ..dropin.launcher import environment
    from ..switches import CONTENTS_SWITCH, FAILURE_SWITCH, LOG_SWITCH, SPILL_SWITCH, SWITCH

    try:
        after = environment(
            os.environ,
            require=require,
            provenance_log=provenance_log,
            provenance_contents=provenance_contents,
            on_log_failure=on_log_failure,
            spill_to=spill_to,
        )
    except OSError as error:
        raise click.ClickException(f"no provenance log: {error}") from error
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    names = ["PYTHONPATH", SWITCH, LOG_SWITCH, CONTENTS_SWITCH]
    if on_log_failure is not None or spill_to is not None:
        names += [FAILURE_SWITCH, SPILL_SWITCH]
    wanted = {name: after[name] for name in names if name in after}
    if style == "json":
        show(f"{json.dumps(wanted)}\n")
    else:
        show("".join(f"{_LINES[style](name, value)}\n" for name, value in wanted.items()))


def _sh(name: str, value: str) -> str:
    return f"export {name}={shlex.quote(value)}"


def _csh(name: str, value: str) -> str:
    # In quotes, too, it looks for its history.
    return f"setenv {name} {shlex.quote(value)};".replace("!", "\\!")


def _fish(name: str, value: str) -> str:
    quoted = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"set -gx {name} '{quoted}'"


_LINES = {"sh": _sh, "csh": _csh, "fish": _fish}
