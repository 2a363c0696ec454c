"""Proposition 2.5 by numbers: does one step of learn2mix end nearer to θ* than one of classical training?

A problem meets the assumptions: strongly convex group losses with Lipschitz gradients and one θ* = 0, which the proof
of Corollary 2.4 needs; α^{t-1} = α̃; and θ^t is one classical step after θ^{t-1}. With e = θ^t − θ*,
ΔL = L(θ^t) − L(θ*), d = L(θ^{t-1}) / 1ᵀL(θ^{t-1}) − α̃, and gradients g̃ = ∇L(θ^t, α̃) and v = Σ d_i ∇L_i(θ^t), eq. 9
is exactly

    F² − G² = −2ηγ (e − ηg̃)ᵀv + η²γ² ‖v‖² ≤ 0.

So some small γ satisfies it exactly if (e − ηg̃)ᵀv > 0, whatever β is: an interval of learning rates.

Eq. 8 and 40 subtract a vector from a scalar, ‖e‖ − ΔL. Four readings are tried: minus the norm of ΔL, which the
Cauchy-Schwarz inequality would give and which the claims use, its sum, its mean, or α̃ᵀΔL. The proposition assumes that
the gradient is Lipschitz continuous in α. No constant holds for all θ, so L_α is the smallest one at θ^t, the largest
singular value of the gradients.

Two facts decide what eq. 8 says. Its first factor is never positive: α̃ᵀΔL ≤ L*/2 ‖e‖², so it is at most
(μ* − L*)/2 ‖e‖². Likewise, for every γ in (0, 1], the bound K of eq. 55 is at least η (L* − μ*) ‖e‖². So eq. 56 never
starts from K ≤ 0, and eq. 58 divides eq. 57 by a number that is negative wherever the quotient is positive.
"""

from dataclasses import dataclass
from itertools import product
from typing import Annotated, Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from l2m.paper.studies import STUDIES, Claim, Setting, Study, Tables
from l2m.paper.studies.group_losses import Floats, sample
from l2m.paper.studies.one_step_claims import judge
from l2m.paper.studies.one_step_proof import READINGS, Point, check_proof
from l2m.report import drawing
from l2m.schema import Range

FRACTIONS = np.array([0.01, 0.1, 0.5, 0.99])
"""γ as shares of the largest γ that is tried."""

SHOWN = (
    *("28 low", "28 high", "45 to 46", "48", "51", "52 printed", "52"),
    *("53", "54", "8", "55", "56", "59 norm", "40 norm"),
)
"""Steps of the proof in the figure."""


