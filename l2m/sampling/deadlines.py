"""``Deadlines``: the groups of a batch when there are far more groups than samples in it."""

from heapq import heapify, heappop, heappush

import numpy as np

from l2m.sampling.apportion import ROUNDING, Floats, Ints


class Deadlines:
    """Draws the group whose next sample falls due first; a batch costs O(M log k), where ``apportion`` costs O(k).

    The n-th sample of a group may be drawn once its due exceeds n − 1, and must be when it reaches n. Taking the
    earliest deadline first keeps every group within one sample of its due, as there always is a way to do so.

    Args:
        owed: Σ α·M minus the samples drawn, (k,), summing to 0.
        wanted: α·M of every batch from here, (k,).
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
