"""How much imbalance adaptive mixing takes, and at which learning rate: the records of ``imbalance_and_rate``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import yaml
from matplotlib.figure import Figure

from l2m.config.description import settings
from l2m.config.user_folders import conf_dir
from l2m.paper.rows import ROWS, Row
from l2m.report import drawing
from l2m.report.runs import Runs
from l2m.report.statistics import bold_apart, half, interval, paired, spread

EXPERIMENT = "imbalance_and_rate"

COLUMNS = ("test_metric", "worst_group")

CAPTION = (
    "Fashion-MNIST, LeNet-5, 20 epochs; classes 5 to 9 keep 1/ratio of their samples. Accuracy in % at the end: mean ± "
    "sd (ddof 1) over n seeds. Worst group: of each run. Δ: this strategy − classical on the same seeds ± half of its "
    "95 % t-interval, bold where that leaves 0 out. Each strategy at its default options, learn2mix at the row's "
    "mixing rate; none tuned. Trained by"
)

COMMAND = f"python -m l2m.run -m +experiment={EXPERIMENT} results_dir=results"


class Place(NamedTuple):
    """One strategy at a learning rate and an imbalance: ``ratio`` of the largest group to the smallest."""

    rate: float
    ratio: int
    strategy: str


Grid = dict[Place, Runs]
"""The runs there are, in the order of the experiment."""


def grid(found: Sequence[Runs]) -> Grid:
    """The experiment's runs."""
    return {place: run for place, wanted in _wanted().items() for run in found if run.settings == wanted}


def markdown(runs: Grid) -> str:
    """A line a learning rate, ratio and strategy."""
    head = ["learning rate", "ratio", "strategy", "n", "accuracy", "Δ", "worst group", "Δ"]
    lines = [f"| {' | '.join(head)} |", "|--:|--:|---|" + "--:|" * 5]
    for place in _wanted():
        first = place.strategy == next(iter(_wanted())).strategy
        words = [f"{place.rate:g}", str(place.ratio)] if first else ["", ""]
        values = {column: 100 * runs[place].at(1.0, column) for column in COLUMNS if place in runs}
        words += [place.strategy, str(len(values["test_metric"])) if values else "0"]
        for column in COLUMNS:
            words += [spread(values[column], 1), _difference(runs, place, column)] if values else ["not run", ""]
        lines.append(f"| {' | '.join(words)} |")
    return "\n".join([*lines, "", CAPTION, "", "```sh", COMMAND, "```", ""])


def frame(runs: Grid) -> pd.DataFrame:
    """A line a learning rate, ratio and strategy that has runs, unrounded."""
    lines: list[dict[str, Any]] = []
    for place, run in runs.items():
        line: dict[str, Any] = {**place._asdict(), "n": len(run.metrics), "seeds": " ".join(map(str, run.metrics))}
        for column in COLUMNS:
            values = 100 * run.at(1.0, column)
            apart, width, pairs = _minus_classical(runs, place, column) or (None, None, None)
            line |= {f"mean_{column}_percent": values.mean(), f"sd_{column}_percent": values.std(ddof=1)}
            line |= {f"{column}_minus_classical_percent": apart, f"{column}_interval_half_width_percent": width}
            line["n_pairs"] = pairs
        lines.append(line)
    columns = [*Place._fields, "n"]
    return pd.DataFrame(lines, columns=None if lines else columns)


def figure(found: Sequence[Runs]) -> Figure | None:
    """Accuracy and worst group at the end against the ratio, a column a learning rate; None without runs."""
    runs = grid(found)
    if not runs:
        return None
    rates = sorted({place.rate for place in _wanted()})
    ratios = sorted({place.ratio for place in _wanted()})
    strategies = list(dict.fromkeys(place.strategy for place in _wanted()))
    made, axes = drawing.panels(len(COLUMNS) * len(rates), len(rates))
    for i, column in enumerate(COLUMNS):
        for j, rate in enumerate(rates):
            panel = axes[i * len(rates) + j]
            for k, strategy in enumerate(strategies):
                there = [ratio for ratio in ratios if Place(rate, ratio, strategy) in runs]
                values = [100 * runs[Place(rate, ratio, strategy)].at(1.0, column) for ratio in there]
                colour, dashes = drawing.STYLES[strategy]
                places = np.array(there) * 1.07 ** (k - (len(strategies) - 1) / 2)
                means, widths = [each.mean() for each in values], [half(each) for each in values]
                panel.errorbar(
                    places, means, widths, color=colour, linestyle=dashes, marker="o", markersize=2.5, linewidth=1,
                    elinewidth=0.6,
                )  # fmt: skip
            panel.set_xscale("log")
            panel.set_xticks(ratios, [f"{ratio}:1" for ratio in ratios])
            panel.minorticks_off()
            panel.set_ylim(0, 100)
            if i == 0:
                panel.set_title(f"learning rate {rate:g}")
            if j == 0:
                panel.set_ylabel(("accuracy in %", "worst group in %")[i])
    for panel in axes[-len(rates) :]:
        panel.set_xlabel("imbalance ratio")
    drawing.legend(made, strategies)
    counts = {len(run.metrics) for run in runs.values()}
    seeds = " to ".join(map(str, sorted({min(counts), max(counts)})))
    drawing.note(
        made,
        f"Fashion-MNIST, LeNet-5, after 20 epochs; five of ten classes thinned. Mean over {seeds} seeds and its 95 % "
        "t-interval; points of one ratio stand side by side.",
    )
    return made


def _difference(runs: Grid, place: Place, column: str) -> str:
    difference = _minus_classical(runs, place, column)
    if difference is None:
        return ""
    return bold_apart(interval(*difference, 1), *difference[:2])


def _minus_classical(runs: Grid, place: Place, column: str) -> tuple[float, float, int] | None:
    classical = place._replace(strategy="classical")
    if place == classical or place not in runs or classical not in runs:
        return None
    return paired(100 * runs[place].at(1.0, column), 100 * runs[classical].at(1.0, column))


@cache
def _wanted() -> dict[Place, dict[str, Any]]:
    """The settings of each place of the experiment, as its YAML has them."""
    content = yaml.safe_load((conf_dir() / "experiment" / f"{EXPERIMENT}.yaml").read_text(encoding="utf-8"))
    swept = content["hydra"]["sweeper"]["params"]
    row: Row = next(row for row in ROWS if row.name == swept["dataset"])
    groups = tuple(content["imbalance"]["groups"])
    wanted = {}
    for rate in map(float, swept["learning_rate"].split(",")):
        for factor in map(float, swept["imbalance.factor"].split(",")):
            for strategy in swept["strategy"].split(","):
                config = replace(
                    row.configurations()[strategy],
                    epochs=content["epochs"],
                    learning_rate=rate,
                    imbalance={"name": "step", "keep": "random", "groups": groups, "factor": factor},
                )
                wanted[Place(rate, round(1 / factor), strategy)] = settings(config)
    return wanted
