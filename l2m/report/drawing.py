"""Shared by all figures: colours and dashes, curves with bands, stacked proportions, files without a date."""

import io
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from textwrap import wrap
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from PIL import Image

from l2m.errors import shown
from l2m.files import write_whole
from l2m.report.runs import Runs
from l2m.report.statistics import MIN_SEEDS, half_width

STYLES: dict[str, tuple[str, Any]] = {
    "learn2mix": ("#0072B2", "-"),
    "classical": ("#000000", (0, (4, 1.8))),
    "focal": ("#D55E00", (0, (6, 1.8, 1, 1.8))),
    "smote": ("#009E73", (0, (1, 1.2))),
    "balanced": ("#CC79A7", (0, (6, 2, 1, 2, 1, 2))),
    "stratified": ("#E69F00", (0, (2, 2))),
    "importance_sampling": ("#56B4E9", (0, (9, 2))),
    "curriculum": ("#882255", (0, (1, 3.2))),
    "group_dro": ("#332288", (0, (8, 1.5, 2, 1.5))),
    "exp3": ("#999933", (0, (3, 1.5))),
    "class_weighted": ("#117733", (0, (5, 1, 1, 1, 1, 1))),
    "logit_adjusted": ("#AA4499", (0, (2, 1, 1, 1))),
    "bilevel": ("#44AA99", (0, (8, 1.5, 3, 1.5))),
    "pike": ("#CC6677", (0, (3, 1, 1, 1, 1, 1))),
}
"""Colours of Okabe and Ito, and of Tol's muted scheme, safe for the colour-blind, and dashes for print."""

OTHERS: list[tuple[str, Any]] = [
    ("#666666", (0, (3, 1, 1, 1))),
    ("#A6761D", (0, (7, 2, 2, 2))),
    ("#E7298A", (0, (1, 2))),
    ("#1B9E77", (0, (5, 3))),
    ("#7570B3", (0, (4, 1, 1, 1, 1, 1))),
]
"""Styles of strategies that have none of their own, in turn."""

PRINT: dict[Any, Any] = {
    "font.size": 7,
    "axes.titlesize": 7,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "legend.frameon": False,
    "text.parse_math": False,  # a group may be called $5
    "figure.constrained_layout.w_pad": 0.07,
    "figure.constrained_layout.h_pad": 0.07,
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
}
"""Settings of Matplotlib for a figure that is read in a column 3.4 inches wide."""

DPI = 300
"""Dots an inch of a PNG: 1080 or more across."""

CIRCLE: dict[str, Any] = {"markersize": 3, "markerfacecolor": "white", "markeredgewidth": 0.7, "linestyle": "none"}
"""The paper's numbers are open circles."""

LEADER = {"arrowstyle": "-", "linewidth": 0.3, "shrinkA": 0.5, "shrinkB": 0, "color": "#888888", "relpos": (0, 0.5)}
"""The line from a name to its area."""

METRICS = {"classification": "accuracy in %", "regression": "MSE", "reconstruction": "SSE per image"}
UNITS = {"california_housing": " in (100 000 $)²", "wine_quality": " in points²"}
"""Units of mean squared errors that have one; Mean Estimation's targets have none."""

POINTS = 240
"""A curve is drawn through at most twice as many epochs, evenly spaced, the last among them."""


def styles(strategies: Iterable[str]) -> dict[str, tuple[str, Any]]:
    """The style of each, for those that the suite does not know too."""
    own = sorted(set(strategies) - STYLES.keys())
    return STYLES | {name: OTHERS[i % len(OTHERS)] for i, name in enumerate(own)}


def label_styles(runs: Sequence[Runs]) -> dict[str, tuple[str, Any]]:
    """The style of each label: that of its strategy, and of further configurations of the strategy in turn."""
    made: dict[str, tuple[str, Any]] = {}
    known = styles(run.style_name for run in runs)
    for run in sorted(runs, key=lambda run: list(known).index(run.style_name)):
        own = known[run.style_name]
        made.setdefault(run.label, OTHERS[len(made) % len(OTHERS)] if own in made.values() else own)
    return made


def metric(run: Runs) -> str:
    """The test metric with its unit, as an axis says it; SSE is the sum of squared errors."""
    return METRICS[run.task.name] + UNITS.get(run.dataset, "")


