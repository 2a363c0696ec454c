"""All registries, filled: the one place that knows where the entries of each group are."""

from __future__ import annotations

from functools import cache
from typing import Any

from l2m import folders
from l2m.registry import Registry, discover


def registries() -> dict[str, Registry[Any]]:
    """The registry of each configuration group, every module of the suite and of its users imported.

    Raises:
        UserError: a module of a user's can't be imported.
    """
    known = own()
    folders.load()
    return known


@cache
def own() -> dict[str, Registry[Any]]:
    """The same without looking for what users add."""
    from l2m import data, loggers, mixing, models, optimizers, strategies

    for package in (data, models, strategies, mixing, loggers):
        discover(package)
    return {
        "dataset": data.DATASETS,
        "imbalance": data.RECIPES,
        "model": models.MODELS,
        "strategy": strategies.STRATEGIES,
        "optimizer": optimizers.OPTIMIZERS,
        "mixing": mixing.MIXINGS,
    }
