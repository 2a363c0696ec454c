"""The paper's numbers on speed: epochs to a level of the test metric, the metric at an epoch, and after equal seconds.

The controls stand beside the strategies that the paper names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import pandas as pd

from l2m.paper import markdown, published
from l2m.paper.cells import NONE, Cell, compare, minus
from l2m.paper.published import Claim
from l2m.paper.rows import BY_NAME, CONTROLS, PAPER, THIRD, V3, Row, with_equal
from l2m.paper.verdict import Judgement, Verdict, judge_against
from l2m.report.runs import Runs
from l2m.report.statistics import MIN_SEEDS, spread


class Measured(NamedTuple):
    """One strategy's numbers for a claim."""

    claim: Claim
    strategy: str
    # the first epoch at which each seed's test metric is at the level or better (NaN: never), and whether learn2mix
    # needs fewer; or the metric at the epoch, or after the seconds, and whether learn2mix is better
    cell: Cell
    # the claim's, in % or as an error; where the text lost it, learn2mix's mean at the paper's epoch
    level: float | None = None
    of_mean: int | None = None  # the first epoch at which the mean over seeds is at the level; None: never, or not run
    epochs: pd.Series[float] = NONE  # by seed, how many there was time for

    @property
    def row(self) -> Row:
        return BY_NAME[self.claim.row]

    @property
    def paper(self) -> str:
        """The paper's number for the strategy; empty for the controls."""
        number = self.claim.values.get(self.strategy)
        return number.text if number else "lost" if self.strategy in self.claim.values else ""

    def columns(self, unit: str = "") -> dict[str, Any]:
        """A line of a CSV; see :meth:`Cell.columns <l2m.paper.cells.Cell.columns>`."""
        claim = {"data_set": self.claim.row, "source": self.claim.source, "strategy": self.strategy}
        return self.cell.columns(unit) | claim | {"paper": self.paper, "level": self.level}


def reached(all_runs: Iterable[Runs]) -> Iterator[Measured]:
    """Epochs to a level, by claim and strategy."""
    for claim in published.claims("thresholds"):
        row = BY_NAME[claim.row]
        strategies = (*claim.values, *CONTROLS)
        runs = {s: run for s, run in with_equal(row.runs(all_runs)).items() if s in strategies}
        level, paper = claim.at, claim.values["learn2mix"]
        if level is None and paper and "learn2mix" in runs:
            level = float(runs["learn2mix"].curve().T[round(paper.mean)].mean())
        first = {s: first_epochs(run.curve(), row, level) for s, run in runs.items() if level is not None}
        censored = {s: epochs.fillna(float(runs[s].settings["epochs"])) for s, epochs in first.items()}
        for strategy in strategies:
            these = {**censored, strategy: first[strategy]} if strategy in first else {}
            judged = None if strategy == "learn2mix" else _sooner(claim, strategy, first, censored)
            difference = minus(strategy, "classical", these)
            cell = Cell(True, first.get(strategy, NONE), claim.values.get(strategy), difference, judged)
            of_mean = None
            if strategy in first:
                mean = runs[strategy].curve().mean(axis=1).to_frame("mean")
                of_mean = first_epochs(mean, row, level).dropna().astype(int).get("mean")
            yield Measured(claim, strategy, cell, level, of_mean)


def at_epoch(all_runs: Iterable[Runs]) -> Iterator[Measured]:
    """The metric at an epoch, by claim and strategy."""
    for claim in published.claims("at_epoch"):
        row = BY_NAME[claim.row]
        strategies = (*claim.values, *CONTROLS)
        values = {s: run.curve().T[claim.at] for s, run in with_equal(row.runs(all_runs)).items() if s in strategies}
        for strategy in strategies:
            yield Measured(claim, strategy, compare(strategy, values, claim.values, row.is_percent))


def equal_seconds(all_runs: Iterable[Runs]) -> Iterator[Measured]:
    """Test accuracy in % at the end of a claim's time, by claim and strategy; controls only where they have runs."""
    for claim in published.claims("equal_seconds"):
        row = V3.get(claim.row, BY_NAME[claim.row])
        runs = row.runs(all_runs, equal_seconds=True)
        values = {strategy: run.at(1.0) for strategy, run in runs.items()}
        for strategy in (*PAPER, *(s for s in CONTROLS if s in runs), *THIRD):
            lengths = {s: len(table) for s, table in runs[strategy].metrics.items()} if strategy in runs else {}
            cell = compare(strategy, values, claim.values, is_percent=True)
            yield Measured(claim, strategy, cell, epochs=pd.Series(lengths, dtype=float))


