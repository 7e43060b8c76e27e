"""``quantum-butler``, and ``python -m quantum_butler``."""

__all__ = ("main",)

import os
import sys
import threading


def main() -> None:
    """Run the command line; ``exec COMMAND`` without options does not wait for click and all commands."""
    if sys.argv[1:2] == ["exec"] and sys.argv[2:] and not sys.argv[2].startswith("-"):
        from .dropin.launcher import launch

        sys.exit(launch(sys.argv[2:]))
    from .cli.main import main as command_line
    from .cli.output import INTERRUPTED

    try:
        command_line()
    except SystemExit as end:
        if end.code == INTERRUPTED and threading.active_count() > 1:
            # A thread that waits for a disk or a pipe would be waited for, perhaps for ever.
            os._exit(INTERRUPTED)
        raise


if __name__ == "__main__":
    main()
