"""What the hooks of a strategy give, held against their contract: a record is not to hide that one is broken."""

from __future__ import annotations

import torch
from torch import Tensor

from l2m.data import Split
from l2m.errors import UserError
from l2m.strategies import Context, Strategy


def prepared(strategy: Strategy, context: Context) -> Split:
    """The split that the strategy draws from."""
    split = strategy.prepare(context)
    if not isinstance(split, Split) or not hasattr(strategy, "context"):
        rule = "it has to call super().prepare(context), and to return the split that indices refer to, as that does"
        raise UserError(f"{_told(strategy, 'prepare', split)}: {rule}")
    return split


def shares(strategy: Strategy, k: int) -> Tensor:
    """The groups' proportions (k,)."""
    given = strategy.proportions
    if not isinstance(given, Tensor) or given.shape != (k,):
        raise UserError(
            f"{_told(strategy, 'proportions', given)}: it has to be a tensor of shape ({k},), a share a group"
        )
    return given


def indices(strategy: Strategy, hook: str, given: object, shape: tuple[int, ...], samples: int) -> Tensor:
    """What a hook draws, of ``shape``; on a GPU numbers are not looked at, which would wait for it."""
    if not isinstance(given, Tensor) or given.shape != shape or given.dtype not in (torch.int64, torch.int32):
        raise UserError(f"{_told(strategy, hook, given)}: it has to give indices, an int64 tensor of shape {shape}")
    if given.device.type == "cpu":
        low, high = (int(end) for end in given.aminmax())
        if low < 0 or high >= samples:
            raise UserError(
                f"{_told(strategy, hook, given)} from {low} to {high}: indices have to be in [0, {samples - 1}]"
            )
    return given


def scalar(strategy: Strategy, given: object) -> Tensor:
    """The loss to descend, ()."""
    if not isinstance(given, Tensor) or given.ndim:
        raise UserError(f"{_told(strategy, 'loss', given)}: it has to give one number, a tensor of shape ()")
    return given


def _told(strategy: Strategy, hook: str, given: object) -> str:
    tensor = isinstance(given, Tensor) and f"{str(given.dtype).removeprefix('torch.')} of shape {tuple(given.shape)}"
    return f"{type(strategy).__name__}.{hook} gave {tensor or type(given).__name__}"
