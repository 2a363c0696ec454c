"""The parts of Hydra outside its documented interface that the suite uses, each with its reason.

``tests/cli/test_private_names.py`` fails when one of them changes. Every command imports this module: it stays light.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

# Hydra's own launcher composes the runs of a sweep in this process: only the suite's launchers train elsewhere
from hydra._internal.core_plugins.basic_launcher import BasicLauncher

# Hydra's own argument parser: to read --config-dir and --help, and to refuse unknown options in our words
from hydra._internal.utils import get_args_parser
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper

__all__ = ["BasicLauncher", "forget_schemas", "get_args_parser", "replace_batch_check"]


def forget_schemas(folder: Path) -> None:
    """Drop the schemas of other Hydra plugins that Hydra would merge with the choices of their name in ``folder``."""
    Plugins.instance()  # finds them all
    schemas = ConfigStore.instance().repo["hydra"]  # no documented way removes an entry
    for group in ("launcher", "sweeper"):
        for file in (folder / group).glob("*.yaml"):
            schemas.get(group, {}).pop(file.name, None)


def replace_batch_check(check: Callable[[Any, Sequence[Any]], None]) -> None:
    """Call ``check(sweeper, batch)`` before a sweep's runs are composed; Hydra's own check would compose all twice."""
    Sweeper.validate_batch_is_legal = check  # type: ignore
