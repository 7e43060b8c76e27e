"""A `QuantumBackedButler` with the same answers and far less overhead.

Names are imported when they are first asked for: ``import quantum_butler``
alone does not import ``lsst``, which takes more than a second.
"""

from __future__ import annotations

__all__ = (
    "Archive",
    "ArchiveError",
    "ClosedButlerError",
    "CollectReport",
    "FileHasQuantumError",
    "ProvenanceLog",
    "QuantumBackedButler",
    "QuantumBackedButlerFactory",
    "QuantumProvenanceData",
    "RecordFileError",
    "Resumption",
    "TransferReport",
    "__version__",
    "collect",
    "install",
    "transfer",
    "uninstall",
)

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .archive import Archive, ArchiveError
    from .butler import ClosedButlerError, QuantumBackedButler
    from .collecting.driver import CollectReport, collect
    from .dropin import install, uninstall
    from .factory import QuantumBackedButlerFactory
    from .file_mode.errors import FileHasQuantumError, RecordFileError
    from .file_mode.resumption import Resumption
    from .provenance import QuantumProvenanceData
    from .provenance_log import ProvenanceLog
    from .transferring.archive import transfer
    from .transferring.report import TransferReport

    __version__: str
else:
    _MODULES = {
        "Archive": "archive",
        "ArchiveError": "archive",
        "ClosedButlerError": "butler",
        "CollectReport": "collecting.driver",
        "FileHasQuantumError": "file_mode.errors",
        "ProvenanceLog": "provenance_log",
        "QuantumBackedButler": "butler",
        "QuantumBackedButlerFactory": "factory",
        "QuantumProvenanceData": "provenance",
        "RecordFileError": "file_mode.errors",
        "Resumption": "file_mode.resumption",
        "collect": "collecting.driver",
        "TransferReport": "transferring.report",
        "install": "dropin",
        "transfer": "transferring.archive",
        "uninstall": "dropin",
    }

    def __getattr__(name: str) -> object:
        if name == "__version__":
            from importlib.metadata import version

            value = version("quantum-butler")
        elif (module := _MODULES.get(name)) is not None:
            from importlib import import_module

            value = getattr(import_module(f"{__name__}.{module}"), name)
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
