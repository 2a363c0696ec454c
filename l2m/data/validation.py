"""A held-out part of samples, that has some of each group."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from l2m.errors import UserError
from l2m.seeding import generator

if TYPE_CHECKING:
    from l2m.data import Data


def held_out(groups: Tensor, fraction: float, order: torch.Generator) -> Tensor:
    """Which samples (N,) are held out: ``fraction`` of each group, one at least, but never a group's last one."""
    held = torch.zeros(len(groups), dtype=torch.bool)
    for group in range(int(groups.max()) + 1):
        members = torch.nonzero(groups == group).flatten()
        count = min(max(round(fraction * len(members)), 1), len(members) - 1)
        held[members[torch.randperm(len(members), generator=order)[:count]]] = True
    return held


def validation(data: Data, index: Tensor, fraction: float, data_seed: int) -> tuple[Tensor, Tensor]:
    """The training samples at ``index``, by their number: those to train on, and a part that is held out.

    Raises:
        UserError: a group has a single one.
    """
    groups = data.train.groups[index]
    sizes = torch.bincount(groups, minlength=len(data.group_names)).tolist()
    if min(sizes) < 2:
        group = sizes.index(min(sizes))
        raise UserError(
            f"validation_fraction={fraction:g} holds out a part of each group, and group {group} "
            f"({data.group_names[group]}) has {sizes[group]} training sample: every group needs two, add some or leave "
            "validation_fraction at 0"
        )
    held = held_out(groups, fraction, generator(data_seed, "validation"))
    return index[~held], index[held]
