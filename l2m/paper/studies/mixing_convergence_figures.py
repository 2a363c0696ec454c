"""Figures of :mod:`l2m.paper.studies.mixing_convergence`."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from l2m.paper.studies import Tables
from l2m.paper.studies.mixing_convergence_claims import OTHERS
from l2m.report import drawing


def draw_agreeing(tables: Tables) -> Figure:
    """Groups that share a minimiser: convergence, its rate and its edge."""
    figure, axes = drawing.panels(4, 2)
    curves, table = tables["curves"], tables["agree"]
    gammas = curves.groupby("mixing_rate")
    for (gamma, curve), colour in zip(gammas, drawing.shades(len(gammas)), strict=True):
        for ax, column in zip(axes, ("theta_error", "alpha_error"), strict=False):
            ax.plot(curve["step"], curve[column], color=colour, linewidth=1, label=f"γ = {gamma:g}")
    first = curves[curves["mixing_rate"] == curves["mixing_rate"].min()]
    axes[0].plot(
        first["step"], first["bound"], color="#D55E00", linestyle=(0, (4, 1.8)), linewidth=1, label="ρᵗ (eq. 18)"
    )
    axes[0].set(title="Parameters", xlabel="step", ylabel="‖θ − θ*‖ / ‖θ⁰ − θ*‖", yscale="log", ylim=(1e-12, 2))
    axes[1].set(title="Proportions", xlabel="step", ylabel="largest |α − α*|", yscale="log", ylim=(1e-12, 2))

    inside = table[table["learning_rate"] < 1]
    drawn = inside.iloc[::6]  # enough for the eye; a PDF holds every point
    axes[2].scatter(1 - drawn["rho"], 1 - drawn["rate"], s=3, color="#0072B2", linewidths=0)
    lowest = float((1 - inside["rho"]).min())
    axes[2].plot([lowest, 1], [lowest, 1], color="#666666", linewidth=0.7)
    axes[2].set(title="Rate inside (0, 2/L*)", xlabel="1 − ρ (eq. 18)", ylabel="1 − measured rate", xscale="log")
    axes[2].set_yscale("log")

    _shares(axes[3], table, "converged")
    stable = (table["learning_rate"] < table["edge"]).groupby(table["learning_rate"]).mean()
    axes[3].plot(
        stable.index, 100 * stable, color="#D55E00", linestyle=(0, (1, 1.2)), linewidth=1.4, label="η below edge"
    )
    axes[3].axvline(1, color="#666666", linewidth=0.6)
    axes[3].set_ylabel("trainings that converge, %")
    for axis in (axes[0].yaxis, axes[1].yaxis, axes[2].xaxis, axes[2].yaxis):
        drawing.plain(axis)
    handles = [*axes[0].get_legend_handles_labels()[0], axes[3].get_legend_handles_labels()[0][-1]]
    figure.legend(handles=handles, loc="outside upper center", ncols=4, handlelength=1.8, columnspacing=1, borderpad=0)
    return drawing.note(
        figure,
        f"{table['problem'].nunique()} random quadratic problems whose groups share θ*. Above: one problem, "
        f"η\u00a0=\u00a0{curves['learning_rate'].iloc[0]:g}\u00a0·\u00a02/L*. Below, left: a point is a "
        "training, a sixth of them drawn; above the line it is "
        "faster than the proof's ρ. Edge: 2/λmax(Σ α*A).",
    )


def draw_disagreeing(tables: Tables) -> Figure:
    """Groups with minimisers of their own: where training lands, and the worst group's loss; and vanishing losses."""
    figure, axes = drawing.panels(4, 2)
    distance = tables["points"].pivot(index="problem", columns="point", values="distance")
    _boxes(axes[0], distance[list(OTHERS)])
    axes[0].set(title="Fixed point's distance", ylabel="in units of the spread", ylim=(0, None))
    worst = tables["points"].pivot(index="problem", columns="point", values="worst_loss")
    worst = worst.div(worst["worst group"], axis=0)
    _boxes(axes[1], worst[["root", "classical", "mean"]])
    axes[1].set(title="Worst group's loss", ylabel="times the least possible")
    _shares(axes[2], tables["disagree"], "landed")
    axes[2].axvline(1, color="#666666", linewidth=0.6)
    axes[2].set_ylabel("trainings that land, %")

    limits = tables["vanish"].pivot_table(
        index=["problem", "learning_rate", "mixing_rate", "group"], columns="start", values="alpha", dropna=False
    )
    drawn = limits.iloc[::16]
    for start in limits.columns[1:]:
        axes[3].scatter(drawn[limits.columns[0]], drawn[start], s=3, color="#0072B2", linewidths=0)
    largest = float(limits.max().max())
    axes[3].plot([0, largest], [0, largest], color="#666666", linewidth=0.6)
    axes[3].set(title="All losses vanish at θ*", xlabel="limit of α, one start", ylabel="limit of α, other starts")
    figure.legend(loc="outside upper center", ncols=5, handlelength=1.4, columnspacing=0.8, borderpad=0)
    return drawing.note(
        figure,
        f"{len(distance)} random quadratic problems. Above and below left: groups with minimisers of "
        "their own; distances from the minimisers of three risks; boxes are quartiles, whiskers the range. Below "
        "right: one minimiser and losses of 0 there; a point is a group.",
    )


def _shares(axes: Axes, table: pd.DataFrame, outcome: str) -> None:
    """The share of trainings with this outcome by learning rate, a line for each γ."""
    gammas = table.groupby("mixing_rate")
    for (gamma, cells), colour in zip(gammas, drawing.shades(len(gammas)), strict=True):
        share = 100 * (cells["outcome"] == outcome).groupby(cells["learning_rate"]).mean()
        axes.plot(share.index, share, color=colour, linewidth=1, marker=".", markersize=3, label=f"γ = {gamma:g}")
    axes.set(title="Learning rate", xlabel="η / (2/L*)", xscale="log")
    drawing.plain(axes.xaxis)


def _boxes(axes: Axes, values: pd.DataFrame) -> None:
    """A box for each column, with whiskers that reach the smallest and the largest value."""
    axes.boxplot(values.to_numpy(), whis=(0, 100), widths=0.5, medianprops={"color": "#D55E00"})
    names = values.columns.str.replace("root", "fixed point").str.replace("classical", "classical risk")
    axes.set_xticks(range(1, len(names) + 1), names.str.replace(" ", "\n"))
