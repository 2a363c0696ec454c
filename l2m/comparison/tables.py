"""The findings of a comparison for the terminal, as Markdown, CSV and a figure."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from rich.table import Table

from l2m.comparison.findings import BASELINE, DRAWS, Findings, format_seconds, recommend
from l2m.evaluation.scores import BINS
from l2m.report import drawing
from l2m.report.statistics import significant, spread

NOTES = {
    "calibration_error": (
        f"Calibration error: expected, {BINS} bins of equal width (Guo et al., 2017, On Calibration of Modern Neural "
        "Networks)."
    ),
    "worst_group": "Worst group: the lowest accuracy of any group.",
}

TITLES = dict.fromkeys(("regression", "reconstruction"), {False: "other scores"}) | {
    "classification": {
        True: "other scores of the predicted classes, in %",
        False: "scores of the probabilities, in % except Brier score and log loss",
    }
}
"""By task, of the tables of other scores: by whether they depend on the predicted classes alone."""

MARKS = {1: " +", -1: " -", 0: ""}
COLOURS = {1: "#0072B2", -1: "#D55E00", 0: "#888888"}
"""By verdict: reliably better than classical, reliably worse, neither."""


@dataclass(frozen=True)
class Protocol:
    """How a comparison was made, for its caption.

    Attributes:
        chosen: by strategy, the rates that were chosen, as ``0.001, 0.1``.
        choices: by strategy, among how many settings; empty if none were chosen.
        edges: strategies whose learning rate is the lowest or the highest of those to choose among.
        samples, smallest: of the test part, all and those of its smallest group, which is named.
    """

    dataset: str
    data_seed: int
    validation_fraction: float
    choice_seeds: int
    chosen: dict[str, str]
    choices: dict[str, int]
    edges: tuple[str, ...]
    samples: int
    smallest: tuple[str, int]


def format_caption(findings: Findings, protocol: Protocol) -> list[str]:
    """What the numbers mean and what they do not cover, a paragraph each."""
    title, others = findings.scores[findings.metric].title, len(findings.strategies) - 1
    n, (name, count) = findings.runs["seed"].nunique(), protocol.smallest
    corrected = f", corrected for {others} comparisons (Holm)" if others > 1 else ""
    interval = f"t-interval; the {others} intervals of a score hold at once with 95 % (Bonferroni)"
    paragraphs = [
        f"Mean ± sd (ddof 1) over {n} seeds on the test part, {protocol.samples} samples that were not used for "
        f"choosing; its smallest group ({name}) has {count}. − {BASELINE}: paired difference on the same seeds ± half "
        f"of its {interval if others > 1 else '95 % t-interval'}. p: paired t-test{corrected}. + and - mark reliably "
        "better and worse, score by score: p is below 5 %, and the difference is larger than its uncertainty from the "
        "choice of test samples.",
        f"By {DRAWS} bootstrap draws of test samples, that uncertainty of differences in {title} is {_range(findings)}"
        f"{', for all at once' if others > 1 else ''} with 95 %.",
        f"Not covered: how the data were split and thinned (only data_seed={protocol.data_seed}), and data gathered "
        "elsewhere.",
    ]
    if protocol.choices:
        fewest, most = min(protocol.choices.values()), max(protocol.choices.values())
        each = f"{most} settings each" if fewest == most else f"{fewest} to {most} settings"
        seeds = f"{protocol.choice_seeds} seed{'s' * (protocol.choice_seeds > 1)}"
        paragraphs.append(
            f"Rates were chosen among {each}, by {title} on {100 * protocol.validation_fraction:g} % of the training "
            f"set over {seeds}; everything else is at its default."
        )
        if protocol.edges:
            paragraphs.append(
                f"At the edge of the learning rates that were tried, so that others may be better: "
                f"{', '.join(protocol.edges)}. Widen learning_rates."
            )
    else:
        paragraphs.append("Rates are those of the data set; none were chosen.")
    notes = [note for score, note in NOTES.items() if findings.task == "classification" and score in findings.scores]
    return [*paragraphs, " ".join([*notes, "Seconds: training only, while other runs shared the machine."])]


def format_cells(findings: Findings) -> pd.DataFrame:
    """Text by strategy and score: ``mean`` ± sd with + or - by the verdict, ``difference`` to classical, its ``p``."""
    cells = {}
    for strategy, (name, score) in product(findings.strategies, findings.scores.items()):
        row, values = findings.row(name, strategy), findings.values(name, strategy)
        mean = spread(values, significant(values, score.percent)) + MARKS[row.verdict]
        p = "" if strategy == BASELINE else "<0.001" if row.p_holm < 0.001 else f"{row.p_holm:.3f}"
        cells[strategy, name] = {"mean": mean, "difference": findings.difference(name, strategy), "p": p}
    return pd.DataFrame.from_dict(cells, orient="index")


def format_deciding(findings: Findings, protocol: Protocol) -> pd.DataFrame:
    """The score that decides, a row a strategy: rates, mean, difference, p, seconds."""
    cells = format_cells(findings).xs(findings.metric, level=1)
    cells.insert(0, "rates", [protocol.chosen[name] for name in cells.index])
    return cells.assign(seconds=[format_seconds(findings, name) for name in cells.index])


def format_terminal(findings: Findings, protocol: Protocol) -> list[Table]:
    """Tables that fit 80 columns: the score that decides, then others of predicted classes, and of probabilities."""
    score, metric = findings.scores[findings.metric], findings.metric
    deciding = format_deciding(findings, protocol)
    deciding.columns = ["rates", "mean ± sd", f"− {BASELINE}", "p", "seconds"]
    means = format_cells(findings)["mean"].unstack(sort=False)
    tables = [_terminal_table(f"{protocol.dataset}: test {score.title}{' in %' * score.percent}", deciding)]
    for by_label, title in TITLES[findings.task].items():
        names = [name for name, each in findings.scores.items() if each.by_label is by_label and name != metric]
        cells = means[names].set_axis([findings.scores[name].title.replace(" ", "\n", 1) for name in names], axis=1)
        tables.append(_terminal_table(title, cells))
    return tables


def _terminal_table(title: str, cells: pd.DataFrame) -> Table:
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1, 0, 0))
    table.add_column("strategy", min_width=9, overflow="fold")
    for column in cells:
        table.add_column(str(column), justify="right", no_wrap=True)
    for row in cells.itertuples():
        table.add_row(*row)
    return table


def format_markdown(findings: Findings, protocol: Protocol, figure: str) -> str:
    """A page: the recommendation, the figure, all scores with their differences, the caption."""
    heads = {name: f"{score.title}{', %' * score.percent}" for name, score in findings.scores.items()}
    deciding = format_deciding(findings, protocol)
    deciding.columns = ["learning rate, γ", heads[findings.metric], f"− {BASELINE}", "p", "seconds"]
    cells = format_cells(findings).drop(columns="p")
    others = [name for name in findings.scores if name != findings.metric]
    scores = pd.concat([cells.xs(name, level=1) for name in others], axis=1)
    scores.columns = [head for name in others for head in (heads[name], f"− {BASELINE}")]
    parts = [
        f"# Strategies on {protocol.dataset}",
        *recommend(findings, protocol.samples),
        f"![Differences to {BASELINE} with their intervals]({figure})",
        _markdown_table(deciding),
        _markdown_table(scores),
        *format_caption(findings, protocol),
    ]
    return "".join(f"{part}\n\n" for part in parts)[:-1]


def _markdown_table(cells: pd.DataFrame) -> str:
    head, *rows = (f"| {' | '.join(row)} |" for row in [("strategy", *cells), *cells.itertuples()])
    return "\n".join([head, "|---|" + "--:|" * len(cells.columns), *rows])


def format_csv(findings: Findings) -> str:
    """A line a strategy and score, unrounded; shares in [0, 1]."""
    return findings.table.drop(columns="verdict").to_csv(lineterminator="\n")


def draw_differences(findings: Findings) -> Figure:
    """Differences to classical with their intervals: the score that decides, the worst group, calibration."""
    scores = dict.fromkeys((findings.metric, "worst_group", "calibration_error"))
    shown = {name: findings.scores[name] for name in scores if name in findings.scores}
    others = [name for name in findings.strategies if name != BASELINE]
    with mpl.rc_context(drawing.PRINT):
        figure = Figure(figsize=(1.3 + 1.9 * len(shown), 1.2 + 0.19 * len(others)), layout="constrained")
        figure.set_layout_engine("constrained", w_pad=0.06)
        panels = np.atleast_1d(figure.subplots(1, len(shown), sharey=True))
        for axes, (name, score) in zip(panels, shown.items(), strict=True):
            scale = 100 if score.percent else 1
            for place, strategy in enumerate(others):
                row = findings.row(name, strategy)
                axes.errorbar(
                    scale * row.minus_classical,
                    place,
                    xerr=scale * row.interval_half_width,
                    color=COLOURS[row.verdict],
                    marker="o",
                    markersize=3.5,
                    elinewidth=1,
                )
            axes.axvline(0, color="black", linewidth=0.6, zorder=0)
            axes.set_title(score.title)
            better = "right" if score.higher_is_better else "left"
            axes.set_xlabel(f"− {BASELINE}{', in points' * score.percent}\nbetter to the {better}")
        seeds = findings.runs["seed"].nunique()
        drawing.note(
            figure,
            f"Paired differences over {seeds} seeds; for each score all intervals hold at once with 95 % (Bonferroni). "
            "Blue: reliably better, orange: reliably worse, over seeds (Holm, 5 %) and over test samples.",
        )
        panels[0].set_yticks(range(len(others)), others)
        panels[0].set_ylim(len(others) - 0.5, -0.5)
    return figure


def _range(findings: Findings) -> str:
    """The narrowest and the widest interval over test samples."""
    percent = findings.scores[findings.metric].percent
    halves = findings.table["interval_half_width_over_samples"].xs(findings.metric, level="score")
    low, high = (f"{100 * value:.1f}" if percent else f"{value:.3g}" for value in (halves.min(), halves.max()))
    return f"± {low}" if low == high else f"± {low} to ± {high}"
