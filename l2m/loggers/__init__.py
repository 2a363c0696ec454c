"""Loggers: trackers of experiments that follow a run beside its records, which are written whatever becomes of them.

A logger is made for one run and is told its beginning, its epochs and its end. It may raise: it is then given up for
the run, with a warning, and the run goes on.
"""

from __future__ import annotations

import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from l2m.errors import cause
from l2m.registry import Registry

if TYPE_CHECKING:
    from l2m.config.run import RunConfig
    from l2m.records import EpochRow, GroupRow

LOG = logging.getLogger(__name__)

NAMES = "loggers.json"
"""File of a run's directory: by logger, what the run is called there."""


class Logger(ABC):
    """Follows one run."""

    package: ClassVar[str]
    """What has to be installed."""

    @abstractmethod
    def start(self, config: RunConfig, path: Path, before: str | None) -> str:
        """Begin a run whose directory is ``path``, or go on with what ``before`` names; what the run is called."""

    @abstractmethod
    def epoch(self, row: EpochRow, groups: Sequence[GroupRow]) -> None:
        """Take an epoch. A run that goes on from a checkpoint may tell one a second time, with the same numbers."""

    @abstractmethod
    def end(self, status: str) -> None:
        """Close: ``done``, ``failed``, or ``stopped``, which may go on."""


LOGGERS: Registry[type[Logger]] = Registry("logger", __name__)


def numbers(row: EpochRow, groups: Sequence[GroupRow]) -> dict[str, float]:
    """What is logged of an epoch: the columns of ``metrics.csv``, and those of ``groups.csv`` as ``column/group``."""
    found = {name: getattr(row, name) for name in ("train_loss", "test_loss", "test_metric", "worst_group", "seconds")}
    for group in groups:
        found |= {f"{name}/{group.name}": getattr(group, name) for name in ("proportion", "train_loss", "test_metric")}
    return {name: value for name, value in found.items() if isfinite(value)}


def title(path: Path) -> str:
    """A run in a list of runs: ``digits/learn2mix/seed0-1234abcd``."""
    return "/".join(path.parts[-3:])


@contextmanager
def followed(config: RunConfig, path: Path) -> Iterator[Callable[[EpochRow, Sequence[GroupRow]], None]]:
    """Inside, the run's loggers follow it: call what is given with each epoch."""
    followers = _Followers(config, path)
    try:
        yield followers.epoch
    except (KeyboardInterrupt, SystemExit):
        followers.end("stopped")
        raise
    except BaseException:
        followers.end("failed")
        raise
    followers.end("done")


class _Followers:
    def __init__(self, config: RunConfig, path: Path) -> None:
        self._all: dict[str, Logger] = {}
        before: dict[str, str] = {}
        if not config.force:
            with suppress(OSError, ValueError):
                before = json.loads((path / NAMES).read_text())
        names = {}
        for name, options in config.logger.items():
            with self._forgiving(name):
                logger = LOGGERS.build({**options, "name": name})
                names[name] = logger.start(config, path, before.get(name))
                self._all[name] = logger
        if names:
            with suppress(OSError):
                (path / NAMES).write_text(json.dumps(before | names, indent=2) + "\n")

    def epoch(self, row: EpochRow, groups: Sequence[GroupRow]) -> None:
        for name, logger in list(self._all.items()):
            with self._forgiving(name):
                logger.epoch(row, groups)

    def end(self, status: str) -> None:
        for name, logger in list(self._all.items()):
            with self._forgiving(name):
                logger.end(status)

    @contextmanager
    def _forgiving(self, name: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._all.pop(name, None)
            LOG.warning("logger=%s is given up for this run, which goes on without (%s)", name, cause(error))