def curve(
    axes: Axes,
    run: Runs,
    column: str = "test_metric",
    style: tuple[str, Any] | None = None,
    band: bool = True,
    **line: Any,
) -> None:
    """A column's mean over seeds, and the 95 % t-interval of that mean as a band, for three seeds or more.

    Accuracies are in %. Errors, whose axis is logarithmic, have the interval of the mean's logarithm, by the delta
    method mean · exp(± half / mean): one that reaches 0 would fall to the bottom of the panel. Two seeds have an
    interval too, but one that may well fill the panel.
    """
    colour, dashes = style or STYLES.get(run.strategy, OTHERS[0])
    drawn = mean_and_band(run, column)
    point = {"marker": "o", "markersize": 3} if len(drawn) == 1 else {}
    line = {"color": colour, "linestyle": dashes, "linewidth": 1.1} | point | line
    axes.plot(drawn.index, drawn["mean"], **line)
    if band and len(run.metrics) > 2:
        alpha = 0.15 * line.get("alpha", 1)
        axes.fill_between(drawn.index, drawn["low"], drawn["high"], color=colour, alpha=alpha, linewidth=0)


def mean_and_band(run: Runs, column: str = "test_metric", points: int = POINTS) -> pd.DataFrame:
    """``mean``, ``low`` and ``high`` of :func:`curve`, by epoch; the ends are NaN for fewer than three seeds."""
    table = thinned(run.curve(column), points)
    mean, width = table.mean(axis=1), half_width(table).where(table.count(axis=1) >= MIN_SEEDS)
    if run.task.higher_is_better:
        low, high = (mean - width).clip(0, 100), (mean + width).clip(0, 100)
    else:
        ratio = np.exp(width / mean)
        low, high = mean / ratio, mean * ratio
    return pd.DataFrame({"mean": mean, "low": low, "high": high})


def frame(axes: Axes, runs: list[Runs], column: str = "test_metric") -> None:
    """Limits and scale of a panel of curves: errors are logarithmic, from just below the least of any seed."""
    tables = [run.curve(column) for run in runs]
    longest = max(len(table) for table in tables)
    axes.set_xlim(0, longest if longest > 1 else 2)  # a single epoch is a point, in the middle
    if runs[0].task.higher_is_better:
        axes.set_ylim(bottom=0)
        return
    axes.set_yscale("log")
    low = 0.75 * min(float(table.min().min()) for table in tables)  # room for bands
    high = 1.3 * max(float(table.mean(axis=1).max()) for table in tables)
    axes.set_ylim(low, high)
    decades = np.log10(high / low)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 2 else (1,)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def circle(axes: Axes, epoch: float, mean: float, sd: float | None, strategy: str) -> None:
    """The paper's mean ± sd at one epoch."""
    colour, _ = STYLES[strategy]
    mark, _, _ = axes.errorbar(epoch, mean, sd, color=colour, marker="o", elinewidth=0.7, zorder=3, **CIRCLE)
    mark.set_clip_on(False)
    axes.set_ylim(bottom=min(axes.get_ylim()[0], 0.9 * mean))


def by_group(run: Runs, column: str = "proportion") -> pd.DataFrame:
    """A column of ``groups.csv``, its mean over seeds: epochs by groups in their order, which the columns name."""
    first = next(iter(run.groups.values()))
    shares = pd.concat(run.groups.values()).groupby(["epoch", "group"])[column].mean().unstack()
    return shares.set_axis(first["name"].iloc[: shares.shape[1]], axis=1)


def shades(k: int) -> list[str]:
    """k colours from dark to light, which keep their order in grey."""
    return [mpl.colors.to_hex(colour) for colour in mpl.colormaps["cividis"](np.linspace(0.05, 0.95, k))]


def areas(axes: Axes, run: Runs) -> pd.DataFrame:
    """Stacked shares of a batch over epochs, the first group lowest; they are returned, thinned."""
    shares = thinned(by_group(run))
    k = shares.shape[1]
    for area in axes.stackplot(shares.index, shares.T.to_numpy(), colors=shades(k), linewidth=0.4 if k <= 10 else 0.3):
        area.set_edgecolor("white" if k <= 10 else area.get_facecolor())
    first, last = shares.index.min(), shares.index.max()
    axes.set(ylim=(0, 1), xlim=(first, max(last, first + 1)))
    return shares


