"""The effects that the results page draws, with the paper's, ready for JSON."""

from collections.abc import Mapping
from typing import Any

from l2m.paper.cells import Cell
from l2m.paper.rows import CONTROLS, MIXERS
from l2m.paper.verdict import Verdict, paper_effect
from l2m.report.page_data import effect, rounded

BESIDE: dict[Verdict, Verdict] = {"same sign": "better", "opposite": "worse", "inconclusive": "undecided"}
"""Words for effects that the paper does not claim."""


def effects(row_cells: Mapping[str, list[Cell]], is_claim: bool) -> dict[str, list[dict[str, Any]]]:
    """By opponent and at .25E, .5E and E: learn2mix − the opponent, in the unit of the cells.

    Each is an :func:`~l2m.report.page_data.effect` with a ``note`` and the ``paper``'s difference with two standard
    errors. ``is_claim`` says whether the metric is the paper's.
    """
    made: dict[str, list[dict[str, Any]]] = {}
    for strategy, cells in row_cells.items():
        words = {} if is_claim and strategy not in (*CONTROLS, *MIXERS) else BESIDE
        for i, cell in enumerate(cells):
            judged = row_cells.get(cell.equal_to or strategy, cells)[i].judged
            if judged is None or judged.difference.n == 0:
                continue
            verdict, paper = words.get(judged.verdict, judged.verdict), judged.paper
            beside = {
                "note": judged.note,
                "paper": paper and [rounded(paper.mean), paper.error and rounded(2 * paper.error)],
                "paper_text": paper_effect(paper, cell.digits),
            }
            base = float(cell.values.mean())
            made.setdefault(strategy, []).append(effect(judged.difference, cell.digits, base, verdict, **beside))
    return made
