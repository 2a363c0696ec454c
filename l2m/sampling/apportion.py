"""How many samples of each group a batch holds, although proportions seldom give whole numbers."""

from heapq import heapify, heappop, heappush

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ROUNDING = 1e-9
"""Tolerance for sums of α·M that are whole except for rounding."""


def apportion(owed: Floats, wanted: Floats, size: int) -> tuple[Ints, Floats]:
    """Samples of each group in a batch of ``size``, (k,), and what each is owed after it, (k,).

    First the floor of what each group is due, then the rest of the batch goes to the groups whose next sample falls due
    soonest. If the floors alone exceed the batch, which only jumping proportions can cause, those least behind wait.

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
    if len(values) <= max(count, 256):  # sorting a few is faster
        return values.argsort(kind="stable")[:count]
    last = np.partition(values, count - 1)[count - 1]
    smaller = np.flatnonzero(values < last)
    return np.concatenate([smaller, np.flatnonzero(values == last)[: count - len(smaller)]])


class Deadlines:
    """Draws the group whose next sample falls due first; a batch costs O(M log k), where ``apportion`` costs O(k).

    The n-th sample of a group may be drawn once its due exceeds n − 1, and must be when it reaches n. Taking the
    earliest deadline first keeps every group within one sample of its due, as there always is a way to do so.

    ``owed`` (k,) is as for :func:`apportion`, and ``wanted`` (k,) as there for every batch from here.
    """

    def __init__(self, owed: Floats, wanted: Floats) -> None:
        self._owed, self._wanted = owed, np.maximum(wanted, 1e-300)
        with np.errstate(over="ignore"):
            release, due = (ROUNDING - owed) / self._wanted, (1 - owed) / self._wanted
        self._batches = 0
        self._drawn = [0] * len(owed)
        self._release, self._due, self._step = release.tolist(), due.tolist(), (1 / self._wanted).tolist()
        self._ready: list[tuple[float, int]] = []  # deadline and group of the next samples that may be drawn
        self._waiting = list(zip(self._release, range(len(owed)), strict=True))  # release and group of the others
        heapify(self._waiting)

    def draw(self, size: int) -> Ints:
        """The groups of the next batch, (size,), sorted."""
        self._batches += 1
        groups = []
        while self._waiting and self._waiting[0][0] < self._batches:
            group = heappop(self._waiting)[1]
            heappush(self._ready, (self._due[group] + self._drawn[group] * self._step[group], group))
        for _ in range(size):
            group = heappop(self._ready or self._waiting)[1]
            groups.append(group)
            self._drawn[group] += 1
            later = self._drawn[group] * self._step[group]
            if self._release[group] + later < self._batches:
                heappush(self._ready, (self._due[group] + later, group))
            else:
                heappush(self._waiting, (self._release[group] + later, group))
        return np.sort(groups)

    @property
    def owed(self) -> Floats:
        """What each group is owed now, (k,)."""
        owed: Floats = self._owed + self._batches * self._wanted - self._drawn
        return owed
