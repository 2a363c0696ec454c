"""Runs a command line: composes it, checks it, carries it out, and reports a user's error in one sentence."""

from __future__ import annotations

import os
import re
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from l2m.cli import interrupts
from l2m.cli.help import Help, store_help
from l2m.config.composing import plain_values
from l2m.config.hydra_private import get_args_parser, replace_batch_check, store_launchers
from l2m.config.override_errors import UNUSED, check_words, describe_user_error
from l2m.config.user_folders import conf_dir, import_user_files, list_yaml_files, set_variable, use_folder
from l2m.errors import UserError, print_error, shown
from l2m.registry import describe_unknown
from l2m.training.output import lasting_output
from l2m.training.torchrun import refuse_torchrun

TUNER = "hydra_plugins.l2m.Optuna"

ANNOUNCED_RUNS = 100
"""From this many runs on, checking a sweep takes seconds: their number is printed first, at a terminal always."""

MEANINGS = ("config-dir", "config-path", "config-name")
"""Hydra's options that change what a command means."""

MEANING = re.compile(r"--config-(dir|path|name)\b|-c[dpn]\b")


WRITES_NOTHING = (
    "hydra.output_subdir=null", "hydra.run.dir=.", "hydra.sweep.dir=${scratch:}", "hydra.sweep.subdir=.",
    "hydra/job_logging=none", "hydra/hydra_logging=none",
)  # fmt: skip
"""What ``conf/config.yaml`` has Hydra do."""


@dataclass(frozen=True)
class Sweep:
    """Hydra's settings of a sweep."""

    launcher: dict[str, Any]
    sweeper: dict[str, Any]
    """With the values that an experiment sweeps over."""

    @classmethod
    def of(cls, settings: Any) -> Sweep:
        return cls(plain_values(settings.launcher), plain_values(settings.sweeper))

    @property
    def tuned(self) -> bool:
        """Whether ``hydra/sweeper=optuna`` chose the runs, and trained them meanwhile."""
        return bool(self.sweeper["_target_"] == TUNER)


Checked = Sequence[tuple[Any, str]]
"""Configurations, each with its command."""

Refused = Sequence[tuple[str, str]]
"""Refused commands, each with the reason."""


