"""Loggers: experiment trackers that follow a run in addition to its records, which never depend on them.

A logger is created for one run: ``start``, then ``epoch`` for each epoch, then ``end``. If it raises, it is dropped for
this run with a warning, and training continues.
"""

import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from math import isfinite
from pathlib import Path
from typing import ClassVar

from l2m.config.run import RunConfig
from l2m.errors import cause
from l2m.files import write_whole
from l2m.records import EpochRow, GroupRow
from l2m.registry import Registry

LOG = logging.getLogger(__name__)

NAMES = "loggers.json"
"""File in a run's directory: by logger, the run's name there."""


class Logger(ABC):
    """Follows one run."""

    package: ClassVar[str]  # the package that must be installed

    @abstractmethod
    def start(self, config: RunConfig, path: Path, before: str | None) -> str:
        """Start a run whose directory is ``path``, or continue the one named ``before``; returns the run's name."""

    @abstractmethod
    def epoch(self, row: EpochRow, groups: Sequence[GroupRow]) -> None:
        """Log an epoch. A run resumed from a checkpoint may repeat one, with the same numbers."""

    @abstractmethod
    def end(self, status: str) -> None:
        """Close the run: ``done``, ``failed``, or ``stopped``, which may be resumed."""


LOGGERS: Registry[type[Logger]] = Registry("logger", __name__)


def epoch_numbers(row: EpochRow, groups: Sequence[GroupRow]) -> dict[str, float]:
    """An epoch's numbers: the columns of ``metrics.csv``, and those of ``groups.csv`` as ``column/group``."""
    columns = "train_loss", "test_loss", "test_metric", "worst_group", "seconds"
    numbers = {name: getattr(row, name) for name in columns}
    by_group = "proportion", "train_loss", "test_metric"
    numbers |= {f"{name}/{group.name}": getattr(group, name) for group in groups for name in by_group}
    return {name: value for name, value in numbers.items() if isfinite(value)}


def run_title(path: Path) -> str:
    """The name of a run in lists: ``digits/learn2mix/seed0-1234abcd``."""
    return "/".join(path.parts[-3:])


@contextmanager
def followed(config: RunConfig, path: Path) -> Iterator[Callable[[EpochRow, Sequence[GroupRow]], None]]:
    """The run's loggers follow it inside the context: call its value with each epoch."""
    loggers = _started(config, path)

    def log_epoch(row: EpochRow, groups: Sequence[GroupRow]) -> None:
        for name in list(loggers):
            with _dropped_on_error(loggers, name):
                loggers[name].epoch(row, groups)

    status = "failed"
    try:
        yield log_epoch
        status = "done"
    except (KeyboardInterrupt, SystemExit):
        status = "stopped"
        raise
    finally:
        for name in list(loggers):
            with _dropped_on_error(loggers, name):
                loggers[name].end(status)


def _started(config: RunConfig, path: Path) -> dict[str, Logger]:
    """The run's loggers by name, started or resumed."""
    loggers: dict[str, Logger] = {}
    before: dict[str, str] = {}
    if not config.force:
        with suppress(OSError, ValueError):
            before = json.loads((path / NAMES).read_text(encoding="utf-8"))
    names = {}
    for name, options in config.logger.items():
        with _dropped_on_error(loggers, name):
            logger = LOGGERS.build({**options, "name": name})
            names[name] = logger.start(config, path, before.get(name))
            loggers[name] = logger
    if names:
        with suppress(OSError):
            write_whole(path / NAMES, f"{json.dumps(before | names, indent=2)}\n".encode())
    return loggers


@contextmanager
def _dropped_on_error(loggers: dict[str, Logger], name: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        loggers.pop(name, None)
        LOG.warning("logger=%s is dropped for this run, which continues without it (%s)", name, cause(error))
