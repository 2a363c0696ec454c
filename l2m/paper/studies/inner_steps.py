"""How many inner steps to take between two moves of domain weights: where a small T leads, and a budget's best T."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle
from typing import Annotated, Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from l2m.paper.studies import STUDIES, Claim, Setting, Study, Tables, grade
from l2m.paper.studies.quadratic_domains import Floats, fixed_point, simulate, spend
from l2m.report import drawing
from l2m.report.statistics import geometric_interval, half_width
from l2m.schema import Range

OUTER_RATES: Floats = 2.0 ** np.arange(-9.0, 4.0)
INNER_RATES = 13

LAWS: dict[str, Callable[[Any], Any]] = {
    "log N": np.log,
    "√(N log N)": lambda budget: np.sqrt(budget * np.log(budget)),
}
"""Laws of growth g(N) by name."""
CLAIMED = {"full": "log N", "stochastic": "√(N log N)"}
"""The claimed law of the best T, by the kind of gradients."""
CRITERIA = {"weights": "of the weights", "parameters": "of the parameters"}

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00")


@STUDIES.register("inner_steps")
@dataclass(kw_only=True)
class InnerSteps(Study):
    """The T-step scheme on the domains of :mod:`l2m.paper.studies.quadratic_domains`; the source's are not available.

    *Fixed points.* Each step of the scheme is simulated for T = 1 … ``longest`` and several κ. Reproduced: the weight
    of the first domain matches the closed form to 5·10⁻⁵ everywhere. That T = 1 fails is reproduced if its weight ends
    more than 0.05 off ½ for every κ, and the last half of the outer steps moved it by less than 0.001.

    *Budgets.* N inner steps allow ⌊N/T⌋ outer ones. For every N and T the outer rate, and with stochastic gradients the
    inner rate too, is tuned: it has the least mean gap of a grid, over ``starts`` runs from random weights and
    parameters. The gap is that of as many other runs. With full gradients the inner rate is 1/(2κ), the largest of the
    grid. The abstract does not say what is bounded. Here a gap is a mean over the outer steps, as in bounds for convex
    problems (the last outer step converges linearly on this example, and would follow another law). There are two: s²
    for the weights, ½ |θ_T − θ*|² for the trained parameters. They differ with stochastic gradients: noise stays in
    the parameters until the inner rate falls, for which T must grow, but hypergradients here are linear in the noise,
    and a small outer rate averages it out.

    Each seed has a best T for each N. A law g(N) is fitted as a + b·g(N), by least squares of relative errors.
    Reproduced: (1) the 95 % t-interval over seeds of b lies above 0; (2) that of the difference of root mean squared
    relative errors between the claimed law and the other one lies below 0; (3) the claimed law's error on the
    geometric mean over seeds is at most 15 %. Contradicted: (1), but the interval of (2) lies above 0: T grows,
    and the other law fits better. Direction only: (1) in all other cases. Not reproduced: not even (1).

    «Contradicted» was added after the results were known. Until then such a T was «direction only», since it grows
    under both laws; but the claim is which of the two it follows.
    """

    longest: Annotated[int, Range(2)] = 100
    outer_steps: Annotated[int, Range(1000)] = 4000
    conditions: tuple[Annotated[float, Range(1, above=True)], ...] = (2.0, 10.0, 100.0)
    condition: Annotated[float, Range(1, above=True)] = 4.0
    noise: Annotated[float, Range(0, above=True)] = 1.0
    budget: Annotated[int, Range(1000)] = 100_000
    starts: Annotated[int, Range(1)] = 8
    seeds: Annotated[int, Range(2)] = 10

    title = "Inner steps between two moves of the weights"
    question = (
        "Bilevel data mixing moves domain weights after T steps of training, by the gradient of a validation loss "
        "through these steps. The abstract of arXiv 2602.19510 says that T = 1 can fail on a simple quadratic example, "
        "and that under a budget of N steps the best T grows as log N with full gradients and as √(N log N) with "
        "stochastic ones. Here both are measured on two quadratic domains, whose fixed points are known."
    )

    def run(self, setting: Setting) -> dict[str, pd.DataFrame]:
        setting.report(f"fixed points for T = 1 … {self.longest}")
        tables = {"fixed_points": self._fixed_points()}
        spent = pd.concat([self._budgets(gradients, setting) for gradients in CLAIMED], ignore_index=True)
        cell = ["gradients", "criterion", "budget"]
        tables["gaps"] = spent.groupby([*cell, "inner_steps"])["gap"].mean().reset_index()
        tables["best"] = spent.loc[spent.groupby([*cell, "seed"])["gap"].idxmin()].reset_index(drop=True)
        return tables

    def _fixed_points(self) -> pd.DataFrame:
        kappas, steps = np.array(self.conditions), np.arange(1, self.longest + 1)
        rounds = sorted({int(self.outer_steps / 10 ** (i / 3)) for i in range(10)})
        simulated, closed = simulate(self.longest, kappas, rounds), fixed_point(steps, kappas)
        index = pd.MultiIndex.from_product([rounds, steps, kappas], names=["outer_steps", "inner_steps", "condition"])
        weights = {"simulated": simulated, "closed_form": np.broadcast_to(closed, simulated.shape)}
        table = pd.DataFrame({name: (1 + s.ravel()) / 2 for name, s in weights.items()}, index=index).reset_index()
        return table[(table["inner_steps"] == 1) | (table["outer_steps"] == rounds[-1])].reset_index(drop=True)

    def _budgets(self, gradients: str, setting: Setting) -> pd.DataFrame:
        """The gap of each criterion, N, T and seed, with the rates it was tuned to."""
        budgets = [round(self.budget * 10 ** (-i / 3)) for i in range(9, -1, -1)]
        many = INNER_RATES if gradients == "stochastic" else 1
        inner = np.array([0.5 ** (each / 2) / (2 * self.condition) for each in range(many)])
        rng, runs = np.random.default_rng(0), (self.seeds, 2, self.starts)
        starts = 2 * rng.standard_normal(np.prod(runs)), rng.standard_normal((2, np.prod(runs)))
        tables = []
        octaves = range(1, 4 * int(np.log2(self.budget / 16)) + 1)
        for steps in (*range(1, 17), *(round(16 * 2 ** (i / 4)) for i in octaves)):  # four per octave above 16
            noise = self.noise if gradients == "stochastic" else 0.0
            draws = np.random.default_rng([1, steps])
            spent = spend(steps, budgets, inner, OUTER_RATES, starts, self.condition, noise, draws)
            tables += [
                _tune(gap.reshape(-1, *runs), inner).assign(criterion=criterion, budget=budget, inner_steps=steps)
                for criterion, gaps in zip(CRITERIA, spent, strict=True)
                for budget, gap in zip(budgets, gaps, strict=True)
                if steps <= budget
            ]
            if steps in (1, 2, 4, 8, 16):
                setting.report(f"{gradients} gradients, T = {steps} is done")
        columns = ["gradients", "criterion", "budget", "inner_steps", "seed", "gap", "inner_rate", "outer_rate"]
        return pd.concat(tables).assign(gradients=gradients)[columns]

    def claims(self, tables: Tables) -> list[Claim]:
        points = tables["fixed_points"]
        last = points[points["outer_steps"] == points["outer_steps"].max()]
        error = (last["simulated"] - last["closed_form"]).abs().max()
        first = points[points["inner_steps"] == 1]
        weights = first.pivot_table(index="outer_steps", columns="condition", values="simulated")
        moved = (weights.iloc[-1] - weights.iloc[-2]).abs().max()
        return [
            Claim(
                "fixed_point",
                f"With T = 1 … {last['inner_steps'].max()} steps the weights settle at a difference of "
                "(ρ₂ − ρ₁)/(2 − ρ₁ − ρ₂), ρ₁ = (1 − 1/(2κ))^T and ρ₂ = 2^−T",
                "derived for these domains",
                f"at most {error:.1e} apart",
                grade(error < 5e-5),
            ),
            Claim(
                "greedy",
                "T = 1 can fail even in a simple quadratic example (abstract)",
                "a weight other than ½, the best",
                ", ".join(f"{weight:.3f} for κ = {kappa:g}" for kappa, weight in weights.iloc[-1].items()),
                grade((weights.iloc[-1] - 0.5).abs().min() > 0.05 and moved < 1e-3),
                f"outer steps {weights.index[-2]} to {weights.index[-1]} moved it by {moved:.0e}",
            ),
            *(_judge_law(tables["best"], gradients, criterion) for gradients in CLAIMED for criterion in CRITERIA),
        ]

    def figures(self, tables: Tables) -> dict[str, Figure]:
        return {
            "fixed_points": draw_fixed_points(tables["fixed_points"]),
            "gaps": draw_gaps(tables["gaps"]),
            "best_inner_steps": draw_best(tables["best"]),
        }


def _tune(gaps: Floats, inner_rates: Floats) -> pd.DataFrame:
    """For each seed the rates that suit half of its runs, and the gap of the others; (rates, seed, 2, run)."""
    tuning, judged = np.moveaxis(gaps.mean(-1), -1, 0)
    seeds, best = np.arange(tuning.shape[1]), np.nanargmin(tuning, axis=0)
    inner, outer = np.divmod(best, len(OUTER_RATES))
    rates = {"inner_rate": inner_rates[inner], "outer_rate": OUTER_RATES[outer]}
    return pd.DataFrame({"seed": seeds, "gap": judged[best, seeds], **rates})


def _judge_law(best: pd.DataFrame, gradients: str, criterion: str) -> Claim:
    steps = best_steps(best, gradients, criterion)
    claimed, other = CLAIMED[gradients], next(law for law in LAWS if law != CLAIMED[gradients])
    fits = {law: pd.DataFrame([fit(law, steps[seed]) for seed in steps], columns=["a", "b", "error"]) for law in LAWS}
    slope, excess = fits[claimed]["b"], fits[claimed]["error"] - fits[other]["error"]
    mean = geometric_interval(steps)[0]
    error = fit(claimed, mean)[2]
    grows = slope.mean() - half_width(slope) > 0
    verdict = grade(grows and excess.mean() + half_width(excess) < 0 and error <= 0.15, grows)
    further = ""
    if grows and excess.mean() - half_width(excess) > 0:
        verdict, further = "contradicted", f": {other} fits better"
    power = np.polyfit(np.log(mean.index), np.log(mean), 1)[0]
    return Claim(
        f"{gradients}_{criterion}",
        f"With {gradients} gradients the best T of a budget N is Θ({claimed}); gap {CRITERIA[criterion]}",
        f"Θ({claimed})",
        f"T = {mean.iloc[0]:.3g} at N = {mean.index[0]} to {mean.iloc[-1]:.3g} at N = {mean.index[-1]}, as "
        f"N^{power:.2f}; fit a + b · {claimed}, b = {slope.mean():.2g} ± {half_width(slope):.1g}",
        verdict,
        f"relative error of the fit {error:.0%}; minus that with {other}, by seed, {100 * excess.mean():+.0f} ± "
        f"{100 * half_width(excess):.0f} points{further}",
    )


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
