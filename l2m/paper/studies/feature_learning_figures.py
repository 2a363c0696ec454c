"""Figures of :mod:`l2m.paper.studies.feature_learning`."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from l2m.report import drawing
from l2m.report.statistics import geometric_interval


class Method(NamedTuple):
    """How figures and claims show a method."""

    colour: str
    dashes: Any
    marker: str
    words: str


METHODS = {
    "standard": Method("#000000", (0, (4, 1.8)), "o", "standard training"),
    "mixup": Method("#D55E00", "-", "s", "mixup"),
    "stopped": Method("#0072B2", (0, (6, 1.8, 1, 1.8)), "^", "early-stopped mixup"),
}
"""Colours of Okabe and Ito."""

AXES = {
    "rare_share": "share of rare data ρ",
    "noise": "noise σ_p",
    "width": "network width m",
    "mixing": "mixup's share λ",
    "stop_at": "iteration of the stop",
}
"""Labels of the options that are varied."""


def draw_growth(growth: pd.DataFrame, stop: int) -> Figure:
    """Strength of the common and the rare feature by iteration, a line a method."""
    figure, axes = drawing.panels(2, 2)
    for ax, feature in zip(axes, ("common", "rare"), strict=True):
        for name, method in METHODS.items():
            rows = growth[growth["method"] == name]
            mean, low, high = geometric_interval(rows.pivot(index="iteration", columns="seed", values=feature))
            ax.plot(mean.index, mean, color=method.colour, linestyle=method.dashes, linewidth=1.1, label=method.words)
            ax.fill_between(mean.index, low, high, color=method.colour, alpha=0.15, linewidth=0)
        ax.set(xscale="log", title=f"{feature} feature", xlabel="iteration", xlim=(1, growth["iteration"].max()))
        drawing.plain(ax.xaxis)
    _share_scale(axes)
    axes[0].set_ylabel("strength Σ⟨w, feature⟩²")
    _legend(figure)
    return drawing.note(
        figure,
        f"Geometric mean over {growth['seed'].nunique()} seeds with its 95 % t-interval. The stop is at iteration "
        f"{stop}. Above the grey line a feature counts as learned.",
    )


def draw_sizes(ends: pd.DataFrame, defaults: Mapping[str, float], iterations: int) -> Figure:
    """The rare feature's strength at the last iteration, a panel for each option that is varied."""
    varied = [name for name in AXES if name in set(ends["varied"])] or list(AXES)[:1]
    figure, axes = drawing.panels(len(varied), 2)
    for ax, name in zip(axes, varied, strict=True):
        rows = ends[ends["varied"].isin([name, "default"])]
        rows = rows.assign(value=rows["value"].where(rows["varied"] == name, defaults[name]))
        for i, (key, method) in enumerate(METHODS.items()):
            strengths = rows[rows["method"] == key].pivot(index="value", columns="seed", values="rare")
            mean, low, high = geometric_interval(strengths)
            places, sides = np.arange(len(mean)) + 0.2 * (i - 1), [mean - low, high - mean]
            style: Any = {"color": method.colour, "marker": method.marker, "markersize": 3, "linestyle": "none"}
            ax.errorbar(places, mean, sides, elinewidth=0.8, label=method.words, **style)
            ax.set_xticks(np.arange(len(mean)), [f"{value:g}" for value in mean.index])
        ax.set(xlabel=AXES[name], xlim=(-0.5, len(ax.get_xticks()) - 0.5))
    _share_scale(axes)
    for ax in axes[::2]:
        ax.set_ylabel("rare feature's strength")
    _legend(figure)
    return drawing.note(
        figure,
        f"Strength at iteration {iterations}, one option varied at a time: geometric mean over "
        f"{ends['seed'].nunique()} seeds with its 95 % t-interval. Above the grey line the feature counts as learned.",
    )


def _share_scale(axes: Sequence[Axes]) -> None:
    """One logarithmic scale of strengths for all panels, and the line above which a feature counts as learned."""
    for ax in axes:
        ax.axhline(1, color="#999999", linewidth=0.5, zorder=0)
        ax.set_yscale("log")
    ends = [ax.get_ylim() for ax in axes]
    for ax in axes:
        ax.set_ylim(min(low for low, _ in ends), max(high for _, high in ends))
        drawing.plain(ax.yaxis)


def _legend(figure: Figure) -> None:
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, handlelength=2.4, columnspacing=1, borderpad=0)
