"""A `QuantumBackedButler` with the same answers and far less overhead.

Names are imported when they are first asked for: ``import quantum_butler``
alone does not import ``lsst``, which takes more than a second.
"""

from __future__ import annotations

__all__ = (
    "AggregateError",
    "AggregateReport",
    "AmbiguousNameError",
    "Compression",
    "IngestOptions",
    "Archive",
    "ArchiveError",
    "BusyArchiveError",
    "ClosedButlerError",
    "CollectReport",
    "Comparison",
    "ConditionError",
    "DifferentGraphsError",
    "ExistingArchiveError",
    "ExportError",
    "ExportReport",
    "FileHasQuantumError",
    "Found",
    "GraphError",
    "GraphRun",
    "MergedGraph",
    "NoSuchSourceError",
    "NotInGraphError",
    "NotMadeError",
    "NotASourceError",
    "PredictedGraph",
    "ProvenanceGraph",
    "ProvenanceLog",
    "QuantumBackedButler",
    "QuantumBackedButlerFactory",
    "QuantumButlerError",
    "QuantumGraphError",
    "QuantumProvenanceData",
    "Rebuild",
    "RecordFileError",
    "RejectedInputError",
    "Resumption",
    "RunReport",
    "RunTimes",
    "TransferError",
    "TransferReport",
    "UnknownIdError",
    "UnknownNameError",
    "__version__",
    "aggregate",
    "collect",
    "compare",
    "export",
    "install",
    "merge_graphs",
    "open_run",
    "report",
    "times",
    "transfer",
    "uninstall",
    "write_subgraph",
)

from typing import TYPE_CHECKING

from .switches import pin_log_folder

# A relative folder for logs is seen here first; the process may work in another folder later.
pin_log_folder()

if TYPE_CHECKING:
    from .aggregating.driver import AggregateReport, aggregate
    from .aggregating.errors import AggregateError
    from .aggregating.options import Compression, IngestOptions
    from .archive import Archive, ArchiveError
    from .archive.errors import NotMadeError, UnknownIdError
    from .archive.rebuilding import Rebuild
    from .asking import GraphRun, open_run
    from .butler.butler import QuantumBackedButler
    from .butler.factory import QuantumBackedButlerFactory
    from .butler.state import ClosedButlerError
    from .collecting.driver import CollectReport, ExistingArchiveError, RejectedInputError, collect
    from .collecting.scratch import BusyArchiveError
    from .collecting.sources import NoSuchSourceError, NotASourceError
    from .dropin.install import install, uninstall
    from .errors import QuantumButlerError
    from .exporting.driver import ExportReport, export
    from .exporting.errors import ExportError
    from .quantum.log import ProvenanceLog
    from .quantum.provenance import QuantumProvenanceData
    from .quantum_graphs import PredictedGraph, ProvenanceGraph
    from .quantum_graphs.errors import QuantumGraphError, UnknownNameError
    from .quantum_graphs.merging import DifferentGraphsError, MergedGraph, merge_graphs
    from .queries.errors import AmbiguousNameError, ConditionError
    from .queries.found import Found
    from .record_file.errors import FileHasQuantumError, RecordFileError
    from .record_file.resume import Resumption
    from .reporting.comparing import compare
    from .reporting.comparison import Comparison
    from .reporting.counts import RunReport, report
    from .reporting.times import RunTimes, times
    from .running.subgraph import NotInGraphError, write_subgraph
    from .transferring.archive import transfer
    from .transferring.graph_outputs import GraphError
    from .transferring.report import TransferError, TransferReport

    __version__: str
else:
    _MODULES = {
        "AggregateError": "aggregating.errors",
        "AggregateReport": "aggregating.driver",
        "AmbiguousNameError": "queries.errors",
        "Compression": "aggregating.options",
        "IngestOptions": "aggregating.options",
        "Archive": "archive",
        "ArchiveError": "archive",
        "BusyArchiveError": "collecting.scratch",
        "ClosedButlerError": "butler.state",
        "CollectReport": "collecting.driver",
        "Comparison": "reporting.comparison",
        "ConditionError": "queries.errors",
        "DifferentGraphsError": "quantum_graphs.merging",
        "ExistingArchiveError": "collecting.driver",
        "ExportError": "exporting.errors",
        "ExportReport": "exporting.driver",
        "FileHasQuantumError": "record_file.errors",
        "Found": "queries.found",
        "GraphError": "transferring.graph_outputs",
        "GraphRun": "asking",
        "MergedGraph": "quantum_graphs.merging",
        "NoSuchSourceError": "collecting.sources",
        "NotASourceError": "collecting.sources",
        "NotInGraphError": "running.subgraph",
        "NotMadeError": "archive.errors",
        "PredictedGraph": "quantum_graphs",
        "ProvenanceGraph": "quantum_graphs",
        "ProvenanceLog": "quantum.log",
        "QuantumBackedButler": "butler.butler",
        "QuantumBackedButlerFactory": "butler.factory",
        "QuantumButlerError": "errors",
        "QuantumGraphError": "quantum_graphs.errors",
        "QuantumProvenanceData": "quantum.provenance",
        "Rebuild": "archive.rebuilding",
        "RecordFileError": "record_file.errors",
        "RejectedInputError": "collecting.driver",
        "Resumption": "record_file.resume",
        "RunReport": "reporting.counts",
        "RunTimes": "reporting.times",
        "TransferError": "transferring.report",
        "TransferReport": "transferring.report",
        "UnknownIdError": "archive.errors",
        "UnknownNameError": "quantum_graphs.errors",
        "aggregate": "aggregating.driver",
        "collect": "collecting.driver",
        "compare": "reporting.comparing",
        "export": "exporting.driver",
        "install": "dropin.install",
        "merge_graphs": "quantum_graphs.merging",
        "open_run": "asking",
        "report": "reporting.counts",
        "times": "reporting.times",
        "transfer": "transferring.archive",
        "uninstall": "dropin.install",
        "write_subgraph": "running.subgraph",
    }

    def __getattr__(name: str) -> object:
        if name == "__version__":
            from importlib.metadata import version

            value = version("quantum-butler")
        elif (module := _MODULES.get(name)) is not None:
            from importlib import import_module

            try:
                value = getattr(import_module(f"{__name__}.{module}"), name)
            except ImportError as error:
                if (error.name or "").startswith("lsst.daf.butler."):
                    from .upstream.versions import describe

                    error.add_note(f"quantum_butler does not know this version of upstream: {describe()}.")
                raise
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
