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


def hold_out(
    kept: Tensor,
    groups: Tensor,
    names: Sequence[str],
    part: tuple[str, float, int],
    data_seed: int,
    units: Units | None = None,
) -> tuple[Tensor, Tensor]:
    """Of the training samples ``kept`` (N,), those to train on, and those to test on or to stop early by.

    Args:
        kept: indices of samples.
        groups: of all samples.
        part: the key that asks for the held-out part, its share of each group, which may be 0, and its number.
        units: of all samples.

    Raises:
        UserError: a group has a single sample, or none on one side.
    """
    key, fraction, number = part
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
    units = units and units.select(kept.numpy())
    held = held_out(groups, fraction, generator(data_seed, "validation"), number, units)
    if units:
        units.check_sides(held, groups, names, f"{key}={fraction:g}, part {number},")
    return kept[~held], kept[held]


def own_part(held: Tensor, part: tuple[str, float, int]) -> Tensor:
    """The rows (m,) that a data set has for a held-out part, or none of them if ``part`` asks for none.

    Raises:
        UserError: another part than the first is asked for.
    """
    _, fraction, number = part
    if number:
        raise UserError(
            f"validation_part={number} is asked for, but the data set has one held-out part of its own, {len(held)} "
            "samples: use validation_part=0, in a comparison held_out_parts=1"
        )
    return held if fraction else held[:0]
