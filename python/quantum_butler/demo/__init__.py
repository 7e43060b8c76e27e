"""``quantum-butler demo``: one real quantum graph, run with the stock butler and with ours.

`graph` makes a data repository and a graph with stock code, gives each butler
a copy of the repository, and runs the same graph in it through ``pipetask``.
Dataset IDs, paths and contents must then come out equal, and nothing that one
side wrote can help the other.  `comparison` reads everything back, and runs one
quantum by hand for its provenance.  `gathered` collects what the run with ours
has logged of its quanta, asks the archive, and holds it against the graph.
`commands` runs a small graph from the shell, in two processes each, and ends
with the final job: `quantum-butler aggregate --ingest`, and upstream's report.
`report` holds and shows what came out.
"""

from __future__ import annotations

__all__ = ("DemoError", "Report", "run_demo")

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from .commands import run_commands
from .comparison import compare_outputs, compare_provenance, read_outputs
from .gathered import gather
from .graph import SIDES, DemoError, make_repository, read_graph, run_graph
from .report import Report


def run_demo(root: Path, detectors: int, step: Callable[[str], AbstractContextManager[object]]) -> Report:
    """Run one quantum graph with both butlers and compare what they leave."""
    pristine, graph_file, logs = root / "pristine", root / "graph.qg", root / "logs"
    with step(f"Making a data repository with {detectors} detectors, and its quantum graph"):
        make_repository(pristine, graph_file, detectors)
        graph = read_graph(graph_file)
    runs, outputs = {}, {}
    for side, name in SIDES.items():
        with step(f"Running its {len(graph)} quanta with {name}, and transferring the outputs"):
            runs[side] = run_graph(side, pristine, root / side, graph_file, len(graph), logs)
    with step("Reading every dataset back, and comparing"):
        for side in SIDES:
            outputs[side] = read_outputs(root / side)
            runs[side].datasets_read_back = len(outputs[side].contents)
        differences = compare_outputs(outputs["stock"], outputs["ours"], graph)
    with step("Running one quantum by hand, for its provenance"):
        provenance, more_differences = compare_provenance(pristine, outputs["stock"], graph)
    differences += more_differences
    with step("Collecting what the run with quantum-butler has logged, and asking"):
        gathered, more_differences = gather(logs, root / "archive", graph)
    differences += more_differences
    with step("Running a small graph with commands that have two processes, and the final job"):
        commands, final_job, more_differences = run_commands(root / "commands", detectors)
    differences += more_differences
    return Report(runs["stock"], runs["ours"], provenance, gathered, commands, final_job, differences)
