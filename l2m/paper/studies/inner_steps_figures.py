"""Laws of :mod:`l2m.paper.studies.inner_steps` by which the best T may grow with the budget, and its figures."""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from l2m.report import drawing
from l2m.report.statistics import geometric_interval

LAWS: dict[str, Callable[[Any], Any]] = {
    "log N": np.log,
    "√(N log N)": lambda budget: np.sqrt(budget * np.log(budget)),
}
"""Laws of growth g(N) by name."""
CLAIMED = {"full": "log N", "stochastic": "√(N log N)"}
"""The claimed law of the best T, by the kind of gradients."""
CRITERIA = {"weights": "of the weights", "parameters": "of the parameters"}

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00")


def fit(law: str, steps: pd.Series[float]) -> tuple[float, float, float]:
    """a and b of T = a + b·g(N) with the least squared relative error, and the root of its mean."""
    g = LAWS[law](steps.index.to_numpy(float))
    b, a = np.polyfit(g, steps, 1, w=1 / steps)
    return float(a), float(b), float(np.sqrt(np.mean(((a + b * g) / steps - 1) ** 2)))


def best_steps(best: pd.DataFrame, gradients: str, criterion: str) -> pd.DataFrame:
    """The best T, budgets by seeds."""
    rows = best[(best["gradients"] == gradients) & (best["criterion"] == criterion)]
    return rows.pivot(index="budget", columns="seed", values="inner_steps")


def draw_fixed_points(points: pd.DataFrame) -> Figure:
    """Where the weight settles by T, and how it moves there with T = 1."""
    figure, (weights, greedy) = drawing.panels(2, 2)
    for (kappa, rows), colour in zip(points.groupby("condition"), cycle(COLOURS), strict=False):
        last = rows[rows["outer_steps"] == rows["outer_steps"].max()]
        shown = last[last["inner_steps"].isin([1, 2, 3, 5, 7, 10, 15, 22, 32, 46, 68, 100])]
        weights.plot(last["inner_steps"], last["closed_form"], color=colour, linewidth=1, label=f"κ = {kappa:g}")
        weights.plot(shown["inner_steps"], shown["simulated"], color=colour, marker="o", **drawing.CIRCLE)
        first = rows[rows["inner_steps"] == 1]
        greedy.plot(first["outer_steps"], first["simulated"], color=colour, linewidth=1)
        greedy.plot(first["outer_steps"], first["simulated"], color=colour, marker="o", **drawing.CIRCLE)
    for axes, label in ((weights, "inner steps T"), (greedy, "outer steps of T = 1")):
        axes.axhline(0.5, color="#666666", linewidth=0.7, linestyle=(0, (4, 2)))
        axes.set(xlabel=label, ylim=(0, 0.55), xscale="log")
        drawing.plain(axes.xaxis)
    weights.set_ylabel("weight of domain 1")
    figure.legend(loc="outside upper center", ncols=3)
    return drawing.note(
        figure,
        "Two quadratic domains: left, where the weight settles (circles, simulated; lines, closed form); right, how it "
        "leaves the best weight ½ (dashed) with T = 1 and stays away.",
    )


def draw_gaps(gaps: pd.DataFrame) -> Figure:
    """The gap by T, a line for each budget."""
    figure, panels = drawing.panels(len(CLAIMED) * len(CRITERIA), 2)
    cells = [(gradients, criterion) for criterion in CRITERIA for gradients in CLAIMED]
    for axes, (gradients, criterion) in zip(panels, cells, strict=True):
        rows = gaps[(gaps["gradients"] == gradients) & (gaps["criterion"] == criterion)]
        budgets = sorted(rows["budget"].unique())[::3]
        for budget, colour in zip(budgets, drawing.shades(len(budgets)), strict=True):
            curve = rows[rows["budget"] == budget].set_index("inner_steps")["gap"]
            axes.plot(curve.index, curve, color=colour, linewidth=1, label=f"N = {budget}")
            axes.plot(curve.idxmin(), curve.min(), color=colour, marker="o", **drawing.CIRCLE)
        _set_logarithmic(axes, gradients, xlabel="inner steps T", ylabel=f"gap {CRITERIA[criterion]}")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=4, columnspacing=1)
    return drawing.note(figure, "Mean gap over outer steps and seeds at tuned rates; circles, the least.")


def draw_best(best: pd.DataFrame) -> Figure:
    """The best T of each budget, with the fits of both laws."""
    figure, panels = drawing.panels(len(CLAIMED), 2)
    for axes, gradients in zip(panels, CLAIMED, strict=True):
        for criterion, colour in zip(CRITERIA, COLOURS, strict=False):
            _draw_laws(axes, best_steps(best, gradients, criterion), colour, CRITERIA[criterion])
        _set_logarithmic(axes, gradients, xlabel="budget N of inner steps")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    panels[0].set_ylabel("best T")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=2, columnspacing=1)
    return drawing.note(
        figure,
        "Best inner steps T of a budget for the gap of the weights or of the parameters: geometric mean over seeds "
        "with its 95 % t-interval, and fits a + b·g(N) with g\u00a0=\u00a0log\u00a0N (solid) and √(N log N) (dotted).",
    )


def _draw_laws(axes: Axes, steps: pd.DataFrame, colour: str, label: str) -> None:
    """Means, intervals and both fits."""
    mean, low, high = geometric_interval(steps)
    sides = [mean - low, high - mean]
    axes.errorbar(
        mean.index, mean, sides, color=colour, marker="o", elinewidth=0.7, label=f"gap {label}", **drawing.CIRCLE
    )
    budgets = np.geomspace(mean.index[0], mean.index[-1], 100)
    for law, dashes in zip(LAWS, ("-", (0, (1, 1.5))), strict=True):
        a, b, _ = fit(law, mean)
        line = pd.Series(a + b * LAWS[law](budgets), budgets)
        line = line[line > 0.7]
        axes.plot(line.index, line, color=colour, linestyle=dashes, linewidth=0.8)


def _set_logarithmic(axes: Axes, gradients: str, **labels: str) -> None:
    axes.set(title=f"{gradients} gradients", xscale="log", yscale="log", **labels)
    drawing.plain(axes.xaxis)
    drawing.plain(axes.yaxis)
