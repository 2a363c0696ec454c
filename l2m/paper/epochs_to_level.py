"""What the paper's prose says of speed: epochs to a level of the test metric, and the metric at an epoch.

The controls stand beside the strategies that the paper names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import pandas as pd

from l2m.paper import published
from l2m.paper.cells import is_percent, scaled
from l2m.paper.published import AtEpoch, Printed, Threshold
from l2m.paper.rows import CONTROLS, ROWS, VARIANTS, Row, with_equal
from l2m.paper.verdict import FEWEST, Judgement, judge
from l2m.report.runs import Runs
from l2m.report.statistics import interval, paired, significant, spread

BY_NAME = {row.name: row for row in (*ROWS, *VARIANTS)}

Difference = tuple[float, float, int]


class Reached(NamedTuple):
    """When one strategy reaches the level of a claim.

    Attributes:
        level: the claim's, in % or as an error; where the text lost it, learn2mix's mean at the paper's epoch.
        epochs: the first epoch at which a seed's test metric is at the level or better, by seed; NaN: never.
        seconds: of training until then.
        of_mean: the first epoch at which the mean over seeds is; None: never, or not run.
        difference: mean of this strategy − classical over its seeds that are at the level and that both have, half of
            its 95 % t-interval, and how many they are; None for classical, and where one is not run.
        judged: of strategies other than learn2mix: whether learn2mix needs fewer epochs.
    """

    claim: Threshold
    level: float | None
    strategy: str
    epochs: pd.Series[float]
    seconds: pd.Series[float]
    of_mean: int | None
    difference: Difference | None
    judged: Judgement | None


class At(NamedTuple):
    """The test metric of one strategy at the epoch of a claim; ``values`` by seed, in % or as an error.

    ``difference``: this strategy − classical, as in a :class:`~l2m.paper.cells.Cell`. ``judged``, of strategies other
    than learn2mix: whether learn2mix is better.
    """

    claim: AtEpoch
    strategy: str
    values: pd.Series[float]
    difference: Difference | None
    judged: Judgement | None


def reached(found: Iterable[Runs]) -> list[Reached]:
    """A line a claim and strategy."""
    lines = []
    for claim in published.thresholds():
        row = BY_NAME[claim.row]
        runs = with_equal(row.runs(found))
        ours = runs.get("learn2mix")
        level = claim.level
        if level is None and ours is not None:
            level = float(_at(ours, row, round(claim.epochs["learn2mix"].mean)).mean())
        strategies = (*claim.epochs, *CONTROLS)
        first = {s: first_epochs(runs[s], row, level) for s in strategies if s in runs} if level is not None else {}
        censored = {s: epochs.fillna(float(runs[s].settings["epochs"])) for s, epochs in first.items()}
        for strategy in strategies:
            judged = None if strategy == "learn2mix" else _sooner(claim, strategy, first, censored)
            epochs = first.get(strategy, pd.Series(dtype=float))
            seconds, of_mean = pd.Series(dtype=float), None
            if strategy in first and level is not None:
                tables = runs[strategy].metrics
                until = {s: tables[s]["seconds"].iloc[int(epochs[s]) - 1] for s in tables if epochs[s] > 0}
                seconds = pd.Series(until, dtype=float)
                of_mean = _crossing(runs[strategy].curve().mean(axis=1), row, level)
            difference = _minus_classical(strategy, first, censored)
            lines.append(Reached(claim, level, strategy, epochs, seconds, of_mean, difference, judged))
    return lines


def at_epoch(found: Iterable[Runs]) -> list[At]:
    """A line a claim and strategy."""
    lines = []
    for claim in published.at_epoch():
        row = BY_NAME[claim.row]
        runs = with_equal(row.runs(found))
        strategies = (*claim.values, *CONTROLS)
        values = {s: _at(runs[s], row, claim.epoch) for s in strategies if s in runs}
        for strategy in strategies:
            judged = None
            if strategy != "learn2mix":
                pair = values.get("learn2mix"), values.get(strategy)
                printed = claim.values["learn2mix"], claim.values.get(strategy)
                judged = judge(*pair, printed, is_percent(row))
            there = values.get(strategy, pd.Series(dtype=float))
            lines.append(At(claim, strategy, there, _minus_classical(strategy, values, values), judged))
    return lines


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


def markdown(reached: Iterable[Reached], at_epoch: Iterable[At]) -> str:
    """Both tables with their captions."""
    head = ["data set", "level", "source", "strategy", "n", "reached", "epochs", "of the mean", "paper", "seconds"]
    lines = ["# Epochs to a level", "", _line([*head, *COMPARED]), "|---|--:|---|---|" + "--:|" * 8 + "---|"]
    for line in reached:
        there = line.epochs.dropna()
        words = [BY_NAME[line.claim.row].title, _level(line), line.claim.source, line.strategy]
        words += [str(len(line.epochs)), str(len(there)) if len(line.epochs) else "", or_never(line)]
        words += [str(line.of_mean or ""), _printed(line.claim.epochs, line.strategy)]
        words += [f"{line.seconds.mean():.3g}" if len(there) else "", *_compared(line, 1)]
        lines.append(_line(words))
    lines += ["", CAPTION, "", "# Test metric at an epoch", ""]
    lines += [_line(["data set", "epoch", "source", "strategy", "n", "ours", "paper", *COMPARED])]
    lines += ["|---|--:|---|---|" + "--:|" * 5 + "---|"]
    for at in at_epoch:
        row = BY_NAME[at.claim.row]
        digits = significant(at.values, is_percent(row))
        words = [row.title, str(at.claim.epoch), at.claim.source, at.strategy, str(len(at.values))]
        words += [spread(at.values, digits), _printed(at.claim.values, at.strategy), *_compared(at, digits)]
        lines.append(_line(words))
    return "\n".join([*lines, "", AT_CAPTION, ""])


MINUS_CLASSICAL = ("minus_classical", "interval_half_width", "n_pairs")
MINUS_THIS = ("learn2mix_minus_this", "learn2mix_interval_half_width", "learn2mix_n_pairs")


def frame(reached: Iterable[Reached], at_epoch: Iterable[At]) -> pd.DataFrame:
    """Both, a line a claim and strategy, unrounded."""
    lines: list[dict[str, Any]] = []
    for line in reached:
        there = line.epochs.dropna()
        lines.append(
            {"claim": "epochs_to_level", "data_set": line.claim.row, "source": line.claim.source}
            | {"level": line.level, "level_is_lost_in_text": line.claim.level is None, "strategy": line.strategy}
            | {"n": len(line.epochs), "seeds": " ".join(map(str, line.epochs.index)), "n_reached": len(there)}
            | {"mean": there.mean(), "sd": there.std(ddof=1), "epoch_of_mean_curve": line.of_mean}
            | {"mean_seconds": line.seconds.mean(), "paper": _printed(line.claim.epochs, line.strategy)}
            | _frame_compared(line)
        )
    for at in at_epoch:
        lines.append(
            {"claim": "metric_at_epoch", "data_set": at.claim.row, "source": at.claim.source}
            | {"epoch": at.claim.epoch, "strategy": at.strategy, "n": len(at.values)}
            | {"seeds": " ".join(map(str, at.values.index)), "mean": at.values.mean(), "sd": at.values.std(ddof=1)}
            | {"paper": _printed(at.claim.values, at.strategy)}
            | _frame_compared(at)
        )
    whole = dict.fromkeys(("epoch", "n_reached", "epoch_of_mean_curve", "n_pairs", "learn2mix_n_pairs"), "Int64")
    columns = ["claim", "data_set", "source", "level", "level_is_lost_in_text", "epoch", "strategy", "n", "seeds",
               "n_reached", "mean", "sd", "epoch_of_mean_curve", "mean_seconds", "paper", *MINUS_CLASSICAL,
               *MINUS_THIS, "verdict", "note"]  # fmt: skip
    return pd.DataFrame(lines, columns=columns).astype(whole)


def first_epochs(run: Runs, row: Row, level: float) -> pd.Series[float]:
    """The first epoch at the level or better, by seed; NaN: never."""
    curves = run.curve()
    return pd.Series({s: _crossing(curves[s], row, level) for s in curves}, dtype=float)


def _crossing(curve: pd.Series[float], row: Row, level: float) -> int | None:
    values = scaled(curve, row)
    rounding = 1e-9 * abs(level)  # a mean that the level was taken from is at it
    there = values.index[(values >= level - rounding) if is_percent(row) else (values <= level + rounding)]
    return int(there[0]) if len(there) else None


def _at(run: Runs, row: Row, epoch: int) -> pd.Series[float]:
    return scaled(pd.Series({s: float(table["test_metric"].iloc[epoch - 1]) for s, table in run.metrics.items()}), row)


Values = Mapping[str, "pd.Series[float]"]
"""By strategy: a number by seed."""


def _minus_classical(strategy: str, these: Values, those: Values) -> Difference | None:
    """This strategy of ``these`` − classical of ``those``."""
    both = strategy in these and "classical" in those and strategy != "classical"
    return paired(these[strategy], those["classical"]) if both else None


def _sooner(claim: Threshold, other: str, first: Values, censored: Values) -> Judgement:
    """Whether learn2mix needs fewer epochs than ``other``, whose seeds are at the level by E if not sooner."""
    ours, theirs = first.get("learn2mix"), censored.get(other)
    printed = (claim.epochs["learn2mix"], claim.epochs.get(other)) if claim.level is not None else (None, None)
    judged = judge(ours, theirs, printed, higher_is_better=False)
    if ours is None or theirs is None or len(ours.index.intersection(theirs.index)) < FEWEST:
        return judged
    if ours.isna().any():
        note = f"{int(ours.notna().sum())} of {len(ours)} seeds of learn2mix reach the level"
        return judged._replace(verdict="inconclusive", note=note, first="not reproduced")
    if judged.half == 0 and judged.difference:  # whole epochs, not certainty
        note = "all differences are equal, which has no interval"
        return judged._replace(verdict="inconclusive", note=note, first="not reproduced")
    return judged


def _level(line: Reached) -> str:
    if line.level is None:
        return "lost"
    digits = 0 if is_percent(BY_NAME[line.claim.row]) else 1
    return f"~ {line.level:.1f}" if line.claim.level is None else f"{line.level:.{digits}f}"


def or_never(line: Reached) -> str:
    """Epochs to the level: mean ± sd, over how many of the seeds where not all reach it."""
    there = line.epochs.dropna()
    if len(line.epochs) and not len(there):
        return "never"
    return spread(there, 1) + (f" ({len(there)} of {len(line.epochs)} seeds)" if len(there) < len(line.epochs) else "")


def _printed(numbers: Mapping[str, Printed | None], strategy: str) -> str:
    """What the paper has for a strategy; controls are not in it."""
    number = numbers.get(strategy)
    return number.text if number else "lost" if strategy in numbers else ""


def _compared(line: Reached | At, digits: int) -> list[str]:
    """The cells under ``COMPARED``."""
    told = [interval(*line.difference, digits) if line.difference else ""]
    if not (judged := line.judged):
        return [*told, "", ""]
    return [*told, interval(judged.difference, judged.half, judged.n, digits), judged.verdict]


def _frame_compared(line: Reached | At) -> dict[str, Any]:
    made: dict[str, Any] = dict(zip(MINUS_CLASSICAL, line.difference or (), strict=False))
    if line.judged:
        made |= {"effect": line.judged.verdict, "note": line.judged.note}
        made |= dict(zip(MINUS_THIS, (line.judged.difference, line.judged.half, line.judged.n), strict=True))
        made["first_rule"] = line.judged.first
    return made


def _line(words: Iterable[str]) -> str:
    return f"| {' | '.join(words)} |"
