"""Process that runs quanta on a machine of an engine. It stays warm from one batch to the next.

It is started as ``python -m quantum_butler.running.server``.  The first line
that it reads tells what is the same for all batches; each further line is a
batch, and is answered with one line.  It has no threads of an engine, so
quanta can be run in processes that are forked from it.
"""

from __future__ import annotations

__all__ = ("main",)

import contextlib
import gc
import json
import os
import sys
import uuid
from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from lsst.pipe.base.mp_graph_executor import MPGraphExecutorError
from lsst.pipe.base.quantum_reports import ExecutionStatus

from ..execution import Watcher, end_with_parent
from .errors import RunError
from .kept import read_kept, whole_ones
from .local import execute
from .options import RunOptions
from .prepared import GraphFile
from .terminal import set_up_logging
from .unnoted import settle_unnoted

if TYPE_CHECKING:
    from lsst.pipe.base.quantum_reports import QuantumReport


class _Results(Watcher):
    """The results of the quanta of a batch."""

    def __init__(self) -> None:
        self.found: list[tuple[str, dict[str, Any] | None]] = []

    def ended(self, quantum_id: uuid.UUID, report: QuantumReport) -> None:
        """Keep the result of a quantum; of one that has succeeded there is nothing to tell."""
        is_done = report.status is ExecutionStatus.SUCCESS
        content = None if is_done else report.model_dump(mode="json", exclude_none=True)
        self.found.append((str(quantum_id), content))


def _serve(options: RunOptions, graph: GraphFile, request: Mapping[str, Any]) -> dict[str, Any]:
    """Run the quanta of one batch, and return their results."""
    ids = [uuid.UUID(text) for text in request["quanta"]]
    part = graph.read(ids)
    executor = graph.executor(part)
    quanta = dict(part.quantum_only_xgraph.nodes.items())
    results = _Results()
    if request["unnoted"]:
        settle_unnoted(quanta, executor, options.log_folders)
        told = read_kept(ids, options.log_folders) if options.metadata_in_log else {}
        if kept := whole_ones(told, quanta, executor):
            results.found += [(str(quantum_id), None) for quantum_id in kept]
            part = graph.read([quantum_id for quantum_id in ids if quantum_id not in kept])
    with contextlib.suppress(MPGraphExecutorError):
        execute(options, part, executor, results)
    return {"results": results.found}


def main() -> None:
    """Answer requests until there are no more."""
    # Nobody would wait for the answers, and the quanta run elsewhere again.
    end_with_parent(int(sys.argv[1]))
    # What quanta print is not to get between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    requests = os.fdopen(os.dup(0), "r")
    nowhere = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nowhere, 0)
    os.close(nowhere)

    def answer(content: Mapping[str, Any]) -> None:
        answers.write(f"{json.dumps(content)}\n")
        answers.flush()

    with ExitStack() as stack, contextlib.suppress(BrokenPipeError):
        try:
            # A worker runs one quantum at a time.
            options = RunOptions(**json.loads(requests.readline()) | {"jobs": 1})
            set_up_logging(options.log_levels, log_tty=False, log_files=())
            graph = stack.enter_context(GraphFile(options))
        except RunError as error:
            answer({"error": str(error)})
            return
        # Once, and not for each batch: most of what is here stays.
        gc.collect()
        gc.freeze()
        answer({})
        for line in requests:
            try:
                answer(_serve(options, graph, json.loads(line)))
            except RunError as error:
                answer({"error": str(error)})


if __name__ == "__main__":
    # What is raised here is found in the last words of the process.
    main()
    sys.exit(0)
