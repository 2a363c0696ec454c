"""``ShardedBatchSampler``: each process of distributed training takes its part of every batch."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from torch import Tensor, distributed
from torch.utils.data import Sampler

from l2m.errors import UserError
from l2m.sampling.loaders import asker, check_loader
from l2m.sampling.sampler import Learn2MixBatchSampler
from l2m.schema import Range, check_argument


class ShardedBatchSampler(Sampler[list[int]]):
    """Yields this rank's part of the batches of a ``Learn2MixBatchSampler``.

    Every rank draws the same whole batches of ``sampler.batch_size`` samples, counts them off group after group, and
    keeps every ``num_replicas``-th, in the batch's order. So the shards of a step are equally long, disjoint and
    together the batch, and a group's samples are spread evenly over the ranks, to within one. As
    ``DistributedDataParallel`` averages gradients over ranks, a step equals that of one process with the whole batch.

    If ``torch.distributed`` is initialised, all samplers are set to the state of rank 0, and every epoch begins with a
    check that they are still equal. Build it and iterate over it on all ranks.

    Args:
        sampler: draws the whole batches; keep calling its ``update``, with losses of all ranks (``GroupLosses``).
        num_replicas: processes that share a batch, a divisor of its size; by default those of ``torch.distributed``.
        rank: the number of this process, from 0; by default that of ``torch.distributed``.

    Raises:
        ValueError: a value out of these ranges, or one omitted while ``torch.distributed`` is not initialised.
    """

    def __init__(
        self, sampler: Learn2MixBatchSampler, *, num_replicas: int | None = None, rank: int | None = None
    ) -> None:
        self._distributed = distributed.is_available() and distributed.is_initialized()
        if (num_replicas is None or rank is None) and not self._distributed:
            raise UserError(
                "num_replicas and rank are unknown before torch.distributed is initialised: call "
                "init_process_group first, or give both"
            )
        count = distributed.get_world_size() if num_replicas is None else num_replicas
        number = distributed.get_rank() if rank is None else rank
        remedy = "the number of processes that share a batch"
        self._replicas: int = check_argument("num_replicas", count, Annotated[int, Range(1)], remedy)
        own = Annotated[int, Range(0, self._replicas - 1)]
        self._rank: int = check_argument("rank", number, own, f"one of {self._replicas} processes")
        self.sampler = sampler
        self._is_checked = False
        whole = sampler.batch_size
        if whole % self._replicas:
            lower = whole - whole % self._replicas
            nearest = f"{lower} or {lower + self._replicas}" if lower else f"{self._replicas}"
            raise UserError(
                f"batch_size={whole} (of the whole batch) cannot be split equally over {self._replicas} processes: "
                f"use {nearest}"
            )
        if self._distributed:
            sampler._ended = sampler._resumed is None  # a pass that was left is over
            states = [sampler.state_dict()]
            distributed.broadcast_object_list(states)
            sampler.load_state_dict(states[0])

    @property
    def batch_size(self) -> int:
        """Samples a shard."""
        return self.sampler.batch_size // self._replicas

    def __len__(self) -> int:
        """Batches an epoch."""
        return len(self.sampler)

    def __iter__(self) -> Iterator[list[int]]:
        """One epoch, shard by shard.

        Raises:
            ValueError: the samplers of the ranks differ, or Accelerate would divide the shards once more.
        """
        groups = self.sampler._labels.groups
        if not self._is_checked:
            check_loader(asker(), len(groups), is_sharded=True)
            self._is_checked = True
        if self._distributed:
            self._compare()
        for batch in self.sampler._epoch():
            by_group = groups[batch].argsort(kind="stable")
            yield [batch[place] for place in sorted(by_group[self._rank :: self._replicas])]

    def state_dict(self, batches: int | None = None) -> dict[str, Any]:
        """That of the sampler, the same on all ranks."""
        return self.sampler.state_dict(batches)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a ``state_dict``; give all ranks the same one."""
        self.sampler.load_state_dict(state)

    def _compare(self) -> None:
        digest = hashlib.sha256()
        for value in self.sampler.state_dict().values():
            digest.update(value.numpy().tobytes() if isinstance(value, Tensor) else str(value).encode())
        digests: list[str] = [""] * distributed.get_world_size()
        distributed.all_gather_object(digests, digest.hexdigest())
        other = next((rank for rank, each in enumerate(digests) if each != digests[0]), None)
        if other is not None:
            raise UserError(
                f"the sampler of rank {other} differs from that of rank 0, so their shards are not of one batch: "
                "update all with the losses of all ranks, as GroupLosses returns them, and resume all from one state"
            )
