"""A held-out part of samples that has some of each group."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from l2m.errors import UserError
from l2m.seeding import generator


def held_out(groups: Tensor, fraction: float, order: torch.Generator, part: int = 0) -> Tensor:
    """Which samples (N,) are held out: ``fraction`` of each group, one at least, but never a group's last one.

    Parts 0, 1, ... have no sample of a group in common until all its samples were held out once.
    """
    held = torch.zeros(len(groups), dtype=torch.bool)
    for group in range(int(groups.max()) + 1):
        members = torch.nonzero(groups == group).flatten()
        count = min(max(round(fraction * len(members)), 1), len(members) - 1)
        held[members[torch.randperm(len(members), generator=order).roll(-part * count)[:count]]] = True
    return held


def validation(groups: Tensor, names: Sequence[str], data_seed: int, fraction: float, part: int) -> Tensor:
    """Which training samples (N,) a run tests on instead of training on them.

    Raises:
        UserError: a group has a single sample.
    """
    sizes = torch.bincount(groups, minlength=len(names)).tolist()
    if min(sizes) < 2:
        group = sizes.index(min(sizes))
        raise UserError(
            f"validation_fraction={fraction:g} holds out a part of each group, and group {group} ({names[group]}) has "
            f"{sizes[group]} training sample: every group needs two, add some or leave validation_fraction at 0"
        )
    return held_out(groups, fraction, generator(data_seed, "validation"), part)
