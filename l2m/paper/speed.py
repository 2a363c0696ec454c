"""The paper's prose on speed: epochs to a level of the test metric, and the metric at an epoch.

The controls stand beside the strategies that the paper names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import pandas as pd

from l2m.paper import markdown, published
from l2m.paper.cells import minus, scaled, seed_columns
from l2m.paper.published import Claim, Printed
from l2m.paper.rows import BY_NAME, CONTROLS, Row, with_equal
from l2m.paper.verdict import MIN_SEEDS, Judgement, judge
from l2m.report.runs import Runs
from l2m.report.statistics import Difference, significant, spread

Values = Mapping[str, "pd.Series[float]"]
"""By strategy: a number by seed."""

NONE = pd.Series(dtype=float)


class Measured(NamedTuple):
    """One strategy's numbers for a claim.

    Attributes:
        values: by seed, the first epoch at which its test metric is at the level or better (NaN: never), or the
            metric at the epoch, in % or as an error.
        difference: this strategy − classical, over seeds of this strategy that reach the level; None for classical,
            and where one of the two is not run.
        judged: for strategies other than learn2mix: whether learn2mix needs fewer epochs, or is better.
        level: the claim's, in % or as an error; where the text lost it, learn2mix's mean at the paper's epoch.
        seconds: by seed, of training until the level.
        of_mean: the first epoch at which the mean over seeds is at the level; None: never, or not run.
    """

    claim: Claim
    strategy: str
    values: pd.Series[float]
    difference: Difference | None
    judged: Judgement | None
    level: float | None = None
    seconds: pd.Series[float] = NONE
    of_mean: int | None = None

    @property
    def row(self) -> Row:
        return BY_NAME[self.claim.row]

    @property
    def paper(self) -> str:
        """The paper's number for the strategy; empty for the controls."""
        number = self.claim.values.get(self.strategy)
        return number.text if number else "lost" if self.strategy in self.claim.values else ""


def reached(all_runs: Iterable[Runs]) -> list[Measured]:
    """Epochs to a level, by claim and strategy."""
    lines = []
    for claim in published.thresholds():
        row = BY_NAME[claim.row]
        runs = with_equal(row.runs(all_runs))
        level, paper = claim.at, claim.values["learn2mix"]
        if level is None and paper and "learn2mix" in runs:
            level = float(_at(runs["learn2mix"], row, round(paper.mean)).mean())
        strategies = (*claim.values, *CONTROLS)
        first = {s: first_epochs(runs[s], row, level) for s in strategies if s in runs and level is not None}
        censored = {s: epochs.fillna(float(runs[s].settings["epochs"])) for s, epochs in first.items()}
        for strategy in strategies:
            line = _measured(claim, strategy, first, censored, _sooner(claim, strategy, first, censored))
            if strategy in first:
                line = line._replace(
                    seconds=_seconds(runs[strategy], line.values),
                    of_mean=_crossing(runs[strategy].curve().mean(axis=1), row, level),
                )
            lines.append(line._replace(level=level))
    return lines


def at_epoch(all_runs: Iterable[Runs]) -> list[Measured]:
    """The metric at an epoch, by claim and strategy."""
    lines = []
    for claim in published.at_epoch():
        row = BY_NAME[claim.row]
        strategies = (*claim.values, *CONTROLS)
        values = {s: _at(run, row, claim.at) for s, run in with_equal(row.runs(all_runs)).items() if s in strategies}
        for strategy in strategies:
            printed = claim.values["learn2mix"], claim.values.get(strategy)
            judged = judge(values.get("learn2mix"), values.get(strategy), printed, row.is_percent)
            lines.append(_measured(claim, strategy, values, values, judged))
    return lines


def _measured(claim: Claim, strategy: str, these: Values, classical: Values, judged: Judgement) -> Measured:
    values = these.get(strategy, NONE)
    difference = minus(strategy, "classical", {**classical, strategy: values} if strategy in these else {})
    return Measured(claim, strategy, values, difference, None if strategy == "learn2mix" else judged)


