"""``index.html``: effects first, then each row's numbers, curves and runs, in one file that needs no other.

It extends the page of :mod:`l2m.report.page` by the verdicts, the paper's numbers, experiments and studies.
"""

import io
import re
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.figure import Figure

from l2m.files import write_whole
from l2m.paper import cells, experiments, published
from l2m.paper.cells import Cell
from l2m.paper.results import Results
from l2m.paper.rows import ALL, CONTROLS, MIXERS, ROWS, VARIANTS, Row, commands, missing
from l2m.paper.verdict import BESIDE_RULE, EFFECT_RULE, LEVEL_RULE, REPLACED, Verdict, judge_against, paper_effect
from l2m.report import drawing
from l2m.report import page as report
from l2m.report.page_data import curves, effect, records, rounded, verdict_of
from l2m.report.runs import EPOCHS, Runs
from l2m.report.statistics import mean_in_pairs

SYMBOLS: dict[Verdict, str] = {
    "confirmed": "✓", "smaller": "↓", "larger": "↑", "same sign": "↗", "inconclusive": "?", "opposite": "✗",
    "contradicted": "≠", "reproduced": "✓", "direction only": "↗", "not reproduced": "✗", "too few seeds": "…",
    "not run": "–", "better": "✓", "undecided": "?", "worse": "✗",
}  # fmt: skip
"""Beside the word and the colour, so that none of the three is needed."""


def write(results: Results, file: Path) -> None:
    """Write the page; its links go to ``runs/``, ``tables/`` and ``figures/`` beside it."""
    write_whole(file, render(results, file.parent).encode())


def render(results: Results, folder: Path) -> str:
    """The page of the records that lie in ``folder``; text from records is escaped."""
    with mpl.rc_context(drawing.PRINT):
        shown = [row for row in ALL if row in ROWS or row.runs(results.runs)]
        sections = [section(row, results.runs, folder) for row in shown]
        varied = {
            name: report.sections(name, runs, folder) for name, runs in experiments.runs(results.runs).items() if runs
        }
        studied = [
            {
                "id": one.path.name,
                "study": one.study,
                "options": ", ".join(f"{key}={value}" for key, value in one.options.items()),
                "claims": one.claims,
                "figures": [svg(figure, name) for name, figure in one.figures().items()],
                "files": [(one.path / f"{name}.csv").relative_to(folder).as_posix() for name in one.tables],
            }
            for one in results.studies
        ]
    beside = sorted([*folder.glob("figures/*.pdf"), *folder.glob("tables/*.csv")])
    styles = {name: [colour, report.dashes(dash)] for name, (colour, dash) in drawing.STYLES.items()}
    return report.render(
        Path(__file__).with_name("page.html"),
        script="effects.js",
        sections=sections,
        tally=partial(tally, sections),
        data=report.data([*chain(*varied.values()), *sections], [], symbols=SYMBOLS, styles=styles),
        variants=VARIANTS,
        symbols=SYMBOLS,
        rules=[EFFECT_RULE, BESIDE_RULE, LEVEL_RULE, REPLACED],
        epochs=EPOCHS,
        experiments=varied,
        titles=experiments.TITLES,
        studies=studied,
        beside=[path.relative_to(folder).as_posix() for path in beside],
        problems=[problem.replace(f"{folder}/", "") for problem in results.problems],
        unfinished=results.unfinished,
    )


NO_EFFECT = {"verdict": "not run", "text": "", "paper_text": "", "note": ""}


def tally(sections: Sequence[dict[str, Any]], opponent: str, column: str) -> dict[Verdict, list[str]]:
    """By verdict on learn2mix against an opponent at E, the titles of its rows."""
    counted: dict[Verdict, list[str]] = {}
    for each in sections:
        verdict = each["data"]["effects"][column].get(opponent, [NO_EFFECT])[-1]["verdict"]
        counted.setdefault(verdict, []).append(each["row"].title)
    return counted


def section(row: Row, all_runs: Sequence[Runs], folder: Path) -> dict[str, Any]:
    """A row of the paper as the template shows it: by strategy, ``cells`` at the checkpoints, ``worst`` likewise for
    the worst group, and the paper's numbers ``printed``; and what the page draws of it, ``data``."""
    runs = row.runs(all_runs)
    measured, worst = (
        {strategy: made for strategy, made in each.items() if made[-1].epoch}
        for each in (cells.measure(row, all_runs, column, MIXERS) for column in ("test_metric", "worst_group"))
    )
    effects = {"test_metric": row_effects(measured, True), "worst_group": row_effects(worst, False)}
    printed = published.cells(row.name)
    made = records(row.name, runs, folder)
    for run in made.values():
        again = f"python -m l2m.run dataset={row.name} strategy={run['strategy']} seed={run['seed']}"
        run["info"] = {"command": again} | run["info"]
    return {
        "row": row,
        "cells": measured,
        "worst": worst,
        "printed": printed,
        "effect": effects["test_metric"].get("classical", [NO_EFFECT])[-1],
        "strategies": list(dict.fromkeys([*row.strategies, *measured])),
        "name": row.name,
        "records": made,
        "commands": commands(missing([row], all_runs, lambda row: row.strategies)),
        "data": {
            "title": row.title,
            "is_percent": row.is_percent,
            "metric": drawing.metric(next(iter(runs.values()))) if runs else "",
            "epochs": [cell.epoch for cell in next(iter(measured.values()), [])],
            "paper": {s: [[number.mean, number.sd] for number in numbers] for s, numbers in printed.items()},
            "effects": effects,
            "curves": {strategy: curves(run) for strategy, run in runs.items()},
            "shown": ["learn2mix", "classical", "stratified"],
        },
    }


def row_effects(row_cells: Mapping[str, list[Cell]], is_claim: bool) -> dict[str, list[dict[str, Any]]]:
    """By opponent and at .25E, .5E and E: learn2mix − the opponent, as :func:`~l2m.report.page_data.effect` has it.

    Beside it are a ``note`` and the ``paper``'s difference with two standard errors; ``is_claim`` if it has one.
    """
    made: dict[str, list[dict[str, Any]]] = {}
    for strategy, row in row_cells.items():
        is_claimed = is_claim and strategy not in (*CONTROLS, *MIXERS)
        for i, cell in enumerate(row):
            judged, ours = cell.judged, row_cells["learn2mix"][i] if "learn2mix" in row_cells else None
            if cell.equal_to and ours:  # the paper's number is that of this strategy, if it has one
                numbers = ours.printed, cell.printed
                judged = judge_against(strategy, ours.values, cell.values, numbers, cell.is_percent)
            if judged is None or judged.difference.n == 0:
                continue
            verdict = judged.verdict if is_claimed else verdict_of(judged.difference, cell.is_percent)
            paper = judged.paper
            beside = {
                "note": judged.note,
                "paper": paper and [rounded(paper.mean), paper.error and rounded(2 * paper.error)],
                "paper_base": paper and cell.printed and cell.printed.mean,
                "paper_text": paper_effect(paper, cell.digits),
            }
            base = mean_in_pairs(cell.values, row_cells["learn2mix"][i].values)
            made.setdefault(strategy, []).append(effect(judged.difference, cell.digits, base, verdict, **beside))
    return made


def svg(figure: Figure, salt: str) -> Markup:
    """A figure as an SVG element, whose ids are unique on the page: ``salt`` is the figure's own."""
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": salt}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    used = set(re.findall(r'#([^")]+)[")]', text))
    return Markup(re.sub(r' id="([^"]*)"', lambda name: name[0] if name[1] in used else "", text))
