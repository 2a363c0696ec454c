"""The contents of a results folder for the paper's report: runs, studies, and what ``make bench`` measured."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from l2m.errors import cause
from l2m.files import read_text
from l2m.paper import published
from l2m.paper.studies.records import Recorded, read_all
from l2m.report.runs import RunsRead, read_runs


class Bench(NamedTuple):
    """The figures of one machine; ``rows`` by data set, as ``make bench`` writes them."""

    machine: str
    rows: dict[str, Any]

    def ratio(self, row: str) -> tuple[float, float, float] | None:
        """Median and quartiles of learn2mix's seconds of training divided by classical's; None if not measured."""
        for ratio in self.rows.get(row, {}).get("ratios", ()):
            if (ratio["of"], ratio["to"]) == ("learn2mix training", "classical training"):
                return ratio["median"], *ratio["quartiles"]
        return None

    def cost(self, row: str) -> str:
        """How long a run of a row trains, in words; empty if it was not measured."""
        if not (measured := self.rows.get(row.removesuffix("_v1"))):
            return ""
        settings = published.settings(row)
        steps = settings["epochs"] * (settings["train_size"] // settings["batch_size"])
        hours = steps * measured["seconds"]["learn2mix training"] / measured["steps"] / 3600
        duration = f"{hours:.1f} h" if hours >= 1 else f"{60 * hours:.0f} min"
        return f"each run trains for some {duration} on {self.machine}"


@dataclass(frozen=True)
class Results(RunsRead):
    studies: list[Recorded]  # the finished studies, those at their default options first
    benches: list[Bench]  # measurements of ``make bench``, one a machine


def read_results(results_dir: Path, studies_suffice: bool = False) -> Results:
    """Read a results folder.

    Raises:
        UserError: there is no finished run that can be read, nor, where ``studies_suffice``, a study.
    """
    studies, problems = read_all(results_dir)
    read = read_runs(results_dir, may_be_empty=studies_suffice and bool(studies))
    measured = []
    for file in sorted(results_dir.glob("bench/*.json")):
        try:
            if "rows" in (bench := json.loads(read_text(file))):
                measured.append(Bench(bench["machine"], bench["rows"]))
        except (ValueError, KeyError, TypeError, OSError) as error:
            problems.append(f"{file} is left out ({cause(error)}): remove it, and measure again")
    return Results(read.runs, read.problems + problems, read.unfinished, studies, measured)
