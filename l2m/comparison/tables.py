"""What a comparison found, for the terminal, as Markdown, CSV and a figure."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import fill

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from rich.table import Table

from l2m.comparison.findings import BASELINE, DRAWS, Findings, recommendation, seconds
from l2m.evaluation.scores import BINS
from l2m.report import drawing
from l2m.report.statistics import significant, spread

NOTES = {
    "calibration_error": (
        f"Calibration error: expected, {BINS} bins of equal width (Guo et al., 2017, On Calibration of Modern Neural "
        "Networks)."
    ),
    "worst_group": "Worst group: the accuracy of the group that has the lowest.",
}

COLOURS = {1: "#0072B2", -1: "#D55E00", 0: "#888888"}
"""Of differences that are reliably better, reliably worse, and neither."""


@dataclass(frozen=True)
class Setting:
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


def caption(of: Findings, setting: Setting) -> list[str]:
    """What the numbers are, and what they leave out, a paragraph each."""
    title, others = of.scores[of.metric].title, len(of.strategies) - 1
    seeds, (name, count) = of.runs["seed"].nunique(), setting.smallest
    alone = others == 1
    interval = (
        "95 % t-interval" if alone else f"t-interval; all {others} of a score hold at once with 95 % (Bonferroni)"
    )
    corrected = "" if alone else f", corrected for {others} comparisons (Holm)"
    told = [
        f"Mean ± sd (ddof 1) over {seeds} seeds on the test part, {setting.samples} samples on which nothing was "
        f"chosen; its smallest group ({name}) has {count}. − {BASELINE}: paired difference on the same seeds ± half of "
        f"its {interval}. p: of the paired t-test{corrected}. + and - mark what is reliably better and worse, in "
        "each score by itself: p is below 5 %, and the difference exceeds what other test samples do to it.",
        f"Over draws of them ({DRAWS} of the bootstrap) differences in {title} move by {_range(of)}"
        f"{'' if alone else ', all at once'} with 95 %.",
    ]
    told.append(
        f"Not covered: how the data were split and thinned (data_seed={setting.data_seed} alone), and data that are "
        "gathered otherwise."
    )
    if setting.choices:
        fewest, most = min(setting.choices.values()), max(setting.choices.values())
        each = f"{most} settings each" if fewest == most else f"{fewest} to {most} settings"
        told.append(
            f"Rates were chosen among {each}, by {title} on {100 * setting.validation_fraction:g} % of the training "
            f"set over {setting.choice_seeds} seed{'s' * (setting.choice_seeds > 1)}; all else is at its default."
        )
        if setting.edges:
            told.append(
                f"At the edge of the learning rates that were tried, so that others may do better: "
                f"{', '.join(setting.edges)}. Widen learning_rates."
            )
    else:
        told.append("Rates are the data set's; none were chosen.")
    told.append(
        " ".join(
            [note for score, note in NOTES.items() if score in of.scores and of.task == "classification"]
            + ["Seconds: of training alone, with other runs beside it."]
        )
    )
    return told


def terminal(of: Findings, setting: Setting) -> list[Table]:
    """Two tables that fit 80 columns: the score that decides, then the others."""
    score = of.scores[of.metric]
    first = _table(f"{setting.dataset}: test {score.title}{' in %' * score.percent}")
    for column in ("rates", "mean ± sd", f"− {BASELINE}", "p", "seconds"):
        first.add_column(column, justify="right", no_wrap=True)
    second = _table("other scores" + " in %" * (of.task == "classification"))
    spared = "accuracy" if of.metric == "log_loss" else "log_loss"  # for which there is no room
    rest = [name for name in of.scores if name not in (of.metric, spared)]
    for name in rest:
        second.add_column(_in_two_lines(of.scores[name].title), justify="right", no_wrap=True)
    for strategy in of.strategies:
        first.add_row(strategy, *_deciding(of, setting, strategy))
        second.add_row(strategy, *(_cell(of, name, strategy) for name in rest))
    return [first, second]


def markdown(of: Findings, setting: Setting, figure: str) -> str:
    """A page: the recommendation, the figure, all scores with their differences, the caption."""
    score = of.scores[of.metric]
    lines = [f"# Strategies on {setting.dataset}", "", *_paragraphs(recommendation(of, setting.samples))]
    lines += [f"![Differences to {BASELINE} with their intervals]({figure})", ""]
    head = ["strategy", "learning rate, γ", f"{score.title}{_unit(of, of.metric)}", f"− {BASELINE}", "p", "seconds"]
    lines += [f"| {' | '.join(head)} |", "|---|" + "--:|" * 5]
    lines += [f"| {' | '.join([name, *_deciding(of, setting, name)])} |" for name in of.strategies]
    rest = [name for name in of.scores if name != of.metric]
    head = ["strategy", *(f"{of.scores[name].title}{_unit(of, name)} | − {BASELINE}" for name in rest)]
    lines += ["", f"| {' | '.join(head)} |", "|---|" + "--:|" * (2 * len(rest))]
    for strategy in of.strategies:
        cells = [_cell(of, name, strategy) for name in rest]
        apart = ["" if strategy == BASELINE else of.told(name, strategy) for name in rest]
        both = [f"{cell} | {difference}" for cell, difference in zip(cells, apart, strict=True)]
        lines.append(f"| {' | '.join([strategy, *both])} |")
    return "\n".join([*lines, "", *_paragraphs(caption(of, setting))])


def frame(of: Findings) -> pd.DataFrame:
    """A line a strategy and score, unrounded; shares in [0, 1]."""
    made = []
    for strategy in of.strategies:
        for name in of.scores:
            values = of.runs.loc[of.runs["strategy"] == strategy, name]
            one = of.differences[name].get(strategy)
            made.append(
                {"strategy": strategy, "score": name, "n_seeds": len(values), "mean": values.mean()}
                | {
                    "sd": values.std(ddof=1),
                    "minus_classical": one and one.mean,
                    "interval_half_width": one and one.half,
                }
                | {
                    "interval_half_width_over_samples": one and one.over_samples,
                    "p_holm": one and one.p,
                    "decides": name == of.metric,
                    "recommended": strategy in of.tied,
                }
            )
    return pd.DataFrame(made).astype(
        dict.fromkeys(("minus_classical", "interval_half_width", "interval_half_width_over_samples", "p_holm"), float)
    )


def forest(of: Findings) -> Figure:
    """Differences to classical with their intervals: the score that decides, the worst group, calibration."""
    shown = [name for name in dict.fromkeys((of.metric, "worst_group", "calibration_error")) if name in of.scores]
    others = [name for name in of.strategies if name != BASELINE]
    with mpl.rc_context(drawing.PRINT):
        figure = Figure(figsize=(1.3 + 1.9 * len(shown), 1.2 + 0.19 * len(others)), layout="constrained")
        figure.set_layout_engine("constrained", w_pad=0.06)
        panels = np.atleast_1d(figure.subplots(1, len(shown), sharey=True))
        for axes, name in zip(panels, shown, strict=True):
            scale = 100 if of.scores[name].percent else 1
            for place, strategy in enumerate(others):
                one = of.differences[name][strategy]
                colour = COLOURS[_side(of, name, strategy)]
                axes.errorbar(
                    scale * one.mean,
                    place,
                    xerr=scale * one.half,
                    color=colour,
                    marker="o",
                    markersize=3.5,
                    elinewidth=1,
                )
            axes.axvline(0, color="black", linewidth=0.6, zorder=0)
            better = "right" if of.scores[name].higher_is_better else "left"
            axes.set_title(of.scores[name].title)
            axes.set_xlabel(f"− {BASELINE}{', in points' * of.scores[name].percent}\nbetter to the {better}")
        seeds = of.runs["seed"].nunique()
        drawing.note(
            figure,
            f"Paired differences over {seeds} seeds; of a score all intervals hold at once with 95 % (Bonferroni). "
            "Blue: reliably better, orange: reliably worse, over seeds (Holm, 5 %) and over test samples.",
        )
        panels[0].set_yticks(range(len(others)), others)
        panels[0].set_ylim(len(others) - 0.5, -0.5)
    return figure


def paragraph(text: str) -> str:
    """Lines of at most 79 columns."""
    return fill(text, 79)


def _deciding(of: Findings, setting: Setting, strategy: str) -> list[str]:
    """Cells of the first table: rates, score, difference, p, seconds."""
    apart = ["", ""]
    if strategy != BASELINE:
        p = of.differences[of.metric][strategy].p
        apart = [of.told(of.metric, strategy), "<0.001" if p < 0.001 else f"{p:.3f}"]
    return [setting.chosen[strategy], _cell(of, of.metric, strategy), *apart, seconds(of, strategy)]


def _cell(of: Findings, score: str, strategy: str) -> str:
    """Mean ± sd, with + or - where it is reliably better or worse than classical's."""
    values = of.values(score, strategy)
    mark = {1: " +", -1: " -", 0: ""}[_side(of, score, strategy)]
    return spread(values, significant(values, of.scores[score].percent)) + mark


def _side(of: Findings, score: str, strategy: str) -> int:
    """1 for reliably better than classical, -1 for worse, 0 for neither."""
    one = of.differences[score].get(strategy)
    if one is None or not one.is_reliable:
        return 0
    return 1 if (one.mean > 0) is of.scores[score].higher_is_better else -1


def _range(of: Findings) -> str:
    """The narrowest and the widest interval over test samples."""
    percent = of.scores[of.metric].percent
    halves = [one.over_samples for one in of.differences[of.metric].values()]
    low, high = (f"{100 * value:.1f}" if percent else f"{value:.3g}" for value in (min(halves), max(halves)))
    return f"± {low}" if low == high else f"± {low} to ± {high}"


def _unit(of: Findings, score: str) -> str:
    return ", %" if of.scores[score].percent else ""


def _table(title: str) -> Table:
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1, 0, 0))
    table.add_column("strategy", min_width=9, overflow="fold")
    return table


def _in_two_lines(title: str) -> str:
    return title.replace(" ", "\n", 1)


def _paragraphs(texts: list[str]) -> list[str]:
    return [line for text in texts for line in (text, "")]
