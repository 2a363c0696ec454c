"""Strategies on one data set: scores with paired differences to classical, and what they allow to recommend.

A difference is one to rely on if the paired t-test over seeds says so at 5 % after Holm's correction for the number of
strategies, and if it exceeds what another draw of test samples may do to it. Strategies that are better so are told
from the best of them in the same way, with all pairs of them for comparisons.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from l2m.evaluation.scores import SCORES, Floats, Predicted, Score
from l2m.report.statistics import LEVEL, holm, paired, paired_p, significant

BASELINE = "classical"

WARNED_OF = ("accuracy", "worst_group", "calibration_error")
"""Scores that a recommended strategy had better not worsen."""

DRAWS = 200
"""Bootstrap draws of a test part: its standard errors have a relative error of 5 %."""


@dataclass(frozen=True)
class Difference:
    """A strategy's mean score − classical's, on the same seeds.

    Attributes:
        half: half of its t-interval; with 95 % all strategies' hold at once (Bonferroni).
        p: of the paired t-test over seeds, adjusted by Holm.
        over_samples: half of the interval of ``mean`` over draws of test samples; with 95 % all hold at once.
    """

    mean: float
    half: float
    p: float
    over_samples: float

    @property
    def holds_over_seeds(self) -> bool:
        """Whether the strategies differ on these test samples, as the test says."""
        return self.p < 1 - LEVEL

    @property
    def is_reliable(self) -> bool:
        """Whether they differ on others as well."""
        return self.holds_over_seeds and abs(self.mean) > self.over_samples


@dataclass(frozen=True)
class Findings:
    """What a comparison came to.

    Attributes:
        runs: a row a run: ``strategy``, ``seed``, the task's scores, ``seconds``; the same seeds for each strategy.
        metric: the score that decides.
        differences: by score and strategy.
        better: strategies that are reliably better than classical, the best mean first.
        tied: those of ``better`` that can't be told from its first, which is one of them.
        unsure: strategies that are better over seeds, but not reliably.
        worse: strategies that are reliably worse than classical.
    """

    runs: pd.DataFrame
    task: str
    metric: str
    differences: Mapping[str, Mapping[str, Difference]]
    better: tuple[str, ...]
    tied: tuple[str, ...]
    unsure: tuple[str, ...]
    worse: tuple[str, ...]

    @property
    def scores(self) -> dict[str, Score]:
        """The task's scores, the one that decides first."""
        named = SCORES[self.task]
        return {self.metric: named[self.metric], **named}

    @property
    def strategies(self) -> list[str]:
        """The best mean of ``metric`` first."""
        means = self.runs.groupby("strategy", sort=False)[self.metric].mean()
        best_first = not self.scores[self.metric].higher_is_better
        return list(means.sort_values(ascending=best_first, kind="stable").index)

    def values(self, score: str, strategy: str) -> pd.Series[float]:
        """A score by seed, in %, where it is told so."""
        mine = self.runs[self.runs["strategy"] == strategy].set_index("seed")[score]
        return mine * (100 if score in self.scores and self.scores[score].percent else 1)

    def told(self, score: str, strategy: str) -> str:
        """A difference to classical, ``+3.2 ± 1.1``, in percentage points where the score is in %."""
        one, scale = self.differences[score][strategy], 100 if self.scores[score].percent else 1
        digits = significant(self.values(score, strategy), self.scores[score].percent)
        return f"{scale * one.mean:+.{digits}f} ± {scale * one.half:.{digits}f}"


Drawn = Mapping[str, Floats]
"""By score, its mean over seeds on each of the same draws of test samples, (draws,)."""


def findings(runs: pd.DataFrame, task: str, metric: str, drawn: Mapping[str, Drawn] | None = None) -> Findings:
    """Judge finished runs.

    Args:
        runs: as :class:`Findings` has them, classical's among them.
        task: ``classification``, ``regression`` or ``reconstruction``.
        metric: the score that decides.
        drawn: by strategy; None takes test samples for no source of error.
    """
    scores, names = SCORES[task], list(runs["strategy"].unique())
    drawn = drawn or {name: dict.fromkeys(scores, np.zeros(2)) for name in names}
    tables = {score: runs.pivot(index="seed", columns="strategy", values=score) for score in scores}
    differences = {score: _differences(tables[score], {name: drawn[name][score] for name in names}) for score in scores}
    sign = 1 if scores[metric].higher_is_better else -1
    judged = sorted(differences[metric].items(), key=lambda item: -sign * item[1].mean)
    better = [name for name, one in judged if one.is_reliable and sign * one.mean > 0]
    return Findings(
        runs=runs,
        task=task,
        metric=metric,
        differences=differences,
        better=tuple(better),
        tied=_tied(tables[metric], better, {name: drawn[name][metric] for name in better}),
        unsure=tuple(
            name for name, one in judged if one.holds_over_seeds and sign * one.mean > 0 and name not in better
        ),
        worse=tuple(name for name, one in judged if one.is_reliable and sign * one.mean < 0),
    )


