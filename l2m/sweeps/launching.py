"""Trains the unfinished runs of a sweep with its launcher and reports how they end."""

import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import replace
from types import FrameType
from typing import Any

from l2m.config.composing import compose_sweep
from l2m.errors import UserError, describe_missing
from l2m.records import Records
from l2m.records.directory import RunDirectory
from l2m.sweeps.launchers import LAUNCHERS, Launcher, Outcome
from l2m.sweeps.launchers.processes import Processes
from l2m.sweeps.plan import PlannedRun, format_plan, plan
from l2m.sweeps.progress import SweepBars, is_watched
from l2m.training.stopping import Stopped, handled_by


def sweep(*overrides: str, config_dir: str | os.PathLike[str] | None = None) -> list[Records]:
    """Train the runs of the command line ``python -m l2m.run -m *overrides``; finished runs are skipped.

    Args:
        overrides: such as ``"+experiment=mnist"``, or ``"dataset=digits"`` and ``"seed=range(5)"``.
        config_dir: a folder with your own choices, as in ``--config-dir`` (:mod:`l2m.config.user_folders`).

    Returns:
        The records of the runs, in the sweep's order; with ``dry_run=true``, which prints the plan, of those done.

    Raises:
        UserError: the overrides are not valid, or runs failed, after all others are done; a line each.
    """
    runs, settings = compose_sweep(*overrides, config_dir=config_dir)
    planned = plan(runs)
    if any(run.config.dry_run for run in planned):
        print(format_plan(planned))
        return [RunDirectory(run.config).read() for run in planned if run.status == "done"]
    with closing(choose_launcher(settings)) as launcher:
        failed = launch(planned, launcher)
    if failed:
        raise UserError("\n".join(f"{run.command}: {problem}" for run, problem in failed))
    return [RunDirectory(run.config).read() for run in planned]


def choose_launcher(settings: Mapping[str, Any]) -> Launcher:
    """The launcher in Hydra's settings, by default processes of this machine; a UserError if one is wrong."""
    if "name" not in settings:
        return Processes()
    problems: list[str] = []
    choice = LAUNCHERS.check({key: value for key, value in settings.items() if key != "_target_"}, problems)
    name = choice["name"]
    problems += describe_missing(f"hydra/launcher={name}", "launchers", LAUNCHERS[name].package)
    if problems:
        raise UserError("\n".join(problems))
    launcher: Launcher = LAUNCHERS.build(choice)
    return launcher


def launch(runs: Sequence[PlannedRun], launcher: Launcher) -> list[tuple[PlannedRun, str]]:
    """Train the unfinished runs and print how they end; those that failed, in their order, with the reason.

    Raises:
        Stopped: a signal ended the sweep; the runs in progress have left checkpoints.
        UserError: the runs cannot be submitted.
    """
    to_do = [run for run in runs if run.to_do]
    configs = [run.config for run in to_do]
    print(format_plan(runs, launcher.capacity(configs) if to_do else 1), flush=True)
    if not to_do:
        return []
    ended: dict[int, Outcome] = {}
    signals: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        signals.append(number)
        if signals[1:]:
            launcher.kill()
        else:
            print("\nstopping: every run ends its epoch (once more: at once)", file=sys.stderr, flush=True)
            launcher.cancel()

    bars = SweepBars(len(to_do)) if is_watched() else None
    launcher.show = bars.show if bars else None
    with handled_by(stop), bars.bar if bars else nullcontext():
        launcher.submit(configs)
        for number, outcome in launcher.outcomes():
            run, outcome = to_do[number], _interpret(to_do[number], outcome, bool(signals))
            ended[number] = outcome
            if bars:
                bars.end(run.path)
            if outcome.status == "done":
                print(f"[{len(ended)}/{len(to_do)}] {outcome.message}", flush=True)
            elif outcome.status == "failed":
                print(f"error: {run.command}: {outcome.message}", file=sys.stderr, flush=True)
    if signals:
        counts = Counter(outcome.status for outcome in ended.values())
        left = len(to_do) - counts["done"] - counts["failed"]
        message = f"{counts['done']} of {len(to_do)} runs done, {counts['failed']} failed, {left} to do"
        if counts["done"] and any(config.force for config in configs):
            message += ", and force=true will repeat all: leave out the seeds or strategies of those that are done"
        raise Stopped(signals[0], message)
    return [(to_do[number], ended[number].message) for number in sorted(ended) if ended[number].status == "failed"]


def _interpret(run: PlannedRun, outcome: Outcome, stopping: bool) -> Outcome:
    """The outcome as reported, given whether the user stopped the sweep; a lost run is marked as failed."""
    if outcome.status == "lost":
        if stopping:
            return Outcome("stopped", "")
        RunDirectory(run.config).mark_failed(outcome.message, outcome.log or outcome.message)
        return replace(outcome, status="failed")
    if outcome.status == "stopped" and not stopping:
        return Outcome("failed", f"{outcome.message} by a signal; run the same command to continue")
    return outcome
