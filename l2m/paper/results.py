"""All that the paper's report is made of: the runs, studies and measured costs of a results folder."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from l2m.paper.costs import Bench, read_benches
from l2m.paper.studies.records import Recorded, read_all
from l2m.report.runs import Runs, read_runs


@dataclass(frozen=True)
class Results:
    """What a results folder holds.

    Attributes:
        runs: the finished runs, by data set and strategy.
        problems: a sentence for each record that was left out: the directory, what is wrong, the remedy.
        unfinished: how many runs have another status than ``done``, by data set, strategy and status.
        studies: the finished studies, those at their default options first.
        benches: what ``make bench`` measured, a machine each.
    """

    runs: list[Runs]
    problems: list[str]
    unfinished: Counter[tuple[str, str, str]]
    studies: list[Recorded]
    benches: list[Bench]


def read_results(results_dir: Path, studies_suffice: bool = False) -> Results:
    """What a results folder holds.

    Raises:
        UserError: there is no finished run that can be read, nor, where ``studies_suffice``, a study.
    """
    studies, problems = read_all(results_dir)
    runs = read_runs(results_dir, may_be_empty=studies_suffice and bool(studies))
    return Results(runs.runs, runs.problems + problems, runs.unfinished, studies, read_benches(results_dir))
