"""What a person sees of a run: a bar at a terminal, plain lines in a pipe."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Column

from l2m.config.run import RunConfig
from l2m.records import EpochRow, Records
from l2m.tasks import TASKS
from l2m.training.run import needs, train

LINES = 10
"""Plain lines a run, at most; never more than one an epoch."""

PAUSE = 10.0
"""Seconds between two lines of a run, at least, where others run beside it."""


class Progress:
    """Shows a run's epochs as they come, on standard output; a bar keeps to a line of the terminal."""

    def __init__(self, config: RunConfig, beside_others: bool = False) -> None:
        mixing = f" {config.mixing['name']}" if config.mixing["name"] != "none" else ""
        self.name = f"{config.dataset['name']} {config.strategy['name']}{mixing} seed {config.seed}"
        self._epochs = config.epochs
        self._of = "" if config.equal_seconds else f"/{config.epochs}"
        self._metric = TASKS[config.task].metric
        self._trained = False
        self._pause, self._told = (PAUSE, time.monotonic()) if beside_others else (0.0, 0.0)
        self._bar: Bar | None = None
        if sys.stdout.isatty() and not beside_others:
            console = Console(highlight=False)
            self._short = self._metric.split()[-1]
            numbers = (f"{config.epochs}/{config.epochs}", "0:00:00", f"{self._short} 1.234e-05")
            room = console.width - sum(len(number) + 1 for number in numbers)  # for the name, and a bar if it can be
            width = min(20, room - len(self.name) - 1)
            name = Column(no_wrap=True, overflow="ellipsis", max_width=room)
            self._bar = Bar(
                TextColumn("{task.description}", table_column=name),
                *([BarColumn(width)] if width > 3 else []), MofNCompleteColumn(), TimeRemainingColumn(),
                TextColumn("{task.fields[metric]}"), console=console, transient=True,
            )  # fmt: skip
            self._job = self._bar.add_task(self.name, total=config.epochs, metric="")

    def __enter__(self) -> Progress:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def advance(self, row: EpochRow) -> None:
        """Show an epoch."""
        if not self._trained and row.epoch > 1:
            print(f"{self.name}: goes on after epoch {row.epoch - 1}", flush=True)
        self._trained = True
        if self._bar:
            self._bar.update(self._job, completed=row.epoch, metric=f"{self._short} {row.test_metric:.4g}")
        elif self._is_due(row.epoch):
            self._told = time.monotonic()
            print(f"{self.name}: epoch {row.epoch}{self._of}, {self._metric} {row.test_metric:.4g}", flush=True)

    def _is_due(self, epoch: int) -> bool:
        a_tenth_on = epoch * LINES // self._epochs > (epoch - 1) * LINES // self._epochs
        return a_tenth_on and time.monotonic() - self._told >= self._pause

    def told(self, records: Records) -> str:
        """How the run ended, and where its records are."""
        last = records.metrics.iloc[-1]
        again = "" if self._trained else "done before: "
        ended = f"{self._metric} {last.test_metric:.4g}, worst group {last.worst_group:.4g}"
        return f"{self.name}: {ended}\n  {again}{records.path}"


def watch(config: RunConfig, beside_others: bool = False) -> str:
    """Train a run, and before it what it needs, for a person to see; what it came to.

    Args:
        config: the run.
        beside_others: tell little, and in plain lines, though there be a terminal.
    """
    for first in needs(config):
        print(watch(first, beside_others), flush=True)
    with Progress(config, beside_others) as progress:
        return progress.told(train(config, progress.advance))