def resample(scores: Mapping[str, Score], runs: Iterable[Predicted], draws: int = DRAWS) -> dict[str, Floats]:
    """The means of scores over the seeds' ``runs``, on ``draws`` bootstrap draws of their samples: always the same."""
    runs, rng = list(runs), np.random.default_rng(0)
    size = len(runs[0].groups)
    made = np.empty((draws, len(scores)))
    for row in made:
        index = rng.integers(size, size=size)
        picked = [run.at(index) for run in runs]
        row[:] = [np.mean([score.of(run) for run in picked]) for score in scores.values()]
    return dict(zip(scores, made.T, strict=True))


def _over_samples(difference: Floats, comparisons: int) -> float:
    """Half of the interval of a difference over draws of test samples; of so many all hold at once (Bonferroni)."""
    return float(stats.norm.ppf(1 - (1 - LEVEL) / (2 * comparisons)) * difference.std(ddof=1))


def _differences(table: pd.DataFrame, drawn: Drawn) -> dict[str, Difference]:
    """By strategy, from a table of seeds by strategies."""
    ours, others = table[BASELINE], [name for name in drawn if name != BASELINE]
    p = holm({name: paired_p(table[name], ours) for name in others})
    made = {}
    for name in others:
        mean, half, _ = paired(table[name], ours, comparisons=len(others))
        made[name] = Difference(mean, half, p[name], _over_samples(drawn[name] - drawn[BASELINE], len(others)))
    return made


def _tied(table: pd.DataFrame, better: Sequence[str], drawn: Drawn) -> tuple[str, ...]:
    """Those that can't be told from the first; the correction is for all pairs, as the first was picked by its mean."""
    p = holm({pair: paired_p(table[pair[0]], table[pair[1]]) for pair in combinations(better, 2)})

    def is_told(first: str, name: str) -> bool:
        apart = abs(float((table[name] - table[first]).mean()))
        return p[first, name] < 1 - LEVEL and apart > _over_samples(drawn[name] - drawn[first], len(p))

    return tuple(name for name in better if name == better[0] or not is_told(better[0], name))


def recommendation(of: Findings, samples: int) -> list[str]:
    """Sentences: what to take, what it costs, what it worsens. ``samples`` is the size of the test part."""
    title = of.scores[of.metric].title
    points = " points" if of.scores[of.metric].percent else ""
    spent = of.runs.groupby("strategy")["seconds"].mean()
    if not of.better:
        said = [
            f"No difference you could rely on: nothing is shown to have a better {title} than {BASELINE}. Take "
            f"{BASELINE}, the simplest ({seconds(of, BASELINE)} s a run)."
        ]
        if of.strategies[0] != BASELINE:
            first = of.strategies[0]
            said.append(
                f"The best mean is {_possessive(first)}, {of.told(of.metric, first)}{points} against {BASELINE}."
            )
    else:
        first = of.better[0]
        others = [name for name in of.tied if name != first]
        cheap = min(of.tied, key=lambda name: spent[name])
        ties = f", or {'any of ' * (len(others) > 1)}{_listed(others)}, which can't be told from it" if others else ""
        said = [
            f"Take {first}{ties}: its {title} is reliably better than {_possessive(BASELINE)}, "
            f"{of.told(of.metric, first)}{points} ({seconds(of, first)} s a run, {BASELINE} "
            f"{seconds(of, BASELINE)} s)."
        ]
        if cheap != first:
            said.append(f"{cheap} takes the least time of these, {seconds(of, cheap)} s a run.")
        if behind := [name for name in of.better if name not in of.tied]:
            said.append(f"Better than {BASELINE} too, but behind {first}: {_listed(behind)}.")
    if of.unsure:
        said.append(
            f"{_listed(of.unsure)}: better over seeds on this test part, but its {samples} samples are too few to say "
            "so of others."
        )
    for score in WARNED_OF:
        if score in of.scores and score != of.metric and (hurt := _worsened(of, score)):
            one = of.scores[score]
            told = "; ".join(f"{name} {of.told(score, name)}" for name in hurt)
            said.append(f"Beware: reliably worse {one.title} than {BASELINE}: {told}.")
    if of.worse:
        said.append(f"Reliably worse {title} than {BASELINE}: {_listed(of.worse)}.")
    return said


def _worsened(of: Findings, score: str) -> list[str]:
    """Which of the recommended strategies are reliably worse than classical in a score."""
    sign = 1 if of.scores[score].higher_is_better else -1
    ours = {name: of.differences[score][name] for name in of.tied}
    return [name for name, one in ours.items() if one.is_reliable and sign * one.mean < 0]


def seconds(of: Findings, strategy: str) -> str:
    """A strategy's mean seconds of training a run."""
    mean = float(of.values("seconds", strategy).mean())
    return f"{mean:.2f}" if mean < 1 else f"{mean:.1f}" if mean < 10 else f"{mean:.0f}"


def _listed(names: Iterable[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def _possessive(name: str) -> str:
    return name + ("'" if name.endswith("s") else "'s")
