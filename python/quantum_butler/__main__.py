"""``quantum-butler``, and ``python -m quantum_butler``."""

__all__ = ("main",)

import sys


def main() -> None:
    """Run the command line; ``exec COMMAND`` without options does not wait for click and all commands."""
    if sys.argv[1:2] == ["exec"] and sys.argv[2:] and not sys.argv[2].startswith("-"):
        from .dropin.launcher import launch

        sys.exit(launch(sys.argv[2:]))
    from .cli.main import main as command_line

    command_line()


if __name__ == "__main__":
    main()
