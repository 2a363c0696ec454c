"""What a sweep would do: how many runs are done, failed and to do, and how long the rest may take."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import cache
from pathlib import Path
from statistics import median

import yaml

from l2m.config import RunConfig
from l2m.engine import needs
from l2m.records import RunDirectory


def plan(configs: Iterable[RunConfig]) -> str:
    """The plan of the runs of ``configs`` and of those they need, for people to read.

    The time left is told by finished runs of the same data set in ``results_dir``: the median of their
    seconds an epoch, evaluation included, of the same strategy where there are such.
    """
    runs: dict[Path, tuple[RunConfig, str | None]] = {}
    for config in configs:
        for run in (*needs(config), config):
            directory = RunDirectory(run)
            runs[directory.path] = run, directory.status()
    statuses = [status for _, status in runs.values()]
    done, failed = statuses.count("done"), statuses.count("failed")
    left = [run for run, status in runs.values() if status != "done"]
    told = f"{len(runs)} runs: {done} done, {failed} failed, {len(left) - failed} to do"
    pace = cache(_pace)
    times = [(run, _seconds_an_epoch(run, pace)) for run in left]
    if known := [run.epochs * each for run, each in times if each is not None]:
        told += f", about {_duration(sum(known))}"
    if unknown := sorted({str(run.dataset["name"]) for run, each in times if each is None}):
        several = f" for {len(left) - len(known)} of them" if known else ""
        told += f", no record to tell the time by{several}: {', '.join(unknown)}"
    lines = [f"failed: {path}\n  {_problem(path)}" for path, (_, status) in runs.items() if status == "failed"]
    return "\n".join([told, *lines])


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
                seconds = datetime.fromisoformat(info["end"]) - datetime.fromisoformat(info["start"])
                epochs = yaml.safe_load((file.parent / "config.yaml").read_text())["epochs"]
                found.setdefault(file.parents[1].name, []).append(seconds.total_seconds() / epochs)
        except Exception:  # whatever a damaged record makes its reader say
            continue
    return found


def _problem(path: Path) -> str:
    return str(json.loads((path / "run.json").read_text()).get("problem", ""))


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
