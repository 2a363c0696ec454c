"""When adaptive mixing helps: learn2mix's gain over each opponent, early and at the end, of all and of the worst group.

The tables stand in README.md and docs/when.md, between marks; the sentences around them are judgement.
"""

from collections.abc import Iterator, Mapping, Sequence

from l2m.paper import markdown
from l2m.paper.results import Results
from l2m.paper.rows import ALL, Row, with_equal
from l2m.report.runs import Runs
from l2m.report.statistics import MIN_SEEDS, Difference, mean_in_pairs, paired

OPPONENTS = ("classical", "stratified", "balanced", "focal", "class_weighted", "logit_adjusted")

COLUMNS = (("test_metric", 0.25), ("test_metric", 1.0), ("worst_group", 0.25), ("worst_group", 1.0))

UNIT = (
    "Gain of learn2mix on the same seeds, above 0 where it is better: points of accuracy, or % of the other's error; ± "
    "half of its 95 % t-interval, bold where that leaves 0 out. Ratio: the largest group's share of the training set "
    "to the smallest's."
)


def gain(row: Row, runs: Mapping[str, Runs], other: str, column: str, share: float) -> Difference | None:
    """Learn2mix's gain over another strategy at epoch ⌊share·E⌋, in points or in %; None if one of them is not run."""
    if "learn2mix" not in runs or other not in runs:
        return None
    ours, theirs = (runs[strategy].at(share, column) for strategy in ("learn2mix", other))
    factor = 1 if row.is_percent else -100 / mean_in_pairs(theirs, ours)
    return paired(factor * ours, factor * theirs)


def overview(results: Results) -> str:
    """A line a row that was run: the gain over classical and over balanced batches, and what it costs."""
    head = [
        "", "ratio", "over classical, 0.25E", "at E", "worst group at E", "over balanced, 0.25E", "at E",
        "worst group at E", "seconds",
    ]  # fmt: skip
    lines = []
    for row, runs in _run(results.runs):
        words = [row.title, _ratio(runs["learn2mix"])]
        for other in ("classical", "balanced"):
            early, end, _, worst = _gains(row, runs, other)
            words += [early, end, worst]
        ratios = [ratio[0] for bench in results.benches if (ratio := bench.ratio(row.name))]
        lines.append([*words, " / ".join(f"{ratio:.2f}" for ratio in ratios)])
    note = f"{UNIT} Seconds: learn2mix's training divided by classical's, by `make bench`."
    return markdown.page(markdown.table(head, "lrrrrrrrr", lines), note)


def opponents(results: Results) -> str:
    """A line a row and opponent that were run."""
    head = ["", "ratio", "learn2mix over", "n", "0.25E", "E", "worst group, 0.25E", "worst group, E"]
    lines = []
    for row, runs in _run(results.runs):
        title = [row.title, _ratio(runs["learn2mix"])]
        for other in (other for other in OPPONENTS if other in runs):
            n = len(runs["learn2mix"].metrics.keys() & runs[other].metrics.keys())
            lines.append([*title, other, str(n), *_gains(row, runs, other)])
            title = ["", ""]
    return markdown.page(markdown.table(head, "lrlrrrrr", lines), UNIT)


def _gains(row: Row, runs: Mapping[str, Runs], other: str) -> list[str]:
    """Those of ``COLUMNS``; with their n where it is small."""
    gains = [gain(row, runs, other, *column) for column in COLUMNS]
    return [each.text(1, bold=True) + f" (n = {each.n})" * (each.n < MIN_SEEDS) if each else "" for each in gains]


def _run(all_runs: Sequence[Runs]) -> Iterator[tuple[Row, dict[str, Runs]]]:
    """The rows that learn2mix was run on, with all their runs."""
    for row in ALL:
        runs = with_equal(row.runs(all_runs))
        if "learn2mix" in runs:
            yield row, runs


def _ratio(run: Runs) -> str:
    shares = run.proportions
    return f"{max(shares) / min(shares):.3g}"
