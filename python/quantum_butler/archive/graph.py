"""A lineage as a graph with labels, for DOT, Mermaid and pictures."""

from __future__ import annotations

__all__ = (
    "MOST_NODES",
    "Graph",
    "GraphvizError",
    "Node",
    "NoGraphvizError",
    "svg_of_dot",
    "to_dot",
    "to_mermaid",
    "to_svg",
)

import posixpath
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .reports import counted, data_id_text, plain, size_text

if TYPE_CHECKING:
    from .lineage import Lineage
    from .results import Dataset, Quantum

MOST_NODES = 300
"""More nodes than this make no readable picture."""

_LONGEST = 36


@dataclass(frozen=True)
class Node:
    """A dataset or a quantum."""

    key: str
    """Its id, whole."""

    is_quantum: bool
    lines: tuple[str, ...]
    """What is written on it: one line or two."""

    details: tuple[str, ...]
    """Lines for whoever wants to know more."""

    is_start: bool = False
    """Whether it is the dataset that was asked for."""


@dataclass(frozen=True)
class Graph:
    """Nodes, and pairs of their places, in the direction in which data flows."""

    title: str
    nodes: list[Node]
    edges: list[tuple[int, int]]

    @classmethod
    def of(cls, lineage: Lineage) -> Graph:
        """Make the graph of a lineage."""
        datasets = lineage.describe_datasets()
        nodes = [_dataset_node(dataset, dataset.dataset_id == lineage.dataset) for dataset in datasets]
        nodes += map(_quantum_node, lineage.describe_quanta())
        edges = []
        for quantum, dataset, output in lineage.closure_edges():
            edge = (dataset, len(datasets) + quantum)
            edges.append(edge[::-1] if output else edge)
        begin = "What it was made from" if lineage.direction == "up" else "What was made from it"
        kind = "used and written" if lineage.actual else "predicted"
        limit = "" if lineage.depth is None else f", at most {counted(lineage.depth, 'quantum')} away"
        return cls(f"{begin}, as {kind}{limit}: dataset {lineage.dataset}", nodes, edges)


def _dataset_node(dataset: Dataset, is_start: bool) -> Node:
    key = str(dataset.dataset_id)
    details = [f"dataset {key}", *map(plain, dataset.paths)]
    if dataset.storage_class is not None:
        details.append(plain(dataset.storage_class))
    if dataset.size is not None:
        details.append(size_text(dataset.size))
    if dataset.dataset_type is not None:
        details[1:1] = [plain(dataset.dataset_type), plain(data_id_text(dataset.data_id or {}))]
        lines = [_short(dataset.dataset_type)]
        if dataset.data_id:
            lines.append(_short(data_id_text(dataset.data_id)))
    elif dataset.paths:
        more = f" (+{len(dataset.paths) - 1})" if len(dataset.paths) > 1 else ""
        lines = [_short(posixpath.basename(dataset.paths[0]) + more)]
        lines.append(_short(f"{dataset.storage_class or 'dataset'} \N{MIDDLE DOT} {key[:8]}"))
    else:
        lines = [f"dataset {key[:8]}"]
    return Node(key, False, tuple(lines), tuple(details), is_start)


def _quantum_node(quantum: Quantum) -> Node:
    key = str(quantum.quantum_id)
    lines = [_short(quantum.task_label or f"quantum {key[:8]}")]
    if quantum.data_id:
        lines.append(_short(data_id_text(quantum.data_id)))
    details = [f"quantum {key}"]
    if quantum.task_label is not None:
        details.append(plain(quantum.task_label))
    if quantum.data_id:
        details.append(plain(data_id_text(quantum.data_id)))
    return Node(key, True, tuple(lines), tuple(details))


def _short(text: str) -> str:
    """Leave out the middle of a long text: beginning and end tell more."""
    text = plain(text)
    if len(text) <= _LONGEST:
        return text
    head = (_LONGEST - 1) // 2
    return f"{text[:head]}\N{HORIZONTAL ELLIPSIS}{text[head + 1 - _LONGEST :]}"


class GraphvizError(RuntimeError):
    """Graphviz draws no picture."""


class NoGraphvizError(GraphvizError):
    """There is no Graphviz."""


def to_svg(graph: Graph) -> bytes:
    """Have Graphviz draw a graph."""
    return svg_of_dot(to_dot(graph))


def svg_of_dot(text: str) -> bytes:
    """Have Graphviz draw what is written in its language."""
    command = ["dot", "-Tsvg"]
    try:
        done = subprocess.run(command, input=text.encode(), capture_output=True)
    except FileNotFoundError as error:
        raise NoGraphvizError("pictures are drawn by Graphviz, whose program dot is not on PATH") from error
    except OSError as error:
        raise GraphvizError(f"dot cannot be run: {error.strerror}") from error
    if done.returncode:
        said = plain(" ".join(done.stderr.decode(errors="replace").split()))
        raise GraphvizError(f"dot ended with status {done.returncode}: {said}")
    return done.stdout


def to_dot(graph: Graph) -> str:
    """Write a graph in the language of Graphviz."""

    def quoted(text: str) -> str:
        # Graphviz knows the character references of HTML.
        text = text.replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;")
        return f'"{text}"'

    def several(lines: tuple[str, ...]) -> str:
        # Between lines Graphviz wants two characters, which `quoted` must not double.
        return '"' + "\\n".join(quoted(line)[1:-1] for line in lines) + '"'

    out = [
        "digraph lineage {",
        "  rankdir=LR;",
        f"  label={quoted(graph.title)};",
        '  node [fontname="Helvetica", style=filled];',
    ]
    for node in graph.nodes:
        shape = 'shape=box, fillcolor="#fde8c8"' if node.is_quantum else 'shape=ellipse, fillcolor="#dcebf7"'
        width = ", penwidth=3" if node.is_start else ""
        label, tooltip = several(node.lines), several(node.details)
        out.append(f"  {_name(node)} [label={label}, tooltip={tooltip}, {shape}{width}];")
    out += [f"  {_name(graph.nodes[a])} -> {_name(graph.nodes[b])};" for a, b in graph.edges]
    return "\n".join([*out, "}", ""])


def _name(node: Node) -> str:
    # A quantum and a dataset may have the same id.
    return f'"{"quantum" if node.is_quantum else "dataset"} {node.key}"'


def to_mermaid(graph: Graph) -> str:
    """Write a graph as a Mermaid flowchart."""

    def escaped(text: str) -> str:
        # Mermaid has character references of its own; what it takes for markup becomes one.
        special = '"#&;<>`\\*_[]{}()|'
        return "".join(f"#{ord(char)};" if char in special else char for char in text)

    out = ["flowchart LR"]
    for number, node in enumerate(graph.nodes):
        label = '"' + "<br/>".join(map(escaped, node.lines)) + '"'
        shape = f"[{label}]" if node.is_quantum else f"([{label}])"
        style = "quantum" if node.is_quantum else "start" if node.is_start else "dataset"
        out.append(f"  n{number}{shape}:::{style}")
    out += [f"  n{a} --> n{b}" for a, b in graph.edges]
    out += [
        "  classDef quantum fill:#fde8c8,stroke:#b9770e,color:#222",
        "  classDef dataset fill:#dcebf7,stroke:#2e6da4,color:#222",
        "  classDef start fill:#dcebf7,stroke:#2e6da4,color:#222,stroke-width:4px",
        "",
    ]
    return "\n".join(out)
