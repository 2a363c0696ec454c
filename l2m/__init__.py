"""Training under imbalance, reproducibly.

``Learn2MixBatchSampler`` works in anybody's loop, with ``GroupLosses`` and ``ShardedBatchSampler`` beside it;
``train(compose("dataset=mnist", "strategy=learn2mix"))`` is the suite from Python, and ``load(run_directory)`` gives
the model it trained. Names are imported when first used: ``import l2m`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = [
    "GroupLosses",
    "Learn2MixBatchSampler",
    "RunConfig",
    "ShardedBatchSampler",
    "UserError",
    "compose",
    "load",
    "train",
]

if TYPE_CHECKING:
    from l2m.config.composing import compose
    from l2m.config.run import RunConfig
    from l2m.errors import UserError
    from l2m.sampling.group_losses import GroupLosses
    from l2m.sampling.sampler import Learn2MixBatchSampler
    from l2m.sampling.shards import ShardedBatchSampler
    from l2m.trained import load
    from l2m.training.run import train

_HOMES = {
    "GroupLosses": "l2m.sampling.group_losses",
    "Learn2MixBatchSampler": "l2m.sampling.sampler",
    "RunConfig": "l2m.config.run",
    "ShardedBatchSampler": "l2m.sampling.shards",
    "UserError": "l2m.errors",
    "compose": "l2m.config.composing",
    "load": "l2m.trained",
    "train": "l2m.training.run",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module l2m has no attribute {name}")
    if name in ("RunConfig", "compose"):
        import_module("l2m.catalog")  # the choices that configurations are checked with
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
