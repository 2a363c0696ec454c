"""Scores of strategies on one data set, their paired differences to classical, and what these allow to recommend.

A difference is reliable if the paired t-test over seeds is significant at 5 % after Holm's correction for the number of
strategies, and if it exceeds what another draw of test samples may do to it. The strategies that are reliably better
are compared with the best of them in the same way, corrected for all their pairs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from l2m.evaluation.scores import SCORES, Floats, SampleResults, Score, resample
from l2m.report.statistics import LEVEL, holm, paired, paired_p, significant

BASELINE = "classical"

WARNED_OF = ("accuracy", "worst_group", "calibration_error")
"""Scores for which a warning is given if a recommended strategy is reliably worse."""

DRAWS = 200
"""Bootstrap draws of a test part: its standard errors have a relative error of 5 %."""

Drawn = Mapping[str, Floats]
"""By score, its mean over seeds on each of the same draws of test samples, (draws,)."""


@dataclass(frozen=True)
class Findings:
    """What a comparison found.

    Attributes:
        runs: a row a run: ``strategy``, ``seed``, the task's scores, ``seconds``; the same seeds for each strategy.
        metric: the score that decides.
        table: a row a strategy and score (the index), the best mean of ``metric`` and ``metric`` itself first; shares
            in [0, 1]. ``minus_classical`` is a mean over the same seeds, NaN for classical. ``interval_half_width``
            is that of its t-interval, ``interval_half_width_over_samples`` over draws of test samples; with 95 % those
            of all strategies hold at once (Bonferroni). ``p_holm`` is of the paired t-test over seeds, adjusted by
            Holm. ``verdict`` is 1 if the strategy is reliably better than classical, -1 if worse, else 0.
        better: strategies that are reliably better than classical, the best mean first.
        tied: those of ``better`` without a reliable difference to its first, which is one of them.
        unsure: strategies that are better over seeds, but not reliably.
        worse: strategies that are reliably worse than classical.
    """

    runs: pd.DataFrame
    task: str
    metric: str
    table: pd.DataFrame
    better: tuple[str, ...]
    tied: tuple[str, ...]
    unsure: tuple[str, ...]
    worse: tuple[str, ...]

    @property
    def scores(self) -> dict[str, Score]:
        """The task's scores, the one that decides first."""
        return _ordered(self.task, self.metric)

    @property
    def strategies(self) -> list[str]:
        """The best mean of ``metric`` first."""
        return list(self.table.index.unique("strategy"))

    def row(self, score: str, strategy: str) -> Any:
        """A row of ``table``."""
        return self.table.loc[(strategy, score)]

    def values(self, score: str, strategy: str) -> pd.Series[float]:
        """A score by seed, in % if it is a share."""
        values = self.runs[self.runs["strategy"] == strategy].set_index("seed")[score]
        return values * (100 if score in self.scores and self.scores[score].percent else 1)

    def difference(self, score: str, strategy: str) -> str:
        """Strategy − classical as ``+3.2 ± 1.1``, in percentage points if the score is a share; empty for classical."""
        if strategy == BASELINE:
            return ""
        row, percent = self.row(score, strategy), self.scores[score].percent
        digits, scale = significant(self.values(score, strategy), percent), 100 if percent else 1
        return f"{scale * row.minus_classical:+.{digits}f} ± {scale * row.interval_half_width:.{digits}f}"


def judge(runs: pd.DataFrame, task: str, metric: str, drawn: Mapping[str, Drawn] | None = None) -> Findings:
    """Compare the strategies of finished runs.

    Args:
        runs: as :class:`Findings` has them, classical's among them.
        task: ``classification``, ``regression`` or ``reconstruction``.
        metric: the score that decides.
        drawn: by strategy; None ignores the uncertainty from the choice of test samples.
    """
    scores, names = _ordered(task, metric), list(runs["strategy"].unique())
    drawn = drawn or {name: dict.fromkeys(scores, np.zeros(2)) for name in names}
    signs = {name: 1 if score.higher_is_better else -1 for name, score in scores.items()}
    means = signs[metric] * runs.groupby("strategy", sort=False)[metric].mean()
    best_first = list(means.sort_values(ascending=False, kind="stable").index)
    values = {score: runs.pivot(index="seed", columns="strategy", values=score) for score in scores}
    rows = [row for score in scores for row in _rows(score, values[score], names, drawn)]
    table = pd.DataFrame(rows).set_index(["strategy", "score"])
    gain = table["minus_classical"] * table.index.get_level_values("score").map(signs)
    over_seeds = table["p_holm"] < 1 - LEVEL
    reliable = over_seeds & (gain.abs() > table["interval_half_width_over_samples"])
    table["verdict"] = np.where(reliable, np.sign(gain), 0).astype(int)
    ranked = gain.xs(metric, level="score").sort_values(ascending=False, kind="stable")

    def choose(chosen: pd.Series[bool]) -> tuple[str, ...]:
        return tuple(name for name in ranked.index if chosen[name, metric])

    better = choose(table["verdict"] > 0)
    tied = _tied(values[metric], better, {name: drawn[name][metric] for name in better})
    table["decides"] = table.index.get_level_values("score") == metric
    table["recommended"] = table.index.get_level_values("strategy").isin(tied)
    return Findings(
        runs=runs,
        task=task,
        metric=metric,
        table=table.loc[[(name, score) for name in best_first for score in scores]],
        better=better,
        tied=tied,
        unsure=choose(over_seeds & (gain > 0) & ~reliable),
        worse=choose(table["verdict"] < 0),
    )