CAPTION = (
    "Epochs to a level of the test metric: mean ± sd (ddof 1) over the seeds of the first epoch at which the seed is "
    "at the level or better, and how many of the n seeds are; of the mean: the first epoch at which the mean over "
    "seeds is. Δ: this strategy − classical on the same seeds, in epochs, ± half of its 95 % t-interval, as in the "
    "other tables; learn2mix − this likewise, and by it the verdict, whether learn2mix needs fewer epochs. A seed that "
    "never is at the level counts as E where it is subtracted, which favours its strategy, and is left out where it "
    "is subtracted from. Where the level is lost in the "
    "paper's text (~), learn2mix's mean at the paper's epoch stands for it. Seconds are of training until then; they "
    "were taken on a machine that did other work besides, and can only be compared where a results folder was "
    "measured alone. The paper prints no sd here, so only the side is judged: same sign, inconclusive or opposite."
)

AT_CAPTION = (
    "Test metric at an epoch (accuracy in %, or squared error): mean ± sd (ddof 1) over n seeds. Δ: this strategy − "
    "classical on the same seeds ± half of its 95 % t-interval, as in the other tables; learn2mix − this likewise, "
    "and by it the verdict, whether learn2mix is better. The paper prints no sd here, so only the side is judged."
)


COMPARED = ("Δ", "learn2mix − this", "effect")


def tables(reached: Iterable[Measured], at_epoch: Iterable[Measured]) -> str:
    """Both tables in Markdown, with their captions."""
    head = ["data set", "level", "source", "strategy", "n", "reached", "epochs", "of the mean", "paper", "seconds"]
    rows = []
    for line in reached:
        n, at_level = len(line.values), int(line.values.count())
        words = [line.row.title, _level(line), line.claim.source, line.strategy, str(n), str(at_level) if n else ""]
        words += [or_never(line), str(line.of_mean or ""), line.paper]
        rows.append([*words, f"{line.seconds.mean():.3g}" if at_level else "", *_compared(line, 1)])
    first = markdown.page(markdown.table([*head, *COMPARED], "lrll" + "r" * 8 + "l", rows), CAPTION)
    head, rows = ["data set", "epoch", "source", "strategy", "n", "ours", "paper"], []
    for at in at_epoch:
        digits = significant(at.values, at.row.is_percent)
        words = [at.row.title, str(at.claim.at), at.claim.source, at.strategy, str(len(at.values))]
        rows.append([*words, spread(at.values, digits), at.paper, *_compared(at, digits)])
    second = markdown.page(markdown.table([*head, *COMPARED], "lrll" + "r" * 5 + "l", rows), AT_CAPTION)
    return f"# Epochs to a level\n\n{first}\n# Test metric at an epoch\n\n{second}"


MINUS_CLASSICAL = ("minus_classical", "interval_half_width", "n_pairs")
MINUS_THIS = ("learn2mix_minus_this", "learn2mix_interval_half_width", "learn2mix_n_pairs")


def frame(reached: Iterable[Measured], at_epoch: Iterable[Measured]) -> pd.DataFrame:
    """Both, a line a claim and strategy, unrounded."""
    lines: list[dict[str, Any]] = []
    for line in reached:
        lines.append(
            {"claim": "epochs_to_level", "level": line.level, "level_is_lost_in_text": line.claim.at is None}
            | {"n_reached": line.values.count(), "epoch_of_mean_curve": line.of_mean}
            | {"mean_seconds": line.seconds.mean()}
            | _numbers(line)
        )
    for at in at_epoch:
        lines.append({"claim": "metric_at_epoch", "epoch": at.claim.at} | _numbers(at))
    whole = dict.fromkeys(("epoch", "n_reached", "epoch_of_mean_curve", "n_pairs", "learn2mix_n_pairs"), "Int64")
    columns = ["claim", "data_set", "source", "level", "level_is_lost_in_text", "epoch", "strategy", "n", "seeds",
               "n_reached", "mean", "sd", "epoch_of_mean_curve", "mean_seconds", "paper", *MINUS_CLASSICAL,
               *MINUS_THIS, "effect", "note", "first_rule"]  # fmt: skip
    return pd.DataFrame(lines, columns=columns).astype(whole)