CAPTION = (
    "Epochs to a level of the test metric: mean ± sd (ddof 1) over the seeds of the first epoch at which the seed is "
    "at the level or better, and how many of the n seeds are; of the mean: the first epoch at which the mean over "
    "seeds is. Δ: this strategy − classical on the same seeds, in epochs, ± half of its 95 % t-interval, as in the "
    "other tables; learn2mix − this likewise, and by it the verdict, whether learn2mix needs fewer epochs. A seed "
    "that never is at the level counts as E where it is subtracted, which favours its strategy, and is left out where"
    " it is subtracted from. Where the level is lost in the paper's text (~), learn2mix's mean at the paper's epoch "
    "stands for it. The paper prints no sd here, so only the side is judged: same sign, inconclusive or opposite."
)

AT_CAPTION = (
    "Test metric at an epoch (accuracy in %, or squared error): mean ± sd (ddof 1) over n seeds. Δ: this strategy − "
    "classical on the same seeds ± half of its 95 % t-interval, as in the other tables; learn2mix − this likewise, "
    "and by it the verdict, whether learn2mix is better. The paper prints no sd here, so only the side is judged."
)

SECONDS_CAPTION = (
    "Test accuracy in % after the seconds that classical training takes for the row's epochs on the machine of the "
    "records: mean ± sd (ddof 1) over n seeds. Epochs: how many there was time for, their mean over seeds. Δ: this "
    "strategy − classical on the same seeds ± half of its 95 % t-interval, bold where that leaves 0 out. The paper's "
    "are for an RTX 3090 and the seconds beside them, without an sd, so only the side of learn2mix − this strategy is "
    "judged. Trained by"
)

COMMAND = "python -m l2m.run -m +experiment=table1_v3 results_dir=results"

COMPARED = ("Δ", "learn2mix − this", "effect")


def tables(reached: Iterable[Measured], at_epoch: Iterable[Measured]) -> tuple[pd.DataFrame, str]:
    """The first two: a line a claim and strategy, unrounded, and both in Markdown with their captions."""
    numbers: list[dict[str, Any]] = []
    head = ["data set", "level", "source", "strategy", "n", "reached", "epochs", "of the mean", "paper"]
    rows = []
    for line in reached:
        values = line.cell.values
        at_level = int(values.count())
        is_lost = line.claim.at is None
        numbers.append(
            line.columns()
            | {"claim": "epochs_to_level", "level_is_lost_in_text": is_lost, "n_reached": at_level}
            | {"epoch_of_mean_curve": line.of_mean}
        )
        digits = 0 if line.row.is_percent and not is_lost else 1
        level = "lost" if line.level is None else "~ " * is_lost + f"{line.level:.{digits}f}"
        words = [line.row.title, level, line.claim.source, line.strategy, str(len(values))]
        words += [str(at_level) if len(values) else "", or_never(values), str(line.of_mean or ""), line.paper]
        rows.append([*words, *_compared(line)])
    first = markdown.page(markdown.table([*head, *COMPARED], "lrll" + "r" * 7 + "l", rows), CAPTION)
    head, rows = ["data set", "epoch", "source", "strategy", "n", "ours", "paper"], []
    for at in at_epoch:
        numbers.append(at.columns() | {"claim": "metric_at_epoch", "epoch": at.claim.at})
        words = [at.row.title, str(at.claim.at), at.claim.source, at.strategy, str(len(at.cell.values))]
        rows.append([*words, at.cell.spread_text, at.paper, *_compared(at)])
    second = markdown.page(markdown.table([*head, *COMPARED], "lrll" + "r" * 5 + "l", rows), AT_CAPTION)
    names = {"effect_half_width": "learn2mix_interval_half_width", "n_effect": "learn2mix_n_pairs"}
    columns = ["claim", "data_set", "source", "level", "level_is_lost_in_text", "epoch", "strategy", "n", "seeds",
               "n_reached", "mean", "sd", "epoch_of_mean_curve", "paper", "minus_classical",
               "interval_half_width", "n_pairs", "learn2mix_minus_this", *names.values(), "effect", "note",
               "first_rule"]  # fmt: skip
    whole = dict.fromkeys(("epoch", "n_reached", "epoch_of_mean_curve", "n_pairs", "learn2mix_n_pairs"), "Int64")
    frame = pd.DataFrame(numbers).rename(columns=names)[columns].astype(whole)
    return frame, f"# Epochs to a level\n\n{first}\n# Test metric at an epoch\n\n{second}"


