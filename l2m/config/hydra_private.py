"""The parts of Hydra outside its documented interface that the suite uses, each with its reason.

``tests/cli/test_private_names.py`` fails when one of them changes. Every command imports this module: it stays light.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

# The runs of a sweep, as Hydra's own sweeper lists them: for sweeps from Python
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

# Hydra's own argument parser: to read --config-dir and --help, and to refuse unknown options in our words
from hydra._internal.utils import get_args_parser
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper

__all__ = ["get_args_parser", "list_jobs", "replace_batch_check", "store_launchers"]


def store_launchers(folder: Path) -> None:
    """Let sweeps be composed by the suite, whatever launcher trains them.

    Drops the schemas of other Hydra plugins that Hydra would merge with the choices of their name in ``folder``, and
    replaces Hydra's basic launcher.
    """
    Plugins.instance()  # finds them all
    schemas = ConfigStore.instance().repo["hydra"]  # no documented way removes an entry
    for group in ("launcher", "sweeper"):
        for file in (folder / group).glob("*.yaml"):
            schemas.get(group, {}).pop(file.name, None)
    ConfigStore.instance().store("basic", {"_target_": "hydra_plugins.l2m.Collector"}, "hydra/launcher")


def replace_batch_check(check: Callable[[Any, Sequence[Any]], None]) -> None:
    """Call ``check(sweeper, batch)`` before a sweep's runs are composed; Hydra's own check would compose all twice."""
    Sweeper.validate_batch_is_legal = check  # type: ignore


def list_jobs(words: Sequence[str]) -> list[list[str]]:
    """The command lines of a sweep, a list of words each, as Hydra's own sweeper makes them from its ``words``."""
    batches: list[list[list[str]]] = BasicSweeper.split_arguments(
        OverridesParser.create().parse_overrides(list(words)), None
    )
    return batches[0]
