"""A held-out part of samples that has some of each group, and does not separate samples that belong together."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from l2m.errors import UserError, printable
from l2m.seeding import generator

if TYPE_CHECKING:
    from l2m.data import Data


class Units(NamedTuple):
    """Samples that a split must not separate, such as those of one patient, or that it separates by time."""

    option: str  # the option that names their column
    numbers: NDArray[np.int64]  # (N,) int64, the unit of each sample
    are_ordered: bool  # whether they are moments: part 0 of a split is the latest, then come those before them

    def select(self, kept: Any) -> Units:
        """Those of the samples that are ``kept``, an index."""
        return self._replace(numbers=self.numbers[kept])

    def hold_out(self, groups: Tensor, fraction: float, order: torch.Generator, part: int = 0) -> Tensor:
        """Which samples (N,) are held out: whole units, about ``fraction`` of the samples.

        Without an order scikit-learn's StratifiedGroupKFold keeps the shares of ``groups`` (N,) as even as it can.

        Raises:
            UserError: there are too few units.
        """
        if self.are_ordered:
            _, own, sizes = np.unique(self.numbers, return_inverse=True, return_counts=True)
            middle = sizes[::-1].cumsum()[::-1] - sizes / 2  # of a unit, in samples from the latest one
            whole = max(1, int(1 / fraction + 1e-9))  # what is left over is never held out
            return torch.from_numpy(middle[own] // (fraction * len(groups)) == part % whole)
        from sklearn.model_selection import StratifiedGroupKFold

        different, largest = len(np.unique(self.numbers)), int(torch.bincount(groups).max())
        parts, some = _folds(fraction, min(different, largest))
        if not parts or abs(some / parts - fraction) > max(0.2 * fraction, 0.01):
            few = f"{self.option} has {different} different values, too few to hold out a share of {fraction:g}"
            if different > largest:
                few = f"no class or group has more than {largest} samples, too few to hold out {fraction:g} of them by "
                few += self.option
            raise UserError(f"{few}: use another column, hold out another share, or add rows")
        folds = StratifiedGroupKFold(parts, shuffle=True, random_state=int(torch.randint(2**31, (), generator=order)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # a group in few units, which is checked afterwards
            held = [side for _, side in folds.split(groups, groups, self.numbers)]
        chosen = np.concatenate([held[(part * some + each) % parts] for each in range(some)])
        return torch.zeros(len(groups), dtype=torch.bool).index_fill(0, torch.from_numpy(chosen), True)


def _folds(fraction: float, most: int) -> tuple[int, int]:
    """How many folds, up to ``most``, to make of the samples, and how many of them are ``fraction`` of the samples.

    The fewest that come within a twentieth and .01 of it, or else nearest; none without a choice.
    """
    most, near = min(most, max(20, round(1 / fraction))), min(fraction / 20, 0.01)
    choices = [(parts, min(max(round(fraction * parts), 1), parts - 1)) for parts in range(2, most + 1)]
    return min(choices, key=lambda each: max(abs(each[1] / each[0] - fraction), near), default=(0, 0))


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
    kept: Tensor, own: Tensor, data: Data, part: tuple[str, float, int], data_seed: int
) -> tuple[Tensor, Tensor]:
    """Of the training samples ``kept`` (N,), those to train on, and those to test on or to stop early by.

    Args:
        kept, own: indices of samples; ``own`` are those that the data set has stored as its held-out part.
        data: all samples.
        part: the key that asks for the held-out part, its share of each group and, in it, of each class, which may be
            0, and its number.

    Raises:
        UserError: a group has a single sample, or a group or a class none on one side; or the data set has a part of
            its own, and another than the first is asked for.
    """
    key, fraction, number = part
    if not fraction:
        return kept, own[:0]
    if len(own):
        if number:
            raise UserError(
                f"validation_part={number} is asked for, but the data set has one held-out part of its own, "
                f"{len(own)} samples: use validation_part=0"
            )
        return kept, own
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
