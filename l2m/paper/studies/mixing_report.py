"""What the tables of ``mixing_convergence`` say: claims, each by a rule fixed before the runs, and figures.

Learning rates are in units of 2/L*; "inside" is below 1.

- ``inside``: reproduced if every training inside converges.
- ``rate``: reproduced if no step inside shrinks ‖θ − θ*‖ by less than ρ, but for a relative 1e-9 of rounding.
- ``edge``: reproduced if every training below the edge of local stability converges, and none beyond it; direction
  only if the second alone holds.
- ``lands``: reproduced if every training inside lands; direction only if every one does whose Jacobian at the root has
  a spectral radius below 0.995 (a slower one need not be done after the steps it is given).
- ``optimum``: reproduced if the root is within 1e-6 of the minimiser of the classical risk in every problem.
- ``squares``: reproduced if the root is within 1e-6 of the minimiser of Σ L_i² in every problem.
- ``worst_group``: reproduced if in every problem the worst group's loss at the root is below that at the minimiser of
  the classical risk; direction only if in more than half of them.
- ``vanish``: reproduced if a problem's α, from every start and at all rates, agree within 1e-3 as losses vanish;
  direction only if they do at each pair of rates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from l2m.paper.studies import Claim, Finding, Tables

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BETWEEN = ("classical", "mean", "worst group")
"""Minimisers with which the fixed point is compared."""


def claims(tables: Tables) -> list[Claim]:
    """See the top of this file."""
    return [*_agreeing(tables["agree"]), *_disagreeing(tables["disagree"], tables["points"]), _vanishing(tables)]


def _agreeing(table: pd.DataFrame) -> list[Claim]:
    inside = table[table["learning_rate"] < 1]
    done = inside["outcome"] == "converged"
    bounded = inside["worst_contraction"] <= inside["rho"] * (1 + 1e-9)
    share = (np.log(inside["rho"]) / np.log(inside["rate"])).median()
    converges = table["outcome"] == "converged"
    below = table["learning_rate"] < table["edge"]
    between = below & (table["learning_rate"] >= 1)
    return [
        Claim(
            "inside",
            "One minimiser for all groups: θ → θ* and α → L(θ*)/1ᵀL(θ*) (Proposition 2.3)",
            "every η in (0, 2/L*), every γ in (0, 1)",
            f"{_of(done)} trainings converge",
            "reproduced" if done.all() else "not reproduced",
        ),
        Claim(
            "rate",
            "Each step shrinks ‖θ − θ*‖ by ρ = max(|1 − ημ*|, |1 − ηL*|) or better (eq. 18)",
            "every step, η in (0, 2/L*)",
            f"in {_of(bounded)} trainings",
            "reproduced" if bounded.all() else "not reproduced",
            f"ρ is pessimistic: in the median training θ takes {100 * share:.0f} % of the steps that ρ allows",
        ),
        Claim(
            "edge",
            "Training converges up to η = 2/λmax(Σ α*_i A_i), where a small step off θ* no longer shrinks, "
            "and not beyond",
            "none: the proof stops at 2/L*",
            f"{_of(converges[between])} between 2/L* and the edge converge, {_of(converges[~below])} beyond it",
            _verdict(bool(converges[below].all() and not converges[~below].any()), not converges[~below].any()),
            f"{'2/L* is enough, not needed; ' if converges[between].any() else ''}the least η below the edge that does "
            f"not converge from its start is {table.loc[below & ~converges, 'learning_rate'].min():g} · 2/L*",
        ),
    ]


def _disagreeing(table: pd.DataFrame, points: pd.DataFrame) -> list[Claim]:
    inside = table[table["learning_rate"] < 1]
    landed, stable = inside["outcome"] == "landed", inside["radius"] < 0.995
    unstable = inside["radius"] >= 1
    by = points.pivot(index="problem", columns="point")
    distance, worst = by["distance"], by["worst_loss"]
    far = "; ".join(f"{name} {distance[name].median():.2g}" for name in BETWEEN)
    at_optimum, at_squares = (distance[name] <= 1e-6 for name in ("classical", "least squares"))
    lower = worst["root"] < worst["classical"]
    excess = worst.div(worst["worst group"], axis=0).median()
    return [
        Claim(
            "lands",
            "Groups that disagree: training lands at the root of Σ α_i ∇L_i = 0 with α = L/1ᵀL, found apart from it",
            "none: the proof takes one minimiser for all groups",
            f"{_of(landed)} trainings inside (0, 2/L*) land, {_of(landed[stable])} of those that are stable there",
            _verdict(bool(landed.all()), bool(landed[stable].all())),
            f"at {int(unstable.sum())} pairs of rates inside the root is unstable, and {_of(landed[unstable])} land",
        ),
        Claim(
            "optimum",
            "Groups that disagree: θ → θ*, the minimiser of the classical risk",
            "Proposition 2.3 does not say that groups must agree; its proof does",
            f"at it in {_of(at_optimum)} problems; median distance in units of the minimisers' spread: {far}",
            "reproduced" if at_optimum.all() else "not reproduced",
        ),
        Claim(
            "squares",
            "The fixed point minimises Σ L_i², whatever α̃, η and γ are",
            "none",
            f"in {_of(at_squares)} problems, to {distance['least squares'].max():.1g} of the spread",
            "reproduced" if at_squares.all() else "not reproduced",
            "Σ α_i ∇L_i = 0 with α ∝ L says that the gradient of ½ Σ L_i² is 0",
        ),
        Claim(
            "worst_group",
            "Groups that disagree: the worst group fares better than under classical training",
            "none; section 2 speaks of the groups' relative difficulty",
            f"in {_of(lower)} problems; median worst loss in units of the least possible: root "
            f"{excess['root']:.2f}, classical {excess['classical']:.2f}, mean {excess['mean']:.2f}",
            _verdict(bool(lower.all()), bool(lower.mean() > 0.5)),
        ),
    ]


def _vanishing(tables: Tables) -> Claim:
    table = tables["vanish"]
    known = table.fillna({"alpha": np.inf})  # one that has not settled agrees with none
    whole, each = (
        known.groupby(["problem", "group", *keys])["alpha"].agg(lambda a: a.max() - a.min()).groupby("problem").max()
        for keys in ((), ("learning_rate", "mixing_rate"))
    )
    together, at_rates = whole <= 1e-3, each <= 1e-3
    trained = table.groupby(["problem", "learning_rate", "mixing_rate", "start"])
    zero, finite = trained["zero"].all(), trained["alpha_end"].agg(lambda a: bool(np.isfinite(a).all()))
    moved = float((table["alpha_end"] - table["alpha"]).abs().max())
    return Claim(
        "vanish",
        "All losses are 0 at θ*: α has a limit (eq. 5, whose quotient is 0/0)",
        "a limit; no value",
        f"α agree from all starts and rates in {_of(together)} problems, at each pair of rates in {_of(at_rates)}; "
        f"median largest difference {whole.median():.2g}",
        _verdict(bool(together.all()), bool(at_rates.all())),
        f"α then follows the direction in which θ comes in; all losses are exactly 0 in the end in {_of(zero)} "
        f"trainings, where α stays, finite in {_of(finite)} and up to {moved:.2f} from where it had settled: the last "
        "quotients are of losses that have lost their digits",
    )


def _verdict(whole: bool, part: bool) -> Finding:
    return "reproduced" if whole else "direction only" if part else "not reproduced"


def _of(held: pd.Series[bool]) -> str:
    return f"{int(held.sum())} of {len(held)}"


def figures(tables: Tables) -> dict[str, Figure]:
    """``agreeing``: convergence, its rate and its edge. ``disagreeing``: where training lands, and what that costs."""
    return {"agreeing": _agreeing_figure(tables), "disagreeing": _disagreeing_figure(tables)}


def _agreeing_figure(tables: Tables) -> Figure:
    from l2m.report import drawing

    figure, axes = drawing.panels(4, 2)
    curves, table = tables["curves"], tables["agree"]
    rates = sorted(curves["mixing_rate"].unique())
    colours = dict(zip(rates, drawing.shades(len(rates)), strict=True))
    for gamma, curve in curves.groupby("mixing_rate"):
        for ax, column in zip(axes, ("theta_error", "alpha_error"), strict=False):
            ax.plot(curve["step"], curve[column], color=colours[gamma], linewidth=1, label=f"γ = {gamma:g}")
    one = curves[curves["mixing_rate"] == rates[0]]
    axes[0].plot(one["step"], one["bound"], color="#D55E00", linestyle=(0, (4, 1.8)), linewidth=1, label="ρᵗ (eq. 18)")
    axes[0].set(title="Parameters", xlabel="step", ylabel="‖θ − θ*‖ / ‖θ⁰ − θ*‖", yscale="log", ylim=(1e-12, 2))
    axes[1].set(title="Proportions", xlabel="step", ylabel="largest |α − α*|", yscale="log", ylim=(1e-12, 2))

    inside = table[table["learning_rate"] < 1]
    drawn = inside.iloc[::6]  # so many points are enough for the eye, and a page holds each
    axes[2].scatter(1 - drawn["rho"], 1 - drawn["rate"], s=3, color="#0072B2", linewidths=0)
    lowest = float((1 - inside["rho"]).min())
    axes[2].plot([lowest, 1], [lowest, 1], color="#666666", linewidth=0.7)
    axes[2].set(title="Rate inside (0, 2/L*)", xlabel="1 − ρ (eq. 18)", ylabel="1 − measured rate", xscale="log")
    axes[2].set_yscale("log")

    for gamma, cells in table.groupby("mixing_rate"):
        share = (cells["outcome"] == "converged").groupby(cells["learning_rate"]).mean()
        axes[3].plot(share.index, 100 * share, color=colours[gamma], linewidth=1, marker=".", markersize=3)
    stable = (table["learning_rate"] < table["edge"]).groupby(table["learning_rate"]).mean()
    axes[3].plot(
        stable.index, 100 * stable, color="#D55E00", linestyle=(0, (1, 1.2)), linewidth=1.4, label="η below edge"
    )
    axes[3].axvline(1, color="#666666", linewidth=0.6)
    axes[3].set(title="Learning rate", xlabel="η / (2/L*)", ylabel="trainings that converge, %", xscale="log")
    for axis in (axes[0].yaxis, axes[1].yaxis, axes[2].xaxis, axes[2].yaxis, axes[3].xaxis):
        drawing.plain(axis)
    handles = [h for ax in (axes[0], axes[3]) for h in ax.get_legend_handles_labels()[0]]
    figure.legend(handles=handles, loc="outside upper center", ncols=4, handlelength=1.8, columnspacing=1, borderpad=0)
    drawing.note(
        figure,
        f"{table['problem'].nunique()} random quadratic problems whose groups share θ*. Above: one problem, "
        f"η\u00a0=\u00a0{curves['learning_rate'].iloc[0]:g}\u00a0·\u00a02/L*. Below, left: a point is a "
        "training, a sixth of them drawn; above the line it is "
        "faster than the proof's ρ. Edge: 2/λmax(Σ α*A).",
    )
    return figure


def _disagreeing_figure(tables: Tables) -> Figure:
    from l2m.report import drawing

    figure, axes = drawing.panels(4, 2)
    points, table = tables["points"], tables["disagree"]
    by = points.pivot(index="problem", columns="point")
    names = {"root": "fixed\npoint", "classical": "classical\nrisk", "mean": "mean", "worst group": "worst\ngroup"}
    _boxes(axes[0], [by["distance"][name] for name in BETWEEN], [names[name] for name in BETWEEN])
    axes[0].set(title="Fixed point's distance", ylabel="in units of the spread", ylim=(0, None))
    worst = by["worst_loss"].div(by["worst_loss"]["worst group"], axis=0)
    shown = ("root", "classical", "mean")
    _boxes(axes[1], [worst[name] for name in shown], [names[name] for name in shown])
    axes[1].set(title="Worst group's loss", ylabel="times the least possible")

    rates = sorted(table["mixing_rate"].unique())
    for gamma, colour in zip(rates, drawing.shades(len(rates)), strict=True):
        cells = table[table["mixing_rate"] == gamma]
        share = (cells["outcome"] == "landed").groupby(cells["learning_rate"]).mean()
        axes[2].plot(
            share.index, 100 * share, color=colour, linewidth=1, marker=".", markersize=3, label=f"γ = {gamma:g}"
        )
    axes[2].axvline(1, color="#666666", linewidth=0.6)
    axes[2].set(title="Learning rate", xlabel="η / (2/L*)", ylabel="trainings that land, %", xscale="log")
    drawing.plain(axes[2].xaxis)

    limits = tables["vanish"].pivot_table(
        index=["problem", "learning_rate", "mixing_rate", "group"], columns="start", values="alpha", dropna=False
    )
    drawn = limits.iloc[::16]
    for start in limits.columns[1:]:
        axes[3].scatter(drawn[limits.columns[0]], drawn[start], s=3, color="#0072B2", linewidths=0)
    most = float(limits.max().max())
    axes[3].plot([0, most], [0, most], color="#666666", linewidth=0.6)
    axes[3].set(title="All losses vanish at θ*", xlabel="limit of α, one start", ylabel="limit of α, other starts")
    figure.legend(loc="outside upper center", ncols=5, handlelength=1.4, columnspacing=0.8, borderpad=0)
    drawing.note(
        figure,
        f"{points['problem'].nunique()} random quadratic problems. Above and below left: groups with minimisers of "
        "their own; distances from the minimisers of three risks; boxes are quartiles, whiskers the range. Below "
        "right: one minimiser and losses of 0 there; a point is a group.",
    )
    return figure


def _boxes(axes: Axes, values: list[pd.Series[float]], names: list[str]) -> None:
    """A box for each list of values, whose whiskers reach the least and the largest."""
    axes.boxplot(values, whis=(0, 100), widths=0.5, medianprops={"color": "#D55E00"})
    axes.set_xticks(range(1, len(names) + 1), names)