def names_beside(axes: Axes, shares: pd.DataFrame, size: float = 5.5) -> None:
    """Group names to the right of stacked areas, each by its area's end, spread out where areas are thin."""
    ends = shares.iloc[-1]
    middles = [float(middle) for middle in ends.cumsum() - ends / 2]
    height = axes.get_window_extent().height / axes.figure.dpi * 72
    for name, middle, at in zip(shares.columns, middles, spread_out(middles, 1.25 * size / height), strict=True):
        axes.annotate(
            shown(name, longest=30),
            (1, middle),
            (1.09, at),
            xycoords="axes fraction",
            fontsize=size,
            va="center",
            annotation_clip=False,
            arrowprops=LEADER,
        )


def spread_out(places: list[float], gap: float) -> list[float]:
    """Rising places in [0, 1], moved until neighbours are ``gap`` apart; as near to their own as that allows."""
    moved = list(places)
    for _ in range(200):
        for i, (low, high) in enumerate(pairwise(moved)):
            if (lack := gap - (high - low)) > 1e-9:
                moved[i], moved[i + 1] = low - lack / 2, high + lack / 2
        moved[0], moved[-1] = max(moved[0], gap / 2), min(moved[-1], 1 - gap / 2)
    return moved


def panels(n: int, columns: int) -> tuple[Figure, list[Axes]]:
    """A figure of n panels in at most so many columns, each 1.8 by 1.5 inches, with room for a legend and a note."""
    columns = min(columns, n)
    lines = -(-n // columns)  # the note of a single panel needs twice its width
    figure = Figure(figsize=(1.8 * max(columns, 2), 1.5 * lines + 0.9), layout="constrained")
    axes = list(figure.subplots(lines, columns, squeeze=False).flat)
    for empty in axes[n:]:
        empty.set_axis_off()
    return figure, axes[:n]


def legend(figure: Figure, strategies: Iterable[str], paper: bool = False) -> None:
    """One legend above all panels, with the paper's circle if there are any."""
    lines = [
        Line2D([], [], color=STYLES[name][0], linestyle=STYLES[name][1], linewidth=1.1, label=name)
        for name in strategies
    ]
    circles = [Line2D([], [], color="#666666", marker="o", label="paper", **CIRCLE)]
    handles = lines + circles * paper
    columns = min(int(figure.get_figwidth() / 0.9), len(handles))
    figure.legend(
        handles=handles, loc="outside upper center", ncols=columns, handlelength=2.4, columnspacing=1, borderpad=0
    )


def note(figure: Figure, text: str) -> Figure:
    """The figure, with what it shows in small print below all panels."""
    figure.supxlabel("\n".join(wrap(text, int(22 * figure.get_figwidth()))), fontsize=6, x=0.02, ha="left")
    return figure


def plain(axis: Axis) -> None:
    """Write a logarithmic axis's powers of ten as 0.1 or 1e-5: Matplotlib's own are formulas, which PRINT has off."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("e-0", "e-").replace("e+0", "e")))
    axis.set_minor_formatter(NullFormatter())


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write ``stem.pdf`` and ``stem.png``, 300 dots an inch of 256 colours, with neither date nor version in them."""
    files = [stem.with_suffix(".pdf"), stem.with_suffix(".png")]
    pdf, drawn, png = io.BytesIO(), io.BytesIO(), io.BytesIO()
    figure.savefig(pdf, format="pdf", metadata={"CreationDate": None, "Creator": None, "Producer": None})
    figure.set_layout_engine("none")  # it stays as laid out
    figure.savefig(drawn, format="png", dpi=DPI)
    few = Image.open(drawn).convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=3)
    few.save(png, "PNG", optimize=True, dpi=(DPI, DPI))
    for file, content in zip(files, (pdf, png), strict=True):
        write_whole(file, content.getbuffer())
    return files


def thinned(table: pd.DataFrame, points: int = POINTS) -> pd.DataFrame:
    """Every so many rows that at least ``points`` and less than twice as many are left, the last among them."""
    step = max(len(table) // points, 1)
    return table.iloc[(len(table) - 1) % step :: step]
