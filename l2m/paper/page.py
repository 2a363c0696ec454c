"""``index.html``: verdicts first, then each row's numbers, curves and records, in one file that needs no other."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jinja2
import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from l2m.files import write_whole
from l2m.paper import cells, experiments, figures, published
from l2m.paper.cells import Cell
from l2m.paper.results import Results
from l2m.paper.rows import ROWS, VARIANTS, Row, commands, missing
from l2m.paper.verdict import EFFECT_RULE, LEVEL_RULE, NOT_RUN, REPLACED, Verdict, paper_effect
from l2m.records.directory import RunDirectory
from l2m.report import drawing
from l2m.report.runs import EPOCHS, Runs

SYMBOLS: dict[Verdict, str] = {
    "confirmed": "✓", "smaller": "↓", "larger": "↑", "same sign": "↗", "inconclusive": "?", "opposite": "✗",
    "contradicted": "≠", "reproduced": "✓", "direction only": "↗", "not reproduced": "✗", "too few seeds": "…",
    "not run": "–",
}  # fmt: skip
"""Beside the word and the colour, so that none of the three is needed."""

FILES = ("metrics.csv", "groups.csv", "config.yaml", "run.json")
"""What the page links of a record."""


def write(results: Results, file: Path) -> None:
    """Write the page; its links go to ``runs/``, ``tables/`` and ``figures/`` beside it."""
    write_whole(file, render(results, file.parent).encode())


def render(results: Results, folder: Path) -> str:
    """The page of the records that lie in ``folder``; text from records is escaped."""
    with mpl.rc_context(drawing.PRINT):
        sections = [section(row, results.runs) for row in (*ROWS, *VARIANTS) if row in ROWS or row.runs(results.runs)]
        drawn = {name: svg(made, name) for name, made in experiments.figures(results.runs).items() if made}
        studied = [
            {
                "id": one.path.name,
                "study": one.study,
                "options": ", ".join(f"{key}={value}" for key, value in one.options.items()),
                "claims": one.study.claims(one.tables),
                "figures": [svg(figure, name) for name, figure in one.figures().items()],
                "files": [(one.path / f"{name}.csv").relative_to(folder).as_posix() for name in one.tables],
            }
            for one in results.studies
        ]
    beside = sorted([*folder.glob("figures/*.pdf"), *folder.glob("tables/*.csv")])
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template("page.html").render(
        sections=sections,
        tally=Counter(each["verdict"] for each in sections),
        symbols=SYMBOLS,
        rules=[EFFECT_RULE, LEVEL_RULE, REPLACED],
        epochs=EPOCHS,
        files=lambda place: [name if (folder / place / name).exists() else f"{name}.gz" for name in FILES],
        experiments=drawn,
        titles=experiments.TITLES,
        studies=studied,
        beside=[path.relative_to(folder).as_posix() for path in beside],
        problems=[problem.replace(f"{folder}/", "") for problem in results.problems],
        unfinished=results.unfinished,
        sample=sample,
    )


def section(row: Row, all_runs: Sequence[Runs]) -> dict[str, Any]:
    """A row of the paper as the template shows it: by strategy, ``cells`` at the checkpoints, ``worst`` likewise for
    the worst group, the paper's numbers ``printed``, and the ``records``; and learn2mix's ``effect`` over classical."""
    runs = row.runs(all_runs)
    whole = cells.measure(row, all_runs)
    measured, worst = (
        {strategy: made for strategy, made in each.items() if strategy in runs}
        for each in (whole, cells.measure(row, all_runs, "worst_group"))
    )
    judged, effect = whole["classical"][-1].judged or NOT_RUN, ""
    if judged.verdict != "not run":
        digits = whole["learn2mix"][-1].digits
        paper = paper_effect(judged.paper, digits)
        effect = f"Δ {judged.difference.text(digits)}" + (f", the paper's {paper}" if paper else "")
    strategies = list(dict.fromkeys([*row.strategies, *measured]))
    return {
        "row": row,
        "cells": measured,
        "worst": worst,
        "printed": published.cells(row.name),
        "judged": judged,
        "verdict": judged.verdict,
        "effect": effect,
        "strategies": strategies,
        "drawn": [strategy for strategy in strategies if strategy in measured],
        "metric": drawing.metric(next(iter(runs.values()))) if runs else "",
        "panels": panels(row, runs, measured) if runs else [],
        "records": records(row, runs),
        "commands": commands(missing([row], all_runs, lambda row: row.strategies)),
    }


def panels(row: Row, runs: Mapping[str, Runs], measured: Mapping[str, list[Cell]]) -> list[tuple[str, str, Markup]]:
    """The drawings of a row: against the paper at each checkpoint, then over epochs."""
    made = []
    for i, name in enumerate(EPOCHS):
        at_checkpoint = {strategy: cells[i] for strategy, cells in measured.items()}
        title = f"{name}: epoch {next(iter(at_checkpoint.values())).epoch}"
        figure, axes = _panel()
        dots(axes, at_checkpoint)
        made.append((title, "ours a dot, the paper a circle, bars ± sd", svg(figure, f"{row.name} {title}")))
    drawn = {strategy: run for strategy, run in runs.items() if strategy in figures.DRAWN}
    interval = "95 % t-interval" if row.is_percent else "95 % t-interval of its logarithm"
    for title, text, draw in (
        ("Test metric over epochs", f"mean, {interval} (n ≥ 3); circles: the paper", figures.curves),
        ("Worst group over epochs", f"of each run; mean, {interval} (n ≥ 3)", figures.worst_group),
        ("Shares of learn2mix's batches", "proportion of each group, mean over seeds", figures.proportions),
    ):
        if drawn and (draw is not figures.proportions or "learn2mix" in drawn):
            figure, axes = _panel()
            draw(axes, row, drawn)
            made.append((title, text, svg(figure, f"{row.name} {title}")))
    return made


def _panel() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(2.6, 1.85), layout="constrained")
    return figure, figure.subplots()


def dots(axes: Axes, cells: Mapping[str, Cell]) -> None:
    """Mean ± sd of each strategy at a checkpoint: ours a full dot, the paper's a circle below it."""
    for place, (strategy, cell) in enumerate(cells.items()):
        colour, _ = drawing.STYLES.get(strategy, drawing.OTHERS[0])
        sd = cell.values.std(ddof=1) if len(cell.values) > 1 else None
        axes.errorbar(cell.values.mean(), place - 0.13, xerr=sd, color=colour, marker="o", markersize=4, elinewidth=1.2)
        if paper := cell.printed:
            circle = drawing.CIRCLE
            axes.errorbar(paper.mean, place + 0.17, xerr=paper.sd, color=colour, marker="o", elinewidth=0.7, **circle)
    axes.set_yticks(range(len(cells)), list(cells))
    axes.set_ylim(len(cells) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", linewidth=0.3, color="#888888", alpha=0.5)
    axes.xaxis.set_major_locator(MaxNLocator(4))


def svg(figure: Figure, salt: str) -> Markup:
    """A figure as an SVG element, whose ids are unique on the page: ``salt`` is the figure's own."""
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": salt}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    used = set(re.findall(r'#([^")]+)[")]', text))
    return Markup(re.sub(r' id="([^"]*)"', lambda name: name[0] if name[1] in used else "", text))


def sample(strategy: str) -> Markup:
    """A piece of a strategy's line, for a legend."""
    colour, dashes = drawing.STYLES.get(strategy, drawing.OTHERS[0])
    pattern = "none" if dashes == "-" else " ".join(f"{1.6 * length:g}" for length in dashes[1])
    return Markup(
        '<svg class="sample" viewBox="0 0 30 6" aria-hidden="true"><line x1="0" y1="3" x2="30" y2="3" '
        f'stroke="{colour}" stroke-width="1.8" stroke-dasharray="{pattern}"/></svg>'
    )


def records(row: Row, runs: Mapping[str, Runs]) -> dict[str, dict[int, str]]:
    """By strategy and seed, a record's folder, relative to the page."""
    made: dict[str, dict[int, str]] = {}
    for strategy, config in row.configurations().items():
        for seed in runs[strategy].metrics if strategy in runs else ():
            folder = RunDirectory(replace(config, seed=seed, results_dir="")).path.as_posix()
            made.setdefault(strategy, {})[seed] = folder
    return made
