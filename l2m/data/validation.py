"""A held-out part of samples that has some of each group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from l2m.data.units import Units
from l2m.errors import UserError, printable
from l2m.seeding import generator

if TYPE_CHECKING:
    from l2m.data import Data


def validated(data: Data) -> Data:
    """:func:`with_printable_names` of the data; a UserError if a group has no test sample."""
    sizes = torch.bincount(data.test.groups, minlength=len(data.group_names)).tolist()
    if not all(sizes):
        name = printable(data.group_names[sizes.index(0)])
        raise UserError(f"group {name} has no test sample: every group needs one, add some or drop the group")
    return with_printable_names(data)


def with_printable_names(data: Data) -> Data:
    """The data with names of groups and classes that records, tables and terminals can hold."""
    groups, classes = (tuple(map(printable, names or ())) for names in (data.group_names, data.class_names))
    return replace(data, group_names=groups, class_names=None if data.class_names is None else classes)


def held_out(
    groups: Tensor, fraction: float, order: torch.Generator, part: int = 0, units: Units | None = None
) -> Tensor:
    """Which samples (N,) are held out: ``fraction`` of each group, one at least, but never a group's last one.

    Parts 0, 1, ... have no sample of a group in common until all its samples were held out once; with ``units``
    they are whole units.
    """
    if units:
        return units.hold_out(groups, fraction, order, part)
    held = torch.zeros(len(groups), dtype=torch.bool)
    for group in range(int(groups.max()) + 1):
        members = torch.nonzero(groups == group).flatten()
        count = min(max(round(fraction * len(members)), 1), len(members) - 1)
        held[members[torch.randperm(len(members), generator=order).roll(-part * count)[:count]]] = True
    return held


REMEDIES = {
    "validation_fraction": "drop the group; python -m l2m.run can hold none out, with validation_fraction=0",
    "early_stopping_fraction": "use early_stopping=null",
}
"""By the key that asks for a held-out part, how to do without."""


def hold_out(kept: Tensor, data: Data, part: tuple[str, float, int], data_seed: int) -> tuple[Tensor, Tensor]:
    """Of the training samples ``kept`` (N,), those to train on, and those to test on or to stop early by.

    Args:
        kept: indices of samples.
        data: all samples.
        part: the key that asks for the held-out part, its share of each group and, in it, of each class, which may be
            0, and its number.

    Raises:
        UserError: a group has a single sample, or a group or a class none on one side.
    """
    key, fraction, number = part
    if not fraction:
        return kept, kept[:0]
    groups, names = data.train.groups[kept], data.group_names
    sizes = torch.bincount(groups, minlength=len(names)).tolist()
    if min(sizes) < 2:
        group = sizes.index(min(sizes))
        raise UserError(
            f"{key}={fraction:g} holds out a part of each group, and group {group} ({names[group]}) has "
            f"{sizes[group]} training sample: every group needs two, add some or {REMEDIES[key]}"
        )
    units = data.units and data.units.select(kept.numpy())
    classes = torch.as_tensor(data.train.targets)[kept] if data.classes else torch.zeros_like(groups)
    both = torch.stack([groups, classes]).unique(dim=1, return_inverse=True)[1]
    held = held_out(both, fraction, generator(data_seed, "validation"), number, units)
    split = f"{key}={fraction:g}, part {number},"
    check_sides(held, groups, names, "group", split, units)
    if data.classes:
        check_sides(held, classes, data.labels, "class", split, units)
    return kept[~held], kept[held]


def check_sides(held: Tensor, codes: Tensor, names: Sequence[str], kind: str, split: str, units: Units | None) -> None:
    """Check that each group or class that ``codes`` (N,) have is on both sides of a split; ``held`` (N,) is one side.

    Raises:
        UserError: one is not.
    """
    occur = torch.bincount(codes, minlength=len(names)) > 0
    for side, purpose in ((held, "test"), (~held, "train")):
        lacking = (occur & (torch.bincount(codes[side], minlength=len(names)) == 0)).tolist()
        if any(lacking):
            because = f", because of {units.option}" if units else ""
            raise UserError(
                f"{split} leaves {kind} {printable(names[lacking.index(True)])} without a sample to {purpose} on"
                f"{because}: add rows, drop the {kind}, or hold out another share"
            )


def own_part(held: Tensor, part: tuple[str, float, int]) -> Tensor:
    """The rows (m,) that a data set has for a held-out part, or none of them if ``part`` asks for none.

    Raises:
        UserError: another part than the first is asked for.
    """
    _, fraction, number = part
    if number:
        raise UserError(
            f"validation_part={number} is asked for, but the data set has one held-out part of its own, {len(held)} "
            "samples: use validation_part=0"
        )
    return held if fraction else held[:0]
