"""The door: ``python -m l2m.run``. It and its parts alone know Hydra; nothing heavy is imported before ``main``."""

from __future__ import annotations

import atexit
import os
import re
import shlex
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.plugins.sweeper import Sweeper
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from l2m.config import GROUPS, RunConfig, check
from l2m.errors import UserError
from l2m.explain import CHOICES, explain
from l2m.folders import added, conf_dir, using
from l2m.help import store_help, write_help
from l2m.registry import unknown

TUNER = "hydra_plugins.l2m.Optuna"

MANY = 30
"""Runs of a sweep whose checking takes seconds, and is told."""


class AddedFolders(SearchPathPlugin):
    """Lets Hydra look into the users' folders after the suite's own."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        for folder in added():
            search_path.append("l2m", f"file://{folder}")


@dataclass(frozen=True)
class Sweep:
    """What Hydra was told of a sweep.

    Attributes:
        launcher: its launcher's settings.
        tuned: whether the runs were trained as they were chosen, by ``hydra/sweeper=optuna``.
    """

    launcher: dict[str, Any]
    tuned: bool


def compose(*overrides: str, config_dir: str | os.PathLike[str] | None = None) -> RunConfig:
    """The configuration that the command line ``python -m l2m.run *overrides`` means.

    Args:
        config_dir: a folder of your own choices, as ``--config-dir`` names it (:mod:`l2m.folders`).

    Raises:
        UserError: what is wrong with it, in sentences.
    """
    with using(config_dir):
        try:
            with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
                return check(_plain(hydra.compose("config", overrides=list(overrides))))
        except Exception as error:
            if sentence := explain(error):
                raise UserError(sentence) from error
            raise


def main() -> None:
    """Do what the command line asks for; a user's error is told in a sentence, with exit status 1."""
    door("config", check, _do, sent=True)


def door(
    name: str,
    check: Callable[[dict[str, Any]], Any],
    do: Callable[[Sequence[tuple[Any, str]], Sequence[tuple[str, str]], Any], bool],
    keys: type = RunConfig,
    groups: Sequence[str] = CHOICES,
    again: str = "goes on from there",
    sent: bool = False,
) -> None:
    """Compose what the command line asks for, check it, and do it.

    Args:
        name: the YAML of ``conf/`` that it changes.
        check: makes a configuration of its values.
        do: is given the configurations with their commands, the refused commands with the reason, and of a sweep the
            :class:`Sweep`, of a single one None; gives whether something failed.
        keys: the dataclass of the keys.
        groups: those of the keys that have choices.
        again: what the same command does once it was stopped.
        sent: whether ``do`` minds Hydra's launcher and sweeper.
    """
    before = os.environ.get("HYDRA_FULL_ERROR")
    debug = before == "1" or any(re.fullmatch(r"\+*debug=(true|yes|on|y|1)", word.lower()) for word in sys.argv)
    runs: list[tuple[Any, str]] = []
    refused: list[tuple[str, str]] = []
    swept: Sweep | None = None
    failed = False
    options, others = get_args_parser().parse_known_args()
    config_dir = options.config_dir
    if others:
        _complain(f"{others[0]} is not known: a key is written KEY=VALUE, without dashes (--help tells all)")
        sys.exit(1)

    @hydra.main(config_path=str(conf_dir()), config_name=name, version_base="1.3")
    def job(raw: DictConfig) -> tuple[Any, str] | None:
        """Only note what is to be done: all is composed before anything begins, and no later change of a YAML tells."""
        nonlocal swept
        settings = HydraConfig.get()
        if settings.mode is RunMode.MULTIRUN:
            swept = Sweep(_plain(settings.launcher), settings.sweeper._target_ == TUNER)
        command = shlex.join([*(["--config-dir", config_dir] if config_dir else []), *settings.overrides.task])
        try:
            _refuse_plugins(settings, sent)
            runs.append((check(_plain(raw)), command))
            return runs[-1]
        except Exception as error:
            sentence = explain(error, keys, groups)
            if debug or not sentence:
                raise
            if sentence not in (told for _, told in refused):  # as of a file that all runs need
                _complain(sentence, command + ": " if swept else "")
            refused.append((command, sentence))
            return None

    def begin(sweeper: Any, batch: Sequence[Any]) -> None:
        """Hydra's own would compose all, as job will."""
        _refuse_plugins(sweeper.config.hydra, sent)
        if len(batch) >= MANY:
            print(f"checking {len(batch)} runs", flush=True)

    _forget_namesakes()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra hands its errors on, to be told here
    Sweeper.validate_batch_is_legal = begin  # type: ignore
    with using(config_dir):
        try:
            write_help([conf_dir(), *added()])
            job()
            failed = bool(refused) | (bool(runs) and do(runs, refused, swept))
        except BrokenPipeError:  # as of --help | head
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except Exception as error:
            sentence = explain(error, keys, groups)
            if debug or not sentence:
                raise
            failed = True
            _complain(sentence)
        except KeyboardInterrupt as stop:
            told = f"{stop}: " if str(stop) else ""
            print(f"\nstopped: {told}the same command {again}", file=sys.stderr)
            sys.exit(128 + getattr(stop, "signal", signal.SIGINT))
        finally:
            del os.environ["HYDRA_FULL_ERROR"]
            if before is not None:
                os.environ["HYDRA_FULL_ERROR"] = before
    if failed:
        sys.exit(1)


