"""How many samples of each group a batch holds, although proportions seldom give whole numbers."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ROUNDING = 1e-9
"""Tolerance for sums of α·M that are whole except for rounding."""

_SORTED = 256
"""Up to this length, sorting is faster than partitioning."""


def apportion(owed: Floats, wanted: Floats, size: int) -> tuple[Ints, Floats]:
    """Samples of each group in a batch of ``size``, (k,), and what each is owed after it, (k,).

    A group's count lies between the floor and the ceiling of what it is due: first the floors, then the rest of the
    batch goes to the groups whose next sample falls due soonest. If the floors alone exceed the batch, which only
    jumping proportions can cause, the groups that are least behind wait.

    Args:
        owed: Σ α·M minus the samples drawn, (k,), summing to 0.
        wanted: α·M of this batch, (k,), summing to ``size``.
    """
    due = owed + wanted
    counts = np.maximum(np.floor(due + ROUNDING), 0.0)
    spare = size - int(counts.sum())
    if spare > 0:
        wait = np.minimum((counts + 1 - due) / np.maximum(wanted, 1e-300), 1e15)
        wait[due - counts <= ROUNDING] += 1e16  # its due is no larger than its count
        counts[smallest(wait, spare)] += 1
    while spare < 0:
        waiting = smallest(np.where(counts > 0, due - counts, np.inf), min(-spare, int((counts > 0).sum())))
        counts[waiting] -= 1
        spare += len(waiting)
    return counts.astype(np.int64), due - counts


def smallest(values: Floats, count: int) -> Ints:
    """Indices of the ``count`` smallest values; of equal ones the first."""
    if len(values) <= max(count, _SORTED):
        return values.argsort(kind="stable")[:count]
    last = np.partition(values, count - 1)[count - 1]
    smaller = np.flatnonzero(values < last)
    return np.concatenate([smaller, np.flatnonzero(values == last)[: count - len(smaller)]])
