"""Test metric and worst group at E, each strategy with its difference to a base: the numbers and their text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from l2m.paper.cells import minus, seed_columns
from l2m.report.runs import Runs
from l2m.report.statistics import Difference, digits_of, spread_of

COLUMNS = ("test_metric", "worst_group")

HEAD = ("Δ", "worst group", "Δ")
"""Of the cells of :func:`texts`, after the first."""

Ends = Mapping[str, Mapping[str, "pd.Series[float]"]]
"""By column and strategy: the metric by seed."""


def ends(runs: Mapping[str, Runs], factor: float) -> Ends:
    """At E, times ``factor``: 100 for accuracies in %."""
    return {column: {name: factor * run.at(1.0, column) for name, run in runs.items()} for column in COLUMNS}


def numbers(ends: Ends, strategy: str, base: str, unit: str = "") -> dict[str, Any]:
    """The columns of a CSV, unrounded; without runs n = 0."""
    line = seed_columns(ends[COLUMNS[0]].get(strategy, pd.Series(dtype=float)))
    for column in COLUMNS:
        values = ends[column].get(strategy, pd.Series(dtype=float))
        difference = minus(strategy, base, ends[column]) or (None, None, None)
        statistics = (values.mean(), values.std(ddof=1), *difference)
        line |= dict(zip(_names(column, base, unit), statistics, strict=True))
    return line


def texts(line: Mapping[Any, Any], base: str, is_percent: bool, unit: str = "") -> Iterable[str]:
    """Mean ± sd and the difference, bold where its interval excludes 0, of both columns of :func:`numbers`."""
    for column in COLUMNS:
        mean, sd, *difference = (line[name] for name in _names(column, base, unit))
        digits = digits_of(mean, is_percent)
        yield spread_of(mean, sd, line["n"], digits)
        yield "" if pd.isna(line["n_pairs"]) else Difference(*difference).text(digits, bold=True)


def _names(column: str, base: str, unit: str) -> tuple[str, ...]:
    difference = (f"{column}_minus_{base}{unit}", f"{column}_interval_half_width{unit}", "n_pairs")
    return (f"mean_{column}{unit}", f"sd_{column}{unit}", *difference)