def seconds_table(lines: Iterable[Measured]) -> tuple[pd.DataFrame, str]:
    """:func:`equal_seconds`: unrounded, and in Markdown with the command that trains what is missing."""
    head = ["data set", "strategy", "n", "epochs", "accuracy", "Δ", "paper", "learn2mix − this"]
    unit = "_accuracy_percent"
    numbers, rows = [], []
    for line in lines:
        cell, epochs = line.cell, line.epochs.mean()
        seconds = cell.printed and line.claim.at
        numbers.append(line.columns(unit) | {"mean_epochs": epochs, "paper_seconds": seconds})
        title = f"**{line.row.title}**" if line.strategy == PAPER[0] else ""
        words = [title, line.strategy, str(len(cell.values)), f"{epochs:.0f}" if len(line.epochs) else ""]
        words += [cell.spread_text, cell.difference_text(bold=True)]
        words.append(f"{cell.printed.text} after {seconds} s" if cell.printed else "")
        rows.append([*words, cell.judged.verdict if cell.judged else ""])
    frame = pd.DataFrame(numbers).rename(columns={f"paper_mean{unit}": f"paper{unit}"})
    columns = ["data_set", "strategy", "n", "seeds", "mean_epochs", f"mean{unit}", f"sd{unit}", f"paper{unit}",
               "paper_seconds", f"minus_classical{unit}", f"interval_half_width{unit}", "n_pairs",
               "effect"]  # fmt: skip
    text = markdown.page(markdown.table(head, "llrrrrrl", rows), SECONDS_CAPTION, COMMAND)
    return frame[columns].astype({"paper_seconds": "Int64", "n_pairs": "Int64"}), text


def first_epochs(curves: pd.DataFrame, row: Row, level: float) -> pd.Series[float]:
    """The first epoch at the level or better, by column of curves over epochs; NaN: never."""
    rounding = 1e-9 * abs(level)  # a mean that the level was taken from is at it
    at_level = curves >= level - rounding if row.is_percent else curves <= level + rounding
    return at_level.idxmax().where(at_level.any()).astype(float)


def _sooner(
    claim: Claim, other: str, first: Mapping[str, pd.Series[float]], censored: Mapping[str, pd.Series[float]]
) -> Judgement:
    """Whether learn2mix needs fewer epochs than ``other``, whose seeds count as E if they never reach the level."""
    ours, theirs = first.get("learn2mix"), censored.get(other)
    printed = None if claim.at is None else claim.values["learn2mix"], claim.at and claim.values.get(other)
    judged = judge_against(other, ours, theirs, printed, higher_is_better=False)
    if ours is None or theirs is None or len(ours.index.intersection(theirs.index)) < MIN_SEEDS:
        return judged
    if ours.isna().any():
        at_least = judge_against(other, censored["learn2mix"], theirs, printed, higher_is_better=False)
        if at_least.verdict in ("opposite", "worse"):  # even with E for seeds that need more
            return at_least
        note = f"{ours.count()} of {len(ours)} seeds of learn2mix reach the level"
    elif judged.difference.half_width == 0 and judged.difference.mean:  # whole epochs, not certainty
        note = "all differences are equal, which has no interval"
    else:
        return judged
    verdict: Verdict = "undecided" if other in CONTROLS else "inconclusive"
    return judged._replace(verdict=verdict, note=note, first="not reproduced")


def or_never(values: pd.Series[float], pairs: int | None = None, never: str = "never") -> str:
    """Epochs to a level: mean ± sd, over how many of the seeds where not all reach it, or where ``pairs`` are fewer."""
    epochs, n = values.dropna(), len(values)
    if n and not len(epochs):
        return never
    few = f" ({len(epochs)} of {n} seeds)" if len(epochs) < n else ""
    return spread(epochs, 1) + (few or f" (n = {n})" * (pairs is not None and n != pairs))


def _compared(line: Measured) -> tuple[str, str, str]:
    """The cells under ``COMPARED``."""
    cell = line.cell
    judged = (cell.judged.difference.text(cell.digits), cell.judged.verdict) if cell.judged else ("", "")
    return (cell.difference_text(), *judged)
