"""A cell of a table: a strategy's test metric, beside classical's, learn2mix's and the paper's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import pandas as pd

from l2m.paper import published
from l2m.paper.published import Printed
from l2m.paper.rows import CONTROLS, THIRD, Row, equal_strategies, with_equal
from l2m.paper.verdict import Judgement, Level, beside, judge, level
from l2m.report.runs import CHECKPOINTS, Runs, checkpoint
from l2m.report.statistics import Difference, paired, significant, spread


class Cell(NamedTuple):
    """One strategy of a row at one epoch.

    Attributes:
        is_percent: whether the metric is an accuracy in %; else it is an error in the square of the target's unit,
            summed over an image for reconstruction.
        values: the metric by seed, empty where nothing is run.
        printed: the paper's number for these settings; None where there is none.
        difference: this strategy − classical on the seeds both have; None for classical, and without classical's runs.
        judged: whether learn2mix does better than this strategy; None for learn2mix, and where ``equal_to`` has it.
        level: how near the paper's number the mean is; None without one of the two.
        epoch: the checkpoint; None where nothing is run.
        equal_to: the strategy whose runs these are, because the two are equal by construction.
    """

    is_percent: bool
    values: pd.Series[float]
    printed: Printed | None
    difference: Difference | None
    judged: Judgement | None
    level: Level | None
    epoch: int | None = None
    equal_to: str | None = None

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


def compare(
    strategy: str, values: Mapping[str, pd.Series[float]], printed: Mapping[str, Printed], is_percent: bool, **more: Any
) -> Cell:
    """The cell of ``strategy`` from the metric by strategy and seed, and the paper's numbers by strategy."""
    this, ours = values.get(strategy), values.get("learn2mix")
    if strategy == "learn2mix" or more.get("equal_to"):
        judged = None
    elif strategy in CONTROLS:
        judged = beside(ours, this, is_percent)
    else:
        judged = judge(ours, this, (printed.get("learn2mix"), printed.get(strategy)), is_percent)
    return Cell(
        is_percent,
        values=pd.Series(dtype=float) if this is None else this,
        printed=printed.get(strategy),
        difference=minus(strategy, "classical", values),
        judged=judged,
        level=None if this is None else level(this, printed.get(strategy)),
        **more,
    )


def minus(strategy: str, base: str, values: Mapping[str, pd.Series[float]]) -> Difference | None:
    """A strategy − ``base`` on the seeds both have; None for the base itself, and where one of the two is not run."""
    both = strategy != base and strategy in values and base in values
    return paired(values[strategy], values[base]) if both else None


def measure(row: Row, all_runs: Iterable[Runs], column: str = "test_metric") -> dict[str, list[Cell]]:
    """By strategy, the cells of a row at .25E, .5E and E; strategies of the third version only where they have runs.

    ``column`` is one of ``metrics.csv``; the paper has numbers for ``test_metric`` alone.
    """
    own = row.runs(all_runs)
    equal = equal_strategies(own)
    runs = with_equal(own)
    printed = published.cells(row.name) if column == "test_metric" else {}
    made: dict[str, list[Cell]] = {s: [] for s in (*row.strategies, *(s for s in THIRD if s in runs))}
    for i, share in enumerate(CHECKPOINTS):
        values = {s: scaled(runs[s].at(share, column), row) for s in made if s in runs}
        numbers = {s: texts[i] for s, texts in printed.items()}
        for s, cells in made.items():
            epoch = checkpoint(share, runs[s].settings["epochs"]) if s in runs else None
            cells.append(compare(s, values, numbers, row.is_percent, epoch=epoch, equal_to=equal.get(s)))
    return made


def scaled(values: pd.Series[float], row: Row) -> pd.Series[float]:
    """A metric in the unit of the paper's tables: accuracies in %."""
    return values * 100 if row.is_percent else values


def seed_columns(values: pd.Series[float]) -> dict[str, Any]:
    """The number of seeds, and which, in every CSV."""
    return {"n": len(values), "seeds": " ".join(map(str, values.index))}
