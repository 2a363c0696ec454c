"""``Epoch``: the batches of one pass over a sampler. Each pass has an epoch of its own."""

from bisect import bisect_right
from collections.abc import Sequence
from operator import itemgetter

import numpy as np
import torch

from l2m.sampling.apportion import Deadlines, Floats, Ints, apportion
from l2m.sampling.labels import Labels

_GROUPS_A_SAMPLE = 128
"""``Deadlines`` is faster than ``apportion`` for more groups than this times the batch size, and more than 1024."""


class Epoch:
    """Shuffles every group's list of samples, then draws batches from the lists.

    Args:
        owed: what each group is owed before the first batch, (k,): Σ α·M minus the samples drawn; it sums to 0.
        generator: draws the lists; a copy of it seeds the order within batches.
        shuffle_within: whether the samples of a batch come in random order instead of group after group.

    Attributes:
        shuffled_from: the generator's state before it drew the lists.
        began: ``owed`` before the first batch.
        drawn: batches drawn.
        reached: batches drawn, or drawn before this epoch was loaded from a state, whichever is more.
        is_pass: whether an iterator draws it; an update that ends it leaves nothing of it.
        changes: for each change of the proportions the first batch that was drawn at them, and the proportions (k,).
    """

    def __init__(
        self, labels: Labels, batch_size: int, owed: Floats, generator: torch.Generator, shuffle_within: bool
    ) -> None:
        self.shuffled_from = generator.get_state()
        shuffled: Ints = torch.randperm(len(labels.groups), generator=generator).numpy()
        self._order = shuffled[np.argsort(labels.groups[shuffled], kind="stable")]
        self._within: np.random.Generator | None = None
        if shuffle_within:
            copy = torch.Generator()  # so that the batches hold the same samples as without
            copy.set_state(generator.get_state())
            self._within = np.random.default_rng(int(torch.randint(2**62, (), generator=copy)))
        self._sizes, self._size = labels.sizes, batch_size
        self._offsets: Ints = np.cumsum(labels.sizes) - labels.sizes
        self._taken: Ints = np.zeros_like(labels.sizes)  # samples drawn of each group: τ of eq. 12, before its modulo
        self.began = self._owed = owed
        self.drawn = self.reached = 0
        self.is_pass = False
        self.changes: list[tuple[int, Floats]] = []
        self._alpha = self._wanted = np.zeros(0)
        self._many = len(owed) > max(1024, _GROUPS_A_SAMPLE * batch_size)
        self._deadlines: Deadlines | None = None
        self._numbers = np.arange(len(owed), dtype=labels.groups.dtype)

    @property
    def owed(self) -> Floats:
        """What each group is owed now, (k,)."""
        return self._deadlines.owed if self._deadlines else self._owed

    def draw(self, batches: int, proportions: Floats) -> Ints:
        """Indices of the next batches, (batches, M), at these proportions (k,), which may not be changed in place."""
        groups = np.concatenate([self._next(proportions) for _ in range(batches)])
        if not self._many:
            groups = np.repeat(np.tile(self._numbers, batches), groups)
        by_group = groups.argsort(kind="stable")
        ordered = groups[by_group]
        firsts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
        counts, drawn = np.diff(firsts, append=len(ordered)), ordered[firsts]
        place = np.arange(len(ordered)) + np.repeat(self._taken[drawn] - firsts, counts)
        self._taken[drawn] += counts
        indices: Ints = np.empty_like(place)
        indices[by_group] = self._order[place % self._sizes[ordered] + self._offsets[ordered]]
        indices = indices.reshape(batches, self._size)
        if self._within:
            indices = np.take_along_axis(indices, self._within.random(indices.shape).argsort(axis=1), axis=1)
        return indices

    def go_to(self, batch: int, reached: int, changes: Sequence[tuple[int, Floats]]) -> None:
        """Draw again what another process has drawn, up to a batch; those that it drew ahead keep their proportions."""
        self.changes, self.reached = list(changes), reached
        for _ in range(batch):
            self.draw(1, self.changes[-1][1])

    def release(self) -> None:
        """Free the lists of an epoch of which all batches are drawn."""
        self._order = np.zeros(0, np.int64)

    def _next(self, proportions: Floats) -> Ints:
        """The sorted groups of the next batch, (M,), if there are many, else its samples of each group, (k,)."""
        if self.drawn < self.reached:
            proportions = self.changes[bisect_right(self.changes, self.drawn, key=itemgetter(0)) - 1][1]
        if proportions is not self._alpha and not np.array_equal(proportions, self._alpha):
            if self.drawn == self.reached:
                self.changes.append((self.drawn, proportions))
            self._owed, self._wanted = self.owed, proportions * self._size
            self._deadlines = Deadlines(self._owed, self._wanted) if self._many else None
        self._alpha = proportions
        self.drawn += 1
        self.reached = max(self.reached, self.drawn)
        if self._deadlines:
            return self._deadlines.draw(self._size)
        counts, self._owed = apportion(self._owed, self._wanted, self._size)
        return counts
