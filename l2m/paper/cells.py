"""A cell of a table: a strategy's numbers beside classical's, learn2mix's and the paper's, and their text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import pandas as pd

from l2m.paper import published
from l2m.paper.published import Printed
from l2m.paper.rows import THIRD, Row, equal_strategies, with_equal
from l2m.paper.verdict import Judgement, Level, judge_against, level
from l2m.report.page_data import COLUMNS
from l2m.report.runs import CHECKPOINTS, Runs, checkpoint
from l2m.report.statistics import Difference, paired, significant, spread

NONE: pd.Series[float] = pd.Series(dtype=float)
"""The values of what is not run."""


class Cell(NamedTuple):
    """One strategy of a row at one place: an epoch, a level, or after a time."""

    # whether the values are accuracies in %, or epochs, which have as many digits; else they are errors in the square
    # of the target's unit, summed over an image for reconstruction
    is_percent: bool
    values: pd.Series[float]  # by seed, empty where nothing is run
    printed: Printed | None  # the paper's number for these settings; None where there is none
    # this strategy − classical on the seeds both have; None for classical, and without classical's runs
    difference: Difference | None
    # whether learn2mix does better than this strategy; None for learn2mix, and where ``equal_to`` has it
    judged: Judgement | None
    level: Level | None = None  # how near the paper's number the mean is; None without one of the two
    epoch: int | None = None  # the checkpoint; None where nothing is run
    equal_to: str | None = None  # the strategy whose runs these are, because the two are equal by construction

    @property
    def digits(self) -> int:
        """Digits after the point of the mean and of the numbers beside it."""
        return significant(self.values, self.is_percent)

    @property
    def spread_text(self) -> str:
        return spread(self.values, self.digits)

    def difference_text(self, bold: bool = False) -> str:
        """The difference to classical; empty where there is none."""
        return self.difference.text(self.digits, bold) if self.difference else ""

    @property
    def level_text(self) -> str:
        """``within 5.7``, or outside: whether the mean is within this tolerance of the paper's; else empty."""
        return f"{self.level.word} {self.level.tolerance:.{self.digits}f}" if self.level else ""

    def columns(self, unit: str = "") -> dict[str, Any]:
        """A line of a CSV, unrounded, with ``unit`` at the end of the names of numbers."""
        made = seed_columns(self.values)
        made |= {f"mean{unit}": self.values.mean(), f"sd{unit}": self.values.std(ddof=1)}
        made |= {f"paper_mean{unit}": self.printed and self.printed.mean}
        made |= {f"paper_sd{unit}": self.printed and self.printed.sd}
        mean, half_width, n = self.difference or (None, None, None)
        made |= {f"minus_classical{unit}": mean, f"interval_half_width{unit}": half_width, "n_pairs": n}
        made |= {"equal_to": self.equal_to, "level": self.level and self.level.word}
        made |= {f"level_tolerance{unit}": self.level and self.level.tolerance}
        if self.judged:
            verdict, note, (mean, half_width, n), paper, first = self.judged
            made |= {"effect": verdict, f"learn2mix_minus_this{unit}": mean}
            made |= {f"effect_half_width{unit}": half_width, "n_effect": n}
            made |= {f"paper_effect{unit}": paper and paper.mean, f"paper_effect_error{unit}": paper and paper.error}
            made |= {"note": note, "first_rule": first}
        return made


def compare(
    strategy: str,
    values: Mapping[str, pd.Series[float]],
    printed: Mapping[str, Printed | None],
    is_percent: bool,
    **more: Any,
) -> Cell:
    """The cell of ``strategy`` from the metric by strategy and seed, and the paper's numbers by strategy."""
    this, paper, judged = values.get(strategy, NONE), printed.get(strategy), None
    if strategy != "learn2mix" and not more.get("equal_to"):
        ours, theirs = values.get("learn2mix"), values.get(strategy)
        judged = judge_against(strategy, ours, theirs, (printed.get("learn2mix"), paper), is_percent)
    difference = minus(strategy, "classical", values)
    return Cell(is_percent, this, paper, difference, judged, level(this, paper), **more)


def minus(strategy: str, base: str, values: Mapping[str, pd.Series[float]]) -> Difference | None:
    """A strategy − ``base`` on the seeds both have; None for the base itself, and where one of the two is not run."""
    both = strategy != base and strategy in values and base in values
    return paired(values[strategy], values[base]) if both else None


def measure(
    row: Row, all_runs: Iterable[Runs], column: str = "test_metric", others: Iterable[str] = ()
) -> dict[str, list[Cell]]:
    """By strategy, a row's cells of a column at .25E, .5E and E; v3's strategies and ``others`` if they have runs."""
    own = row.runs(all_runs)
    equal, runs = equal_strategies(own), with_equal(own)
    printed = published.cells(row.name) if column == "test_metric" else {}  # the paper has no other
    made: dict[str, list[Cell]] = {s: [] for s in (*row.strategies, *(s for s in (*THIRD, *others) if s in runs))}
    for i, share in enumerate(CHECKPOINTS):
        values = {s: runs[s].at(share, column) for s in made if s in runs}
        numbers = {s: texts[i] for s, texts in printed.items()}
        for s, cells in made.items():
            epoch = checkpoint(share, runs[s].settings["epochs"]) if s in runs else None
            cells.append(compare(s, values, numbers, row.is_percent, epoch=epoch, equal_to=equal.get(s)))
    return made


def seed_columns(values: pd.Series[float]) -> dict[str, Any]:
    """The number of seeds, and which, in every CSV."""
    return {"n": len(values), "seeds": " ".join(map(str, values.index))}


HEAD = ("Δ", "worst group", "Δ")
"""Of the cells of :func:`at_end`, after the first two."""


def at_end(
    runs: Mapping[str, Runs], strategy: str, base: str, is_percent: bool, unit: str = ""
) -> tuple[dict[str, Any], list[str]]:
    """A strategy's test metric and worst group at E, and their differences to a base, bold if the interval excludes 0.

    The first are the columns of a CSV, unrounded, with n = 0 where nothing is run; the others a table's, from n on.
    """
    line: dict[str, Any] = {}
    words = []
    for column in COLUMNS:
        ends = {s: runs[s].at(1.0, column) for s in (strategy, base) if s in runs}
        cell = Cell(is_percent, ends.get(strategy, NONE), None, minus(strategy, base, ends), None)
        mean, half_width, n = cell.difference or (None, None, None)
        line |= seed_columns(cell.values)
        line |= {f"mean_{column}{unit}": cell.values.mean(), f"sd_{column}{unit}": cell.values.std(ddof=1)}
        line |= {f"{column}_minus_{base}{unit}": mean, f"{column}_interval_half_width{unit}": half_width, "n_pairs": n}
        words += [cell.spread_text, cell.difference_text(bold=True)]
    return line, [str(line["n"]), *words]
