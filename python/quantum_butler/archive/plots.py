"""Pictures of what the tasks of an archive read and wrote."""

from __future__ import annotations

__all__ = ("draw",)

from typing import TYPE_CHECKING

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from .reports import plain

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from .results import Statistics, TaskStatistics

_LONGEST = 32
_BLUE, _ORANGE, _GREY, _GREEN = "#2e6da4", "#d9822b", "#b8bec5", "#3d8b5f"


def draw(statistics: Statistics, folder: Path) -> list[Path]:
    """Draw outputs made and missing, and inputs predicted, available and used, each as PNG and as SVG."""
    paths = []
    # No side of a picture can have more pixels than this.
    most = 60_000
    for name, figure in (("outputs", _outputs(statistics.tasks)), ("inputs", _inputs(statistics.tasks))):
        for suffix in ("png", "svg"):
            path = folder / f"{name}.{suffix}"
            # Without the date the same archive gives the same picture.
            metadata = {"Date": None} if suffix == "svg" else None
            figure.savefig(path, dpi=min(150, most / figure.get_figheight()), metadata=metadata)
            paths.append(path)
    return paths


def _outputs(tasks: Sequence[TaskStatistics]) -> Figure:
    figure, axes = _figure("Outputs of each task", len(tasks), 0.42)
    for place, task in enumerate(tasks):
        predicted, missing = task.datasets["predicted_output"] or 0, task.missing_outputs
        made = predicted - missing
        first = place == 0
        axes.barh(place, made, 0.62, color=_BLUE, label="made" if first else None)
        axes.barh(place, missing, 0.62, made, color=_ORANGE, label="missing" if first else None)
        share = f" ({_percent(missing, predicted)})" if missing else ""
        _note(axes, predicted, place, f"{made:,} made, {missing:,} missing{share}")
    return _finish(figure, axes, tasks, "predicted outputs (datasets)", 0.62)


def _inputs(tasks: Sequence[TaskStatistics]) -> Figure:
    figure, axes = _figure("Inputs of each task", len(tasks), 0.78)
    in_legend: set[str] = set()
    kinds = (("predicted", _GREY), ("available", _BLUE), ("used", _GREEN))
    for place, task in enumerate(tasks):
        predicted = task.datasets["predicted_input"] or 0
        for number, (kind, colour) in enumerate(kinds):
            count = task.datasets["actual_input" if kind == "used" else f"{kind}_input"]
            down = place + 0.27 * (number - 1)
            if count is None:
                _note(axes, 0, down, f"{kind}: unknown")
                continue
            axes.barh(down, count, 0.25, color=colour, label=None if kind in in_legend else kind)
            in_legend.add(kind)
            share = f" ({_percent(count, predicted)})" if number and predicted else ""
            _note(axes, count, down, f"{count:,} {kind}{share}")
    return _finish(figure, axes, tasks, "inputs (datasets, each counted once for a task)", 0.45)


def _figure(title: str, tasks: int, row: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(10, 1.9 + row * max(tasks, 2)))
    figure.set_layout_engine("constrained", w_pad=0.15, h_pad=0.15)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=13, fontweight="bold", loc="left", pad=28)
    return figure, axes


def _note(axes: Axes, right: float, place: float, text: str) -> None:
    axes.annotate(
        text,
        (right, place),
        (5, 0),
        textcoords="offset points",
        va="center",
        fontsize=8,
        color="#333",
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
    )


def _finish(figure: Figure, axes: Axes, tasks: Sequence[TaskStatistics], label: str, room: float) -> Figure:
    names = [plain(task.task_label or "(no label)") for task in tasks]
    names = [f"{name[:_LONGEST]}\N{HORIZONTAL ELLIPSIS}" if len(name) > _LONGEST else name for name in names]
    # A label is a task's, and not mathematics.
    axes.set_yticks(range(len(names)), [name.replace("$", r"\$") for name in names])
    axes.set_ylim(max(len(tasks), 1) - 0.5, -0.5)
    axes.set_xlabel(label)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.set_axisbelow(True)
    axes.grid(axis="x", color="#e5e5e5", linewidth=0.8)
    if tasks:
        # Room right of the longest bar for what is written there.
        axes.set_xlim(0, max(axes.dataLim.x1, 1) * (1 + room))
        axes.legend(
            loc="lower left", bbox_to_anchor=(0, 1.0), ncols=3, frameon=False, fontsize=9, borderaxespad=0.2
        )
    else:
        axes.set_xlim(0, 1)
        axes.text(0.5, 0, "The archive has no quanta.", ha="center", va="center", color="#555")
    return figure


def _percent(part: int, whole: int) -> str:
    if not whole:
        return "0 %"
    share = 100 * part / whole
    # Neither nothing nor all if it is not.
    if 0 < share < 0.1:
        return "< 0.1 %"
    if 99.9 < share < 100:
        return "> 99.9 %"
    return f"{share:.1f} %"
