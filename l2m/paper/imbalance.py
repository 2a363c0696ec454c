"""How much imbalance adaptive mixing takes, and at which learning rate: the records of ``imbalance_and_rate``."""

from collections.abc import Sequence
from functools import cache
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from l2m.config.composing import compose_sweep
from l2m.config.description import settings
from l2m.paper import cells, markdown
from l2m.report import drawing
from l2m.report.page_data import COLUMNS
from l2m.report.runs import Runs
from l2m.report.statistics import half_width, paired

EXPERIMENT = "imbalance_and_rate"

BASE = "classical"

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


def grid(all_runs: Sequence[Runs]) -> dict[Place, Runs]:
    """The experiment's runs, in its order."""
    return {place: run for place, wanted in _wanted().items() for run in all_runs if run.settings == wanted}


def table(all_runs: Sequence[Runs]) -> tuple[pd.DataFrame, str]:
    """A line a learning rate, ratio and strategy that was run, unrounded; and in Markdown, all of them."""
    head, numbers, lines = ["learning rate", "ratio", "strategy", "n", "accuracy", *cells.HEAD], [], []
    runs = grid(all_runs)
    for place in _wanted():
        here = {p.strategy: run for p, run in runs.items() if p[:2] == place[:2]}
        line, words = cells.at_end(here, place.strategy, BASE, True, "_percent")
        numbers.append(place._asdict() | line)
        first = [f"{place.rate:g}", str(place.ratio)] if place.strategy == BASE else ["", ""]
        lines.append([*first, place.strategy, *words])
    frame, text = pd.DataFrame(numbers), markdown.page(markdown.table(head, "rrlrrrrr", lines), CAPTION, COMMAND)
    return frame[frame["n"] > 0], text


def gains(all_runs: Sequence[Runs]) -> str:
    """A line a learning rate and ratio: learn2mix's gain at the end over classical training and balanced batches."""
    others = (BASE, "balanced")
    head = ["learning rate", "ratio", *(f"{of}over {other}" for other in others for of in ("", "worst group, "))]
    lines, runs = [], grid(all_runs)
    for rate, ratio in dict.fromkeys(place[:2] for place in runs):
        here = {place.strategy: run for place, run in runs.items() if place[:2] == (rate, ratio)}
        line = [f"{rate:g}", str(ratio)]
        for other, column in product(others, COLUMNS):
            ours, theirs = here.get("learn2mix"), here.get(other)
            both = paired(ours.at(1.0, column), theirs.at(1.0, column)) if ours and theirs else None
            line.append(both.text(1, bold=True) if both else "")
        lines.append(line)
    note = (
        "Points of accuracy at the end on the same seeds, ± half of the 95 % t-interval, bold where that leaves 0 out."
    )
    return markdown.page(markdown.table(head, "rrrrrr", lines), note)


def figure(all_runs: Sequence[Runs]) -> Figure | None:
    """Accuracy and worst group at the end against the ratio, a column a learning rate; None without runs."""
    runs = grid(all_runs)
    if not runs:
        return None
    rates, ratios, strategies = (list(dict.fromkeys(each)) for each in zip(*_wanted(), strict=True))
    made, panels = drawing.panels(len(COLUMNS) * len(rates), len(rates))
    for panel, (column, rate) in zip(panels, product(COLUMNS, rates), strict=True):
        for k, strategy in enumerate(strategies):
            places = {ratio: Place(rate, ratio, strategy) for ratio in ratios}
            values = {ratio: runs[at].at(1.0, column) for ratio, at in places.items() if at in runs}
            colour, dashes = drawing.STYLES[strategy]
            panel.errorbar(
                np.array(list(values)) * 1.07 ** (k - (len(strategies) - 1) / 2),
                [each.mean() for each in values.values()],
                [half_width(each) for each in values.values()],
                color=colour,
                linestyle=dashes,
                marker="o",
                markersize=2.5,
                linewidth=1,
                elinewidth=0.6,
            )
        panel.set(xscale="log", ylim=(0, 100))
        panel.set_xticks(ratios, [f"{ratio}:1" for ratio in ratios])
        panel.minorticks_off()
    for upper, lower, rate in zip(panels, panels[len(rates) :], rates, strict=False):
        upper.set_title(f"learning rate {rate:g}")
        lower.set_xlabel("imbalance ratio")
    panels[0].set_ylabel("accuracy in %")
    panels[len(rates)].set_ylabel("worst group in %")
    drawing.legend(made, strategies)
    counts = {len(run.metrics) for run in runs.values()}
    seeds = " to ".join(map(str, sorted({min(counts), max(counts)})))
    return drawing.note(
        made,
        f"Fashion-MNIST, LeNet-5, after 20 epochs; five of ten classes thinned. Mean over {seeds} seeds and its 95 % "
        "t-interval; points of one ratio stand side by side.",
    )


@cache
def _wanted() -> dict[Place, dict[str, Any]]:
    """The settings of each place of the experiment, as its YAML has them; by rate, then by ratio."""
    configs = [config for config, _ in compose_sweep(f"+experiment={EXPERIMENT}", "seed=0")[0]]
    wanted = {
        Place(c.learning_rate, round(1 / c.imbalance["factor"]), c.strategy["name"]): settings(c) for c in configs
    }
    return {place: wanted[place] for place in sorted(wanted, key=lambda place: place[:2])}
