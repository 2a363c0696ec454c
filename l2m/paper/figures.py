"""The figures of a results folder: the paper's Figures 2 and 3, worst groups, proportions, and the experiments.

A row that was not run is left out, and named below the figure.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from textwrap import wrap

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from l2m.paper import experiments, published
from l2m.paper.rows import CONTROLS, PAPER, ROWS, Row
from l2m.paper.studies.records import Recorded
from l2m.report import drawing
from l2m.report.runs import CHECKPOINTS, Runs

Panel = Callable[[Axes, Row, Mapping[str, Runs]], None]
"""Draws a row's runs, by strategy."""

DRAWN = (*CONTROLS, *PAPER[::-1])
"""The strategies of the figures; the later lie above the earlier."""


def write(all_runs: Sequence[Runs], folder: Path, studied: Sequence[Recorded] = ()) -> list[Path]:
    """Write every figure that ``all_runs`` and ``studied`` have runs for, as PDF and as PNG, and return the files."""
    cells = {row: row.runs(all_runs) for row in ROWS}
    with mpl.rc_context(drawing.PRINT):
        figures = {
            "figure2": grid(cells, [row for row in ROWS if row.table == 1], curves, 2),
            "figure3": grid(cells, [row for row in ROWS if row.table == 2], curves, 2),
            "worst_group": grid(cells, ROWS, worst_group, 3),
            "proportions": grid(cells, ROWS, proportions, 3),
            **experiments.figures(all_runs),
            **{name: figure for one in studied for name, figure in one.figures().items()},
        }
        return [file for name, figure in figures.items() if figure for file in drawing.save(figure, folder / name)]


def grid(cells: Mapping[Row, Mapping[str, Runs]], rows: Sequence[Row], panel: Panel, columns: int) -> Figure | None:
    """A panel a row that was run, its legend above and a note below; None if none was."""
    shown = ("learn2mix",) if panel is proportions else DRAWN
    drawn = [row for row in rows if any(strategy in cells[row] for strategy in shown)]
    if not drawn:
        return None
    figure, axes = drawing.panels(len(drawn), columns)
    for place, row in zip(axes, drawn, strict=True):
        place.set_title("\n".join(wrap(row.title, 18 if columns > 2 else 30)))
        panel(place, row, cells[row])
    for place in axes[-columns:]:
        place.set_xlabel("epoch")
    absent = [row.title for row in rows if row not in drawn]
    logarithmic = panel is not proportions and any(row.table == 2 for row in drawn)
    notes = [
        NOTES[panel],
        "On logarithmic axes the interval is that of the mean's logarithm." * logarithmic,
        seeds(cells, drawn, shown),
        f"Not run: {', '.join(absent)}." if absent else "",
    ]
    drawing.note(figure, " ".join(filter(None, notes)))
    if panel is not proportions:
        names = [name for name in (*PAPER, *CONTROLS) if any(name in cells[row] for row in drawn)]
        drawing.legend(figure, names, paper=panel is curves)
    return figure


def seeds(cells: Mapping[Row, Mapping[str, Runs]], rows: Sequence[Row], strategies: Sequence[str]) -> str:
    """The number of seeds behind the means; rows and strategies with fewer are named."""
    counts = {(row.title, s): len(run.metrics) for row in rows for s, run in cells[row].items() if s in strategies}
    most = max(counts.values())
    fewer: dict[tuple[str, int], list[str]] = {}
    for (title, strategy), n in counts.items():
        if n < most:
            fewer.setdefault((title, n), []).append(strategy)
    others = [f"{n} for {title} ({', '.join(names)})" for (title, n), names in fewer.items()]
    return f"Seeds: {', '.join([str(most), *others])}."


def curves(axes: Axes, row: Row, cells: Mapping[str, Runs]) -> None:
    """Test metric over epochs, and the paper's mean ± sd at its checkpoints."""
    draw_curves(axes, cells, "test_metric")
    printed = published.cells(row.name)
    for i, strategy in enumerate(PAPER):
        if strategy in cells:
            for share, number in zip(CHECKPOINTS, printed.get(strategy, ()), strict=False):
                epoch = share * cells[strategy].settings["epochs"] * (1 - 0.012 * i)  # side by side
                drawing.circle(axes, epoch, number.mean, number.sd, strategy)


def worst_group(axes: Axes, row: Row, cells: Mapping[str, Runs]) -> None:
    draw_curves(axes, cells, "worst_group")


def draw_curves(axes: Axes, cells: Mapping[str, Runs], column: str) -> None:
    """A column's curve of each strategy, the controls thinner and without a band."""
    drawn = {strategy: cells[strategy] for strategy in DRAWN if strategy in cells}
    for strategy, run in drawn.items():
        control = strategy in CONTROLS
        drawing.curve(axes, run, column, drawing.STYLES[strategy], band=not control, linewidth=0.7 if control else 1.1)
    drawing.frame(axes, list(drawn.values()), column)
    axes.set_ylabel(drawing.metric(next(iter(drawn.values()))))


def proportions(axes: Axes, row: Row, cells: Mapping[str, Runs]) -> None:
    """learn2mix's proportions over epochs, stacked."""
    shares = drawing.areas(axes, cells["learn2mix"])
    axes.set_ylabel("share of a batch")
    if shares.shape[1] <= 10:
        drawing.names_beside(axes, shares)


NOTES: dict[Panel, str] = {
    curves: "Mean over seeds and, from three on, 95 % t-interval of it (balanced and stratified: the mean alone); "
    "circles: the paper's mean ± sd.",
    worst_group: "Test metric of each run's worst group: mean over seeds and, from three on, 95 % t-interval of it.",
    proportions: "Proportions of the groups in learn2mix's batches, mean over seeds.",
}
