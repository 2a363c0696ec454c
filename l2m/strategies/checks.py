"""Checks of what a strategy's hooks return, so that a broken contract is reported and not recorded."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from l2m.data import Batch, Split
from l2m.errors import UserError
from l2m.seeding import to_device
from l2m.strategies import Context, Strategy


def prepare_checked(strategy: Strategy, context: Context) -> Split:
    """The split that the strategy draws from."""
    split = strategy.prepare(context)
    if not isinstance(split, Split) or not hasattr(strategy, "context"):
        rule = "it must call super().prepare(context) and return the split that indices refer to"
        raise _broken(strategy, "prepare", split, rule)
    return split


def proportions_checked(strategy: Strategy, k: int) -> Tensor:
    """The groups' proportions (k,)."""
    value = strategy.proportions
    if not isinstance(value, Tensor) or value.shape != (k,):
        raise _broken(strategy, "proportions", value, f"it must be a tensor of shape ({k},), a share a group")
    return value


def drawn_checked(strategy: Strategy, epoch: int, steps: int, samples: int) -> Iterator[Tensor]:
    """The indices of the epoch's batches, on the run's device: all (P, M) at once, or (1, M) before each step."""
    size, device = strategy.context.batch_size, strategy.context.device
    plan = strategy.plan(epoch)
    if plan is not None:
        yield to_device(_check_indices(strategy, "plan", plan, (steps, size), samples), device)
    else:
        for _ in range(steps):
            index = _check_indices(strategy, "next_batch", strategy.next_batch(), (size,), samples)
            yield to_device(index, device)[None]


def _check_indices(strategy: Strategy, hook: str, value: object, shape: tuple[int, ...], samples: int) -> Tensor:
    """``value``, not read on a GPU, which would have to be waited for."""
    if not isinstance(value, Tensor) or value.shape != shape or value.dtype not in (torch.int64, torch.int32):
        raise _broken(strategy, hook, value, f"it must return indices, an int64 tensor of shape {shape}")
    if value.device.type == "cpu":
        low, high = (int(end) for end in value.aminmax())
        if low < 0 or high >= samples:
            raise _broken(strategy, hook, value, f"indices from {low} to {high} must be in [0, {samples - 1}]")
    return value


def loss_checked(strategy: Strategy, batch: Batch, per_sample: Tensor) -> Tensor:
    """The loss to minimise, ()."""
    value = strategy.loss(batch, per_sample)
    if not isinstance(value, Tensor) or value.ndim:
        raise _broken(strategy, "loss", value, "it must return one number, a tensor of shape ()")
    return value


def losses_checked(runs: Sequence[Strategy], batch: Batch, per_sample: Tensor) -> Tensor:
    """The losses (R,) of strategies that are alike, or of a single one, from the samples (R·M) of all."""
    first, shape = runs[0], (len(runs),)
    if not runs[1:]:
        return loss_checked(first, batch, per_sample).view(shape)
    samples = Batch(*(each.unflatten(0, (*shape, -1)) for each in batch))
    value = type(first).losses(runs, samples, per_sample.view(*shape, -1))
    if not isinstance(value, Tensor) or value.shape != shape:
        raise _broken(first, "losses", value, f"it must return a number a run, a tensor of shape {shape}")
    return value


def _broken(strategy: Strategy, hook: str, value: object, rule: str) -> UserError:
    tensor = isinstance(value, Tensor) and f"{str(value.dtype).removeprefix('torch.')} of shape {tuple(value.shape)}"
    return UserError(f"{type(strategy).__name__}.{hook} gave {tensor or type(value).__name__}: {rule}")
