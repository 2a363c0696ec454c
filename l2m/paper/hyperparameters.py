"""Table 3: what the runs were trained with, as their records say, beside what the paper says."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from l2m.paper import latex, published
from l2m.paper.rows import ROWS, VARIANTS, Row
from l2m.report.runs import Runs

NUMBERS = {
    "epochs": "E", "batch_size": "M", "learning_rate": "η", "mixing_rate": "γ", "train_size": "N",
}  # fmt: skip
"""Columns that can be compared, and the paper's letters."""

WORDS = {"model": "model", "recipe": "imbalance"}

CAPTION = (
    "What each row is trained with, as the records of its runs say: epochs E, batch size M, learning rate η, mixing "
    "rate γ of learn2mix, and size N of the training set after thinning, which is the smallest that gives the recorded "
    "proportions to seven digits and the recorded number of steps. The paper's settings (Table 3, sections 4 and B) "
    "stand in brackets where they differ, or where nothing is run. Groups are counted from 0 in our imbalance, from 1 "
    "in the paper's. Last column: the largest difference between our proportions and those the paper prints, to four "
    "digits or three."
)


class Settings(NamedTuple):
    """Settings of a row: ours by name, None where nothing is run; the paper's; and the largest |α̃ − printed α̃|."""

    row: Row
    ours: dict[str, Any] | None
    paper: dict[str, Any]
    proportions_off: float | None


def settings(found: Iterable[Runs]) -> list[Settings]:
    """A line a row of the paper, and its variants."""
    lines = []
    for row in (*ROWS, *VARIANTS):
        paper, runs = published.settings(row.name), row.runs(found)
        if not {"learn2mix", "classical"} & runs.keys():
            lines.append(Settings(row, None, paper, None))
            continue
        run = runs.get("learn2mix") or runs["classical"]
        shares = run.proportions
        printed = paper.get("proportions")
        ours = {
            **{key: run.settings[key] for key in ("epochs", "batch_size", "learning_rate")},
            "mixing_rate": runs["learn2mix"].settings["strategy.mixing_rate"] if "learn2mix" in runs else None,
            "train_size": train_size(run),
            "model": _words("model", run.settings),
            "recipe": _words("imbalance", run.settings),
        }
        off = None if printed is None else float(np.abs(shares - printed).max())
        lines.append(Settings(row, ours, paper, off))
    return lines


def train_size(run: Runs) -> int | None:
    """The smallest N of P·M to (P + 1)·M − 1 of which every proportion, told to seven digits, is a whole number."""
    shares = run.proportions
    steps, size = int(next(iter(run.metrics.values()))["steps"].iloc[0]), int(run.settings["batch_size"])
    for n in range(steps * size, (steps + 1) * size):
        counts = shares * n
        if (np.abs(counts - counts.round()) <= 1e-6 * counts + 1e-9).all():
            return n
    return None


def markdown(rows: Iterable[Settings]) -> str:
    """A line a row."""
    head = ["data set", *NUMBERS.values(), *WORDS.values(), "α̃ off by"]
    lines = [f"| {' | '.join(head)} |", "|---|" + "--:|" * len(NUMBERS) + "---|---|--:|"]
    lines += [f"| {' | '.join(_cells(line))} |" for line in rows]
    return "\n".join([*lines, "", CAPTION, ""])


def tex(rows: Iterable[Settings], label: str) -> str:
    """The same as a ``longtable``."""
    columns = "l" + "r" * len(NUMBERS) + "p{2.6cm}p{3.2cm}r"
    head = " & ".join(["", *(latex.escape(name) for name in NUMBERS.values()), *WORDS.values(), r"$\tilde\alpha$ off"])
    lines = [f"{' & '.join(map(latex.escape, _cells(line)))} \\\\" for line in rows]
    return latex.longtable(columns, head, lines, CAPTION, label)


def frame(rows: Iterable[Settings]) -> pd.DataFrame:
    """A line a row: ours and, with ``paper_`` before, the paper's."""
    lines = []
    for line in rows:
        keys = (*NUMBERS, *WORDS)
        both = {key: (line.ours or {}).get(key) for key in keys}
        both |= {f"paper_{key}": line.paper[key] for key in keys}
        lines.append({"data_set": line.row.name, **both, "largest_difference_of_proportions": line.proportions_off})
    return pd.DataFrame(lines).astype({"epochs": "Int64", "batch_size": "Int64", "train_size": "Int64"})


def _cells(line: Settings) -> list[str]:
    words = [line.row.title]
    for key in (*NUMBERS, *WORDS):
        paper = _text(line.paper[key])
        if line.ours is None:
            words.append(f"[{paper}]")
            continue
        ours = _text(line.ours[key])
        same = key in WORDS or line.ours[key] == line.paper[key]
        words.append(ours if same else f"{ours} [{paper}]")
    if line.ours is None:
        return [*words, "not run"]
    return [*words, "" if line.proportions_off is None else f"{line.proportions_off:.1g}"]


def _text(value: Any) -> str:
    """Powers of ten as in the paper: 5e-6."""
    if isinstance(value, float) and 0 < value < 1e-3:
        power = math.floor(math.log10(value) + 1e-9)
        return f"{value / 10**power:g}e{power}"
    return "?" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _words(group: str, settings: dict[str, Any]) -> str:
    """The name of a group's choice, and its options; runs of whole numbers as 5-9."""
    words = [settings[f"{group}.name"]]
    for key, value in settings.items():
        if key.startswith(f"{group}.") and key != f"{group}.name":
            words.append(f"{key.partition('.')[2]}={_range(value) if isinstance(value, list) else value}")
    return " ".join(words)


def _range(values: list[int]) -> str:
    """``0-4,7`` for [0, 1, 2, 3, 4, 7]."""
    parts: list[list[int]] = []
    for value in values:
        if parts and value == parts[-1][-1] + 1:
            parts[-1].append(value)
        else:
            parts.append([value])
    return ",".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts)
