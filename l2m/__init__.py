"""Training under imbalance, reproducibly.

``Learn2MixBatchSampler`` works in any training loop, with ``GroupLosses`` and ``ShardedBatchSampler``; ``StreamMixer``
is for sources that are read in order.
``train(compose("dataset=mnist", "strategy=learn2mix"))`` runs the suite from Python, ``sweep("+experiment=mnist")`` a
sweep, and ``load(run_directory)`` loads the trained model. ``compare(frame, target)`` compares strategies on a
DataFrame. Names are imported on first use: ``import l2m`` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from l2m.comparison.frames import compare_frame as compare  # noqa: F401
    from l2m.config.composing import compose as compose
    from l2m.config.run import RunConfig as RunConfig
    from l2m.errors import UserError as UserError
    from l2m.sampling.group_losses import GroupLosses as GroupLosses
    from l2m.sampling.sampler import Learn2MixBatchSampler as Learn2MixBatchSampler
    from l2m.sampling.shards import ShardedBatchSampler as ShardedBatchSampler
    from l2m.sampling.streams import StreamMixer as StreamMixer
    from l2m.sweeps.launching import sweep as sweep
    from l2m.sweeps.progress import train as train
    from l2m.trained import load as load

_MODULES = {
    "GroupLosses": "l2m.sampling.group_losses",
    "Learn2MixBatchSampler": "l2m.sampling.sampler",
    "RunConfig": "l2m.config.run",
    "ShardedBatchSampler": "l2m.sampling.shards",
    "StreamMixer": "l2m.sampling.streams",
    "UserError": "l2m.errors",
    "compare": "l2m.compare",
    "compose": "l2m.config.composing",
    "load": "l2m.trained",
    "sweep": "l2m.sweeps.launching",
    "train": "l2m.sweeps.progress",
}
__all__ = [*_MODULES]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module l2m has no attribute {name}")
    if name in ("RunConfig", "compose", "sweep", "train"):
        import_module("l2m.catalog")  # sets the registries that configurations are checked against
    module = import_module(_MODULES[name])
    return module if name == "compare" else getattr(module, name)  # it is a command too, and can be called


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
