"""Samples that a split must not separate, such as those of one patient, or that it separates by time."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from l2m.errors import UserError, printable


class Units(NamedTuple):
    """The units of samples."""

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
        parts = max(2, round(1 / fraction))
        if self.are_ordered:
            _, own, sizes = np.unique(self.numbers, return_inverse=True, return_counts=True)
            middle = sizes[::-1].cumsum()[::-1] - sizes / 2  # of a unit, in samples from the latest one
            blocks = np.minimum(middle // (fraction * len(groups)), parts - 1)
            return torch.from_numpy(blocks[own] == part % parts)
        from sklearn.model_selection import StratifiedGroupKFold

        if (different := len(np.unique(self.numbers))) < parts:
            raise UserError(
                f"{self.option} has {different} different values for a split into {parts} parts: use another column, "
                "or hold out a larger share"
            )
        if (largest := int(torch.bincount(groups).max())) < parts:
            raise UserError(
                f"{self.option} splits into {parts} parts, but no class or group has more than {largest} samples: hold "
                "out a larger share, or add rows"
            )
        folds = StratifiedGroupKFold(parts, shuffle=True, random_state=int(torch.randint(2**31, (), generator=order)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # a group in few units, which is checked afterwards
            held = list(folds.split(groups, groups, self.numbers))[part % parts][1]
        return torch.zeros(len(groups), dtype=torch.bool).index_fill(0, torch.from_numpy(held), True)

    def check_sides(self, held: Tensor, groups: Tensor, names: Sequence[str], split: str) -> None:
        """Check that each of ``groups`` (N,) is on both sides of a split, which is named; ``held`` (N,) is one side.

        Raises:
            UserError: one is not.
        """
        for side, purpose in ((held, "test"), (~held, "train")):
            sizes = torch.bincount(groups[side], minlength=len(names)).tolist()
            if not all(sizes):
                raise UserError(
                    f"{split} leaves group {printable(names[sizes.index(0)])} without a sample to {purpose} on, "
                    f"because of {self.option}: add rows, drop the group, or hold out another share"
                )
