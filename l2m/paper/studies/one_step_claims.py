"""Claims of :mod:`l2m.paper.studies.one_step`, each judged by a rule fixed before the runs.

Eq. 8 is read with the norm of ΔL. "Some γ" is a γ in (0, β] where eq. 8 holds, and in (0, 1) where it fails, since
(0, β] is empty there.

- ``iff``: reproduced if eq. 8 holds exactly where every η > 0 has some γ; direction only if every η has one more often
  where eq. 8 holds than where it fails, by Fisher's exact test at 5 %.
- ``sufficient``: reproduced if, wherever eq. 8 holds, every η in (0, 2/L*) has some γ; direction only by that test.
- ``necessary``: reproduced if, wherever eq. 8 fails, there is no γ as η → 0.
- ``up_to_beta``: reproduced if, wherever eq. 8 holds, every γ of the grid up to β satisfies eq. 9 at every η of the
  grid in (0, 2/L*).
- ``corollary``, ``bounds``: reproduced if eq. 28, and the bounds of eq. 48, 53 and 54, hold whenever they are checked.
- ``chain``: reproduced if K ≤ 0 for some η and γ, from which eq. 56 starts, and (58) ≤ (59) always.
- ``unit``: reproduced if eq. 8 keeps its truth in another unit of θ in every problem, as eq. 9 does.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from l2m.paper.studies import Claim, Finding, Tables, count, grade
from l2m.paper.studies.one_step_proof import READINGS


def judge(tables: Tables) -> list[Claim]:
    table, proof = tables["problems"], tables["proof"].set_index("step")
    always = proof["holds"] == proof["checked"]
    counts = proof["holds"].astype(str) + " of " + proof["checked"].astype(str)
    truth = {name: table["first_factor"] * table[name] > 0 for name in READINGS}
    met = truth["norm"]
    start = table["low"] == 0
    inside, every = start & (table["high"] >= 1), start & np.isinf(table["high"])
    far = table["distance"] > table["distance"].median()
    grid = tables["grid"].query("reading == 'norm' and learning_rate < 1")
    held = grid[grid["condition"]]
    sums = grid.groupby("condition")[["holds", "problems"]].sum().reindex([True, False], fill_value=0)
    shares = 100 * sums["holds"] / sums["problems"].clip(lower=1)
    kept = met == (table["other_first_factor"] * table["other_norm"] > 0)
    same = np.isclose(table[["low", "high"]], table[["other_low", "other_high"]], rtol=1e-5, equal_nan=True).all(axis=1)
    counterexamples = [f"{(every != held).sum()} with {name}" for name, held in truth.items()]
    return [
        Claim(
            "iff",
            "Eq. 8 holds if and only if every η > 0 has γ in (0, β] with eq. 9 (Proposition 2.5)",
            "if and only if",
            f"where (8) holds, every η has some γ in {count(every[met])} problems; where it fails, "
            f"some in (0, 1) in {count(every[~met])}",
            _judge(bool((every == met).all()), every, met),
            f"counterexamples among {len(table)} by how ΔL is read: {', '.join(counterexamples)}",
        ),
        Claim(
            "sufficient",
            "Where eq. 8 holds, every η in (0, 2/L*) has γ in (0, β] with eq. 9",
            "every η > 0",
            f"in {count(inside[met])} problems; {count(start[met])} have one as η → 0",
            _judge(bool(inside[met].all()), inside, met),
            f"where eq. 8 fails: {count(inside[~met])}; both are likelier far from θ*: {count(inside[far])} above the "
            f"median ‖e‖, {count(inside[~far])} below it",
        ),
        Claim(
            "necessary",
            "Where eq. 8 fails, no γ in (0, 1) gives eq. 9",
            "only if",
            f"some γ does for small η in {count(start[~met])} such problems",
            grade(not start[~met].any()),
            "as printed, with γ in (0, β], it says nothing: β is negative there, so (0, β] is empty",
        ),
        Claim(
            "up_to_beta",
            "Where eq. 8 holds, eq. 9 holds for γ up to β",
            "γ in (0, β]",
            f"at {shares[True]:.1f} % of η in (0, 2/L*) and γ; "
            f"where eq. 8 fails, at {shares[False]:.1f} % of η and γ in (0, 1)",
            grade((held["holds"] == held["problems"]).all()),
        ),
        Claim(
            "corollary",
            "μ*/2 ‖e‖ ≤ ‖∇L(θ, α)‖ ≤ L* ‖e‖ (Corollary 2.4)",
            "every θ and α",
            ", ".join(counts[["28 low", "28 high"]]),
            grade(always[["28 low", "28 high"]].all()),
        ),
        Claim(
            "bounds",
            "J is at most (48), H at least (53), F² − G² at most K (eq. 41 to 55)",
            "always",
            ", ".join(counts[["48", "53", "54"]]),
            grade(always[["48", "53", "54"]].all()),
            f"on the way, (45) ≤ (46) as printed holds in {counts['45 to 46']}, and = in (52) in "
            f"{counts['52 printed']}; with ≥ in {counts['52']}",
        ),
        Claim(
            "chain",
            "K ≤ 0 for γ ≤ (58) ≤ (59) = β (eq. 56 to 59)",
            "every γ in (0, β]",
            f"K ≤ 0 in {counts['56']}; γ = (58)/2 > 0 gives (57) in {counts['58']}, γ = min(β, 1)/2 > 0 "
            f"in {counts['40 norm']}; (58) ≤ (59) in {counts['59 norm']}",
            grade((proof["holds"] > 0)["56"] and always["59 norm"]),
            "the first factor of (8) is at most (μ* − L*)/2 ‖e‖² and K at least η (L* − μ*) ‖e‖²: (58) divides by a "
            "negative number and keeps the sign; here that factor is positive in "
            f"{count(table['first_factor'] > 0)} problems, and K so large in {counts['55']}",
        ),
        Claim(
            "unit",
            "Whether eq. 8 holds does not depend on the unit of θ",
            "needed for if and only if: eq. 9 does not",
            f"there is a unit that keeps all losses and changes eq. 8 in {count(~kept)} problems",
            grade(kept.all()),
            f"the η for which eq. 9 has some γ, in units of 2/L*, are the same in {int(same.sum())}",
        ),
    ]


def _judge(whole: bool, happens: pd.Series[bool], condition: pd.Series[bool]) -> Finding:
    counts = pd.crosstab(condition, happens).reindex(index=[True, False], columns=[True, False], fill_value=0)
    return grade(whole, stats.fisher_exact(counts.to_numpy(), alternative="greater").pvalue < 0.05)
