"""The groups of configuration and their registries, which :mod:`l2m.catalog` hands over; nothing here imports them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from l2m.config import user_folders
from l2m.registry import Registry

GROUPS = ("dataset", "imbalance", "model", "strategy", "optimizer", "mixing")

_REGISTRIES: dict[str, Registry[Any]] = {}


def hand_over(registries: Iterable[Registry[Any]]) -> None:
    """Make these the registries that configurations are checked with, each for the group of its kind."""
    _REGISTRIES.update({registry.kind: registry for registry in registries})


def registries() -> Mapping[str, Registry[Any]]:
    """The registry of each group and of the loggers, with what users' folders add.

    Raises:
        UserError: a module in a user's folder cannot be imported.
    """
    if not _REGISTRIES:
        raise RuntimeError("there are no choices yet: import l2m.catalog first")
    user_folders.load(GROUPS)
    return _REGISTRIES
