"""The groups of configuration and their registries, which :mod:`l2m.catalog` sets; this module imports none of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from l2m.config.user_folders import import_user_files
from l2m.registry import Registry

GROUPS = ("dataset", "imbalance", "model", "strategy", "optimizer", "mixing")

_REGISTRIES: dict[str, Registry[Any]] = {}


def set_registries(registries: Iterable[Registry[Any]]) -> None:
    """Set the registries that configurations are checked against, each for the group of its kind."""
    _REGISTRIES.update({registry.kind: registry for registry in registries})


def registries() -> Mapping[str, Registry[Any]]:
    """The registry of each group and of the loggers, with the entries from users' folders.

    Raises:
        UserError: a module in a user's folder cannot be imported.
    """
    if not _REGISTRIES:
        raise RuntimeError("no registries are set: import l2m.catalog first")
    import_user_files(_REGISTRIES)
    return _REGISTRIES
