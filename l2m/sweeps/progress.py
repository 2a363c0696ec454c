"""Trains a run and shows its progress: a bar at a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import nullcontext, suppress

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Column

from l2m.config.run import RunConfig
from l2m.data import load
from l2m.data.own.description import format_description
from l2m.errors import UserError, printable
from l2m.records import EpochRow, Records
from l2m.records.directory import RunDirectory
from l2m.tasks import TASKS
from l2m.training.run import needs, train, train_together
from l2m.training.stopping import Stopped

MAX_LINES = 10
"""Plain lines a run; never more than one an epoch."""

MIN_PAUSE = 10.0
"""Seconds between two lines of a run that is trained in parallel with others."""


class Progress:
    """Shows a run's epochs on standard output; a bar takes one line of the terminal."""

    def __init__(self, config: RunConfig, in_parallel: bool = False) -> None:
        mixing = f" {config.mixing['name']}" if config.mixing["name"] != "none" else ""
        self.name = f"{config.dataset['name']} {config.strategy['name']}{mixing} seed {config.seed}"
        self._epochs = config.epochs
        self._total = "" if config.equal_seconds else f"/{config.epochs}"
        self._metric = TASKS[config.task].metric
        self._trained = False
        self._pause, self._printed = (MIN_PAUSE, time.monotonic()) if in_parallel else (0.0, 0.0)
        self.bar: Bar | None = None
        if sys.stdout.isatty() and not in_parallel:
            console = Console(highlight=False)
            self._short = self._metric.split()[-1]
            numbers = (f"{config.epochs}/{config.epochs}", "0:00:00", f"{self._short} 1.234e-05")
            room = console.width - sum(len(number) + 1 for number in numbers)  # for the name, and a bar if it fits
            width = min(20, room - len(self.name) - 1)
            name = Column(no_wrap=True, overflow="ellipsis", max_width=room)
            self.bar = Bar(
                TextColumn("{task.description}", markup=False, table_column=name),
                *([BarColumn(width)] if width > 3 else []), MofNCompleteColumn(), TimeRemainingColumn(),
                TextColumn("{task.fields[metric]}"), console=console, transient=True,
            )  # fmt: skip
            self._job = self.bar.add_task(self.name, total=config.epochs, metric="")

    def advance(self, row: EpochRow) -> None:
        """Show an epoch."""
        if not self._trained and row.epoch > 1:
            print(f"{self.name}: continues after epoch {row.epoch - 1}", flush=True)
        self._trained = True
        if self.bar:
            self.bar.update(self._job, completed=row.epoch, metric=f"{self._short} {row.test_metric:.4g}")
        elif self._is_due(row.epoch):
            self._printed = time.monotonic()
            print(f"{self.name}: epoch {row.epoch}{self._total}, {self._metric} {row.test_metric:.4g}", flush=True)

    def _is_due(self, epoch: int) -> bool:
        next_tenth = epoch * MAX_LINES // self._epochs > (epoch - 1) * MAX_LINES // self._epochs
        return next_tenth and time.monotonic() - self._printed >= self._pause

    def format_result(self, records: Records) -> str:
        """The final metrics, and where the records are."""
        final = records.final
        before = "" if self._trained else "done before: "
        result = f"{self._metric} {final.test_metric:.4g}, worst group {final.worst_group:.4g}"
        if "best_epoch" in records.info:
            result += f" (epoch {records.info['best_epoch']}, the best of {len(records.metrics)})"
        return f"{self.name}: {result}\n  {before}{printable(str(records.path))}"


def print_data(configs: Iterable[RunConfig]) -> None:
    """Print what the data of users are read as, once for each data set; what is wrong with one its runs report."""
    for config in {str(config.dataset): config for config in configs if "path" in config.dataset}.values():
        with suppress(UserError):
            print("\n".join(format_description(load(config).description or {})), flush=True)


def train_group(configs: Sequence[RunConfig]) -> list[str | Exception | Stopped]:
    """Train runs together, after those that they need; the result of each, or why it has none."""
    needed = {RunDirectory(each).path: each for config in configs for each in needs(config)}
    ended = train_group(list(needed.values())) if needed else []
    if stopped := next((each for each in ended if isinstance(each, Stopped)), None):
        return [stopped] * len(configs)
    longest = Progress(max(configs, key=lambda config: config.epochs), in_parallel=True)
    longest.name = f"{configs[0].dataset['name']} {len(configs)} runs together"
    reached = 0

    def advance(row: EpochRow) -> None:
        nonlocal reached
        if row.epoch > reached:
            longest.advance(row)
        reached = max(reached, row.epoch)

    results = train_together(configs, advance)
    shown = [Progress(config, in_parallel=True) for config in configs]
    for each in shown:
        each._trained = True
    pairs = zip(shown, results, strict=True)
    return [each.format_result(result) if isinstance(result, Records) else result for each, result in pairs]


def train_with_progress(config: RunConfig, in_parallel: bool = False) -> str:
    """Train a run, after those that it needs, and show the progress, in few lines if ``in_parallel``; its result."""
    for needed in needs(config):
        print(train_with_progress(needed, in_parallel), flush=True)
    progress = Progress(config, in_parallel)
    with progress.bar or nullcontext():
        return progress.format_result(train(config, progress.advance))
