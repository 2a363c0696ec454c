"""A summary of a results folder: a table for the terminal and one figure."""

import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.table import Table

from l2m.files import write_whole
from l2m.report import drawing
from l2m.report.runs import CHECKPOINTS, EPOCHS, Runs
from l2m.report.statistics import paired, significant, spread

ABREAST = 4
"""Data sets beside each other in the figure, at most."""

COLUMNS = ("strategy", "n", *EPOCHS, "worst group", "− classical")


def rows(runs: list[Runs]) -> dict[str, list[list[str]]]:
    """The cells under ``COLUMNS``, a row a configuration, by the title of the table of a subject."""
    made: dict[str, list[list[str]]] = {}
    for run in sorted(runs, key=lambda run: (_part(run) == "test", run.subject)):  # the terminal shows the last lines
        percent = run.task.higher_is_better
        classical = next((r for r in runs if r.is_baseline_of(run)), None)
        title = f"{run.subject}: {_part(run)} {run.task.metric}" + (" in %" if percent else "")
        cells = [_cell(run, share, "test_metric", percent) for share in CHECKPOINTS]
        cells.append(_cell(run, 1.0, "worst_group", percent))
        difference = paired(run.at(1.0), classical.at(1.0)) if classical and run is not classical else None
        cells.append(difference.text(significant(run.at(1.0), percent)) if difference else "")
        made.setdefault(title, []).append([run.label, str(len(run.metrics)), *cells])
    return made


def tables(runs: list[Runs]) -> list[Table]:
    """One table a subject: mean ± sd over seeds, the worst group, and the difference to classical."""
    return [terminal_table(COLUMNS, cells, title) for title, cells in rows(runs).items()]


def terminal_table(columns: Sequence[str], cells: Iterable[Sequence[str]], title: str | None = None) -> Table:
    """A table without lines; its first column folds, the others are aligned to the right."""
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1, 0, 0))
    table.add_column(columns[0], min_width=9, overflow="fold")
    for column in columns[1:]:
        table.add_column(column, justify="right", no_wrap=True)
    for row in cells:
        table.add_row(*row)
    return table


def _part(run: Runs) -> str:
    """The part the metric is of: test, or what ``validation_fraction`` holds out of the training set."""
    return "held-out" if "validation_fraction" in run.settings else "test"


def caption(runs: Iterable[Runs]) -> str:
    """What the tables hold, a line each."""
    early = any("best_epoch" in info for run in runs for info in run.info.values())
    return (
        "Mean ± sd (ddof 1) over n seeds at epochs 0.25E, 0.5E and E; worst group at E.\n"
        f"E is the last epoch{'; of runs with early_stopping the best one, by held-out data' * early}.\n"
        "− classical: difference at E on the same seeds ± half of its 95 % t-interval."
    )


def _cell(run: Runs, share: float, column: str, percent: bool) -> str:
    values = run.at(share, column)
    return spread(values, significant(values, percent))


def figure(runs: list[Runs], file: Path) -> None:
    """Write one figure: a column a subject, test metric above, learn2mix's proportions below; four at most abreast.

    Runs tested on a held-out part, of which a choice of rates has hundreds, are drawn only if there are no others.
    """
    runs = [run for run in runs if _part(run) == "test"] or runs
    subjects = sorted({run.subject for run in runs})
    with mpl.rc_context(drawing.PRINT | {"font.size": 8}):
        columns = min(len(subjects), ABREAST)
        lines = -(-len(subjects) // columns)
        heights = (3, 2) if any(run.strategy == "learn2mix" for run in runs) else (3,)
        canvas = Figure(figsize=(3.4 * columns + 0.4, 0.96 * sum(heights) * lines), layout="constrained")
        axes = canvas.subplots(len(heights) * lines, columns, squeeze=False, height_ratios=heights * lines)
        for place in axes[-len(heights) :, (len(subjects) - 1) % columns + 1 :].flat:
            place.set_axis_off()
        styles = drawing.styles(run.strategy for run in runs)
        for i, subject in enumerate(subjects):
            line, column = divmod(i, columns)
            upper, *lower = axes[len(heights) * line :, column][: len(heights)]
            rows = [run for run in runs if run.subject == subject]
            _curves(upper, rows, styles)
            adaptive = [run for run in rows if run.strategy == "learn2mix"]
            longest = max(adaptive, key=lambda run: (run.settings["epochs"], len(run.metrics)), default=None)
            if longest and longest.settings["epochs"] > 1:
                _proportions(lower[0], longest)
            else:
                upper.set_xlabel("epoch")
                for place in lower:
                    place.set_axis_off()
            for place in (upper, *lower):
                place.xaxis.get_major_locator().set_params(integer=True)
        drawn = io.BytesIO()
        canvas.savefig(drawn, format="png", dpi=drawing.DPI)
        write_whole(file, drawn.getbuffer())


def _curves(axes: Axes, rows: list[Runs], styles: Mapping[str, tuple[str, Any]]) -> None:
    drawn: Counter[str] = Counter()
    few = len(rows) < 6
    names = [run.style_name for run in rows]
    variants = Counter(names)
    for run, name in zip(rows, names, strict=True):
        weight = 1 - drawn[name] * min(0.4, 0.7 / max(variants[name] - 1, 1))  # variants are paler, none too pale
        drawn[name] += 1
        label = "\n".join(wrap(run.label, 30 if few else 48))
        drawing.curve(axes, run, style=styles[name], linewidth=1.3, alpha=weight, label=label)
    drawing.frame(axes, rows)
    seeds = sorted({len(run.metrics) for run in rows})
    about = "one seed" if seeds == [1] else f"mean of {' or '.join(map(str, seeds))} seeds, band: 95 % t-interval"
    axes.set_title("\n".join([*wrap(rows[0].subject, 45), about]), fontsize=8)
    axes.set_ylabel(f"{_part(rows[0])} {drawing.metric(rows[0])}")
    axes.legend(frameon=False, fontsize=8 if few else 50 / max(len(rows), 10))


def _proportions(axes: Axes, run: Runs) -> None:
    shares = drawing.areas(axes, run)
    axes.set(xlabel="epoch", ylabel="share of a batch")
    axes.set_title("\n".join(wrap(f"{run.label}: proportions", 45)), fontsize=8)
    if shares.shape[1] <= 10:
        drawing.names_beside(axes, shares, size=7)
