"""Table 1 of the paper's third version: test accuracy when every strategy has trained for the same time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import pandas as pd

from l2m.paper import markdown, published
from l2m.paper.cells import Cell, compare, scaled, seed_columns
from l2m.paper.published import Claim
from l2m.paper.rows import BY_NAME, CONTROLS, PAPER, THIRD, V3
from l2m.report.runs import Runs

CAPTION = (
    "Test accuracy in % after the seconds that classical training takes for the row's epochs on the machine of the "
    "records: mean ± sd (ddof 1) over n seeds. Epochs: how many there was time for, their mean over seeds. Δ: this "
    "strategy − classical on the same seeds ± half of its 95 % t-interval, bold where that leaves 0 out. The paper's "
    "are for an RTX 3090 and the seconds beside them, without an sd, so only the side of learn2mix − this strategy is "
    "judged. Trained by"
)

COMMAND = "python -m l2m.run -m +experiment=table1_v3 results_dir=results"


class Ended(NamedTuple):
    """One strategy at the end of a claim's time.

    Attributes:
        epochs: by seed, how many there was time for.
        cell: test accuracy in %, and whether learn2mix does better.
    """

    claim: Claim
    strategy: str
    epochs: pd.Series[float]
    cell: Cell


def ended(all_runs: Iterable[Runs]) -> list[Ended]:
    """A line a claim and strategy of ``table1_v3``; the controls only where they have runs."""
    lines = []
    for claim in published.equal_seconds():
        row = V3.get(claim.row, BY_NAME[claim.row])
        runs = row.runs(all_runs, equal_seconds=True)
        values = {strategy: scaled(run.at(1.0), row) for strategy, run in runs.items()}
        printed = {strategy: number for strategy, number in claim.values.items() if number}
        for strategy in (*PAPER, *(s for s in CONTROLS if s in runs), *THIRD):
            lengths = {s: len(table) for s, table in runs[strategy].metrics.items()} if strategy in runs else {}
            epochs = pd.Series(lengths, dtype=float)
            lines.append(Ended(claim, strategy, epochs, compare(strategy, values, printed, is_percent=True)))
    return lines


def table(lines: Iterable[Ended]) -> str:
    """In Markdown, a line a claim and strategy, and the command that trains what is missing."""
    head = ["data set", "strategy", "n", "epochs", "accuracy", "Δ", "paper", "learn2mix − this"]
    rows = []
    for claim, strategy, epochs, cell in lines:
        title = f"**{BY_NAME[claim.row].title}**" if strategy == PAPER[0] else ""
        words = [title, strategy, str(len(cell.values)), f"{epochs.mean():.0f}" if len(epochs) else ""]
        words += [cell.spread_text, cell.difference_text(bold=True)]
        words += [f"{cell.printed.text} after {claim.at} s" if cell.printed else ""]
        rows.append([*words, cell.judged.verdict if cell.judged else ""])
    return markdown.page(markdown.table(head, "llrrrrrl", rows), CAPTION, COMMAND)


def frame(lines: Iterable[Ended]) -> pd.DataFrame:
    """A line a claim and strategy, unrounded."""
    made = []
    for claim, strategy, epochs, cell in lines:
        difference, half_width, n = cell.difference or (None, None, None)
        made.append(
            {"data_set": claim.row, "strategy": strategy}
            | seed_columns(cell.values)
            | {
                "mean_epochs": epochs.mean(),
                "mean_accuracy_percent": cell.values.mean(),
                "sd_accuracy_percent": cell.values.std(ddof=1),
                "paper_accuracy_percent": cell.printed.mean if cell.printed else None,
                "paper_seconds": claim.at if cell.printed else None,
                "minus_classical_accuracy_percent": difference,
                "interval_half_width_accuracy_percent": half_width,
                "n_pairs": n,
                "effect": cell.judged.verdict if cell.judged else None,
            }
        )
    return pd.DataFrame(made).astype({"paper_seconds": "Int64", "n_pairs": "Int64"})