def run_command(
    name: str,
    check: Callable[[dict[str, Any]], Any],
    carry_out: Callable[[Checked, Refused, Sweep | None], bool],
    help_page: Help,
    resumes: str = "run the same command to continue",
    uses_launcher: bool = False,
) -> None:
    """Compose the command line, check it, and carry it out; exit with status 1 after an error.

    Args:
        name: the YAML of ``conf/`` that the command line changes.
        check: makes a configuration from plain values.
        carry_out: (configurations with their commands, refused commands with the reason, the sweep or None for a
            single configuration) -> whether something failed.
        help_page: the page that ``--help`` prints, with the keys and the groups that have choices.
        resumes: the advice printed after the command was stopped.
        uses_launcher: whether ``carry_out`` uses Hydra's launcher and sweeper.
    """
    debug = os.environ.get("HYDRA_FULL_ERROR") == "1" or any(
        re.fullmatch(r"\+*debug=(true|yes|on|y|1)", word.lower()) for word in sys.argv
    )
    runs: list[tuple[Any, str]] = []
    refused: list[tuple[str, str]] = []
    sweep: Sweep | None = None
    failed = False
    options, others = get_args_parser().parse_known_intermixed_args()
    if others:
        print_error(f"{others[0]} is not known: a key is written KEY=VALUE, without dashes (--help lists all)")
        sys.exit(1)
    pairs = [(f"--{kind}", getattr(options, kind.replace("-", "_"))) for kind in MEANINGS]
    moved = [*options.overrides, *(value for _, value in pairs)]
    flags = [word for word in sys.argv[1:] if word not in moved and not MEANING.match(word)]
    unwritten: Sequence[str] = ()
    if options.config_path:  # Hydra would look for it beside this module
        pairs[1] = ("--config-path", os.path.abspath(options.config_path))
        unwritten = WRITES_NOTHING  # a record has no settings of Hydra
    repeated = [word for flag, value in pairs if value for word in (flag, value)]
    sys.argv[1:] = [*flags, *repeated, *options.overrides]  # Hydra takes no flags between or after other words
    checked: Any = None

    @hydra.main(config_path=str(conf_dir()), config_name=name, version_base="1.3")
    def job(raw: DictConfig) -> tuple[Any, str] | None:
        """Only record the run: all are composed before anything begins, so later changes of a YAML do not count."""
        nonlocal checked
        settings = HydraConfig.get()
        command = shlex.join([*repeated, *settings.overrides.task])
        if sys.stdout.isatty() and not sweep:
            _announce(raw, name)
        try:
            import l2m.catalog  # noqa: F401 (the choices that configurations are checked against)

            if settings is not checked:
                _check_settings(settings, uses_launcher, name)
                if sweep and sweep != Sweep.of(settings):
                    raise UserError(
                        "an experiment with a sweep or a launcher of its own cannot be one of several: run each "
                        "experiment by a command of its own"
                    )
                checked = settings
            runs.append((check(plain_values(raw)), command))
            return runs[-1]
        except Exception as error:
            sentence = describe_user_error(error, help_page.keys, help_page.groups)
            if debug or not sentence:
                raise
            if sentence not in (reason for _, reason in refused):  # all runs may lack the same file
                print_error(sentence, command + ": " if sweep else "")
            refused.append((command, sentence))
            return None

    def check_batch(sweeper: Any, batch: Sequence[Any]) -> None:
        nonlocal sweep
        _check_settings(sweeper.config.hydra, uses_launcher, name)
        sweep = Sweep.of(sweeper.config.hydra)
        if len(batch) >= ANNOUNCED_RUNS or sys.stdout.isatty():
            print(f"checking {len(batch)} runs", flush=True)

    store_launchers(conf_dir() / "hydra")
    replace_batch_check(check_batch)
    with set_variable("HYDRA_FULL_ERROR", "1"), use_folder(options.config_dir):  # Hydra then raises its errors
        try:
            if options.help:
                selected = store_help(help_page, options.overrides)
                options.overrides = [word for word in options.overrides if "=" in word]
                sys.argv[1:] = [*flags, *repeated, *options.overrides, selected]
            if not options.shell_completion:
                check_words(options.overrides, help_page.groups)
                sys.argv += unwritten
            import_user_files(help_page.groups)  # for resolvers that they register
            job()
            if sweep and not (runs or refused or sweep.tuned):
                raise UserError("the sweep has no runs: one of its lists or ranges is empty")
            interrupts.raise_again()
            with lasting_output():
                failed = bool(refused) | (bool(runs) and carry_out(runs, refused, sweep))
        except BrokenPipeError:  # for example by --help | head
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except Exception as error:
            sentence = describe_user_error(error, help_page.keys, help_page.groups)
            if debug or not sentence:
                raise
            failed = True
            print_error(sentence)
        except KeyboardInterrupt as stop:
            state = f"{stop}; " if str(stop) else ""
            print(f"\nstopped: {state}{resumes}", file=sys.stderr)
            sys.exit(128 + getattr(stop, "signal", signal.SIGINT))
    if failed:
        sys.exit(1)


def _announce(raw: DictConfig, command: str) -> None:
    """Print what is about to begin, before torch is imported, which takes seconds."""
    keys = ("study.name", "dataset.name", "dataset.path", "strategy.name", "seed", "device", "threads")
    with suppress(OmegaConfBaseException):
        study, dataset, path, strategy, seed, device, threads = (OmegaConf.select(raw, key) for key in keys)
        words = [study or (shown(os.path.basename(path)) if path else dataset)]
        words += ["comparison"] if command == "compare" else [strategy, f"seed {seed}"] if strategy else []
        words += [f"device {device}"] if device else []
        words += [f"{threads} thread{'s' * (threads != 1)}"] if threads else []
        print(" · ".join(map(str, words)), flush=True)


def _check_settings(settings: Any, uses_launcher: bool, command: str) -> None:
    """Raise a UserError for settings of Hydra that would have no effect, or another one than expected."""
    if settings.mode is RunMode.MULTIRUN:
        refuse_torchrun("a sweep")
    if not uses_launcher:
        refuse_torchrun(f"l2m {command}")
    for group in ("hydra/launcher", "hydra/sweeper"):
        name = settings.runtime.choices[group]
        ours = ["basic", *(file.stem for file in list_yaml_files(group) if uses_launcher)]
        if name not in ours:
            raise UserError(describe_unknown(group, name, ours))
        if name != "basic" and settings.mode is not RunMode.MULTIRUN:
            raise UserError(f"{group}={name} is for a sweep: add -m")
    if settings.sweeper.params and settings.mode is not RunMode.MULTIRUN:
        raise UserError(f"this is a sweep over {', '.join(settings.sweeper.params)}: leave hydra.mode out")
    job = {f"hydra.job.{key}": settings.job[key] for key in ("chdir", "env_set")}
    for key, value in {**job, "hydra.callbacks": settings.callbacks}.items():
        if value:
            raise UserError(f"{key}={value} {UNUSED}")
