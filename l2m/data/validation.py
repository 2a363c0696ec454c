"""A held-out part of samples that has some of each group."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from l2m.errors import UserError
from l2m.seeding import generator


def held_out(groups: Tensor, fraction: float, order: torch.Generator) -> Tensor:
    """Which samples (N,) are held out: ``fraction`` of each group, one at least, but never a group's last one."""
    held = torch.zeros(len(groups), dtype=torch.bool)
    for group in range(int(groups.max()) + 1):
        members = torch.nonzero(groups == group).flatten()
        count = min(max(round(fraction * len(members)), 1), len(members) - 1)
        held[members[torch.randperm(len(members), generator=order)[:count]]] = True
    return held


REMEDIES = {
    "validation_fraction": "leave validation_fraction at 0",
    "early_stopping_fraction": "leave early_stopping at null",
}
"""By the key that asks for a held-out part, how to do without."""


def hold_out(
    kept: Tensor, groups: Tensor, names: Sequence[str], part: tuple[str, float], data_seed: int
) -> tuple[Tensor, Tensor]:
    """Of the training samples ``kept`` (N,), those to train on, and those to test on or to stop early by.

    Args:
        kept: indices of samples.
        groups: of all samples.
        part: the key that asks for the held-out part, and its share of each group, which may be 0.

    Raises:
        UserError: a group has a single sample.
    """
    key, fraction = part
    if not fraction:
        return kept, kept[:0]
    groups = groups[kept]
    sizes = torch.bincount(groups, minlength=len(names)).tolist()
    if min(sizes) < 2:
        group = sizes.index(min(sizes))
        raise UserError(
            f"{key}={fraction:g} holds out a part of each group, and group {group} ({names[group]}) has "
            f"{sizes[group]} training sample: every group needs two, add some or {REMEDIES[key]}"
        )
    held = held_out(groups, fraction, generator(data_seed, "validation"))
    return kept[~held], kept[held]
