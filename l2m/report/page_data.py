"""The numbers that a page's scripts draw: effects, curves thinned to some 60 points, and runs, ready for JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from l2m.report import drawing
from l2m.report.runs import CHECKPOINTS, Runs
from l2m.report.statistics import MIN_SEEDS, Difference, mean_in_pairs, paired, significant

COLUMNS = ("test_metric", "worst_group")

POINTS = 50
"""Of a curve at least, and less than twice as many."""

OPPONENTS = 8
"""Configurations of a subject that the others are compared with, at most."""

MANY_GROUPS = 20
"""From so many on, their curves have a fifth of the points."""

INFO = ("command", "seconds", "device", "threads", "version", "commit", "torch", "start")
"""What a page says of a run from its ``run.json``."""

FILES = ("metrics.csv", "metrics.csv.gz", "groups.csv", "groups.csv.gz", "config.yaml", "run.json")


def effect(difference: Difference, digits: int, base: float, verdict: str, **more: Any) -> dict[str, Any]:
    """A difference: ``mean``, ``half`` width, ``n``, ``text``, ``verdict``, and the opponent's mean, ``base``."""
    numbers = {"mean": rounded(difference.mean), "half": rounded(difference.half_width), "base": rounded(base)}
    return {**numbers, "n": difference.n, "text": difference.text(digits), "verdict": verdict, **more}


def verdict_of(
    difference: Difference, higher_is_better: bool
) -> Literal["better", "worse", "undecided", "too few seeds"]:
    """``better`` or ``worse`` where the interval excludes 0, else ``undecided``; ``too few seeds`` below three."""
    if difference.n < MIN_SEEDS:
        return "too few seeds"
    if not difference.excludes_zero:
        return "undecided"
    return "better" if (difference.mean > 0) == higher_is_better else "worse"


def effects(runs: Mapping[str, Runs]) -> dict[str, Any]:
    """By column of ``metrics.csv``, opponent and label: the effects at .25E, .5E and E on the seeds that both have."""
    first = ("classical", "learn2mix")
    order = sorted(runs, key=lambda label: first.index(s) if (s := runs[label].strategy) in first else len(first))
    by_column: dict[str, Any] = {}
    for column in COLUMNS:
        values = {label: [run.at(share, column) for share in CHECKPOINTS] for label, run in runs.items()}
        compared = {
            opponent: {label: made for label, run in runs.items()
                       if label != opponent and (made := _compared(values[label], values[opponent], run))}
            for opponent in order[:OPPONENTS]
        }  # fmt: skip
        by_column[column] = {opponent: made for opponent, made in compared.items() if made}
    return by_column


def _compared(ours: list[pd.Series[float]], theirs: list[pd.Series[float]], run: Runs) -> list[dict[str, Any]]:
    better = run.task.higher_is_better
    return [
        effect(difference, significant(one, better), mean_in_pairs(other, one), verdict_of(difference, better))
        for one, other in zip(ours, theirs, strict=True)
        if (difference := paired(one, other)).n
    ]


def curves(run: Runs) -> dict[str, Any]:
    """A configuration's means over seeds by epoch, the ends of their intervals from three seeds on, and its groups."""
    made: dict[str, Any] = {"n": len(run.metrics), "settings": run.settings}
    for column in COLUMNS:
        table = drawing.mean_and_band(run, column, POINTS)
        made["epochs"] = table.index.tolist()
        made[column] = {end: series(table[end]) for end in (table if made["n"] > 2 else ["mean"])}
    for column, scale in (("proportion", 1), ("test_metric", 100 if run.task.higher_is_better else 1)):
        table = drawing.by_group(run, column) * scale
        table = drawing.thinned(table, POINTS if table.shape[1] < MANY_GROUPS else POINTS // 5)
        made["group_epochs"] = table.index.tolist()
        made["names"] = [str(name) for name in table]
        constant = float((table.max() - table.min()).max()) < 1e-9
        made[f"group_{column}"] = [series(group)[: 1 if constant else None] for _, group in table.T.iterrows()]
    return made


def records(subject: str, runs: Mapping[str, Runs], folder: Path) -> dict[str, dict[str, Any]]:
    """By its directory relative to the results ``folder``: a run's curves, groups at its end, seconds and files."""
    made = {}
    for label, run in runs.items():
        scale = 100 if run.task.higher_is_better else 1
        columns = {"proportion": 1, "count": 1, "train_loss": 1, "test_metric": scale}
        for seed, metrics in run.metrics.items():
            place = run.places[seed]
            table, groups = drawing.thinned(metrics, POINTS), run.groups[seed]
            last = groups[groups["epoch"] == run.info[seed].get("best_epoch", groups["epoch"].max())]
            made[place] = {
                "row": subject,
                "strategy": label,
                "seed": seed,
                "epochs": table["epoch"].tolist(),
                "test_metric": series(table["test_metric"] * scale),
                "worst_group": series(table["worst_group"] * scale),
                "seconds": rounded(metrics["seconds"].iloc[-1]),
                "groups": [series(last[column] * by) for column, by in columns.items()],
                "info": {key: value for key, value in run.info[seed].items() if key in INFO},
                "files": [name for name in FILES if (folder / place / name).exists()],
            }
    return made


def series(values: pd.Series[float]) -> list[float | None]:
    return [rounded(value) for value in values]


def rounded(value: float) -> float | None:
    """With five digits that count; None where there is no number."""
    return float(f"{value:.5g}") if math.isfinite(value) else None
