"""One run on several processes, each on a part of every batch: ``torchrun --nproc-per-node 2 -m l2m.run …``.

All ranks hold the data set, plan the same batches and keep the same state of the strategy. Of a batch each computes the
losses of its own samples; these are gathered, so that every strategy sees all of them, and each rank's gradients are
those of the whole objective with respect to its samples. Their sum is the gradient. Rank 0 reads and writes records.
"""

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from l2m.config.run import RunConfig
from l2m.errors import UserError, cause
from l2m.strategies import STRATEGIES
from l2m.training.torchrun import processes_of_torchrun

T = TypeVar("T")


@contextmanager
def joined(device: str) -> Iterator[None]:
    """Join the processes that torchrun has started, over NCCL on GPUs, else over gloo; only rank 0 prints inside.

    If another of them ends, a UserError is raised inside.
    """
    if processes_of_torchrun() == 1:
        yield
        return
    on_gpu = device != "cpu" and torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if on_gpu else "gloo", timeout=timedelta(days=7))  # to wait for locks
    try:
        with nullcontext() if is_first() else redirect_stdout(io.StringIO()):
            yield
    except RuntimeError as error:
        if isinstance(error, distributed.DistError) or "gloo" in str(error):
            raise UserError(
                f"another process of this run has ended or cannot be reached ({cause(error)}): run the same command to "
                "continue"
            ) from error
        raise
    finally:
        distributed.destroy_process_group()


def count() -> int:
    """How many processes train the run."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def is_first() -> bool:
    """Whether this process writes the records."""
    return count() == 1 or distributed.get_rank() == 0


def from_first(make: Callable[[], T]) -> T:
    """What ``make`` gives on rank 0, on all ranks; its UserError too."""
    if count() == 1:
        return make()
    given: list[Any] = [None]
    if is_first():
        try:
            given = [make()]
        except UserError as error:
            given = [error]
    distributed.broadcast_object_list(given)
    if isinstance(given[0], UserError):
        raise given[0]
    value: T = given[0]
    return value


def check_divisible(config: RunConfig) -> None:
    """Raise a UserError if there are several processes and they cannot share the run, as its configuration says."""
    if (world := count()) == 1:
        return
    name, strategy = config.strategy["name"], STRATEGIES.build(config.strategy)
    cannot = {
        f"strategy={name} takes outer steps of its own": strategy.every > 0,
        "equal_seconds=true measures one process": config.equal_seconds,
        f"batch_size={config.batch_size} is less than a sample each": config.batch_size < world,
    }
    for why, is_so in cannot.items():
        if is_so:
            raise _undivided(why)


def _undivided(why: str) -> UserError:
    return UserError(f"{why}, so a run on {count()} processes cannot have it: use one process, or choose another")


class Ranks:
    """What the engine does differently as one of several processes; a UserError if they cannot share the model."""

    def __init__(self, config: RunConfig, model: Any, device: torch.device) -> None:
        self.rank, self.world = distributed.get_rank(), count()
        normalised = any(isinstance(layer, _BatchNorm) and layer.training for layer in model.train().modules())
        if device.type == "cpu" and normalised:
            raise _undivided(f"model={config.model['name']} has batch norm, which needs whole batches on CPUs")
        if device.type == "cuda":
            convert = getattr(model, "synchronized", None)  # if its batch norm is not torch's
            model = convert() if convert else nn.SyncBatchNorm.convert_sync_batchnorm(model)
        self.model = model  # with batch norm over all ranks on GPUs
        self._parallel = DistributedDataParallel(model)
        self._parallel.broadcast_buffers = False  # as an argument it gives a warning in newer versions of torch

    def losses(
        self, losses_of: Callable[[nn.Module, Tensor, Tensor], tuple[Tensor, ...]], inputs: Tensor, targets: Tensor
    ) -> tuple[Tensor, ...]:
        """``losses_of(model, inputs, targets)``, tensors (M,), of which each rank computes its part."""
        ends = [len(inputs) * rank // self.world for rank in (self.rank, self.rank + 1)]
        part, after = slice(*ends), len(inputs) - ends[1]
        local = losses_of(self._parallel, inputs[part], targets[part])
        whole = []
        for own in local:
            others = torch.nn.functional.pad(own.detach(), (ends[0], after))
            distributed.all_reduce(others)
            whole.append(torch.cat([others[: ends[0]], own, others[ends[1] :]]))
        return tuple(whole)


def any_rank(value: bool) -> bool:
    """Whether ``value`` is true on any rank."""
    if count() == 1:
        return value
    given: list[Any] = [None] * count()
    distributed.all_gather_object(given, value)
    return any(given)
