"""What stands in a cell: a strategy's test metric at a checkpoint, beside classical's, learn2mix's and the paper's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import pandas as pd

from l2m.paper import published
from l2m.paper.published import Printed
from l2m.paper.rows import CONTROLS, THIRD, Row, equal_strategies, with_equal
from l2m.paper.verdict import Judgement, Level, beside, judge, level
from l2m.report.runs import CHECKPOINTS, Runs, checkpoint
from l2m.report.statistics import interval, paired, significant


class Cell(NamedTuple):
    """One strategy of a row at one checkpoint.

    Attributes:
        epoch: the checkpoint; None where nothing is run.
        values: the metric by seed, empty where nothing is run: accuracies in %, errors in the square of the
            target's unit, those of reconstruction summed over an image.
        printed: the paper's number for these settings; None where there is none.
        difference: mean of this strategy − classical on the seeds both have, half of its 95 % t-interval, and how
            many they are; None for classical, and without classical's runs.
        judged: whether learn2mix does better than this strategy; None for learn2mix, and where ``equal_to`` has it.
        level: how near the paper's number the mean is; None without one of the two.
        equal_to: the strategy whose runs these are, because the two are equal by construction.
    """

    epoch: int | None
    values: pd.Series[float]
    printed: Printed | None
    difference: tuple[float, float, int] | None
    judged: Judgement | None
    level: Level | None = None
    equal_to: str | None = None

    @property
    def stands_apart(self) -> bool:
        """Whether the interval of the difference to classical leaves 0 out."""
        return self.difference is not None and abs(self.difference[0]) > self.difference[1]


def is_percent(row: Row) -> bool:
    """Whether a row's metric is an accuracy, told in %."""
    return row.table == 1


def measure(row: Row, found: Iterable[Runs], column: str = "test_metric") -> dict[str, list[Cell]]:
    """By strategy, the cells of a row at .25E, .5E and E; strategies of the third version only where they have runs.

    ``column`` is one of ``metrics.csv``; the paper has numbers for ``test_metric`` alone.
    """
    own = row.runs(found)
    equal = equal_strategies(own)
    runs = with_equal(own)
    printed = published.cells(row.name) if column == "test_metric" else {}
    made: dict[str, list[Cell]] = {}
    for strategy in (*row.strategies, *(s for s in THIRD if s in runs)):
        made[strategy] = []
        for i, share in enumerate(CHECKPOINTS):
            ours, this, classical = (
                scaled(runs[s].at(share, column), row) if s in runs else None
                for s in ("learn2mix", strategy, "classical")
            )
            learn2mix, there = (printed[s][i] if s in printed else None for s in ("learn2mix", strategy))
            cell = Cell(
                epoch=checkpoint(share, runs[strategy].settings["epochs"]) if strategy in runs else None,
                values=pd.Series(dtype=float) if this is None else this,
                printed=there,
                difference=None
                if this is None or classical is None or strategy == "classical"
                else paired(this, classical),
                judged=None
                if strategy == "learn2mix" or strategy in equal
                else beside(ours, this, is_percent(row))
                if strategy in CONTROLS
                else judge(ours, this, (learn2mix, there), is_percent(row)),
                level=None if this is None else level(this, there),
                equal_to=equal.get(strategy),
            )
            made[strategy].append(cell)
    return made


def scaled(values: pd.Series[float], row: Row) -> pd.Series[float]:
    """A metric in the unit that the paper's tables have: accuracies in %."""
    return values * 100 if is_percent(row) else values


def describe_level(cell: Cell, percent: bool) -> str:
    """``within 5.7``, or outside: how the mean lies to the paper's, and the tolerance; empty without one of them."""
    if cell.level is None:
        return ""
    return f"{cell.level.word} {cell.level.tolerance:.{significant(cell.values, percent)}f}"


def told(cell: Cell, percent: bool) -> str:
    """The cell's difference to classical; empty where there is none."""
    return interval(*cell.difference, significant(cell.values, percent)) if cell.difference else ""
