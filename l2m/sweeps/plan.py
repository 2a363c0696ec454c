"""The plan of a sweep: which runs are done, failed and to do, and how long the rest may take."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
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
class PlannedRun:
    """A run of a sweep.

    Attributes:
        command: its words on the command line; empty for a run that others need.
        path: its directory.
        status: as :meth:`l2m.records.directory.RunDirectory.status` gives it; ``failed`` if that raises.
        problem: why it failed.
    """

    config: RunConfig
    command: str
    path: Path
    status: str | None
    problem: str = ""

    @property
    def to_do(self) -> bool:
        """Whether it must be trained, from the beginning or from its checkpoint."""
        return self.status != "done" or self.config.force


def plan(runs: Iterable[tuple[RunConfig, str]]) -> list[PlannedRun]:
    """The runs of configurations and their commands, each once, with their status."""
    planned: dict[Path, PlannedRun] = {}
    for config, command in runs:
        config = replace(config, command=f"python -m l2m.run {command}" if command else None)
        directory = RunDirectory(config)
        path = directory.path
        if path not in planned:
            try:
                info = directory.read_info()
            except UserError as error:
                info = {"status": "failed", "problem": error}
            planned[path] = PlannedRun(config, command, path, info.get("status"), str(info.get("problem", "")))
        elif (logger := planned[path].config.logger) != config.logger:
            raise UserError(
                f"{path} would be logged by several sets of loggers, but a run has one: write "
                f"logger=[{','.join(logger | config.logger)}]"
            )
    return list(planned.values())


def format_plan(runs: Sequence[PlannedRun], workers: int = 1) -> str:
    """How many of the runs, and of those they still need, are done, failed and to do, and how long the rest may take.

    The time left is estimated from finished runs of the same data set in ``results_dir``: the median of their seconds
    an epoch, with evaluation, of the same strategy if possible. ``workers`` runs are trained in parallel.
    """
    needed = plan([(config, "") for run in runs if run.to_do for config in needs(run.config)])
    everything = list({run.path: run for run in (*needed, *runs)}.values())
    left = [run for run in everything if run.to_do]
    failed = [run for run in left if run.status == "failed"]
    only_needed = len(everything) - len(runs)
    line = f"{len(everything)} run{'s' * (len(everything) != 1)}"
    line += f" ({only_needed} that others need)" if only_needed else ""
    line += f": {len(everything) - len(left)} done, {len(failed)} failed, {len(left) - len(failed)} to do"
    read_pace, seconds = cache(_read_pace), []
    for config in (run.config for run in left):
        by_strategy = read_pace(Path(config.results_dir) / "runs" / config.dataset["name"])
        same = by_strategy.get(config.strategy["name"]) or [each for some in by_strategy.values() for each in some]
        seconds.append((config, median(same) if same else None))
    if estimates := [config.epochs * each for config, each in seconds if each is not None]:
        several = f" for {len(estimates)} of them" if len(estimates) < len(left) else ""
        line += f", about {_format_duration(sum(estimates) / workers)}{several}"
    if missing := sorted({str(config.dataset["name"]) for config, each in seconds if each is None}):
        line += f", no finished run of {', '.join(missing)} to estimate the time from"
    return "\n".join([line, *(f"failed: {run.path}\n  {run.problem}" for run in failed)])


def _read_pace(folder: Path) -> dict[str, list[float]]:
    """Seconds an epoch of a data set's finished runs, by strategy, without damaged records."""
    pace: dict[str, list[float]] = {}
    for file in folder.glob("*/*/run.json"):
        try:
            info = json.loads(file.read_text(encoding="utf-8"))
            if info["status"] == "done":
                whole = datetime.fromisoformat(info["end"]) - datetime.fromisoformat(info["start"])
                seconds = float(info.get("seconds", whole.total_seconds()))  # early records have no seconds
                text = (file.parent / "config.yaml").read_text(encoding="utf-8")
                epochs = yaml.load(text, LOADER)["epochs"]
                pace.setdefault(file.parents[1].name, []).append(seconds / epochs / info.get("together", 1))
        except Exception:  # a damaged record may raise anything
            continue
    return pace


def _format_duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
