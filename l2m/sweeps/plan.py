"""What a sweep has to do: which runs are done, failed and to do, and how long the rest may take."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from statistics import median

import yaml

from l2m.config.checking import LOADER
from l2m.config.run import RunConfig
from l2m.errors import UserError
from l2m.records.directory import RunDirectory
from l2m.training.run import needs


@dataclass(frozen=True)
class Planned:
    """A run of a sweep.

    Attributes:
        command: the words that mean it on the command line; empty for one that others need.
        status: as :meth:`l2m.records.directory.RunDirectory.status` tells it; ``failed`` if it can't.
        problem: why it failed.
    """

    config: RunConfig
    command: str
    status: str | None
    problem: str = ""

    @property
    def to_do(self) -> bool:
        """Whether it is to be trained, from its beginning or its checkpoint."""
        return self.status != "done" or self.config.force


def plan(runs: Iterable[tuple[RunConfig, str]]) -> list[Planned]:
    """Configurations and their commands, each once, with how they stand."""
    found: dict[Path, Planned] = {}
    for config, command in runs:
        path = RunDirectory(config).path
        if path not in found:
            found[path] = _stands(config, command)
        elif found[path].config.logger != config.logger:
            raise UserError(
                f"a run has one set of loggers, and {path} would have several: write "
                f"logger=[{','.join(found[path].config.logger | config.logger)}]"
            )
    return list(found.values())


def describe(runs: Sequence[Planned], workers: int = 1) -> str:
    """How many of the runs, and of those they need, are done, failed and to do, and how long the rest may take.

    The time left is told by finished runs of the same data set in ``results_dir``: the median of their
    seconds an epoch, evaluation included, of the same strategy where there are such. ``workers`` share it.
    """
    everything = plan([(first, "") for run in runs for first in needs(run.config)])
    everything = list({RunDirectory(run.config).path: run for run in (*everything, *runs)}.values())
    left = [run for run in everything if run.to_do]
    failed = [run for run in left if run.status == "failed"]
    first = len(everything) - len(runs)
    line = f"{len(everything)} runs" + (f" ({first} that others need)" if first else "")
    line += f": {len(everything) - len(left)} done, {len(failed)} failed, "
    line += f"{len(left) - len(failed)} to do"
    pace = cache(_pace)
    times = [(run.config, _seconds_an_epoch(run.config, pace)) for run in left]
    if known := [config.epochs * each for config, each in times if each is not None]:
        line += f", about {_duration(sum(known) / workers)}"
    if unknown := sorted({str(config.dataset["name"]) for config, each in times if each is None}):
        several = f" for {len(left) - len(known)} of them" if known else ""
        line += f", no record to tell the time by{several}: {', '.join(unknown)}"
    return "\n".join([line, *(f"failed: {RunDirectory(run.config).path}\n  {run.problem}" for run in failed)])


def _stands(config: RunConfig, command: str) -> Planned:
    directory = RunDirectory(config)
    try:
        status = directory.status()
        problem = str(json.loads((directory.path / "run.json").read_text()).get("problem", "")) if status else ""
    except UserError as error:
        status, problem = "failed", str(error)
    return Planned(config, command, status, problem)


def _seconds_an_epoch(config: RunConfig, pace: Callable[[Path], dict[str, list[float]]]) -> float | None:
    by_strategy = pace(Path(config.results_dir) / "runs" / config.dataset["name"])
    same = by_strategy.get(config.strategy["name"]) or [each for some in by_strategy.values() for each in some]
    return median(same) if same else None


def _pace(folder: Path) -> dict[str, list[float]]:
    """Seconds an epoch of a data set's finished runs, by strategy; what can't be read tells nothing."""
    found: dict[str, list[float]] = {}
    for file in folder.glob("*/*/run.json"):
        try:
            info = json.loads(file.read_text())
            if info["status"] == "done":
                whole = datetime.fromisoformat(info["end"]) - datetime.fromisoformat(info["start"])
                seconds = float(info.get("seconds", whole.total_seconds()))  # records of before it was counted
                epochs = yaml.load((file.parent / "config.yaml").read_text(), LOADER)["epochs"]
                found.setdefault(file.parents[1].name, []).append(seconds / epochs)
        except Exception:  # whatever a damaged record makes its reader say
            continue
    return found


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
