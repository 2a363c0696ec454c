"""What training costs, from the figures of ``make bench`` in ``results/bench``."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from l2m.files import read_text
from l2m.paper import published


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


def read_benches(results_dir: Path) -> list[Bench]:
    """The benches of a results folder, by file name."""
    contents = [json.loads(read_text(file)) for file in sorted(results_dir.glob("bench/*.json"))]
    return [Bench(content["machine"], content["rows"]) for content in contents if "rows" in content]


def cost(row: str, benches: Iterable[Bench]) -> str:
    """How long a run of a row trains where it was measured, in words; empty if it was not."""
    settings = published.settings(row)
    for bench in benches:
        if measured := bench.rows.get(row.removesuffix("_v1")):
            steps = settings["epochs"] * (settings["train_size"] // settings["batch_size"])
            hours = steps * measured["seconds"]["learn2mix training"] / measured["steps"] / 3600
            duration = f"{hours:.1f} h" if hours >= 1 else f"{60 * hours:.0f} min"
            return f"each run trains for some {duration} on {bench.machine}"
    return ""
