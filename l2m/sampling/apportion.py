"""How many samples of each group a batch holds, where proportions ask for no whole numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_ROUNDING = 1e-9
"""Slack for sums of α·M that are whole but for rounding."""

_FEW = 256
"""Numbers that are sorted faster than parted."""


def apportion(owed: Floats, wanted: Floats, size: int) -> tuple[Ints, Floats]:
    """Samples of each group in a batch of ``size``, (k,), and what is owed after it, (k,).

    After the batch a group's count lies between the floor and the ceiling of its due: what the floor
    demands is drawn, and the rest of the batch goes to the groups whose next sample falls due soonest.
    Should the floors alone exceed the batch, which only proportions that jump can bring about, those
    that are least behind wait.

    Args:
        owed: Σ α·M less what was drawn, (k,), summing to 0.
        wanted: α·M of this batch, (k,), summing to ``size``.
    """
    due = owed + wanted
    counts = np.maximum(np.floor(due + _ROUNDING), 0.0)
    spare = size - int(counts.sum())
    if spare > 0:
        wait = np.minimum((counts + 1 - due) / np.maximum(wanted, 1e-300), 1e15)
        wait[due - counts <= _ROUNDING] += 1e16  # its due is no larger than its count
        counts[least(wait, spare)] += 1
    while spare < 0:
        waiting = least(np.where(counts > 0, due - counts, np.inf), min(-spare, int((counts > 0).sum())))
        counts[waiting] -= 1
        spare += len(waiting)
    return counts.astype(np.int64), due - counts


def least(values: Floats, count: int) -> Ints:
    """Where the ``count`` least values are, the first ones of those that are equal."""
    if len(values) <= max(count, _FEW):
        return values.argsort(kind="stable")[:count]
    last = np.partition(values, count - 1)[count - 1]
    less = np.flatnonzero(values < last)
    return np.concatenate([less, np.flatnonzero(values == last)[: count - len(less)]])
