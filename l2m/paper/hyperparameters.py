"""Table 3: the settings of the runs, from their records, beside the paper's."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from l2m.paper import latex, published
from l2m.paper.rows import ALL
from l2m.report.runs import Runs

NUMBERS = {
    "epochs": "E", "batch_size": "M", "learning_rate": "η", "mixing_rate": "γ", "train_size": "N",
}  # fmt: skip
"""Columns that can be compared, and the paper's letters."""

WORDS = {"model": "model", "recipe": "imbalance"}

HEAD = ("data set", *NUMBERS.values(), *WORDS.values(), "α̃ off by")

CAPTION = (
    "What each row is trained with, as the records of its runs say: epochs E, batch size M, learning rate η, mixing "
    "rate γ of learn2mix, and size N of the training set after thinning: the paper's, if it gives the recorded "
    "proportions to seven digits and the recorded number of steps, else the smallest that does. The paper's settings "
    "(Table 3, sections 4 and B) stand in brackets where they differ, or where nothing is run. Groups are counted from "
    "0 in our imbalance, from 1 in the paper's. Last column: the largest difference between our proportions and those "
    "the paper prints, to four digits "
    "or three."
)


def table(all_runs: Iterable[Runs]) -> tuple[pd.DataFrame, list[list[str]]]:
    """A line a row of the paper, and its variants: ours, missing where nothing is run, and with ``paper_`` the paper's.

    Last, the largest |α̃ − printed α̃|; beside it, the cells under ``HEAD``.
    """
    lines, cells = [], []
    for row in ALL:
        paper, runs = published.settings(row.name), row.runs(all_runs)
        line: dict[str, Any] = {"data_set": row.name} | dict.fromkeys((*NUMBERS, *WORDS))
        line |= {f"paper_{key}": paper[key] for key in (*NUMBERS, *WORDS)}
        off = None
        run = runs.get("learn2mix") or runs.get("classical")
        if run:
            line |= {key: run.settings[key] for key in ("epochs", "batch_size", "learning_rate")}
            line["train_size"] = train_size(run, paper["train_size"])
            line["mixing_rate"] = run.settings.get("strategy.mixing_rate")
            line |= {"model": _words("model", run.settings), "recipe": _words("imbalance", run.settings)}
            if "proportions" in paper:
                off = float(np.abs(run.proportions - paper["proportions"]).max())
        lines.append(line | {"largest_difference_of_proportions": off})
        words = [row.title]
        for key in (*NUMBERS, *WORDS):
            ours, theirs = _text(line[key]), f"[{_text(paper[key])}]"
            same = key in WORDS or line[key] == paper[key]
            words.append(theirs if not run else ours if same else f"{ours} {theirs}")
        cells.append([*words, "not run" if not run else "" if off is None else f"{off:.1g}"])
    return pd.DataFrame(lines).astype({"epochs": "Int64", "batch_size": "Int64", "train_size": "Int64"}), cells


def train_size(run: Runs, printed: int | None = None) -> int | None:
    """The N, for P steps of M, that makes each proportion a whole count: the ``printed`` one, else the smallest."""
    shares = run.proportions
    steps, size = int(next(iter(run.metrics.values()))["steps"].iloc[0]), int(run.settings["batch_size"])
    possible = range(steps * size, (steps + 1) * size)
    for n in sorted(possible, key=lambda n: n != printed):
        counts = shares * n
        if (np.abs(counts - counts.round()) <= 1e-6 * counts + 1e-9).all():  # seven digits are recorded
            return n
    return None


def tex(cells: Iterable[Sequence[str]], label: str) -> str:
    columns = "l" + "r" * len(NUMBERS) + "p{2.6cm}p{3.2cm}r"
    head = ["", *(latex.escape(name) for name in NUMBERS.values()), *WORDS.values(), r"$\tilde\alpha$ off"]
    lines = [latex.line(map(latex.escape, words)) for words in cells]
    return latex.longtable(columns, head, lines, CAPTION, label)


def _text(value: Any) -> str:
    """Powers of ten as in the paper: 5e-6."""
    if isinstance(value, float) and 0 < value < 1e-3:
        power = math.floor(math.log10(value) + 1e-9)
        return f"{value / 10**power:g}e{power}"
    return "?" if pd.isna(value) else f"{value:g}" if isinstance(value, float) else str(value)


def _words(group: str, settings: dict[str, Any]) -> str:
    """The name of a group's choice, and its options; runs of whole numbers as 5-9."""
    words = [settings[f"{group}.name"]]
    for key, value in settings.items():
        if key.startswith(f"{group}.") and key != f"{group}.name":
            words.append(f"{key.partition('.')[2]}={_range(value) if isinstance(value, list) else value}")
    return " ".join(words)


def _range(values: list[int]) -> str:
    """``0-4,7`` for [0, 1, 2, 3, 4, 7]."""
    parts = np.split(values, np.flatnonzero(np.diff(values) != 1) + 1)
    return ",".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts)
