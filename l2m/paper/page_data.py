"""The numbers that the page's scripts draw: effects, curves thinned to some 60 points, and runs, ready for JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from l2m.paper.cells import Cell
from l2m.paper.rows import CONTROLS, MIXERS, Row
from l2m.paper.verdict import Verdict, paper_effect
from l2m.records.directory import RunDirectory
from l2m.report import drawing
from l2m.report.runs import Runs

POINTS = 50
"""Of a curve at least, and less than twice as many."""

BESIDE: dict[Verdict, Verdict] = {"same sign": "better", "opposite": "worse", "inconclusive": "undecided"}
"""Words for effects that the paper does not claim."""


def effects(row_cells: Mapping[str, list[Cell]], is_claim: bool) -> dict[str, list[dict[str, Any]]]:
    """By opponent and at .25E, .5E and E: learn2mix − the opponent, in the unit of the cells.

    Each has the ``verdict``, the ``mean`` and ``half`` width of the interval over ``n`` seeds, the same as ``text``,
    the ``paper``'s difference with two standard errors, and ``base``, the opponent's mean. ``is_claim`` says whether
    the metric is the paper's.
    """
    made: dict[str, list[dict[str, Any]]] = {}
    for strategy, cells in row_cells.items():
        for i, cell in enumerate(cells):
            judged = row_cells.get(cell.equal_to or strategy, cells)[i].judged
            if judged is None or judged.difference.n == 0:
                continue
            (mean, half, n), paper = judged.difference, judged.paper
            words = {} if is_claim and strategy not in (*CONTROLS, *MIXERS) else BESIDE
            made.setdefault(strategy, []).append(
                {
                    "verdict": words.get(judged.verdict, judged.verdict),
                    "note": judged.note,
                    "mean": rounded(mean),
                    "half": rounded(half),
                    "n": n,
                    "text": judged.difference.text(cell.digits),
                    "base": rounded(cell.values.mean()),
                    "paper": paper and [rounded(paper.mean), paper.error and rounded(2 * paper.error)],
                    "paper_text": paper_effect(paper, cell.digits),
                }
            )
    return made


def curves(run: Runs) -> dict[str, Any]:
    """A strategy's means over seeds by epoch, with the ends of their intervals from three seeds on, and its groups."""
    made: dict[str, Any] = {"n": len(run.metrics), "settings": run.settings}
    for column in ("test_metric", "worst_group"):
        table = drawing.mean_and_band(run, column, POINTS)
        made["epochs"] = table.index.tolist()
        made[column] = {end: series(table[end]) for end in (table if made["n"] > 2 else ["mean"])}
    for column, scale in (("proportion", 1), ("test_metric", 100 if run.task.higher_is_better else 1)):
        table = drawing.thinned(drawing.by_group(run, column) * scale, POINTS)
        made["names"] = [str(name) for name in table]
        constant = float((table.max() - table.min()).max()) < 1e-9
        made[f"group_{column}"] = [series(group)[: 1 if constant else None] for _, group in table.T.iterrows()]
    return made


def records(row: Row, runs: Mapping[str, Runs], folder: Path) -> dict[str, dict[str, Any]]:
    """By its directory relative to the results ``folder``: a run's curves, groups at its end, seconds and files."""
    made, files = {}, ("metrics.csv", "metrics.csv.gz", "groups.csv", "groups.csv.gz", "config.yaml", "run.json")
    for strategy, run in runs.items():
        config, scale = row.configurations()[strategy], 100 if run.task.higher_is_better else 1
        columns = {"proportion": 1, "count": 1, "train_loss": 1, "test_metric": scale}
        for seed, metrics in run.metrics.items():
            place = RunDirectory(replace(config, seed=seed, results_dir="")).path.as_posix()
            table, groups = drawing.thinned(metrics, POINTS), run.groups[seed]
            last = groups[groups["epoch"] == groups["epoch"].max()]
            made[place] = {
                "row": row.name,
                "strategy": strategy,
                "seed": seed,
                "epochs": table["epoch"].tolist(),
                "test_metric": series(table["test_metric"] * scale),
                "worst_group": series(table["worst_group"] * scale),
                "seconds": rounded(metrics["seconds"].iloc[-1]),
                "groups": [series(last[column] * by) for column, by in columns.items()],
                "info": run.info[seed],
                "files": [name for name in files if (folder / place / name).exists()],
            }
    return made


def series(values: pd.Series[float]) -> list[float | None]:
    return [rounded(value) for value in values]


def rounded(value: float) -> float | None:
    """With five digits that count; None where there is no number."""
    return float(f"{value:.5g}") if math.isfinite(value) else None
