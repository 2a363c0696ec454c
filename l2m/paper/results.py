"""The contents of a results folder for the paper's report: runs, studies and measured costs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from l2m.paper.costs import Bench, read_benches
from l2m.paper.studies.records import Recorded, read_all
from l2m.report.runs import RunsRead, read_runs


@dataclass(frozen=True)
class Results(RunsRead):
    """What a results folder holds: its runs, and

    Attributes:
        studies: the finished studies, those at their default options first.
        benches: measurements of ``make bench``, one a machine.
    """

    studies: list[Recorded]
    benches: list[Bench]


def read_results(results_dir: Path, studies_suffice: bool = False) -> Results:
    """Read a results folder.

    Raises:
        UserError: there is no finished run that can be read, nor, where ``studies_suffice``, a study.
    """
    studies, problems = read_all(results_dir)
    read = read_runs(results_dir, may_be_empty=studies_suffice and bool(studies))
    return Results(read.runs, read.problems + problems, read.unfinished, studies, read_benches(results_dir))
