"""Other adaptive mixers and reweighted losses beside learn2mix, at equal steps: a table that the paper lacks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import pandas as pd

from l2m.paper.cells import is_percent, scaled
from l2m.paper.rows import MIXERS, ROWS, Row, commands, missing
from l2m.report.runs import Runs
from l2m.report.statistics import bold_apart, interval, paired, significant, spread

TABLE = ("mean_estimation", "wine_quality", "california_housing", "mnist")
"""The rows of the paper that are compared."""

BASE = "learn2mix"

BESIDE = (BASE, "classical", "balanced", *MIXERS)

COLUMNS = ("test_metric", "worst_group")

CAPTION = (
    "At E, the row's last epoch, after as many steps for each strategy: mean ± sd (ddof 1) over n seeds; accuracies in "
    "%, else mean squared errors, in points for Wine Quality and in units of 100 000 $ for California Housing. Worst "
    "group: of each run. Δ: this strategy − learn2mix on the same seeds ± half of its 95 % t-interval, bold where that "
    "leaves 0 out; no interval is widened for the number of comparisons. Learn2mix has the paper's mixing rate of the "
    "row, the others their default options, which were not tuned. The losses that weigh classes or adjust logits are "
    "for classification alone, and MNIST's classes are nearly equal: there is little to weigh."
)


class Compared(NamedTuple):
    """One strategy of a row at E.

    Attributes:
        values: by column of ``metrics.csv``, the metric by seed: accuracies in %, empty where nothing is run.
        apart: by column, mean of this strategy − learn2mix on the seeds both have, half of its 95 % t-interval, and
            how many they are; no key for learn2mix, and where one of the two is not run.
    """

    row: Row
    strategy: str
    values: dict[str, pd.Series[float]]
    apart: dict[str, tuple[float, float, int]]


def compared(found: Iterable[Runs]) -> list[Compared]:
    """A line a row and strategy that is for its task, run or not."""
    lines = []
    for row in rows():
        runs = row.runs(found)
        ends = {name: {c: scaled(run.at(1.0, c), row) for c in COLUMNS} for name, run in runs.items()}
        for strategy in defined(row):
            values = ends.get(strategy, {c: pd.Series(dtype=float) for c in COLUMNS})
            both = strategy != BASE and strategy in ends and BASE in ends
            apart = {c: paired(values[c], ends[BASE][c]) for c in COLUMNS} if both else {}
            lines.append(Compared(row, strategy, values, apart))
    return lines


def rows() -> list[Row]:
    """Those of ``TABLE``, in its order."""
    by_name = {row.name: row for row in ROWS}
    return [by_name[name] for name in TABLE]


def defined(row: Row) -> list[str]:
    """The strategies of the table that are for the row's task."""
    return [strategy for strategy in BESIDE if strategy in row.configurations()]


def markdown(lines: Sequence[Compared], found: Sequence[Runs]) -> str:
    """A line a row and strategy; below it the commands that train what is missing."""
    head = ["data set", "strategy", "n", "test metric", "Δ", "worst group", "Δ"]
    made = [f"| {' | '.join(head)} |", "|---|---|" + "--:|" * 5]
    for line in lines:
        title = line.row.title + (", %" if is_percent(line.row) else "")
        words = [f"**{title}**" if line.strategy == BASE else "", line.strategy, str(len(line.values[COLUMNS[0]]))]
        for column in COLUMNS:
            digits = significant(line.values[column], is_percent(line.row))
            words += [spread(line.values[column], digits), _told(line.apart.get(column), digits)]
        made.append(f"| {' | '.join(words)} |")
    made += ["", CAPTION, ""]
    lacking = {row.name: lack for row in rows() if (lack := missing(row, found, defined(row)))}
    if lacking:
        made += ["What is not run, or has fewer than five seeds, is trained by", "", "```sh"]
        made += [*commands(lacking), "```", ""]
    return "\n".join(made)


def frame(lines: Iterable[Compared]) -> pd.DataFrame:
    """A line a row and strategy, unrounded; what is not run has n = 0."""
    made = []
    for line in lines:
        seeds = line.values[COLUMNS[0]].index
        told: dict[str, Any] = {
            "data_set": line.row.name,
            "strategy": line.strategy,
            "unit": "accuracy_percent" if is_percent(line.row) else "squared_error",
            "n": len(seeds),
            "seeds": " ".join(map(str, seeds)),
            "n_pairs": line.apart[COLUMNS[0]][2] if line.apart else None,
        }
        for column in COLUMNS:
            values, (apart, half, _) = line.values[column], line.apart.get(column, (None, None, 0))
            told |= {f"mean_{column}": values.mean(), f"sd_{column}": values.std(ddof=1)}
            told |= {f"{column}_minus_{BASE}": apart, f"{column}_interval_half_width": half}
        made.append(told)
    return pd.DataFrame(made).astype({"n_pairs": "Int64"})


def _told(apart: tuple[float, float, int] | None, digits: int) -> str:
    if apart is None:
        return ""
    return bold_apart(interval(*apart, digits), *apart[:2])
