"""``index.html``: verdicts first, then each row's numbers, curves and records, in one file that needs no other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import jinja2
import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes

from l2m.paper import cells, experiments, figures, published
from l2m.paper import study_claims as studies
from l2m.paper import svg as inline
from l2m.paper.cells import Cell
from l2m.paper.results import Results
from l2m.paper.rows import ROWS, STRATEGIES, VARIANTS, Row, commands, missing
from l2m.paper.studies.records import Recorded
from l2m.paper.verdict import EFFECT_RULE, LEVEL_RULE, REPLACED, Judgement, Verdict, paper_effect
from l2m.records.directory import RunDirectory
from l2m.report import drawing
from l2m.report.runs import EPOCHS, Runs
from l2m.report.statistics import interval, significant, spread

SYMBOLS: dict[Verdict, str] = {
    "confirmed": "✓", "smaller": "↓", "larger": "↑", "same sign": "↗", "inconclusive": "?", "opposite": "✗",
    "contradicted": "≠", "reproduced": "✓", "direction only": "↗", "not reproduced": "✗", "too few seeds": "…",
    "not run": "–",
}  # fmt: skip
"""Beside the word and the colour, so that none of the three is needed."""

FILES = ("metrics.csv", "groups.csv", "config.yaml", "run.json")
"""What the page links of a record."""


@dataclass(frozen=True)
class Section:
    """A row of the paper as the page shows it.

    Attributes:
        cells: by strategy, test metric at the checkpoints; ``worst`` likewise for the worst group.
        printed: by strategy, the paper's numbers.
        judged: learn2mix against classical at E; None where nothing is run.
        metric: the test metric with its unit.
        panels: (title, what is to be seen, SVG) of each drawing.
        records: by strategy and seed, the record's folder as seen from the page.
        commands: what trains the missing seeds.
    """

    row: Row
    cells: Mapping[str, list[Cell]]
    worst: Mapping[str, list[Cell]]
    printed: Mapping[str, Sequence[published.Printed]]
    judged: Judgement | None
    metric: str
    panels: Sequence[tuple[str, str, Markup]]
    records: Mapping[str, Mapping[int, str]]
    commands: Sequence[str]

    @property
    def verdict(self) -> Verdict:
        return self.judged.verdict if self.judged else "not run"

    @property
    def effect(self) -> str:
        """Our Δ with its interval, and the paper's with 2 of its standard errors, for people to read."""
        if not self.judged or self.verdict == "not run":
            return ""
        digits = significant(self.cells["learn2mix"][-1].values, cells.is_percent(self.row))
        ours = interval(self.judged.difference, self.judged.half, self.judged.n, digits)
        paper = paper_effect(self.judged.paper, digits)
        return f"Δ {ours}" + (f", the paper's {paper}" if paper else "")

    @property
    def strategies(self) -> list[str]:
        """Those of the row's table, and any other that was run."""
        return list(dict.fromkeys([*self.row.strategies, *self.cells]))

    @property
    def drawn(self) -> list[str]:
        """Those in the drawings' legend."""
        return [strategy for strategy in self.strategies if strategy in self.cells]


class Told:
    """A study as the page shows it."""

    def __init__(self, one: Recorded, folder: Path) -> None:
        self.name = one.path.name.rpartition("-")[0]
        self.id = one.path.name
        self.study = one.study
        self.options = ", ".join(f"{key}={value}" for key, value in one.options.items())
        self.lines = studies.claims(self.name, one)
        self.figures = [inline.element(figure, name) for _, name, figure in studies.figures([one])]
        self.files = [(one.path / f"{name}.csv").relative_to(folder).as_posix() for name in one.tables]


def write(found: Results, file: Path) -> None:
    """Write the page; its links go to ``runs/``, ``tables/`` and ``figures/`` beside it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(render(found, file.parent), encoding="utf-8")


def render(found: Results, folder: Path) -> str:
    """The page of the records that lie in ``folder``; what comes from records is escaped."""
    known = [*ROWS, *(row for row in VARIANTS if row.runs(found.runs))]
    sections = [section(row, found.runs) for row in known]
    with mpl.rc_context(inline.SCREEN):
        drawn = {name: inline.element(made, name) for name, made in experiments.figures(found.runs).items() if made}
        told = [Told(one, folder) for one in found.studies]
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
        tally=Counter(each.verdict for each in sections),
        symbols=SYMBOLS,
        rules=[EFFECT_RULE, LEVEL_RULE, REPLACED],
        epochs=EPOCHS,
        files=lambda place: [name if (folder / place / name).exists() else f"{name}.gz" for name in FILES],
        experiments=drawn,
        titles=experiments.TITLES,
        studies=told,
        beside=[path.relative_to(folder).as_posix() for path in beside],
        problems=[problem.replace(f"{folder}/", "") for problem in found.problems],
        unfinished=found.unfinished,
        spread=lambda values, percent: spread(values, significant(values, percent)),
        difference=cells.told,
        level=cells.describe_level,
        sample=inline.sample,
    )


def section(row: Row, found: Sequence[Runs]) -> Section:
    """What the page shows of a row."""
    runs = row.runs(found)
    whole = cells.measure(row, found)
    measured, worst = (
        {strategy: made for strategy, made in each.items() if strategy in runs}
        for each in (whole, cells.measure(row, found, "worst_group"))
    )
    lacking = missing(row, found, row.strategies)
    return Section(
        row=row,
        cells=measured,
        worst=worst,
        printed=published.cells(row.name),
        judged=whole["classical"][-1].judged,
        metric=drawing.metric(next(iter(runs.values()))) if runs else "",
        panels=panels(row, runs, measured) if runs else [],
        records=records(row, runs),
        commands=commands({row.name: lacking}) if lacking else [],
    )


def panels(row: Row, runs: Mapping[str, Runs], measured: Mapping[str, list[Cell]]) -> list[tuple[str, str, Markup]]:
    """The drawings of a row: against the paper at each checkpoint, then over epochs."""
    first = next(iter(measured.values()))
    drawn = {strategy: run for strategy, run in runs.items() if strategy in figures.DRAWN}
    wanted: list[tuple[str, str, Callable[[Axes], None]]] = []
    for i, name in enumerate(EPOCHS):
        told = "ours a dot, the paper a circle, bars ± sd"
        wanted.append((f"{name}: epoch {first[i].epoch}", told, partial(inline.dots, cells=measured, checkpoint=i)))
    interval = "95 % t-interval" if cells.is_percent(row) else "95 % t-interval of its logarithm"
    for title, told, draw in (
        ("Test metric over epochs", f"mean, {interval} (n ≥ 3); circles: the paper", figures.curves),
        ("Worst group over epochs", f"of each run; mean, {interval} (n ≥ 3)", figures.worst_group),
        ("Shares of learn2mix's batches", "proportion of each group, mean over seeds", figures.proportions),
    ):
        if drawn and (draw is not figures.proportions or "learn2mix" in drawn):
            wanted.append((title, told, partial(draw, row=row, cells=drawn)))
    return [(title, told, inline.panel(draw, f"{row.name} {title}")) for title, told, draw in wanted]


def records(row: Row, runs: Mapping[str, Runs]) -> dict[str, dict[int, str]]:
    """By strategy and seed, where a record lies as seen from the page."""
    configurations = row.configurations()
    return {
        strategy: {
            seed: RunDirectory(replace(configurations[strategy], seed=seed, results_dir="")).path.as_posix()
            for seed in runs[strategy].metrics
        }
        for strategy in STRATEGIES
        if strategy in runs
    }
