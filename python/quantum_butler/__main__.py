"""``python -m quantum_butler`` is ``quantum-butler``."""

__all__ = ()

from .cli.main import main

if __name__ == "__main__":
    main()
