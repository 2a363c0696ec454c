"""What the tables of ``one_step`` say: claims, each by a rule fixed before the runs, and figures.

Eq. 8 is read with the norm of ΔL. "Some γ" is a γ in (0, β] where eq. 8 holds, and in (0, 1) where it fails, since
(0, β] is empty there.

- ``iff``: reproduced if eq. 8 holds just where every η > 0 has some γ; direction only if every η has one more often
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

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import stats

from l2m.paper.studies import Claim, Finding, Tables

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = (
    *("28 low", "28 high", "45 to 46", "48", "51", "52 printed", "52"),
    *("53", "54", "8", "55", "56", "59 norm", "40 norm"),
)
"""Steps of the proof in the figure."""


def claims(tables: Tables) -> list[Claim]:
    """See the top of this file."""
    table, proof = tables["problems"], tables["proof"].set_index("step")
    truth = {name: table["first_factor"] * table[name] > 0 for name in ("norm", "sum", "mean", "weighted")}
    met = truth["norm"]
    start = table["low"] == 0
    inside, every = start & (table["high"] >= 1), start & np.isinf(table["high"])
    far = table["distance"] > table["distance"].median()
    odd = {name: f"{int((every != held).sum())} with {name}" for name, held in truth.items()}
    return [
        Claim(
            "iff",
            "Eq. 8 holds if and only if every η > 0 has γ in (0, β] with eq. 9 (Proposition 2.5)",
            "if and only if",
            f"where (8) holds, every η has some γ in {_of(every[met])} problems; where it fails, "
            f"some in (0, 1) in {_of(every[~met])}",
            _judged(bool((every == met).all()), every, met),
            f"counterexamples among {len(table)} by how ΔL is read: {', '.join(odd.values())}",
        ),
        Claim(
            "sufficient",
            "Where eq. 8 holds, every η in (0, 2/L*) has γ in (0, β] with eq. 9",
            "every η > 0",
            f"in {_of(inside[met])} problems; {_of(start[met])} have one as η → 0",
            _judged(bool(inside[met].all()), inside, met),
            f"where eq. 8 fails: {_of(inside[~met])}; both are likelier far from θ*: {_of(inside[far])} above the "
            f"median ‖e‖, {_of(inside[~far])} below it",
        ),
        Claim(
            "necessary",
            "Where eq. 8 fails, no γ in (0, 1) gives eq. 9",
            "only if",
            f"some γ does for small η in {_of(start[~met])} such problems",
            "reproduced" if not start[~met].any() else "not reproduced",
            "as printed, with γ in (0, β], only if says nothing: β is negative there, so that no γ is",
        ),
        _up_to_beta(tables["grid"]),
        Claim(
            "corollary",
            "μ*/2 ‖e‖ ≤ ‖∇L(θ, α)‖ ≤ L* ‖e‖ (Corollary 2.4)",
            "every θ and α",
            _steps(proof, "28 low", "28 high"),
            _whole(proof, "28 low", "28 high"),
        ),
        Claim(
            "bounds",
            "J is at most (48), H at least (53), F² − G² at most K (eq. 41 to 55)",
            "always",
            _steps(proof, "48", "53", "54"),
            _whole(proof, "48", "53", "54"),
            "on the way, (45) ≤ (46) as printed holds in "
            f"{_steps(proof, '45 to 46')}, and = in (52) in {_steps(proof, '52 printed')}; "
            f"with ≥ in {_steps(proof, '52')}",
        ),
        Claim(
            "chain",
            "K ≤ 0 for γ ≤ (58) ≤ (59) = β (eq. 56 to 59)",
            "every γ in (0, β]",
            f"K ≤ 0 in {_steps(proof, '56')}; γ = (58)/2 > 0 gives (57) in {_steps(proof, '58')}, γ = min(β, 1)/2 > 0 "
            f"in {_steps(proof, '40 norm')}; (58) ≤ (59) in {_steps(proof, '59 norm')}",
            "reproduced" if proof.loc["56", "holds"] and _all(proof, "59 norm") else "not reproduced",
            "the first factor of (8) is at most (μ* − L*)/2 ‖e‖² and K at least η (L* − μ*) ‖e‖²: (58) divides by a "
            "negative number and keeps the sign; here that factor is positive in "
            f"{int((table['first_factor'] > 0).sum())} of {len(table)} problems, and K so large in "
            f"{_steps(proof, '55')}",
        ),
        _unit(table),
    ]


def _up_to_beta(grid: pd.DataFrame) -> Claim:
    rows = grid[(grid["reading"] == "norm") & (grid["learning_rate"] < 1)]
    held, failed = (rows[rows["condition"] == condition] for condition in (True, False))
    shares = [100 * float(part["holds"].sum()) / max(float(part["problems"].sum()), 1) for part in (held, failed)]
    return Claim(
        "up_to_beta",
        "Where eq. 8 holds, eq. 9 holds for γ up to β",
        "γ in (0, β]",
        f"at {shares[0]:.1f} % of η in (0, 2/L*) and γ; where eq. 8 fails, at {shares[1]:.1f} % of η and γ in (0, 1)",
        "reproduced" if (held["holds"] == held["problems"]).all() else "not reproduced",
    )


def _unit(table: pd.DataFrame) -> Claim:
    kept = (table["first_factor"] * table["norm"] > 0) == (table["other_first_factor"] * table["other_norm"] > 0)
    same = np.isclose(table[["low", "high"]], table[["other_low", "other_high"]], rtol=1e-5, equal_nan=True).all(axis=1)
    return Claim(
        "unit",
        "Whether eq. 8 holds does not depend on the unit of θ",
        "needed for if and only if: eq. 9 does not",
        f"there is a unit that keeps all losses and changes eq. 8 in {int((~kept).sum())} of {len(table)} problems",
        "reproduced" if kept.all() else "not reproduced",
        f"the η for which eq. 9 has some γ, in units of 2/L*, are the same in {int(same.sum())}",
    )


def _judged(whole: bool, happens: pd.Series[bool], given: pd.Series[bool]) -> Finding:
    if whole:
        return "reproduced"
    counts = pd.crosstab(given, happens).reindex(index=[True, False], columns=[True, False], fill_value=0)
    more = stats.fisher_exact(counts.to_numpy(), alternative="greater").pvalue < 0.05
    return "direction only" if more else "not reproduced"


def _of(held: pd.Series[bool]) -> str:
    return f"{int(held.sum())} of {len(held)}"


def _all(proof: pd.DataFrame, *steps: str) -> bool:
    rows = proof.loc[list(steps)]
    return bool((rows["holds"] == rows["checked"]).all())


def _whole(proof: pd.DataFrame, *steps: str) -> Finding:
    return "reproduced" if _all(proof, *steps) else "not reproduced"


def _steps(proof: pd.DataFrame, *steps: str) -> str:
    return ", ".join("{holds} of {checked}".format(**proof.loc[step]) for step in steps)


def figures(tables: Tables) -> dict[str, Figure]:
    """``condition``: eq. 8 against eq. 9. ``proof``: how often each step holds."""
    return {"condition": _condition(tables["problems"]), "proof": _proof(tables["proof"])}


def _condition(table: pd.DataFrame) -> Figure:
    from l2m.report import drawing

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
    drawn = table.iloc[::8]  # so many points are enough for the eye, and a page holds each
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
        most = table.loc[part & (table["low"] == 0), "high"].clip(ends[0], ends[-1])
        axes[3].hist(most, bins=list(ends), histtype="step", color=colour, linestyle=dashes, linewidth=1)
    axes[3].axvline(1, color="#666666", linewidth=0.6)
    axes[3].set(title="Largest η with some γ", xlabel="η / (2/L*)", ylabel="problems", xscale="log")
    axes[0].set_xticks([0.01, 0.1, 1, 10])
    for axis in (axes[0].xaxis, axes[2].xaxis, axes[2].yaxis, axes[3].xaxis):
        drawing.plain(axis)
    figure.legend(
        handles=axes[0].get_legend_handles_labels()[0],
        loc="outside upper center",
        ncols=2,
        handlelength=2.4,
        borderpad=0,
    )
    drawing.note(
        figure,
        f"{len(table)} random problems that meet the assumptions of Proposition 2.5. Above right: the line is the "
        "bound (μ* − L*)/2 ‖e‖². Below left: eq. 8 holds just above ‖ΔL‖\u00a0=\u00a0‖e‖, in whatever unit θ is. Below "
        "right: problems with some γ as η → 0; the last bin holds all larger η.",
    )
    return figure


def _proof(table: pd.DataFrame) -> Figure:
    from l2m.report import drawing

    figure, (axes,) = drawing.panels(1, 1)
    figure.set_size_inches(3.4, 3.2)
    rows = table.set_index("step").loc[list(SHOWN)]
    share = 100 * rows["holds"] / rows["checked"].where(rows["checked"] > 0)
    places = np.arange(len(rows))[::-1]
    axes.barh(places, share, color=np.where(share == 100, "#009E73", "#D55E00").tolist(), height=0.6)
    for place, value in zip(places, share, strict=True):
        axes.annotate("not checked" if np.isnan(value) else f"{value:.3g} %", (102, place), va="center", fontsize=6)
    labels = rows["statement"].str.removesuffix(", norm").str.replace("1)/2 > 0", "1)/2")
    axes.set_yticks(places, labels)
    axes.set(xlim=(0, 125), xlabel="holds, % of checks", xticks=[0, 25, 50, 75, 100])
    drawing.note(
        figure,
        "Steps of the proof of Proposition 2.5, from Corollary 2.4 on. Numbers stand for the right sides of these "
        f"equations, with ‖ΔL‖ in (59). {int(rows['checked'].max())} checks each at most.",
    )
    return figure