@STUDIES.register("one_step")
@dataclass(kw_only=True)
class OneStep(Study):
    """Random problems that meet the assumptions, quadratic and with ridges in turn."""

    rules = judge.__module__
    title = "One step of learn2mix against one classical step"
    question = (
        "Proposition 2.5 says that if and only if a condition holds (eq. 8), every learning rate has mixing rates in "
        "(0, β] for which a step of learn2mix ends at least as near to θ* as a classical one (eq. 9). Random problems "
        "that meet its assumptions compare the condition with eq. 9 itself, and check each inequality of the proof."
    )

    problems: Annotated[int, Range(1)] = 2000
    dimensions: Annotated[int, Range(2)] = 50
    groups: Annotated[int, Range(2)] = 20
    condition: Annotated[float, Range(1)] = 10.0
    learning_rates: tuple[Annotated[float, Range(0, above=True)], ...] = (0.01, 0.1, 0.25, 0.5, 0.75, 0.95, 1.5, 3.0)
    seed: Annotated[int, Range(0)] = 0

    def run(self, setting: Setting) -> dict[str, pd.DataFrame]:
        """Tables.

        Returns:
            problems: a row for each; see :meth:`measure`.
            grid: for each reading, truth of eq. 8, η and γ, how many problems there are and in how many eq. 9 holds.
                γ is ``fraction`` times min(β, 1) where eq. 8 holds, which makes β positive, and times 1 elsewhere.
            proof: a row for each step of the proof: how often it was checked and how often it holds.
            counterexamples: a row for each, at the smallest η of the grid that makes it one.
        """
        rows, grids, proofs, counterexamples = [], [], [], []
        for index in range(self.problems):
            point = self.problem(index)
            rows.append(self.measure(index, point))
            grids.append(self.grid(point))
            proofs.append(check_proof(point, self.etas(point), FRACTIONS))
            counterexamples += self.counterexample(index, point)
            if (index + 1) % 250 == 0:
                setting.report(f"problem {index + 1} of {self.problems}")
        cells = pd.concat(grids).groupby(["reading", "condition", "learning_rate", "fraction"], as_index=False)
        columns = ["problem", "kind", "learning_rate", "mixing_rate", "beta", "difference"]
        return {
            "problems": pd.DataFrame(rows),
            "grid": cells.agg(problems=("holds", "size"), holds=("holds", "sum")),
            "proof": pd.concat(proofs).groupby(["step", "statement"], as_index=False, sort=False).sum(),
            "counterexamples": pd.DataFrame(counterexamples, columns=columns),
        }

    def claims(self, tables: Tables) -> list[Claim]:
        return judge(tables)

    def figures(self, tables: Tables) -> dict[str, Figure]:
        return {"condition": draw_condition(tables["problems"]), "proof": draw_proof(tables["proof"])}

    def problem(self, index: int) -> Point:
        """A random problem; ‖θ^{t-1}‖ is log-uniform in [0.01, 100], because eq. 8 depends on it."""
        rng = np.random.default_rng([self.seed, index])
        losses = sample(
            rng,
            groups=int(rng.integers(2, self.groups + 1)),
            parameters=int(rng.integers(2, self.dimensions + 1)),
            condition=self.condition,
            ridges=3 * (index % 2),
        )
        direction = rng.normal(size=(losses.minimisers.shape[1],))
        return Point(
            losses=losses,
            tilde=rng.dirichlet(np.ones(len(losses.minima))),
            before=direction / np.linalg.norm(direction) * 10 ** rng.uniform(-2, 2),
            first=float(rng.uniform(0, 1)),
        )

    def etas(self, point: Point) -> Floats:
        """η (n,) for the study's learning rates."""
        return np.asarray(self.learning_rates) * 2 / point.largest

    def measure(self, index: int, point: Point) -> dict[str, Any]:
        """A row of ``problems``.

        ``first_factor`` is that of eq. 8 in units of L*‖e‖²; ``norm`` to ``weighted`` are ‖e‖ − ΔL in each reading.
        Some γ satisfies eq. 9 for η above ``low`` and below ``high``, in units of 2/L*; both are NaN where none does.
        The last four columns are of the same problem in a unit of θ that changes the sign of ‖e‖ − ‖ΔL‖.
        """
        unit = point.read("norm") / point.distance * (0.5 if point.distance > point.read("norm") else 2.0)
        other = point.scaled(unit)
        (low, high), (other_low, other_high) = point.helpful_rates(), other.helpful_rates()
        return {
            "problem": index,
            "family": ("quadratic", "ridges")[index % 2],
            "parameters": len(point.e),
            "groups": len(point.tilde),
            "ratio": point.mu / point.largest,
            "distance": point.distance,
            "first_factor": point.first_factor / (point.largest * point.distance**2),
            **{reading: point.distance - point.read(reading) for reading in READINGS},
            "low": low,
            "high": high,
            "unit": unit,
            "other_first_factor": other.first_factor / (other.largest * other.distance**2),
            "other_norm": other.distance - other.read("norm"),
            "other_low": other_low,
            "other_high": other_high,
        }

    def grid(self, point: Point) -> pd.DataFrame:
        """Whether eq. 9 holds, for each reading, η and fraction."""
        eta, rows = self.etas(point), []
        for reading in READINGS:
            beta = point.beta(eta, reading)
            gamma = np.where(beta > 0, np.minimum(beta, 1), 1)[:, None] * FRACTIONS
            holds = (point.difference(eta[:, None], gamma) <= 0).ravel()
            cells = product([reading], [beta[0] > 0], self.learning_rates, FRACTIONS)
            rows += [(*cell, held) for cell, held in zip(cells, holds, strict=True)]
        return pd.DataFrame(rows, columns=["reading", "condition", "learning_rate", "fraction", "holds"])

    def counterexample(self, index: int, point: Point) -> list[tuple[Any, ...]]:
        """(index, kind, η / (2/L*), γ, β, (F² − G²) / ‖e‖²), or nothing.

        Where eq. 8 holds but no γ satisfies eq. 9, γ is half of min(β, 1). Where eq. 8 fails but some γ satisfies
        eq. 9, γ is half of the largest that does, or of 1.
        """
        eta, rates = self.etas(point), np.asarray(self.learning_rates)
        low, high = point.helpful_rates()
        helps = (low < rates) & (rates < high)
        beta = point.beta(eta, "norm")
        holds = bool(beta[0] > 0)
        if (helps == holds).all():
            return []
        at = np.argmax(helps != holds)
        gamma = min(float(beta[at]) if holds else point.largest_gamma(float(eta[at])), 1.0) / 2
        difference = float(point.difference(eta[at], np.array(gamma))) / point.distance**2
        kind = "(8) holds, (9) fails" if holds else "(8) fails, (9) holds"
        return [(index, kind, self.learning_rates[at], gamma, float(beta[at]), difference)]


def draw_condition(table: pd.DataFrame) -> Figure:
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
