"""A `QuantumBackedButler` with the same answers and far less overhead.

Names are imported when they are first asked for: ``import quantum_butler``
alone does not import ``lsst``, which takes more than a second.
"""

from __future__ import annotations

__all__ = (
    "Archive",
    "ArchiveError",
    "BusyArchiveError",
    "ClosedButlerError",
    "CollectReport",
    "ExistingArchiveError",
    "FileHasQuantumError",
    "GraphError",
    "NoSuchSourceError",
    "NotASourceError",
    "ProvenanceLog",
    "QuantumBackedButler",
    "QuantumBackedButlerFactory",
    "QuantumProvenanceData",
    "RecordFileError",
    "RejectedInputError",
    "Resumption",
    "TransferError",
    "TransferReport",
    "UnknownIdError",
    "__version__",
    "collect",
    "install",
    "transfer",
    "uninstall",
)

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .archive import Archive, ArchiveError
    from .archive.errors import UnknownIdError
    from .butler import ClosedButlerError, QuantumBackedButler
    from .collecting.driver import CollectReport, ExistingArchiveError, RejectedInputError, collect
    from .collecting.scratch import BusyArchiveError
    from .collecting.sources import NoSuchSourceError, NotASourceError
    from .dropin import install, uninstall
    from .factory import QuantumBackedButlerFactory
    from .file_mode.errors import FileHasQuantumError, RecordFileError
    from .file_mode.resumption import Resumption
    from .provenance import QuantumProvenanceData
    from .provenance_log import ProvenanceLog
    from .transferring.archive import transfer
    from .transferring.graph_outputs import GraphError
    from .transferring.report import TransferError, TransferReport

    __version__: str
else:
    _MODULES = {
        "Archive": "archive",
        "ArchiveError": "archive",
        "BusyArchiveError": "collecting.scratch",
        "ClosedButlerError": "butler",
        "CollectReport": "collecting.driver",
        "ExistingArchiveError": "collecting.driver",
        "FileHasQuantumError": "file_mode.errors",
        "GraphError": "transferring.graph_outputs",
        "NoSuchSourceError": "collecting.sources",
        "NotASourceError": "collecting.sources",
        "ProvenanceLog": "provenance_log",
        "QuantumBackedButler": "butler",
        "QuantumBackedButlerFactory": "factory",
        "QuantumProvenanceData": "provenance",
        "RecordFileError": "file_mode.errors",
        "RejectedInputError": "collecting.driver",
        "Resumption": "file_mode.resumption",
        "TransferError": "transferring.report",
        "TransferReport": "transferring.report",
        "UnknownIdError": "archive.errors",
        "collect": "collecting.driver",
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
