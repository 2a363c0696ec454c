"""Figures of :mod:`l2m.paper.studies.one_step`."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from l2m.report import drawing

SHOWN = (
    *("28 low", "28 high", "45 to 46", "48", "51", "52 printed", "52"),
    *("53", "54", "8", "55", "56", "59 norm", "40 norm"),
)
"""Steps of the proof in the figure."""


def draw_condition(table: pd.DataFrame) -> Figure:
    """Eq. 8 against eq. 9."""
    figure, axes = drawing.panels(4, 2)
    met = table["first_factor"] * table["norm"] > 0
    sides = [(met, "#0072B2", "-", "eq. 8 holds"), (~met, "#D55E00", (0, (4, 1.8)), "eq. 8 fails")]
    etas = np.geomspace(0.01, 10, 200)
    for part, colour, dashes, label in sides:
        low, high = (table.loc[part, end].to_numpy()[:, None] for end in ("low", "high"))
        share = ((low < etas) & (etas < high)).mean(axis=0) if part.any() else np.full(len(etas), np.nan)
        axes[0].plot(etas, 100 * share, color=colour, linestyle=dashes, linewidth=1.1, label=f"{label} ({part.sum()})")
    axes[0].axvline(1, color="#666666", linewidth=0.6)
    axes[0].set(title="Some γ gives eq. 9", xlabel="η / (2/L*)", ylabel="problems, %", xscale="log", ylim=(0, 100))

    ratio = np.linspace(table["ratio"].min(), 1)
    drawn = table.iloc[::8]  # enough for the eye; a PDF holds every point
    axes[1].scatter(drawn["ratio"], drawn["first_factor"], s=2, color="#56B4E9", linewidths=0)
    axes[1].plot(ratio, (ratio - 1) / 2, color="#000000", linewidth=1)
    axes[1].axhline(0, color="#666666", linewidth=0.6)
    axes[1].set(title="First factor of eq. 8", xlabel="μ* / L*", ylabel="in units of L* ‖e‖²")

    for part, colour, _, _ in sides:
        points = drawn[part[drawn.index]]
        axes[2].scatter(points["distance"], points["distance"] - points["norm"], s=2, color=colour, linewidths=0)
    axes[2].set(title="Second factor of eq. 8", xlabel="‖e‖", ylabel="‖ΔL‖", xscale="log", yscale="log")

    ends = np.geomspace(0.1, 10, 41)
    for part, colour, dashes, _ in sides:
        highs = table.loc[part & (table["low"] == 0), "high"].clip(ends[0], ends[-1])
        axes[3].hist(highs, bins=list(ends), histtype="step", color=colour, linestyle=dashes, linewidth=1)
    axes[3].axvline(1, color="#666666", linewidth=0.6)
    axes[3].set(title="Largest η with some γ", xlabel="η / (2/L*)", ylabel="problems", xscale="log")
    axes[0].set_xticks([0.01, 0.1, 1, 10])
    for axis in (axes[0].xaxis, axes[2].xaxis, axes[2].yaxis, axes[3].xaxis):
        drawing.plain(axis)
    handles, _ = axes[0].get_legend_handles_labels()
    figure.legend(handles=handles, loc="outside upper center", ncols=2, handlelength=2.4, borderpad=0)
    return drawing.note(
        figure,
        f"{len(table)} random problems that meet the assumptions of Proposition 2.5. Above right: the line is the "
        "bound (μ* − L*)/2 ‖e‖². Below left: eq. 8 holds just above ‖ΔL‖\u00a0=\u00a0‖e‖, in whatever unit θ is. Below "
        "right: problems with some γ as η → 0; the last bin holds all larger η.",
    )


def draw_proof(table: pd.DataFrame) -> Figure:
    """How often each step of the proof holds."""
    figure, (axes,) = drawing.panels(1, 1)
    figure.set_size_inches(3.4, 3.2)
    rows = table.set_index("step").loc[list(SHOWN)]
    share = 100 * rows["holds"] / rows["checked"].where(rows["checked"] > 0)
    places = np.arange(len(rows))[::-1]
    axes.barh(places, share, color=np.where(share == 100, "#009E73", "#D55E00").tolist(), height=0.6)
    axes.plot(0 * places[share == 0], places[share == 0], "o", color="#D55E00", markersize=3, clip_on=False)
    for place, value in zip(places, share, strict=True):
        axes.annotate("not checked" if np.isnan(value) else f"{value:.3g} %", (102, place), va="center", fontsize=6)
    labels = rows["statement"].str.removesuffix(", norm").str.replace("1)/2 > 0", "1)/2")
    axes.set_yticks(places, labels)
    axes.set(xlim=(0, 125), xlabel="holds, % of checks", xticks=[0, 25, 50, 75, 100])
    return drawing.note(
        figure,
        "Steps of the proof of Proposition 2.5, from Corollary 2.4 on. Numbers stand for the right sides of these "
        f"equations, with ‖ΔL‖ in (59). {int(rows['checked'].max())} checks each at most.",
    )
