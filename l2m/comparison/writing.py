"""Writes the files of a comparison's report, and draws its figure."""

from dataclasses import replace
from functools import partial

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from l2m.comparison import page
from l2m.comparison.config import BASELINE
from l2m.comparison.report import Report
from l2m.comparison.tables import format_csv, format_markdown, format_terminal
from l2m.files import write_whole
from l2m.records import WRITE_REMEDY
from l2m.report import drawing

COLOURS = {1: "#0072B2", -1: "#D55E00", 0: "#888888"}
"""By verdict: reliably better than classical, reliably worse, neither."""


def write_report(report: Report) -> Report:
    """Write the report's files; the report with its text."""
    write = partial(write_whole, remedy=WRITE_REMEDY)
    write(report.path / "runs.csv", as_csv(report.findings.runs))
    write(report.path / "held_out.csv", as_csv(report.held_out.reset_index()))
    write(report.path / "comparison.csv", format_csv(report).encode())
    write(report.path / "comparison.json", report.to_json().encode())
    write(report.path / "comparison.html", page.render(report).encode())
    write(report.path / "comparison.md", format_markdown(report, "comparison.png").encode())
    drawing.save(draw_differences(report), report.path / "comparison")
    return replace(report, text=format_terminal(report))


def as_csv(table: pd.DataFrame) -> bytes:
    """A table without its index."""
    return table.to_csv(index=False, lineterminator="\n").encode()


def draw_differences(report: Report) -> Figure:
    """Differences to classical with their intervals: the score that decides, the worst group, calibration."""
    findings, is_split = report.findings, bool(report.protocol.advised)
    scores = (findings.metric, "worst_group", "calibration_error")
    shown = {name: findings.scores[name] for name in scores if name in findings.scores}
    others = [name for name in findings.strategies if name != BASELINE]
    with mpl.rc_context(drawing.PRINT):
        figure = Figure(figsize=(1.3 + 1.9 * len(shown), 1.2 + 0.19 * len(others)), layout="constrained")
        figure.set_layout_engine("constrained", w_pad=0.06)
        panels = np.atleast_1d(figure.subplots(1, len(shown), sharey=True))
        for axes, (name, score) in zip(panels, shown.items(), strict=True):
            for place, strategy in enumerate(others):
                row = findings.row(name, strategy)
                middle, half = score.scale * row.minus_classical, score.scale * row.interval_half_width
                axes.errorbar(
                    middle, place, xerr=half, color=COLOURS[row.verdict], marker="o", markersize=3.5, elinewidth=1
                )
            axes.axvline(0, color="black", linewidth=0.6, zorder=0)
            axes.set_title(score.title)
            better = "right" if score.higher_is_better else "left"
            axes.set_xlabel(f"− {BASELINE}{', in points' * score.percent}\nbetter to the {better}")
        unit, number = "splits" if is_split else "seeds", findings.runs["seed"].nunique()
        drawing.note(
            figure,
            f"Paired differences over {number} {unit}; for each score all intervals hold at once with 95 % "
            f"(Bonferroni). Blue: reliably better, orange: reliably worse, over {unit} (Holm, 5 %)"
            f"{'' if is_split else ' and over test samples'}.",
        )
        panels[0].set_yticks(range(len(others)), others)
        panels[0].set_ylim(len(others) - 0.5, -0.5)
    return figure
