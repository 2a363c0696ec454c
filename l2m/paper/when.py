"""When adaptive mixing helps: learn2mix's gain over each opponent, early and at the end, of all and of the worst group.

The tables stand in README.md and docs/when.md, between marks; the sentences around them are judgement.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from l2m.paper.cells import is_percent
from l2m.paper.costs import Bench
from l2m.paper.results import Results
from l2m.paper.rows import ROWS, VARIANTS, Row, with_equal
from l2m.paper.verdict import FEWEST
from l2m.report.runs import Runs
from l2m.report.statistics import bold_apart, interval, paired

OPPONENTS = ("classical", "stratified", "balanced", "focal", "class_weighted", "logit_adjusted")

COLUMNS = (("test_metric", 0.25), ("test_metric", 1.0), ("worst_group", 0.25), ("worst_group", 1.0))

UNIT = (
    "Gain of learn2mix on the same seeds, above 0 where it is better: points of accuracy, or % of the other's error; ± "
    "half of its 95 % t-interval, bold where that leaves 0 out. Ratio: the largest group's share of the training set "
    "to the smallest's."
)


class Gain(NamedTuple):
    """Learn2mix's gain over another strategy: mean and half of its 95 % t-interval over n seeds, in points or in %."""

    mean: float
    half: float
    n: int

    def __str__(self) -> str:
        text = interval(*self, 1) + (f" (n = {self.n})" if self.n < FEWEST else "")
        return bold_apart(text, self.mean, self.half)


def gain(row: Row, runs: Mapping[str, Runs], other: str, column: str, share: float) -> Gain | None:
    """At epoch ⌊share·E⌋; None where one of the two is not run."""
    if "learn2mix" not in runs or other not in runs:
        return None
    ours, theirs = (runs[strategy].at(share, column) for strategy in ("learn2mix", other))
    sign, scale = (1, 100.0) if is_percent(row) else (-1, 100 / float(theirs.mean()))
    mean, half, n = paired(ours, theirs)
    return Gain(sign * scale * mean, scale * half, n)


def overview(results: Results) -> str:
    """A line a row that was run: the gain over classical and over balanced batches, and what it costs."""
    head = [
        "", "ratio", "over classical, 0.25E", "at E", "worst group at E", "over balanced, 0.25E", "at E",
        "worst group at E", "seconds",
    ]  # fmt: skip
    lines = [f"| {' | '.join(head)} |", "|---|" + "--:|" * (len(head) - 1)]
    for row, runs in _run(results.runs):
        words = [row.title, _ratio(runs["learn2mix"])]
        for other in ("classical", "balanced"):
            gains = [gain(row, runs, other, *column) for column in COLUMNS]
            words += [str(each or "") for each in (gains[0], gains[1], gains[3])]
        lines.append(f"| {' | '.join([*words, _seconds(row, results.benches)])} |")
    note = f"{UNIT} Seconds: learn2mix's training divided by classical's, by `make bench`."
    return "\n".join([*lines, "", note, ""])


def opponents(results: Results) -> str:
    """A line a row and opponent that were run."""
    head = ["", "ratio", "learn2mix over", "n", "0.25E", "E", "worst group, 0.25E", "worst group, E"]
    lines = [f"| {' | '.join(head)} |", "|---|--:|---|" + "--:|" * 5]
    for row, runs in _run(results.runs):
        there = [other for other in OPPONENTS if other in runs]
        for other in there:
            gains = [gain(row, runs, other, *column) for column in COLUMNS]
            words = [row.title, _ratio(runs["learn2mix"])] if other == there[0] else ["", ""]
            words += [other, str(gains[0].n if gains[0] else 0), *map(str, gains)]
            lines.append(f"| {' | '.join(words)} |")
    return "\n".join([*lines, "", UNIT, ""])


def _run(found: Sequence[Runs]) -> Iterable[tuple[Row, dict[str, Runs]]]:
    """The rows that learn2mix was run on, with all their runs."""
    for row in (*ROWS, *VARIANTS):
        runs = with_equal(row.runs(found))
        if "learn2mix" in runs:
            yield row, runs


def _ratio(run: Runs) -> str:
    shares = run.proportions
    return f"{max(shares) / min(shares):.3g}"


def _seconds(row: Row, benches: Sequence[Bench]) -> str:
    """The ratios of all machines that measured it."""
    ratios = [ratio[0] for bench in benches if (ratio := bench.ratio(row.name.removesuffix("_v1")))]
    return " / ".join(f"{ratio:.2f}" for ratio in ratios)
