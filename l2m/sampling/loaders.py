"""Notices loaders that would lose, repeat or nest samples, from what asks a sampler for its first batch."""

import sys
import warnings
from typing import Any

from torch import distributed
from torch.utils.data import BatchSampler

from l2m.errors import UserError


def asker() -> Any:
    """The object whose method asked the calling generator for its first batch, such as a loader's iterator, or None."""
    return sys._getframe(2).f_locals.get("self")


def check_loader(loader: Any, samples: int, is_sharded: bool) -> None:
    """Warn of samples that are never drawn and of processes that do not share batches.

    A UserError says that the ``loader``, as ``asker`` returns it, would make batches of batches, or that Accelerate
    would divide what a ``ShardedBatchSampler`` divides already. ``samples`` is the number of labels.
    """
    if type(loader) is BatchSampler:
        raise UserError(
            "a Learn2MixBatchSampler draws whole batches, of which sampler= would make batches again: give DataLoader "
            "batch_sampler= in place of sampler=, batch_size=, shuffle= and drop_last="
        )
    if is_sharded and type(loader).__name__ == "BatchSamplerShard":
        raise UserError(
            "accelerator.prepare would divide the batches of a ShardedBatchSampler among the processes once more: "
            "leave the loader out of prepare, and move its batches with .to(accelerator.device)"
        )
    dataset: Any = getattr(loader, "_dataset", None)
    length = len(dataset) if hasattr(dataset, "__len__") else samples
    if length != samples:
        warnings.warn(
            f"the sampler has {samples} labels, but the data set has {length} samples: give one label a sample, as "
            "samples without a label are never drawn",
            stacklevel=3,
        )
    processes = distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1
    if processes > 1 and not is_sharded:
        warnings.warn(
            f"each of the {processes} processes draws whole batches from a Learn2MixBatchSampler of its own: use "
            "ShardedBatchSampler(sampler), so that they share one batch",
            stacklevel=3,
        )
