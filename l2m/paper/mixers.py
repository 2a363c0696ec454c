"""Other adaptive mixers and reweighted losses beside learn2mix, at equal steps: a table that the paper lacks."""

from collections.abc import Sequence

import pandas as pd

from l2m.paper import cells, markdown
from l2m.paper.rows import BY_NAME, MIXERS, Row, missing
from l2m.report.runs import Runs

TABLE = [BY_NAME[name] for name in ("mean_estimation", "wine_quality", "california_housing", "mnist")]
"""The rows of the paper that are compared."""

BASE = "learn2mix"

COMPARED = (BASE, "classical", "balanced", *MIXERS)

CAPTION = (
    "At E, the row's last epoch, after as many steps for each strategy: mean ± sd (ddof 1) over n seeds; accuracies "
    "in %, else mean squared errors, in points for Wine Quality and in units of 100 000 $ for California Housing. "
    "Worst group: of each run. Δ: this strategy − learn2mix on the same seeds ± half of its 95 % t-interval, bold "
    "where that leaves 0 out: where n differs, Δ compares, and the means do not; no interval is widened for the "
    "number of comparisons. Learn2mix has the paper's mixing rate of the row, the others their default options, which"
    " were not tuned. The losses that weigh classes or adjust logits are for classification alone, and MNIST's "
    "classes are nearly equal: there is little to weigh."
)


def defined(row: Row) -> list[str]:
    """The strategies of the table that are defined for the row's task."""
    return [strategy for strategy in COMPARED if strategy in row.configurations]


def table(all_runs: Sequence[Runs]) -> tuple[pd.DataFrame, str]:
    """A line a row and strategy: unrounded, accuracies in %, what is not run with n = 0; and the same in Markdown, with
    the commands that train what is missing."""
    head, numbers, lines = ["data set", "strategy", "n", "test metric", *cells.HEAD], [], []
    for row in TABLE:
        runs, unit = row.runs(all_runs), "accuracy_percent" if row.is_percent else "squared_error"
        for strategy in defined(row):
            place = {"data_set": row.name, "strategy": strategy, "unit": unit, "n": 0, "seeds": "", "n_pairs": None}
            line, words = cells.at_end(runs, strategy, BASE, row.is_percent)
            numbers.append(place | line)
            title = f"**{row.title}{', %' * row.is_percent}**" if strategy == BASE else ""
            lines.append([title, strategy, *words])
    remedy = markdown.training(missing(TABLE, all_runs, defined))
    text = "\n".join([markdown.page(markdown.table(head, "llrrrrr", lines), CAPTION), *remedy])
    return pd.DataFrame(numbers).astype({"n_pairs": "Int64"}), text
