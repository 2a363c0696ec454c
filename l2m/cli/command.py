"""Runs a command line: composes it, checks it, and carries it out; a user's error ends it with one sentence."""

from __future__ import annotations

import os
import re
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.plugins.sweeper import Sweeper
from hydra.types import RunMode
from omegaconf import DictConfig

from l2m.cli.help import Help, store_help
from l2m.cli.hydra_private import forget_namesakes, get_args_parser
from l2m.config.composing import plain_values
from l2m.config.override_errors import explain
from l2m.config.user_folders import added, conf_dir, using
from l2m.errors import UserError
from l2m.registry import unknown

TUNER = "hydra_plugins.l2m.Optuna"

MANY = 30
"""Runs of a sweep that take seconds to check, so that their number is printed first."""


@dataclass(frozen=True)
class Sweep:
    """Hydra's settings of a sweep.

    Attributes:
        launcher: its launcher's settings.
        tuned: whether the runs were trained as they were chosen, by ``hydra/sweeper=optuna``.
    """

    launcher: dict[str, Any]
    tuned: bool


Checked = Sequence[tuple[Any, str]]
"""Configurations, each with the command that means it."""

Refused = Sequence[tuple[str, str]]
"""Commands that were refused, each with the reason."""


def run_command(
    name: str,
    check: Callable[[dict[str, Any]], Any],
    carry_out: Callable[[Checked, Refused, Sweep | None], bool],
    help_page: Help,
    resumes: str = "run the same command to continue",
    uses_launcher: bool = False,
) -> None:
    """Compose the command line, check it, and carry it out; exit status 1 after an error, which is one sentence.

    Args:
        name: the YAML of ``conf/`` that the command line changes.
        check: makes a configuration of its values.
        carry_out: takes the configurations with their commands, the refused commands with the reason, and the
            :class:`Sweep`, None for a single configuration; returns whether something failed.
        help_page: what ``--help`` prints, with the keys and the groups that have choices.
        resumes: what the same command does after it was stopped.
        uses_launcher: whether ``carry_out`` uses Hydra's launcher and sweeper.
    """
    before = os.environ.get("HYDRA_FULL_ERROR")
    debug = before == "1" or any(re.fullmatch(r"\+*debug=(true|yes|on|y|1)", word.lower()) for word in sys.argv)
    runs: list[tuple[Any, str]] = []
    refused: list[tuple[str, str]] = []
    sweep: Sweep | None = None
    failed = False
    options, others = get_args_parser().parse_known_args()
    config_dir = options.config_dir
    if others:
        _complain(f"{others[0]} is not known: a key is written KEY=VALUE, without dashes (--help lists all)")
        sys.exit(1)

    @hydra.main(config_path=str(conf_dir()), config_name=name, version_base="1.3")
    def job(raw: DictConfig) -> tuple[Any, str] | None:
        """Only note what to do: all is composed before anything begins, so later changes of a YAML do not count."""
        nonlocal sweep
        settings = HydraConfig.get()
        if settings.mode is RunMode.MULTIRUN:
            sweep = Sweep(plain_values(settings.launcher), settings.sweeper._target_ == TUNER)
        command = shlex.join([*(["--config-dir", config_dir] if config_dir else []), *settings.overrides.task])
        try:
            _refuse_plugins(settings, uses_launcher)
            runs.append((check(plain_values(raw)), command))
            return runs[-1]
        except Exception as error:
            sentence = explain(error, help_page.keys, help_page.groups)
            if debug or not sentence:
                raise
            if sentence not in (reason for _, reason in refused):  # as of a file that all runs need
                _complain(sentence, command + ": " if sweep else "")
            refused.append((command, sentence))
            return None

    def begin(sweeper: Any, batch: Sequence[Any]) -> None:
        """Hydra's own would compose all, as job will."""
        _refuse_plugins(sweeper.config.hydra, uses_launcher)
        if len(batch) >= MANY:
            print(f"checking {len(batch)} runs", flush=True)

    forget_namesakes(conf_dir() / "hydra")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra hands its errors on, to be reported here
    Sweeper.validate_batch_is_legal = begin  # type: ignore
    with using(config_dir):
        try:
            if options.help:
                sys.argv.append(store_help(help_page, [conf_dir(), *added()]))
            job()
            failed = bool(refused) | (bool(runs) and carry_out(runs, refused, sweep))
        except BrokenPipeError:  # as of --help | head
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except Exception as error:
            sentence = explain(error, help_page.keys, help_page.groups)
            if debug or not sentence:
                raise
            failed = True
            _complain(sentence)
        except KeyboardInterrupt as stop:
            state = f"{stop}; " if str(stop) else ""
            print(f"\nstopped: {state}{resumes}", file=sys.stderr)
            sys.exit(128 + getattr(stop, "signal", signal.SIGINT))
        finally:
            del os.environ["HYDRA_FULL_ERROR"]
            if before is not None:
                os.environ["HYDRA_FULL_ERROR"] = before
    if failed:
        sys.exit(1)


def _refuse_plugins(settings: Any, uses_launcher: bool) -> None:
    """Raise a UserError for a launcher or sweeper that knows nothing of records, or that would have no effect."""
    for group in ("hydra/launcher", "hydra/sweeper"):
        name = settings.runtime.choices[group]
        ours = ["basic", *(file.stem for file in (conf_dir() / group).glob("*.yaml") if uses_launcher)]
        if name not in ours:
            raise UserError(unknown(group, name, ours))
        if name != "basic" and settings.mode is not RunMode.MULTIRUN:
            raise UserError(f"{group}={name} is for a sweep: add -m")


def _complain(problem: str, run: str = "") -> None:
    for line in problem.splitlines():
        print(f"error: {run}{line}", file=sys.stderr)
