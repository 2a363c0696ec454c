"""Scores of candidates, one training at a time, and their paired differences to classical training on the test part.

A difference is reliable if the paired t-test over seeds is significant at 5 % after Holm's correction for the number of
candidates, and if it exceeds what another draw of test samples may do to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from l2m.comparison.candidates import Candidate
from l2m.comparison.config import BASELINE
from l2m.report.statistics import LEVEL, holm, paired, paired_p, signed, significant, spread
from l2m.training.results import Floats
from l2m.training.scores import SCORES, Score, resample

DRAWS = 200
"""Bootstrap draws of a test part: its standard errors have a relative error of 5 %."""

MARKS = {1: " +", -1: " -", 0: ""}

Drawn = Mapping[str, Floats]
"""By score, its mean over seeds on each of the same draws of test samples, (draws,)."""


@dataclass(frozen=True)
class Findings:
    """What a comparison found on its test part.

    Attributes:
        runs: a row a training: ``strategy``, ``seed``, the task's scores, ``seconds``; the same seeds for each.
        metric: the score that decides.
        table: a row a strategy and score (the index), in the order of ``runs``, ``metric`` first; shares in [0, 1].
            ``half_width_over_samples`` is that of the mean's 95 % interval over draws of test samples.
            ``minus_classical`` is a mean over the same seeds, NaN for classical. ``interval_half_width`` is that of its
            t-interval, ``interval_half_width_over_samples`` over draws of test samples; with 95 % those of all
            strategies hold at once (Bonferroni). ``p_holm`` is of the paired t-test over seeds, adjusted by Holm.
            ``verdict`` is 1 if the strategy is reliably better than classical, -1 if worse, else 0.
    """

    runs: pd.DataFrame
    task: str
    metric: str
    table: pd.DataFrame

    @cached_property
    def scores(self) -> dict[str, Score]:
        """The task's scores, the one that decides first; large ones are shown in a power of ten."""
        means = self.table["mean"].unstack()
        ordered = _ordered(self.task, self.metric)
        return {name: score.shown_for(means[name].to_numpy()) for name, score in ordered.items()}

    @property
    def strategies(self) -> list[str]:
        """In the order of ``runs``."""
        return list(self.table.index.unique("strategy"))

    def row(self, score: str, strategy: str) -> Any:
        """A row of ``table``."""
        return self.table.loc[(strategy, score)]

    def values(self, score: str, strategy: str) -> pd.Series[float]:
        """A score by seed as it is shown, in % if it is a share."""
        values = self.runs[self.runs["strategy"] == strategy].set_index("seed")[score]
        return values * (self.scores[score].scale if score in self.scores else 1)

    def difference(self, score: str, strategy: str) -> str:
        """Strategy − classical as ``+3.2 ± 1.1``, in percentage points if the score is a share; empty for classical."""
        if strategy == BASELINE:
            return ""
        row, scale = self.row(score, strategy), self.scores[score].scale
        digits = significant(self.values(score, strategy), self.scores[score].percent)
        return f"{signed(scale * row.minus_classical, digits)} ± {scale * row.interval_half_width:.{digits}f}"

    @cached_property
    def cells(self) -> pd.DataFrame:
        """Text by strategy and score: ``mean`` ± sd, + or - by the verdict; ``difference`` to classical; its ``p``."""
        cells = {}
        for strategy, (name, score) in product(self.strategies, self.scores.items()):
            row, values = self.row(name, strategy), self.values(name, strategy)
            mean = spread(values, significant(values, score.percent)) + MARKS[row.verdict]
            p = "" if strategy == BASELINE else "<0.001" if row.p_holm < 0.001 else f"{row.p_holm:.3f}"
            cells[strategy, name] = {"mean": mean, "difference": self.difference(name, strategy), "p": p}
        return pd.DataFrame.from_dict(cells, orient="index")


def score_held_out(candidates: Mapping[str, Candidate], score: Score, parts: int) -> pd.DataFrame:
    """The score on each held-out part (parts, candidates), the best mean first."""
    rows = [
        {name: score.of(candidate.held_out(part).samples) for name, candidate in candidates.items()}
        for part in range(parts)  # outermost, as the data of a part are loaded once
    ]
    table = pd.DataFrame(rows).rename_axis("part")
    order = table.mean().sort_values(ascending=not score.higher_is_better, kind="stable")
    return table[order.index]