def _ordered(task: str, metric: str) -> dict[str, Score]:
    return {metric: SCORES[task][metric], **SCORES[task]}


def _rows(
    score: str, values: pd.DataFrame, names: Sequence[str], drawn: Mapping[str, Drawn]
) -> Iterator[dict[str, object]]:
    """A row a strategy of one score, from its values by seed and strategy."""
    ours, others = values[BASELINE], [name for name in names if name != BASELINE]
    p = holm({name: paired_p(values[name], ours) for name in others})
    for name in names:
        row = {"strategy": name, "score": score, "n_seeds": len(values)}
        row |= {"mean": values[name].mean(), "sd": values[name].std(ddof=1)}
        if name != BASELINE:
            row["minus_classical"], row["interval_half_width"], _ = paired(values[name], ours, comparisons=len(others))
            difference = drawn[name][score] - drawn[BASELINE][score]
            row["interval_half_width_over_samples"] = _half_width_over_samples(difference, len(others))
            row["p_holm"] = p[name]
        yield row


def resample_mean(scores: Mapping[str, Score], runs: Iterable[SampleResults]) -> dict[str, Floats]:
    """The means of scores over the seeds' ``runs``, on :data:`DRAWS` bootstrap draws of their samples."""
    means = np.mean([resample(scores.values(), run, DRAWS) for run in runs], axis=0)
    return dict(zip(scores, means.T, strict=True))


def _half_width_over_samples(difference: Floats, comparisons: int) -> float:
    """Half of a difference's interval over draws of test samples; all ``comparisons`` hold at once (Bonferroni)."""
    return float(stats.norm.ppf(1 - (1 - LEVEL) / (2 * comparisons)) * difference.std(ddof=1))


def _tied(values: pd.DataFrame, better: Sequence[str], drawn: Drawn) -> tuple[str, ...]:
    """The first and those that do not reliably differ from it.

    The correction is for all pairs, as the first was picked by its mean.
    """
    p = holm({pair: paired_p(values[pair[0]], values[pair[1]]) for pair in combinations(better, 2)})

    def differs(first: str, name: str) -> bool:
        difference = abs(float((values[name] - values[first]).mean()))
        return p[first, name] < 1 - LEVEL and difference > _half_width_over_samples(drawn[name] - drawn[first], len(p))

    return tuple(name for name in better if name == better[0] or not differs(better[0], name))


def recommend(findings: Findings, samples: int) -> list[str]:
    """Sentences: which strategy to use, what it costs, what it worsens. ``samples`` is the size of the test part."""
    metric, better, tied = findings.metric, findings.better, findings.tied
    title = findings.scores[metric].title
    points = " points" if findings.scores[metric].percent else ""
    if better:
        first = better[0]
        others = [name for name in tied if name != first]
        seconds = findings.runs.groupby("strategy")["seconds"].mean()
        quickest = min(tied, key=lambda name: seconds[name])
        ties = f", or {'any of ' * (len(others) > 1)}{_listed(others)} (no reliable difference)" if others else ""
        sentences = [
            f"Use {first}{ties}: its {title} is reliably better than {_possessive(BASELINE)}, "
            f"{findings.difference(metric, first)}{points} ({format_seconds(findings, first)} s a run, {BASELINE} "
            f"{format_seconds(findings, BASELINE)} s)."
        ]
        if quickest != first:
            time = format_seconds(findings, quickest)
            sentences.append(f"{quickest} is the fastest of these, {time} s a run.")
        if behind := [name for name in better if name not in tied]:
            sentences.append(f"Also better than {BASELINE}, but worse than {first}: {_listed(behind)}.")
    else:
        sentences = [
            f"No reliable difference: no strategy is shown to have a better {title} than {BASELINE}. Use {BASELINE}, "
            f"the simplest ({format_seconds(findings, BASELINE)} s a run)."
        ]
        first = findings.strategies[0]
        if first != BASELINE:
            difference = findings.difference(metric, first)
            sentences.append(f"The best mean is {_possessive(first)}, {difference}{points} against {BASELINE}.")
    if findings.unsure:
        sentences.append(
            f"{_listed(findings.unsure)}: better over seeds on this test part, but its {samples} samples are too few "
            "to generalise."
        )
    for score in WARNED_OF:
        if score in findings.scores and score != metric:
            worse = [name for name in tied if findings.row(score, name).verdict < 0]
            if worse:
                differences = "; ".join(f"{name} {findings.difference(score, name)}" for name in worse)
                sentences.append(
                    f"Beware: reliably worse {findings.scores[score].title} than {BASELINE}: {differences}."
                )
    if findings.worse:
        sentences.append(f"Reliably worse {title} than {BASELINE}: {_listed(findings.worse)}.")
    return sentences


def format_seconds(findings: Findings, strategy: str) -> str:
    """A strategy's mean seconds of training a run."""
    mean = float(findings.values("seconds", strategy).mean())
    return f"{mean:.2f}" if mean < 1 else f"{mean:.1f}" if mean < 10 else f"{mean:.0f}"


def _listed(names: Sequence[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def _possessive(name: str) -> str:
    return name + ("'" if name.endswith("s") else "'s")
