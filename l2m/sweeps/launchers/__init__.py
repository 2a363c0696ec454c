"""Launchers: where a sweep trains its unfinished runs; by default in processes of this machine.

A launcher submits checked configurations and reports how each run ended. The training machine writes the records, into
the ``results_dir`` that all machines share.
"""

import os
import platform
import signal
import traceback
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from l2m.config.run import RunConfig
from l2m.errors import cause, describe_error
from l2m.registry import Registry
from l2m.sweeps.progress import Show, train_group, train_with_progress
from l2m.training.output import lasting_output
from l2m.training.stopping import Stopped


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        status: ``done``, ``failed``, ``stopped``, or ``lost`` if its process or machine went away.
        message: the line to print.
        log: for a lost run, the text for ``log.txt``.
    """

    status: str
    message: str
    log: str = ""


class Launcher(ABC):
    """Trains the runs of one sweep."""

    package: ClassVar[str]
    """The Python package that must be installed."""

    show: Show | None = None
    """Shows epochs of the runs in bars; a launcher that cannot send them leaves it alone."""

    @abstractmethod
    def capacity(self, configs: Sequence[RunConfig]) -> int:
        """How many of the runs are trained at the same time."""

    @abstractmethod
    def submit(self, configs: Sequence[RunConfig]) -> None:
        """Start the runs, or queue them; a UserError if they cannot be submitted."""

    @abstractmethod
    def outcomes(self) -> Iterator[tuple[int, Outcome]]:
        """Wait for the runs; the number of each among those submitted, and how it ended, as it ends."""

    @abstractmethod
    def cancel(self) -> None:
        """Ask the runs to end after their epoch, and start no others."""

    def kill(self) -> None:
        """End the runs at once, after a second signal."""
        raise KeyboardInterrupt

    def close(self) -> None:  # noqa: B027
        """Release what is kept for the next runs; call it after the last."""


LAUNCHERS: Registry[type[Launcher]] = Registry("hydra.launcher", __name__)


def train_and_report(config: RunConfig, show: Show | None = None) -> Outcome:
    """Train a run on this machine and report how it ended."""
    try:
        with lasting_output():
            return Outcome("done", train_with_progress(config, in_parallel=True, show=show))
    except (Exception, Stopped) as error:
        return _interpret(config, error)


def train_group_and_report(configs: Sequence[RunConfig], show: Show | None) -> Iterator[tuple[int, Outcome]]:
    """Train runs together, or a single one, and report how each ended, by its number, as it ends."""
    if len(configs) == 1:
        yield 0, train_and_report(configs[0], show)
        return
    with lasting_output():
        for number, result in train_group(configs, show):
            yield number, Outcome("done", result) if isinstance(result, str) else _interpret(configs[number], result)


def _interpret(config: RunConfig, error: Exception | Stopped) -> Outcome:
    if isinstance(error, Stopped):
        return Outcome("done" if error.is_done else "stopped", str(error))
    problem = describe_error(error)
    if config.debug or not problem:  # a fault of the suite
        traceback.print_exception(error)
    return Outcome("failed", problem or cause(error))


def with_resources(config: RunConfig, threads: int | None, gpus: float | None) -> RunConfig:
    """The run to submit: one that gets GPUs must fail on a machine without, not train on its CPU."""
    device = "cuda" if gpus and config.device == "auto" else config.device
    return replace(config, threads=config.threads or threads, device=device)


@dataclass(frozen=True)
class RemoteRun:
    """A run to be trained on another machine, by calling it there, in a ``directory`` for relative paths."""

    config: RunConfig
    directory: str

    def __call__(self) -> Outcome:
        """Train it."""
        try:
            os.chdir(self.directory)
        except OSError as error:
            return Outcome(
                "failed",
                f"{self.directory} cannot be entered on {platform.node()} ({error.strerror}): run from a directory "
                "that all machines share",
            )
        for each in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(each) is signal.SIG_IGN:
                signal.signal(each, signal.default_int_handler)
        return train_and_report(self.config)