def score_test_part(
    candidates: Mapping[str, Candidate], scores: Mapping[str, Score], seeds: Sequence[int]
) -> tuple[pd.DataFrame, Mapping[str, Drawn], Mapping[str, Floats]]:
    """Scores on the test part: a row a candidate and seed, in their order; by candidate, their means over seeds on
    bootstrap draws; by candidate, its mean confusion matrix (k, k), for a classification only."""
    rows, drawn, confusion = [], dict[str, Floats](), dict[str, Floats]()
    for seed in seeds:
        for name, candidate in candidates.items():
            result = candidate.tested(seed)
            values = {score: each.of(result.samples) for score, each in scores.items()}
            rows.append({"strategy": name, "seed": seed, **candidate.rates, **result.about, **values})
            drawn[name] = drawn.get(name, 0) + resample(scores.values(), result.samples, DRAWS) / len(seeds)
            if result.samples.labels is not None:
                confusion[name] = confusion.get(name, 0) + result.samples.confusion / len(seeds)
    runs = pd.DataFrame(rows).set_index("strategy").loc[list(candidates)].reset_index()
    by_score = {name: dict(zip(scores, each.T, strict=True)) for name, each in drawn.items()}
    return runs, by_score, confusion


def judge(
    runs: pd.DataFrame, task: str, metric: str, drawn: Mapping[str, Drawn] | None = None, overlap: float = 0.0
) -> Findings:
    """Compare the strategies of finished runs, which are as :class:`Findings` has them, classical's among them.

    Without ``drawn``, by strategy, the uncertainty from the choice of test samples is ignored. ``overlap`` is for
    splits, where a "seed" is one: test samples by training samples.
    """
    scores, names = _ordered(task, metric), list(runs["strategy"].unique())
    others = [name for name in names if name != BASELINE]
    drawn = drawn or {name: dict.fromkeys(scores, np.zeros(2)) for name in names}
    signs = {name: 1 if score.higher_is_better else -1 for name, score in scores.items()}
    rows = []
    for score in scores:
        values = runs.pivot(index="seed", columns="strategy", values=score)
        p = holm({name: paired_p(values[name], values[BASELINE], overlap) for name in others})
        for name in names:
            row = {"strategy": name, "score": score, "n_seeds": len(values)}
            row |= {"mean": values[name].mean(), "sd": values[name].std(ddof=1)}
            row["half_width_over_samples"] = _half_width(drawn[name][score])
            if name != BASELINE:
                difference = paired(values[name], values[BASELINE], len(others), overlap)
                row["minus_classical"], row["interval_half_width"], _ = difference
                over_samples = drawn[name][score] - drawn[BASELINE][score]
                row["interval_half_width_over_samples"] = _half_width(over_samples, len(others))
                row["p_holm"] = p[name]
            rows.append(row)
    table = pd.DataFrame(rows).set_index(["strategy", "score"])
    gain = table["minus_classical"] * table.index.get_level_values("score").map(signs)
    reliable = (table["p_holm"] < 1 - LEVEL) & (gain.abs() > table["interval_half_width_over_samples"])
    table["verdict"] = np.where(reliable, np.sign(gain), 0).astype(int)
    return Findings(runs, task, metric, table.loc[[(name, score) for name in names for score in scores]])


def _ordered(task: str, metric: str) -> dict[str, Score]:
    return {metric: SCORES[task][metric], **SCORES[task]}


def _half_width(drawn: Floats, comparisons: int = 1) -> float:
    """That of an interval from bootstrap draws; those of all comparisons hold at once (Bonferroni)."""
    return float(stats.norm.ppf(1 - (1 - LEVEL) / (2 * comparisons)) * np.nanstd(drawn, ddof=1))


def format_seconds(findings: Findings, strategy: str) -> str:
    """A strategy's mean seconds of training a run."""
    mean = float(findings.values("seconds", strategy).mean())
    return f"{mean:.2f}" if mean < 1 else f"{mean:.1f}" if mean < 10 else f"{mean:.0f}"
