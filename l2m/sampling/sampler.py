"""``Learn2MixBatchSampler``: batches whose group proportions follow the groups' losses (section 3 of the paper)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from l2m.errors import UserError
from l2m.sampling.apportion import Floats, Ints, apportion
from l2m.schema import Range, check_argument
from l2m.seeding import to_device

_CELLS = 2**20
"""Pairs of batch and group drawn at a time: 8 MiB an array."""

_RATE = Annotated[float, Range(0, 1)], "0 keeps the proportions"


class Learn2MixBatchSampler(Sampler[list[int]]):
    """Yields batches of indices; ``update`` moves the groups' proportions towards their losses.

    Use it as ``DataLoader(dataset, batch_sampler=Learn2MixBatchSampler(labels, batch_size=64))``: every pass
    over the loader is an epoch of ``floor(N / batch_size)`` batches (Algorithm 1). Each epoch shuffles every
    group's list of samples; a list that ends is read again from its beginning (eq. 12 and 13).

    Every batch holds exactly ``batch_size`` samples, although ``proportions * batch_size`` is seldom whole: what a
    group is owed is carried over to the next batch and the next epoch, so a group with a tiny share is seen rarely,
    but is seen. While proportions are constant, a group's samples are always within one of the sum of its
    ``proportions * batch_size``. Proportions that jump at a high mixing rate may leave a group a little further
    behind, never ahead; no rule that does not know the next proportions can avoid this.

    Args:
        labels: the group of each sample, (N,) integers 0 to k − 1, or booleans; every group has a sample.
        batch_size: samples a batch (M in the paper), 1 to N.
        mixing_rate: γ in [0, 1]; at 0 the proportions stay as they are.
        proportions: initial proportions, (k,) numbers of at least 0 that sum to 1; by default the groups'
            shares of ``labels``.
        generator: draws the order of samples; by default one seeded from torch's default generator.
        device: where ``plan`` puts its indices.

    Raises:
        ValueError: a value out of these ranges.

    Examples:
        >>> sampler = Learn2MixBatchSampler([0] * 90 + [1] * 10, batch_size=20, mixing_rate=0.5)
        >>> [len(batch) for batch in sampler]
        [20, 20, 20, 20, 20]
        >>> sampler.update([0.1, 0.3])  # the mean loss of each group over the epoch
        >>> sampler.proportions  # were 0.9 and 0.1; the groups' shares of the loss are 0.25 and 0.75
        tensor([0.5750, 0.4250], dtype=torch.float64)
    """

    def __init__(
        self,
        labels: ArrayLike | Tensor,
        *,
        batch_size: int,
        mixing_rate: float = 0.1,
        proportions: Sequence[float] | Floats | Tensor | None = None,
        generator: torch.Generator | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        if isinstance(labels, Dataset):
            raise UserError(
                f"labels must be one group a sample, not a {type(labels).__name__}: give the list of groups"
            )
        groups = _array(labels)
        groups = groups.astype(np.int64) if groups.dtype == bool else groups
        if groups.ndim != 1 or not len(groups) or groups.dtype.kind not in "iu":
            remedy = "number the groups from 0, as numpy.unique(labels, return_inverse=True)[1] does"
            if groups.ndim > 1:
                remedy = "for one-hot rows use labels.argmax(1), for one column labels.flatten()"
            raise UserError(
                f"labels must be a list of whole numbers, one group a sample, not {groups.dtype} of shape "
                f"{groups.shape}: {remedy}"
            )
        if groups.min() < 0:
            raise UserError(f"label {groups.min()} is negative: number the groups from 0")
        self._sizes: Ints = np.bincount(np.minimum(groups, len(groups)))
        if not self._sizes.all():
            raise UserError(
                f"group {int(np.flatnonzero(self._sizes == 0)[0])} has no samples, but labels go up to "
                f"{groups.max()}: number the groups without gaps, as numpy.unique(labels, return_inverse=True)[1] does"
            )
        self.batch_size: int = check_argument(
            "batch_size", batch_size, Annotated[int, Range(1, len(groups))], f"1 to the {len(groups)} samples"
        )
        self.mixing_rate: float = check_argument("mixing_rate", mixing_rate, *_RATE)
        self._alpha = self._initial(proportions)
        self._losses: Floats = np.full(len(self._sizes), np.nan)
        if generator is None:
            generator = torch.Generator().manual_seed(int(torch.empty((), dtype=torch.int64).random_().item()))
        self._generator = generator
        self._device = torch.device(device)

        self._groups = groups.astype(np.min_scalar_type(len(self._sizes) - 1))  # short numbers sort faster
        self._offsets: Ints = np.cumsum(self._sizes) - self._sizes
        self._owed: Floats = np.zeros(len(self._sizes))  # Σ α·M minus the samples drawn; sums to 0
        self._taken: Ints = np.zeros(len(self._sizes), np.int64)  # drawn in this epoch: τ of eq. 12, before its modulo
        self._order: Ints = np.zeros(0, np.int64)  # this epoch's shuffled lists, group after group
        self._batch = len(self)  # batches drawn in this epoch; all: the next one begins a new epoch
        self._shuffled_from = generator.get_state()  # the generator's state before this epoch's shuffle
        self._began: Floats | None = None  # ``_owed`` when this epoch began, until ``update`` ends it
        self._resumed = False

    def __len__(self) -> int:
        """Batches an epoch, ``floor(N / batch_size)``."""
        return len(self._groups) // self.batch_size

    def __iter__(self) -> Iterator[list[int]]:
        """One epoch, batch by batch; each is drawn at the current proportions."""
        if not self._resumed:
            self._batch = len(self)
        self._resumed = False
        for _ in range(len(self) - self._batch % len(self)):
            yield self.next_batch().tolist()

    def plan(self) -> Tensor:
        """All batches of the next epoch at once, (P, batch_size) indices, equal to those of iteration."""
        self._shuffle()
        self._batch = len(self)
        rows = max(1, _CELLS // len(self._sizes))
        drawn = [
            self._draw(np.array([self._counts() for _ in range(at, min(at + rows, len(self)))]))
            for at in range(0, len(self), rows)
        ]
        return to_device(torch.cat(drawn).view(len(self), self.batch_size), self._device)

    def next_batch(self) -> Tensor:
        """The next batch, (batch_size,) indices; begins a new epoch if the last one has ended."""
        if self._batch == len(self):
            self._shuffle()
            self._batch = 0
        self._batch += 1
        return self._draw(self._counts()[None])

    @property
    def proportions(self) -> Tensor:
        """The mixing parameters α, (k,) float64, at least 0 and summing to 1; a copy."""
        return torch.from_numpy(self._alpha.copy())

    def update(self, losses: ArrayLike | Tensor, seen: ArrayLike | Tensor | None = None) -> None:
        """Move the proportions: α ← α + γ (L / ΣL − α) (eq. 3, Algorithm 2). Call it at the end of an epoch.

        Args:
            losses: L, (k,) mean losses of the groups, finite and at least 0. If all are 0, α does not change.
            seen: (k,) booleans, by default all true. A group that is not seen keeps its last loss, before its
                first the mean of the groups that have one; its entry of ``losses`` is not read.

        Raises:
            ValueError: not k losses, or one that is negative or not finite.
        """
        new: Floats = _array(losses).astype(np.float64)
        is_seen = np.ones(len(self._sizes), bool) if seen is None else _array(seen).astype(bool)
        for shape in (new.shape, is_seen.shape):
            if shape != self._sizes.shape:
                raise UserError(f"update takes one loss for each of the {len(self._sizes)} groups, not shape {shape}")
        wrong = np.flatnonzero(is_seen & ~((new >= 0) & np.isfinite(new)))
        if len(wrong):
            raise UserError(
                f"the loss of group {wrong[0]} is {new[wrong[0]]}: losses must be finite and at least 0 "
                f"({'exclude groups that no batch held with seen=' if seen is None else 'has training diverged?'})"
            )
        if not is_seen.any():
            return
        self._began = None
        self._losses[is_seen] = new[is_seen]
        unknown = np.isnan(self._losses)
        largest = self._losses.max(where=~unknown, initial=0.0)
        if largest > 0:
            target = self._losses / largest  # so that no sum overflows
            if unknown.any():
                target[unknown] = np.nanmean(target)
            rate = check_argument("mixing_rate", self.mixing_rate, *_RATE)  # a schedule may have changed it
            self._alpha = self._alpha + rate * (target / target.sum() - self._alpha)

    def state_dict(self, batches: int | None = None) -> dict[str, Any]:
        """Tensors and numbers from which ``load_state_dict`` continues exactly, between epochs or within one.

        Args:
            batches: how many of this epoch's batches were trained on, if a loader draws ahead, as one with workers
                does; by default all that were drawn. After ``update``, which ends an epoch, it is 0.

        Raises:
            ValueError: fewer batches were drawn, or ``update`` was called within the epoch.
        """
        began, batch = self._began, self._batch
        if began is None and batches == 0:
            batch = len(self)  # update ended this epoch, perhaps before its last batch
        drawn = 0 if began is None and batch == len(self) else batch
        rewind = batches is not None and batches not in (drawn, batch)
        if rewind and (began is None or batches not in range(drawn)):
            raise UserError(
                f"cannot rewind to batch {batches}: {drawn} have been drawn in this epoch, and update must not have "
                "been called in it"
            )
        arrays = {
            "sizes": self._sizes,
            "proportions": self._alpha,
            "losses": self._losses,
            "owed": began if began is not None and rewind else self._owed,
            "taken": np.zeros_like(self._taken) if rewind else self._taken,
        }
        return {name: torch.from_numpy(array.copy()) for name, array in arrays.items()} | {
            "batch_size": self.batch_size,
            "batch": 0 if rewind else batch,
            "again": batches if rewind else None,  # batches of the epoch to draw again
            "began": None if began is None else torch.from_numpy(began.copy()),
            "shuffled_from": self._shuffled_from.clone(),
            "generator": self._generator.get_state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a ``state_dict``; the next pass over the sampler yields the rest of the epoch, if any.

        Raises:
            ValueError: the state is of a sampler with other labels or another batch size.
        """
        sizes, batch_size = state["sizes"].numpy(), state["batch_size"]
        if not np.array_equal(sizes, self._sizes) or batch_size != self.batch_size:
            raise UserError(
                f"the state is of a sampler of {sizes.sum()} samples in {len(sizes)} groups, {batch_size} a batch, but "
                f"this one is of {len(self._groups)} in {len(self._sizes)}, {self.batch_size} a batch: use the same "
                "labels and batch_size"
            )
        self._alpha = state["proportions"].numpy().copy()
        self._losses = state["losses"].numpy().copy()
        self._owed = state["owed"].numpy().copy()
        self._generator.set_state(state["shuffled_from"])
        self._shuffle()
        self._taken = state["taken"].numpy().copy()
        self._batch = int(state["batch"])
        if state.get("again") is None:  # older states have neither this nor "began"
            self._generator.set_state(state["generator"])
        for _ in range(state.get("again") or 0):
            self.next_batch()
        began = state.get("began")
        self._began = None if began is None else began.numpy().copy()
        self._resumed = self._batch < len(self)

    def _initial(self, proportions: Sequence[float] | Floats | Tensor | None) -> Floats:
        if proportions is None:
            proportions = self._sizes / self._sizes.sum()
        alpha: Floats = _array(proportions).astype(np.float64)
        if alpha.shape != self._sizes.shape or not (alpha >= 0).all() or not abs(alpha.sum() - 1) < 1e-6:
            raise UserError(
                f"proportions must be {len(self._sizes)} numbers of at least 0 that sum to 1, one a group, "
                f"not {alpha.tolist()[:10]}"
            )
        alpha /= alpha.sum()
        return alpha

    def _shuffle(self) -> None:
        self._shuffled_from = self._generator.get_state()
        shuffled: Ints = torch.randperm(len(self._groups), generator=self._generator).numpy()
        self._order = shuffled[np.argsort(self._groups[shuffled], kind="stable")]
        self._taken[:] = 0
        self._began = self._owed

    def _counts(self) -> Ints:
        """Samples of each group in the next batch, (k,); updates what is owed."""
        counts, self._owed = apportion(self._owed, self._alpha * self.batch_size, self.batch_size)
        return counts

    def _draw(self, counts: Ints) -> Tensor:
        """Indices of consecutive batches, (Σ counts,), from their counts, (batches, k)."""
        before = np.cumsum(counts, axis=0) - counts + self._taken
        self._taken = self._taken + counts.sum(axis=0)
        flat = counts.ravel()
        first = before.ravel() - (np.cumsum(flat) - flat)  # place in the group's list, minus place in the result
        place = np.repeat(first, flat) + np.arange(flat.sum())
        group = np.repeat(np.tile(np.arange(len(self._sizes)), len(counts)), flat)
        return torch.from_numpy(self._order[place % self._sizes[group] + self._offsets[group]])


def _array(values: ArrayLike | Tensor) -> NDArray[Any]:
    """A user's values as an array, from any device."""
    if not isinstance(values, Tensor):
        return np.asarray(values)
    values = values.detach().cpu()
    return (values.double() if values.is_floating_point() else values).numpy()  # numpy has no bfloat16
