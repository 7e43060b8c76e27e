"""Objects that the quanta of a run share. They are made before the first quantum."""

from __future__ import annotations

__all__ = ("warm_up",)

import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lsst.daf.butler import DatasetProvenance
from lsst.pipe.base import TaskMetadata
from lsst.pipe.base.quantum_reports import QuantumReport
from lsst.utils.iteration import ensure_iterable
from lsst.utils.logging import getLogger

from ..upstream.executors import make_butler

if TYPE_CHECKING:
    from lsst.pipe.base.quantum_graph_executor import QuantumExecutor

_LOG = getLogger(__name__)


def warm_up(executor: QuantumExecutor, quanta: Mapping[uuid.UUID, Mapping[str, Any]]) -> None:
    """Import and read what quanta will ask for, as far as one quantum of each task tells.

    What cannot be had now is left to the quanta, which say what is wrong with it.
    """
    _use_models()
    examples = {attributes["task_label"]: attributes for attributes in quanta.values()}
    for label, attributes in examples.items():
        try:
            attributes["pipeline_node"].config.freeze()
            attributes["pipeline_node"].get_connections()
            quantum = attributes["quantum"]
            with make_butler(executor, quantum) as butler:
                groups = (*quantum.inputs.values(), *quantum.outputs.values())
                refs = [ref for group in groups for ref in group[:1]]
                for ref in refs:
                    _import_what_is_needed(butler, ref)
                    # Python goes through all kinds of mappings once, to find that this is none.
                    list(ensure_iterable(ref))
                # Places are worked out once for each type.  The butler is not asked, lest it note that.
                butler._datastore.mexists(refs)
        except Exception as error:
            _LOG.verbose("Task %s could not be prepared: %s: %s", label, type(error).__name__, error)


def _use_models() -> None:
    """Use upstream's models once: what pydantic then works out touches thousands of pages of memory.

    Each of these would be copied for each forked process.
    """
    quantum_id = uuid.uuid4()
    DatasetProvenance(quantum_id=quantum_id).model_dump_json()
    TaskMetadata().model_dump_json()
    QuantumReport(quantumId=quantum_id, dataId={}, taskLabel="").model_dump_json()


def _import_what_is_needed(butler: Any, ref: Any) -> None:
    """Import the type of a dataset and the formatters for it."""
    # The type is imported when it is first asked for.
    _ = ref.datasetType.storageClass.pytype
    datastore = butler._datastore
    for member in getattr(datastore, "datastores", (datastore,)):
        if (formatters := getattr(member, "formatterFactory", None)) is not None:
            formatters.getFormatterClass(ref)
