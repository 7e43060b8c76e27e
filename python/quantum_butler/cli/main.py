"""The command line, ``quantum-butler``.

Importing this module is cheap: a subcommand imports what it needs when it
runs, so that ``--help`` and ``exec`` do not pay for ``lsst``.
"""

from __future__ import annotations

__all__ = ("main",)

import sys
from pathlib import Path

import click

from ..switches import LogFailure
from .ask import COMMANDS
from .collect import collect
from .compare import compare
from .contents import log, metadata
from .demo import demo
from .environment import env
from .export import export
from .graphs import aggregate, merge_graphs
from .options import drop_in_options
from .output import INTERRUPTED, READER_GONE, Group
from .rebuild import rebuild
from .report import report, times
from .run import run
from .transfer import transfer
from .verify import verify

_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


@click.group(
    cls=Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit status: 0 when the command did its work; 1 when it failed, found a difference, or could not "
    f"print its answer; 2 when it was called wrongly; {INTERRUPTED} when it was interrupted; {READER_GONE} "
    "when nobody read its answer to the end. What it has written by then stays.",
)
@click.version_option(None, "-V", "--version", package_name="quantum-butler", prog_name="quantum-butler")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress, only answers, warnings and errors.")
@click.option("-v", "--verbose", count=True, help="Log what is done on standard error; -vv logs all details.")
@click.option(
    "--log-level",
    type=click.Choice([*_LEVELS], case_sensitive=False),
    help="Log messages of this level and above on standard error.  [default: WARNING; with -v INFO]",
)
def main(quiet: bool, verbose: int, log_level: str | None) -> None:
    """Rubin Observatory's QuantumBackedButler, with far less overhead.

    \b
    quantum-butler exec pipetask run-qbb REPO GRAPH     run a graph with our classes
    quantum-butler collect logs -o campaign             gather what its quanta logged
    quantum-butler stats campaign                       ask

    Options of a command come after its name: quantum-butler stats --help. To learn it:
    quantum-butler demo --tutorial FOLDER, and docs/tutorial.md.
    """  # noqa: D301 - click wants the character \b itself
    if quiet:
        from ..progress import be_quiet

        be_quiet(True)
    if verbose or log_level:
        import logging

        level = log_level or _LEVELS[max(_LEVELS.index("WARNING") - verbose, 0)]
        logging.basicConfig(level=level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")


@main.command(
    "exec",
    short_help="Run a command with our classes in place of the stock ones.",
    # What follows COMMAND belongs to it, --help included.
    context_settings={"allow_interspersed_args": False},
    epilog="The exit status is that of COMMAND; 127 if there is no such command, 126 if it cannot be "
    "run, 125 if no provenance log can be written in FOLDER.",
)
@drop_in_options
@click.argument("command", metavar="COMMAND [ARGUMENTS]...", nargs=-1, required=True, type=click.UNPROCESSED)
def exec_(
    command: tuple[str, ...],
    require: bool,
    provenance_log: Path | None,
    provenance_contents: bool,
    on_log_failure: str | None,
    spill_to: Path | None,
) -> None:
    """Run COMMAND, unchanged, with our classes in place of the stock ones.

    Whatever in it asks lsst.daf.butler for QuantumBackedButler or QuantumProvenanceData gets those
    of quantum_butler, and so it goes in every Python process that it starts, by spawn or forkserver
    too.

    \b
    quantum-butler exec pipetask run-qbb REPO GRAPH
    quantum-butler exec --provenance-log logs pipetask run-qbb REPO GRAPH
    quantum-butler exec --provenance-log logs --spill-to /scratch/logs pipetask run-qbb REPO GRAPH
    quantum-butler exec python -m my_executor --verbose

    COMMAND is looked up on PATH; all that follows is handed to it as it is. Environment variables
    do it: a folder of ours comes first on PYTHONPATH, and QUANTUM_BUTLER_DROPIN is set. A Python
    that is told to ignore them (its options -E, -I and -S) uses the stock classes; so does one that
    is started with QUANTUM_BUTLER_DROPIN=0.
    """  # noqa: D301 - click wants the character \b itself
    from ..dropin.launcher import launch

    try:
        LogFailure.of(on_log_failure, spill_to)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    status = launch(
        command,
        require=require,
        provenance_log=provenance_log,
        provenance_contents=provenance_contents,
        on_log_failure=on_log_failure,
        spill_to=spill_to,
    )
    sys.exit(status)


for _command in (
    demo,
    run,
    collect,
    env,
    *COMMANDS,
    rebuild,
    compare,
    log,
    metadata,
    verify,
    report,
    times,
    export,
    transfer,
    aggregate,
    merge_graphs,
):
    main.add_command(_command)