def _forget_namesakes() -> None:
    """Let no schema of another Hydra plugin be merged with a choice of ours that has its name."""
    Plugins.instance()  # finds them all
    known = ConfigStore.instance().repo["hydra"]
    for group in ("launcher", "sweeper"):
        for file in (conf_dir() / "hydra" / group).glob("*.yaml"):
            known.get(group, {}).pop(file.name, None)


def _refuse_plugins(settings: Any, sent: bool) -> None:
    """Raise a UserError for a launcher or sweeper that knows nothing of records, or that nothing would come of."""
    for group in ("hydra/launcher", "hydra/sweeper"):
        name = settings.runtime.choices[group]
        ours = ["basic", *(file.stem for file in (conf_dir() / group).glob("*.yaml") if sent)]
        if name not in ours:
            raise UserError(unknown(group, name, ours))
        if name != "basic" and settings.mode is not RunMode.MULTIRUN:
            raise UserError(f"{group}={name} is for a sweep: add -m")


def _do(runs: Sequence[tuple[RunConfig, str]], refused: Sequence[tuple[str, str]], swept: Sweep | None) -> bool:
    """Train the runs, or tell the plan; whether one failed."""
    from l2m import plan
    from l2m.device import keep_memory
    from l2m.launchers import chosen, launch
    from l2m.progress import watch

    if any(config.dry_run for config, _ in runs):
        print(plan.told(plan.plan(runs)))
        return False
    if not swept:
        keep_memory()
        print(watch(runs[0][0]))
        return False
    if swept.tuned:
        return any(run.status == "failed" for run in plan.plan(runs))
    launcher = chosen(swept.launcher)
    planned = plan.plan(runs)
    skipped = sum(not run.to_do for run in planned)
    failed = [*refused, *((run.command, problem) for run, problem in launch(planned, launcher))]
    total = len(planned) + len(refused)
    print(f"{total} runs: {total - skipped - len(failed)} done, {skipped} skipped (done before), {len(failed)} failed")
    for command, problem in failed:
        print(f"  {problem}\n    python -m l2m.run {command}")
    return bool(failed)


def again(*overrides: str) -> dict[str, Any]:
    """Plain values of the command line that a door is checking, with more on it."""
    settings = HydraConfig.get()
    return _plain(hydra.compose(settings.job.config_name, [*settings.overrides.task, *overrides]))


def offered(group: str) -> list[str]:
    """Names of a group's choices, those of a ``--config-dir`` among them; inside a door's check."""
    return list(GlobalHydra.instance().config_loader().get_group_options(group))


def _plain(raw: DictConfig) -> dict[str, Any]:
    """Plain values; what has none is left out, for :func:`l2m.config.check` to miss."""
    with open_dict(raw):
        for key in OmegaConf.missing_keys(raw):
            group, _, option = key.rpartition(".")
            del (OmegaConf.select(raw, group) if group else raw)[option]
    container: Any = OmegaConf.to_container(raw, resolve=True)
    return dict(container)


def _complain(problem: str, run: str = "") -> None:
    for line in problem.splitlines():
        print(f"error: {run}{line}", file=sys.stderr)


RUN = [
    "Train one run, or with -m sweep over many, and write its records.", "",
    "  python -m l2m.run dataset=mnist strategy=learn2mix seed=1",
    "  python -m l2m.run -m dataset=mnist strategy=classical,learn2mix seed='range(5)'",
]  # fmt: skip


@cache
def _scratch() -> str:
    """A folder for what Hydra writes of a sweep, removed at exit."""
    folder = tempfile.TemporaryDirectory(prefix="l2m-")
    atexit.register(folder.cleanup)
    return folder.name


OPTIONAL = ("strategy", "mixing", "imbalance", "model", "optimizer", *CHOICES[len(GROUPS) :])
store_help("l2m", RUN, RunConfig, (*CHOICES, "experiment"), OPTIONAL, "strategy.focusing=1")
Plugins.instance().register(AddedFolders)
OmegaConf.register_new_resolver("scratch", _scratch, replace=True)
OmegaConf.register_new_resolver("data_dir", lambda: os.environ.get("L2M_DATA_DIR") or "data", replace=True)

if __name__ == "__main__":
    main()
