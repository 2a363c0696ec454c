"""What is used of Hydra beyond its documented interface, each with its reason; ``tests/test_private_names.py``."""

from __future__ import annotations

from pathlib import Path

# Hydra's own argument parser: to read --config-dir and --help, and to refuse unknown options in our words
from hydra._internal.utils import get_args_parser
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins

__all__ = ["forget_namesakes", "get_args_parser"]


def forget_namesakes(folder: Path) -> None:
    """Let no schema of another Hydra plugin be merged with a choice in ``folder`` that has its name."""
    Plugins.instance()  # finds them all
    known = ConfigStore.instance().repo["hydra"]  # there is no documented way to take an entry out
    for group in ("launcher", "sweeper"):
        for file in (folder / group).glob("*.yaml"):
            known.get(group, {}).pop(file.name, None)
