"""Trains runs and shows their progress: bars at a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Column

from l2m.config.description import data_name
from l2m.config.run import RunConfig
from l2m.data import load
from l2m.data.own.description import format_description
from l2m.errors import UserError, printable
from l2m.records import EpochRow, Records
from l2m.records.directory import RunDirectory
from l2m.tasks import TASKS
from l2m.training import ranks
from l2m.training import run as training
from l2m.training.run import needs
from l2m.training.stopping import Stopped

MAX_LINES = 10
"""Plain lines a run; never more than one an epoch."""

MIN_PAUSE = 10.0
"""Seconds between two lines of a run that is trained in parallel with others."""

MAX_BARS = 8
"""Bars of runs in training, at most; the terminal may be low."""


class Shown(NamedTuple):
    """What a sweep's bar shows of a run, or of several that train together; without epochs it is removed."""

    key: str
    name: str = ""
    epoch: int = 0
    epochs: int = 0
    metric: str = ""
    runs: int = 0


Show = Callable[[Shown], None]


class Progress:
    """Shows the epochs of a run, or of ``left`` runs together: by ``show``, in a bar of one line, or in plain lines."""

    def __init__(self, config: RunConfig, in_parallel: bool = False, left: int = 1, show: Show | None = None) -> None:
        self.left, self._show = left, show
        mixing = f" {config.mixing['name']}" if config.mixing["name"] != "none" else ""
        data = data_name(config.dataset["name"], config.dataset.get("path"))
        one = f"{config.strategy['name']}{mixing} seed {config.seed}"
        self.name = f"{data} {one if left == 1 else f'{left} runs together'}"
        self._epochs = config.epochs
        self._total = "" if config.equal_seconds else f"/{config.epochs}"
        self._metric = TASKS[config.task].metric
        self._trained = left > 1  # some may continue, others not
        self._pause, self._printed = (MIN_PAUSE, time.monotonic()) if in_parallel else (0.0, 0.0)
        self._key = f"{RunDirectory(config).path}{' and others' if left > 1 else ''}"
        self.bar: Bar | None = None
        if is_watched() and not in_parallel:
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
        if not self._trained and row.epoch > 1 and not self._show:
            print(f"{self.name}: continues after epoch {row.epoch - 1}", flush=True)
        self._trained = True
        metric = f"{self._metric} {row.test_metric:.4g}"
        if self._show:
            self._show(Shown(self._key, self.name, row.epoch, self._epochs, metric, self.left))
        elif self.bar:
            self.bar.update(self._job, completed=row.epoch, metric=f"{self._short} {row.test_metric:.4g}")
        elif self._is_due(row.epoch):
            self._printed = time.monotonic()
            print(f"{self.name}: epoch {row.epoch}{self._total}, {metric}", flush=True)

    def end(self) -> None:
        """Remove the bar that another process shows."""
        if self._show:
            self._show(Shown(self._key))

    def _is_due(self, epoch: int) -> bool:
        next_tenth = epoch * MAX_LINES // self._epochs > (epoch - 1) * MAX_LINES // self._epochs
        return next_tenth and time.monotonic() - self._printed >= self._pause

    def format_result(self, records: Records, trained: bool = False) -> str:
        """The final metrics, and where the records are; whether the run was trained now, if no epoch was shown."""
        final = records.final
        self.end()
        before = "" if self._trained or trained else "done before: "
        result = f"{self._metric} {final.test_metric:.4g}, worst group {final.worst_group:.4g}"
        if "best_epoch" in records.info:
            result += f" (epoch {records.info['best_epoch']}, the best of {len(records.metrics)})"
        return f"{self.name}: {result}\n  {before}{printable(str(records.path))}"


def print_data(configs: Iterable[RunConfig], is_dry: bool = False) -> None:
    """Print what the data of users are read as, once for each data set, whose errors its runs report.

    If ``is_dry``, only tables in files are read, which needs no network, and a UserError is raised.
    """
    for config in {str(config.dataset): config for config in configs if "path" in config.dataset}.values():
        if is_dry and config.dataset["name"] != "csv":
            continue
        with nullcontext() if is_dry else suppress(UserError):
            print("\n".join(format_description(load(config).description or {})), flush=True)