def _numbers(line: Measured) -> dict[str, Any]:
    """The columns that both have."""
    made: dict[str, Any] = {
        "data_set": line.claim.row,
        "source": line.claim.source,
        "strategy": line.strategy,
        "paper": line.paper,
    }
    made |= {"mean": line.values.mean(), "sd": line.values.std(ddof=1)} | seed_columns(line.values)
    made |= dict(zip(MINUS_CLASSICAL, line.difference or (), strict=False))
    if line.judged:
        verdict, note, first = line.judged.verdict, line.judged.note, line.judged.first
        made |= {"effect": verdict, "note": note, "first_rule": first}
        made |= dict(zip(MINUS_THIS, line.judged.difference, strict=True))
    return made


def first_epochs(run: Runs, row: Row, level: float) -> pd.Series[float]:
    """The first epoch at the level or better, by seed; NaN: never."""
    curves = run.curve()
    return pd.Series({s: _crossing(curves[s], row, level) for s in curves}, dtype=float)


def _crossing(curve: pd.Series[float], row: Row, level: float) -> int | None:
    values = scaled(curve, row).to_numpy()
    rounding = 1e-9 * abs(level)  # a mean that the level was taken from is at it
    at_level = (values >= level - rounding) if row.is_percent else (values <= level + rounding)
    return int(at_level.argmax()) + 1 if at_level.any() else None


def _seconds(run: Runs, epochs: pd.Series[float]) -> pd.Series[float]:
    """Seconds of training until the epochs, by seed."""
    tables = run.metrics.items()
    until = {s: table["seconds"].iloc[int(epochs[s]) - 1] for s, table in tables if epochs[s] > 0}
    return pd.Series(until, dtype=float)


def _at(run: Runs, row: Row, epoch: int) -> pd.Series[float]:
    return scaled(run.curve().T[epoch], row)


def _sooner(claim: Claim, other: str, first: Values, censored: Values) -> Judgement:
    """Whether learn2mix needs fewer epochs than ``other``, whose seeds count as E if they never reach the level."""
    ours, theirs = first.get("learn2mix"), censored.get(other)
    printed: tuple[Printed | None, Printed | None] = (None, None)
    if claim.at is not None:
        printed = claim.values["learn2mix"], claim.values.get(other)
    judged = judge(ours, theirs, printed, higher_is_better=False)
    if ours is None or theirs is None or len(ours.index.intersection(theirs.index)) < MIN_SEEDS:
        return judged
    if ours.isna().any():
        note = f"{ours.count()} of {len(ours)} seeds of learn2mix reach the level"
    elif judged.difference.half_width == 0 and judged.difference.mean:  # whole epochs, not certainty
        note = "all differences are equal, which has no interval"
    else:
        return judged
    return judged._replace(verdict="inconclusive", note=note, first="not reproduced")


def _level(line: Measured) -> str:
    if line.level is None:
        return "lost"
    digits = 0 if line.row.is_percent else 1
    return f"~ {line.level:.1f}" if line.claim.at is None else f"{line.level:.{digits}f}"


def or_never(line: Measured) -> str:
    """Epochs to the level: mean ± sd, over how many of the seeds where not all reach it."""
    epochs, n = line.values.dropna(), len(line.values)
    if n and not len(epochs):
        return "never"
    return spread(epochs, 1) + (f" ({len(epochs)} of {n} seeds)" if len(epochs) < n else "")


def _compared(line: Measured, digits: int) -> list[str]:
    """The cells under ``COMPARED``."""
    difference = line.difference.text(digits) if line.difference else ""
    if not line.judged:
        return [difference, "", ""]
    return [difference, line.judged.difference.text(digits), line.judged.verdict]
