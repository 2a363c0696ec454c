"""Samples that a split must not separate, such as those of one patient, or that it separates by time."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from l2m.errors import UserError


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
