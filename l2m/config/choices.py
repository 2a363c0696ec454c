"""The groups of configuration and their registries, which :mod:`l2m.catalog` sets; this module imports none of them."""

from collections.abc import Mapping
from typing import Any

from l2m.config.user_folders import import_user_files
from l2m.registry import Registry

GROUPS = ("dataset", "imbalance", "model", "strategy", "optimizer", "mixing")

REGISTRIES: dict[str, Registry[Any]] = {}
"""What configurations are checked against, by group and for the loggers."""


def registries() -> Mapping[str, Registry[Any]]:
    """The registry of each group and of the loggers, with entries of users' folders; a UserError if one is broken."""
    if not REGISTRIES:
        raise RuntimeError("no registries are set: import l2m.catalog first")
    import_user_files(REGISTRIES)
    return REGISTRIES
