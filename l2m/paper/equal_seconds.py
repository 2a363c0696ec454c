"""Table 1 of the paper's third version: test accuracy when every strategy has trained for the same time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import pandas as pd

from l2m.paper import published
from l2m.paper.cells import Cell, scaled, told
from l2m.paper.epochs_to_level import BY_NAME
from l2m.paper.published import EqualSeconds
from l2m.paper.rows import CONTROLS, PAPER, THIRD, V3
from l2m.paper.verdict import beside, judge
from l2m.report.runs import Runs
from l2m.report.statistics import paired, spread

CAPTION = (
    "Test accuracy in % after the seconds that classical training takes for the row's epochs on the machine of the "
    "records: mean ± sd (ddof 1) over n seeds. Epochs: how many there was time for, their mean over seeds. Δ: this "
    "strategy − classical on the same seeds ± half of its 95 % t-interval, bold where that leaves 0 out. The paper's "
    "are for an RTX 3090 and the seconds beside them, without an sd, so only the side of learn2mix − this strategy is "
    "judged. Trained by"
)

COMMAND = "python -m l2m.run -m +experiment=table1_v3 results_dir=results"


class Ended(NamedTuple):
    """Where one strategy stands when the time of a claim is over.

    Attributes:
        epochs: by seed, how many there was time for.
        cell: test accuracy in %, and whether learn2mix does better.
    """

    claim: EqualSeconds
    strategy: str
    epochs: pd.Series[float]
    cell: Cell


def ended(found: Iterable[Runs]) -> list[Ended]:
    """A line a claim and strategy of ``table1_v3``; the controls only where they have runs."""
    lines = []
    for claim in published.equal_seconds():
        row = V3.get(claim.row, BY_NAME[claim.row])
        runs = row.runs(found, equal_seconds=True)
        values = {strategy: scaled(run.at(1.0), row) for strategy, run in runs.items()}
        for strategy in (*PAPER, *(s for s in CONTROLS if s in runs), *THIRD):
            ours, theirs = values.get(strategy), values.get("classical")
            printed = claim.values.get("learn2mix"), claim.values.get(strategy)
            lengths = {s: len(table) for s, table in runs[strategy].metrics.items()} if strategy in runs else {}
            cell = Cell(
                epoch=None,
                values=pd.Series(dtype=float) if ours is None else ours,
                printed=claim.values.get(strategy),
                difference=None if ours is None or theirs is None or strategy == "classical" else paired(ours, theirs),
                judged=None
                if strategy == "learn2mix"
                else beside(values.get("learn2mix"), ours, True)
                if strategy in CONTROLS
                else judge(values.get("learn2mix"), ours, printed, True),
            )
            lines.append(Ended(claim, strategy, pd.Series(lengths, dtype=float), cell))
    return lines


def markdown(lines: Iterable[Ended]) -> str:
    """A line a claim and strategy, and the command that trains what is missing."""
    head = ["data set", "strategy", "n", "epochs", "accuracy", "Δ", "paper", "learn2mix − this"]
    made = [f"| {' | '.join(head)} |", "|---|---|" + "--:|" * 5 + "---|"]
    for line in lines:
        cell, first = line.cell, line.strategy == PAPER[0]
        difference = told(cell, percent=True)
        words = [f"**{BY_NAME[line.claim.row].title}**" if first else "", line.strategy, str(len(cell.values))]
        words += [f"{line.epochs.mean():.0f}" if len(line.epochs) else "", spread(cell.values, 1)]
        words += [f"**{difference}**" if cell.stands_apart else difference]
        words += [f"{cell.printed.text} after {line.claim.seconds} s" if cell.printed else ""]
        made.append(f"| {' | '.join([*words, cell.judged.verdict if cell.judged else ''])} |")
    return "\n".join([*made, "", CAPTION, "", "```sh", COMMAND, "```", ""])


def frame(lines: Iterable[Ended]) -> pd.DataFrame:
    """A line a claim and strategy, unrounded."""
    made = []
    for line in lines:
        cell, (apart, half, n) = line.cell, line.cell.difference or (None, None, None)
        made.append(
            {"data_set": line.claim.row, "strategy": line.strategy, "n": len(cell.values)}
            | {"seeds": " ".join(map(str, cell.values.index)), "mean_epochs": line.epochs.mean()}
            | {"mean_accuracy_percent": cell.values.mean(), "sd_accuracy_percent": cell.values.std(ddof=1)}
            | {"paper_accuracy_percent": cell.printed.mean if cell.printed else None}
            | {"paper_seconds": line.claim.seconds if cell.printed else None, "minus_classical_accuracy_percent": apart}
            | {"interval_half_width_accuracy_percent": half, "n_pairs": n}
            | {"effect": cell.judged.verdict if cell.judged else None}
        )
    return pd.DataFrame(made).astype({"paper_seconds": "Int64", "n_pairs": "Int64"})
