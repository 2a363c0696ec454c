"""Claims of :mod:`l2m.paper.studies.mixing_convergence`, each judged by a rule fixed before the runs.

Learning rates are in units of 2/L*; "inside" is below 1.

- ``inside``: reproduced if every training inside converges.
- ``rate``: reproduced if no step inside shrinks ‖θ − θ*‖ by less than ρ, up to a relative 1e-9 of rounding.
- ``edge``: reproduced if every training below the edge of local stability converges, and none beyond it; direction
  only if the second alone holds.
- ``lands``: reproduced if every training inside lands; direction only if every one lands whose Jacobian at the root
  has a spectral radius below 0.995 (a slower one may need more steps than it has).
- ``optimum``: reproduced if the root is within 1e-6 of the minimiser of the classical risk in every problem.
- ``squares``: reproduced if the root is within 1e-6 of the minimiser of Σ L_i² in every problem.
- ``worst_group``: reproduced if in every problem the worst group's loss at the root is below that at the minimiser of
  the classical risk; direction only if in more than half of them.
- ``vanish``: reproduced if a problem's α, from every start and at all rates, agree within 1e-3 as losses vanish;
  direction only if they do at each pair of rates.
"""

import numpy as np
import pandas as pd

from l2m.paper.studies import Claim, Tables, count, grade

OTHERS = ("classical", "mean", "worst group")
"""Minimisers that the fixed point is compared with."""


def judge(tables: Tables) -> list[Claim]:
    agreeing, disagreeing = _agreeing(tables["agree"]), _disagreeing(tables["disagree"], tables["points"])
    return [*agreeing, *disagreeing, _vanishing(tables["vanish"])]


def _agreeing(table: pd.DataFrame) -> list[Claim]:
    inside = table[table["learning_rate"] < 1]
    bounded = inside["worst_contraction"] <= inside["rho"] * (1 + 1e-9)
    share = (np.log(inside["rho"]) / np.log(inside["rate"])).median()
    converges = table["outcome"] == "converged"
    done = converges[inside.index]
    beyond = converges[table["learning_rate"] >= table["edge"]]
    below = table["learning_rate"] < table["edge"]
    between = below & (table["learning_rate"] >= 1)
    return [
        Claim(
            "inside",
            "One minimiser for all groups: θ → θ* and α → L(θ*)/1ᵀL(θ*) (Proposition 2.3)",
            "every η in (0, 2/L*), every γ in (0, 1)",
            f"{count(done)} trainings converge",
            grade(done.all()),
        ),
        Claim(
            "rate",
            "Each step shrinks ‖θ − θ*‖ by ρ = max(|1 − ημ*|, |1 − ηL*|) or better (eq. 18)",
            "every step, η in (0, 2/L*)",
            f"in {count(bounded)} trainings",
            grade(bounded.all()),
            f"ρ is pessimistic: in the median training θ takes {100 * share:.0f} % of the steps that ρ allows",
        ),
        Claim(
            "edge",
            "Training converges up to η = 2/λmax(Σ α*_i A_i), where a small step off θ* no longer shrinks, "
            "and not beyond",
            "none: the proof stops at 2/L*",
            f"{count(converges[between])} between 2/L* and the edge converge, {count(beyond)} beyond it",
            grade(converges[below].all() and not beyond.any(), not beyond.any()),
            f"{'2/L* is enough, not needed; ' if converges[between].any() else ''}the least η below the edge that does "
            f"not converge from its start is {table.loc[below & ~converges, 'learning_rate'].min():g} · 2/L*",
        ),
    ]


def _disagreeing(table: pd.DataFrame, points: pd.DataFrame) -> list[Claim]:
    inside = table[table["learning_rate"] < 1]
    landed, stable = inside["outcome"] == "landed", inside["radius"] < 0.995
    unstable = inside["radius"] >= 1
    distance = points.pivot(index="problem", columns="point", values="distance")
    worst = points.pivot(index="problem", columns="point", values="worst_loss")
    distances = "; ".join(f"{name} {distance[name].median():.2g}" for name in OTHERS)
    at_optimum, at_squares = (distance[name] <= 1e-6 for name in ("classical", "least squares"))
    lower = worst["root"] < worst["classical"]
    excess = worst.div(worst["worst group"], axis=0).median()
    return [
        Claim(
            "lands",
            "Groups that disagree: training lands at the root of Σ α_i ∇L_i = 0, α = L/1ᵀL, which a solver gives",
            "none: the proof assumes one minimiser for all groups",
            f"{count(landed)} trainings inside (0, 2/L*) land, {count(landed[stable])} of those that are stable there",
            grade(landed.all(), landed[stable].all()),
            f"at {int(unstable.sum())} pairs of rates inside the root is unstable, and {count(landed[unstable])} land",
        ),
        Claim(
            "optimum",
            "Groups that disagree: θ → θ*, the minimiser of the classical risk",
            "Proposition 2.3 does not say that groups must agree; its proof does",
            f"at it in {count(at_optimum)} problems; median distance in units of the minimisers' spread: {distances}",
            grade(at_optimum.all()),
        ),
        Claim(
            "squares",
            "The fixed point minimises Σ L_i², whatever α̃, η and γ are",
            "none",
            f"in {count(at_squares)} problems, to {distance['least squares'].max():.1g} of the spread",
            grade(at_squares.all()),
            "Σ α_i ∇L_i = 0 with α ∝ L says that the gradient of ½ Σ L_i² is 0",
        ),
        Claim(
            "worst_group",
            "Groups that disagree: the worst group fares better than under classical training",
            "none; section 2 speaks of the groups' relative difficulty",
            f"in {count(lower)} problems; median worst loss in units of the least possible: root "
            f"{excess['root']:.2f}, classical {excess['classical']:.2f}, mean {excess['mean']:.2f}",
            grade(lower.all(), lower.mean() > 0.5),
        ),
    ]


def _vanishing(table: pd.DataFrame) -> Claim:
    settled = table.fillna({"alpha": np.inf})  # one that has not settled agrees with none
    overall, at_one_pair = (
        settled.groupby(["problem", "group", *keys])["alpha"].agg(lambda a: a.max() - a.min()).groupby("problem").max()
        for keys in ((), ("learning_rate", "mixing_rate"))
    )
    together, at_rates = overall <= 1e-3, at_one_pair <= 1e-3
    trained = table.groupby(["problem", "learning_rate", "mixing_rate", "start"])
    zero, finite = trained["zero"].all(), trained["alpha_end"].agg(lambda a: bool(np.isfinite(a).all()))
    moved = float((table["alpha_end"] - table["alpha"]).abs().max())
    return Claim(
        "vanish",
        "All losses are 0 at θ*: α has a limit (eq. 5, whose quotient is 0/0)",
        "a limit; no value",
        f"α agree from all starts and rates in {count(together)} problems, at each pair of rates in {count(at_rates)}; "
        f"median largest difference {overall.median():.2g}",
        grade(together.all(), at_rates.all()),
        "in the others α depends on the direction from which θ comes; all losses are exactly 0 in the end in "
        f"{count(zero)} trainings, where α stays, finite in {count(finite)} and up to {moved:.2f} from where it had "
        "settled: "
        "the last quotients are of losses without correct digits",
    )
