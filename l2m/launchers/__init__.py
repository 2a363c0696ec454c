"""Launchers: where the unfinished runs of a sweep are trained, if not in processes of this machine.

A launcher only sends runs and says how they ended. What is sent is a configuration, checked here; what comes back is
how the run ended; the records are written where it is trained, into the ``results_dir`` that all machines share.
"""

from __future__ import annotations

import os
import platform
import signal
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from types import FrameType
from typing import Any, ClassVar

from l2m.config import RunConfig
from l2m.errors import UserError
from l2m.plan import Planned, told
from l2m.records import RunDirectory
from l2m.registry import Registry, discover
from l2m.stopping import handled_by
from l2m.sweep import Outcome, Tally, attempt, sweep


class Launcher(ABC):
    """Sends the runs of one sweep."""

    package: ClassVar[str]
    """What has to be installed."""

    @abstractmethod
    def at_once(self, runs: int) -> int:
        """How many of so many runs are trained side by side."""

    @abstractmethod
    def send(self, configs: Sequence[RunConfig]) -> None:
        """Send the runs.

        Raises:
            UserError: there is nowhere to send them to.
        """

    @abstractmethod
    def ended(self) -> Iterator[tuple[int, Outcome]]:
        """The runs that ended, by their place among those sent, each as it ends; waits for the rest."""

    @abstractmethod
    def cancel(self) -> None:
        """Ask the runs to end after their epoch; those that wait are not begun."""


LAUNCHERS: Registry[type[Launcher]] = Registry("hydra.launcher")


@cache
def launchers() -> Registry[type[Launcher]]:
    """All of them; their packages are imported when runs are sent."""
    discover(sys.modules[__name__])
    return LAUNCHERS


def chosen(settings: Mapping[str, Any]) -> Launcher | None:
    """The launcher that Hydra's settings name; None for processes of this machine.

    Raises:
        UserError: a setting is wrong, or its package is not installed.
    """
    if "name" not in settings:
        return None
    problems: list[str] = []
    choice = launchers().check({key: value for key, value in settings.items() if key != "_target_"}, problems)
    package = LAUNCHERS[choice["name"]].package
    if find_spec(package) is None:
        problems.append(f"hydra/launcher={choice['name']} needs {package}: pip install 'l2m[launchers]'")
    if problems:
        raise UserError("\n".join(problems))
    launcher: Launcher = LAUNCHERS.build(choice)
    return launcher


def place(config: RunConfig, threads: int, gpus: float | None) -> RunConfig:
    """A run as it is sent: one that was given GPUs fails where there is none, and does not train on the CPU unsaid."""
    device = "cuda" if gpus and config.device == "auto" else config.device
    return replace(config, threads=config.threads or threads, device=device)


def launch(runs: Sequence[Planned], launcher: Launcher | None) -> list[tuple[Planned, str]]:
    """Do the runs that are not done, and tell how they end; the launcher is sent those alone.

    Returns:
        Those that failed, with the reason.

    Raises:
        Stopped: a signal ended the sweep; the runs it was at have left checkpoints.
        UserError: there is nowhere to send them to.
    """
    if launcher is None:
        return sweep(runs)
    to_do = [run for run in runs if run.to_do]
    print(told(runs, launcher.at_once(len(to_do)) if to_do else 1), flush=True)
    if not to_do:
        return []
    tally, asked = Tally(len(to_do)), list[int]()

    def stop(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        if len(asked) > 1:
            raise KeyboardInterrupt
        print("\nstopping: every run ends its epoch (once more: at once)", file=sys.stderr, flush=True)
        launcher.cancel()

    with handled_by(stop):
        launcher.send([run.config for run in to_do])
        for number, outcome in launcher.ended():
            tally.add(to_do[number], _told(to_do[number], outcome, bool(asked)))
    return tally.failed(asked)


def _told(run: Planned, outcome: Outcome, asked: bool) -> Outcome:
    """An outcome as the person sees it, who did not ask the cluster to end a run."""
    if outcome.status == "lost":
        if asked:
            return Outcome("stopped", "")
        RunDirectory(run.config).mark_failed(outcome.told, outcome.told)
        return Outcome("failed", outcome.told)
    if outcome.status == "stopped" and not asked:
        return Outcome("failed", f"{outcome.told}, as its machine asked: the same command goes on from there")
    return outcome


@dataclass(frozen=True)
class Remote:
    """A run, to be trained on another machine: called there.

    Attributes:
        config: the run.
        folder: the working directory, which relative paths are relative to.
    """

    config: RunConfig
    folder: str

    def __call__(self) -> Outcome:
        """Train it."""
        try:
            os.chdir(self.folder)
        except OSError as error:
            return Outcome(
                "failed",
                f"{self.folder} can't be entered on {platform.node()} ({error.strerror}): run from a folder that all "
                "machines share",
            )
        for each in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(each) is signal.SIG_IGN:
                signal.signal(each, signal.default_int_handler)
        return attempt(self.config)