def train_group(
    configs: Sequence[RunConfig], show: Show | None = None
) -> Iterator[tuple[int, str | Exception | Stopped]]:
    """Train runs together, after those that they need; yields the number of one that has ended, and its result.

    The progress shown is the mean of those that have not ended.
    """
    needed = {RunDirectory(each).path: each for config in configs for each in needs(config)}
    ended = [result for _, result in train_group(list(needed.values()), show)] if needed else []
    if stopped := next((each for each in ended if isinstance(each, Stopped)), None):
        yield from ((number, stopped) for number in range(len(configs)))
        return
    whole = Progress(max(configs, key=lambda config: config.epochs), True, len(configs), show)
    trained = 0

    def advance(row: EpochRow) -> None:
        nonlocal trained
        trained += 1
        if trained % whole.left == 0:
            whole.advance(replace(row, epoch=trained // whole.left))

    for number, result in training.train_together(configs, advance):
        rows = len(result.metrics) if isinstance(result, Records) else trained // whole.left
        trained, whole.left = max(trained - rows, 0), whole.left - 1
        if isinstance(result, Records):
            yield number, Progress(configs[number], in_parallel=True, show=show).format_result(result, trained=True)
        else:
            yield number, result
    whole.end()


def train_with_progress(config: RunConfig, in_parallel: bool = False, show: Show | None = None) -> str:
    """Train a run, after those that it needs, and show the progress, in few lines if ``in_parallel``; its result."""
    is_done = ranks.from_first(partial(training.is_done, RunDirectory(config), config))
    for needed in [] if is_done else needs(config):
        print(train_with_progress(needed, in_parallel, show), flush=True)
    progress = Progress(config, in_parallel, show=show)
    with progress.bar or nullcontext():
        return progress.format_result(training.train(config, progress.advance))


def is_watched() -> bool:
    """Whether standard output is a terminal or a notebook's."""
    return sys.stdout.isatty() or "ipykernel" in sys.modules


def train(config: RunConfig, on_epoch: Callable[[EpochRow], None] | None = None) -> Records:
    """Train one run and write its records, with a bar at a terminal or in a notebook.

    A finished run is read, not repeated, unless ``force`` is set; an interrupted or failed one continues from its
    checkpoint. Runs that it needs are trained first. ``on_epoch`` is called with each row of ``metrics.csv``. SIGINT
    and SIGTERM end the run after the current epoch, with a checkpoint.

    Raises:
        UserError: a value of ``config`` breaks a rule, or asks for a dry run; the run cannot start or continue, or a
            loss is not finite.
        Stopped: a signal ended it.
    """
    if config.dry_run:
        raise UserError("dry_run=true trains nothing: leave it out")
    if not is_watched():
        return training.train(config, on_epoch)
    progress = Progress(config)

    def show(row: EpochRow) -> None:
        progress.advance(row)
        if on_epoch:
            on_epoch(row)

    with progress.bar or nullcontext():
        return training.train(config, show)


class SweepBars:
    """Bars of the runs that a sweep is training, above one of them all with the time left."""

    def __init__(self, total: int) -> None:
        self.bar = Bar(
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")),
            BarColumn(20), TextColumn("{task.fields[count]}"), TimeRemainingColumn(),
            TextColumn("{task.fields[metric]}"), console=Console(highlight=False), transient=True,
        )  # fmt: skip
        self._total, self._ended = total, 0
        self._whole = self.bar.add_task("all runs", total=total, count=f"0/{total}", metric="")
        self._runs: dict[str, TaskID] = {}
        self._shares: dict[str, float] = {}
        self._lock = Lock()  # several threads show epochs

    def show(self, shown: Shown) -> None:
        """Show an epoch of a run, perhaps one that others need, or remove its bar."""
        with self._lock:
            key = shown.key
            if shown.epochs:
                if key not in self._runs:
                    self._runs[key] = self.bar.add_task(shown.name, total=shown.epochs, count="", metric="")
                count = f"{shown.epoch}/{shown.epochs}"
                self.bar.update(self._runs[key], completed=shown.epoch, count=count, metric=shown.metric)
                self._shares[key] = shown.runs * min(shown.epoch / shown.epochs, 1)
            elif key in self._runs:
                self.bar.remove_task(self._runs.pop(key))
                del self._shares[key]
            for place, task in enumerate(self._runs.values()):
                self.bar.update(task, visible=place < MAX_BARS)
            done = self._ended + sum(self._shares.values())
            self.bar.update(self._whole, completed=done, count=f"{self._ended}/{self._total}")

    def end(self, path: Path) -> None:
        """Count a run of the sweep that has ended, and remove its bar."""
        self._ended += 1
        self.show(Shown(str(path)))


def where_to_look(configs: Iterable[RunConfig], launcher: Mapping[str, Any]) -> list[str]:
    """Lines with the folders of runs, and the commands that show them: a page, TensorBoard's, W&B's, submitit's."""
    lines: dict[str, None] = {}
    for config in configs:
        folder = config.results_dir
        lines[f"records: {folder}/runs; to look at them: l2m page {folder}"] = None
        if options := config.logger.get("tensorboard"):
            lines[f"tensorboard --logdir {options.get('folder') or f'{folder}/runs'}"] = None
        if "wandb" in config.logger:
            lines[f"Weights & Biases: {folder}/wandb"] = None
        if str(launcher.get("name", "")).startswith("submitit"):
            lines[f"submitit's logs: {launcher.get('folder') or f'{folder}/submitit'}"] = None
    return list(map(printable, lines))
