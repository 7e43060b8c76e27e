"""Our aggregation of runs under the name of upstream's: same arguments, same configuration, same messages.

What we do not take over, upstream's function does.
"""

from __future__ import annotations

__all__ = ("aggregate_graph",)

import logging
import time
import traceback
from collections.abc import Callable
from typing import Any

from lsst.pipe.base.quantum_graph import aggregator as upstream
from lsst.utils.logging import PeriodicLogger, getLogger
from lsst.utils.usage import get_peak_mem_usage

from ..aggregating.driver import aggregate
from ..aggregating.options import Compression, IngestOptions
from ..errors import QuantumButlerError
from ..paths import is_uri
from ..progress import Progress
from ..quantum_graphs import PredictedGraph

_Stock = Callable[[str, str, upstream.AggregatorConfig], None]

# Options that are taken over, and those that mean nothing where there are no such workers.
_TAKEN = {
    "output_path",
    "n_processes",
    "incomplete",
    "defensive_ingest",
    "ingest_batch_size",
    "register_dataset_types",
    "update_output_chain",
    "dry_run",
    "log_status_interval",
    "zstd_level",
    "zstd_dict_size",
    "zstd_dict_n_inputs",
    "mock_storage_classes",
    "promise_ingest_graph",
}
_WITHOUT_MEANING = {"worker_log_level", "worker_sleep", "worker_check_timeout", "zstd_dict_input_max_bytes"}


def aggregate_graph(
    stock: _Stock, predicted_path: str, butler_path: str, config: upstream.AggregatorConfig
) -> None:
    """Aggregate a run, or have upstream's function do it."""
    if (reason := _not_ours(predicted_path, config)) is not None:
        logging.getLogger("quantum_butler").info("upstream aggregates the run: %s", reason)
        stock(predicted_path, butler_path, config)
        return
    log = getLogger("lsst.pipe.base.quantum_graph.aggregator")
    begin = time.time()
    try:
        report = aggregate(
            predicted_path,
            butler_path,
            config.output_path,
            jobs=config.n_processes,
            overwrite=True,
            incomplete=config.incomplete,
            ingest=IngestOptions(
                graph=False,
                batch=max(1, config.ingest_batch_size),
                defensive=config.defensive_ingest,
                register_dataset_types=config.register_dataset_types,
                update_output_chain=config.update_output_chain,
                dry_run=config.dry_run,
                promise_graph=config.promise_ingest_graph,
                lenient=True,
            ),
            compression=Compression(
                config.zstd_level, config.zstd_dict_size, max(1, config.zstd_dict_n_inputs)
            ),
            mock_storage_classes=config.mock_storage_classes,
            progress=_periodically(log, config.log_status_interval, begin),
        )
    except Exception as error:
        log.fatal("Exception raised on %s: \n%s", "aggregator", traceback.format_exc())
        raise upstream.FatalWorkerError(str(error)) from error
    if config.incomplete:
        log.info(
            "%d %s incomplete/failed abandoned; re-run with incomplete=False to finish.",
            report.unfinished,
            "quantum" if report.unfinished == 1 else "quanta",
        )
    elapsed = time.time() - begin
    log.info(
        "Ingested %d dataset(s); skipped %d already present. [after %0.1fs]",
        report.registered,
        report.already_registered,
        elapsed,
    )
    parent, children = get_peak_mem_usage()
    log.info(
        "All aggregation tasks complete after %0.1fs; peak memory usage ≤ %0.1f MB.",
        elapsed,
        (parent + children).to("MB").value,
    )


def _not_ours(predicted_path: str, config: upstream.AggregatorConfig) -> str | None:
    """Return why upstream's function has to do it, if so."""
    for name, field in type(config).model_fields.items():
        if name not in _TAKEN | _WITHOUT_MEANING and getattr(config, name) != field.default:
            return f"it was asked for {name}"
    if is_uri(predicted_path) or (config.output_path is not None and is_uri(config.output_path)):
        return "a graph is not a local file"
    try:
        PredictedGraph(predicted_path)
    except (QuantumButlerError, OSError, ValueError) as error:
        return str(error)
    return None


def _periodically(log: Any, interval: float | None, begin: float) -> Callable[[Progress], None]:
    """Return what logs how far the work is, now and then."""
    periodic = PeriodicLogger(log, interval)

    def tell(progress: Progress) -> None:
        if progress.done < progress.total:
            status = f"{progress.step} ({progress.done} of {progress.total})"
            periodic.log("Status after %0.1fs: %s.", time.time() - begin, status)

    return tell
