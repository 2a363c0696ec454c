"""``Learn2MixBatchSampler``: batches whose group proportions follow the groups' losses (section 3 of the paper)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any
from zlib import crc32

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.utils.data import Sampler

from l2m.errors import UserError
from l2m.sampling.apportion import Floats
from l2m.sampling.epoch import Epoch
from l2m.sampling.labels import as_array, read_labels
from l2m.sampling.loaders import asker, check_loader
from l2m.schema import Range, check_argument
from l2m.seeding import to_device

_CELLS = 2**20
"""Indices, or pairs of batch and group, planned at a time: 8 MiB an array."""

_RATE = Annotated[float, Range(0, 1)], "0 keeps the proportions"


class Learn2MixBatchSampler(Sampler[list[int]]):
    """Yields batches of indices; ``update`` moves the groups' proportions towards their losses.

    Use it as ``DataLoader(dataset, batch_sampler=Learn2MixBatchSampler(labels, batch_size=64))``: every pass
    over the loader is an epoch of ``floor(N / batch_size)`` batches (Algorithm 1). Each epoch shuffles every
    group's list of samples; a list that ends is read again from its beginning (eq. 12 and 13).

    Every batch holds exactly ``batch_size`` samples, although ``proportions * batch_size`` is seldom whole: what a
    group is owed is carried over to the next batch and epoch, so a group with a tiny share is seen rarely, but is
    seen. While proportions are constant, a group's samples are within one of the sum of its
    ``proportions * batch_size``; proportions that jump may leave a group a little further behind, never ahead.

    Every iterator is a pass and an epoch of its own, as with torch's ``RandomSampler``, and takes nothing from others
    that still run or were left. ``state_dict`` is of the newest, and ``load_state_dict`` applies to the next.

    Args:
        labels: the group of each sample, (N,) integers 0 to k − 1 of any type, or booleans; every group has a sample.
        batch_size: samples a batch (M in the paper), 1 to N.
        mixing_rate: γ in [0, 1]; at 0 the proportions stay as they are.
        proportions: initial proportions, (k,) numbers of at least 0 that sum to 1; by default the groups'
            shares of ``labels``.
        generator: draws the order of samples; by default one seeded from torch's default generator.
        device: where ``plan`` returns its indices.
        epoch_batches: batches an epoch, at least 1; by default ``floor(N / batch_size)``. Every epoch shuffles anew.
        shuffle_within: whether the samples of a batch come in random order; if not, they come group after group, as
            in the suite's own runs.

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
        epoch_batches: int | None = None,
        shuffle_within: bool = True,
    ) -> None:
        self._labels = read_labels(labels)
        self._checksum = crc32(self._labels.groups.data)  # of the labels in their order
        samples = len(self._labels.groups)
        self.batch_size: int = check_argument(
            "batch_size", batch_size, Annotated[int, Range(1, samples)], f"1 to the {samples} samples"
        )
        self.mixing_rate: float = check_argument("mixing_rate", mixing_rate, *_RATE)
        batches = samples // self.batch_size if epoch_batches is None else epoch_batches
        self._batches: int = check_argument("epoch_batches", batches, Annotated[int, Range(1)], "batches an epoch")
        self._alpha = self._initial(proportions)
        self._losses: Floats = np.full(len(self._alpha), np.nan)
        if generator is None:
            generator = torch.Generator().manual_seed(int(torch.empty((), dtype=torch.int64).random_().item()))
        elif not isinstance(generator, torch.Generator):
            raise UserError(f"generator={generator!r} must be one of torch: give torch.Generator().manual_seed(0)")
        self._generator = generator
        self._device = torch.device(device)
        self._shuffle_within = bool(shuffle_within)

        self._owed: Floats = np.zeros(len(self._alpha))  # before the first epoch: Σ α·M minus the samples drawn
        self._newest: Epoch | None = None  # the one that began last
        self._latest: Epoch | None = None  # the one that drew last: the next epoch is owed what it is
        self._resumed: Epoch | None = None  # the one that the next pass goes on with
        self._ended = True  # there is no newest epoch, or ``update`` has ended it
        self._is_checked = False

    def __len__(self) -> int:
        """Batches an epoch."""
        return self._batches

    def __iter__(self) -> Iterator[list[int]]:
        """One epoch, batch by batch; each is drawn at the current proportions."""
        if not self._is_checked:
            check_loader(asker(), len(self._labels.groups), is_sharded=False)
            self._is_checked = True
        yield from self._epoch()

    def plan(self) -> Tensor:
        """All batches of the next epoch at once, (P, batch_size) indices, equal to those of iteration."""
        epoch, rows = self._begin(), max(1, _CELLS // max(self.batch_size, len(self._alpha)))
        drawn = [self._draw(epoch, min(rows, len(self) - at)) for at in range(0, len(self), rows)]
        return to_device(torch.cat(drawn), self._device)

    def next_batch(self) -> Tensor:
        """The next batch, (batch_size,) indices; begins a new epoch if the last one has ended."""
        epoch = self._newest
        return self._draw(epoch if epoch and epoch.drawn < len(self) else self._begin())[0]

    @property
    def proportions(self) -> Tensor:
        """The mixing parameters α, (k,) float64, at least 0 and summing to 1; a copy."""
        return torch.from_numpy(self._alpha.copy())

    def update(
        self, losses: ArrayLike | Tensor, seen: ArrayLike | Tensor | None = None, *, within_epoch: bool = False
    ) -> None:
        """Move the proportions: α ← α + γ (L / ΣL − α) (eq. 3, Algorithm 2), for batches that are drawn from now on.

        Args:
            losses: L, (k,) mean losses of the groups, finite and at least 0. If all are 0, α does not change.
            seen: (k,) booleans, by default all true. A group that is not seen keeps its last loss, before its
                first the mean of the groups that have one; its entry of ``losses`` is not read.
            within_epoch: whether the epoch goes on; by default the update ends it.

        Raises:
            ValueError: not k losses, or one that is negative or not finite.
        """
        new: Floats = as_array("losses", losses).astype(np.float64)
        is_seen = np.ones(len(self._alpha), bool) if seen is None else as_array("seen", seen).astype(bool)
        for shape in (new.shape, is_seen.shape):
            if shape != self._alpha.shape:
                raise UserError(
                    f"update takes one loss for each of the {len(self._alpha)} groups, not shape {shape}: with "
                    "GroupLosses write update(*group_losses.end_epoch())"
                )
        wrong = np.flatnonzero(is_seen & ~((new >= 0) & np.isfinite(new)))
        if len(wrong):
            raise UserError(
                f"the loss of group {wrong[0]} is {new[wrong[0]]}: losses must be finite and at least 0 "
                f"({'exclude groups that no batch held with seen=' if seen is None else 'has training diverged?'})"
            )
        self._ended = self._ended or not within_epoch
        if not is_seen.any():
            return
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
                does; by default all that were drawn. After an ``update`` that ended the epoch it is 0.

        Raises:
            ValueError: fewer batches were drawn, or such an ``update`` was called before they were trained on.
        """
        epoch = self._newest
        drawn = epoch.drawn if epoch else len(self)
        trained = drawn if batches is None else batches
        if self._ended and (trained == 0 or (batches is None and epoch and epoch.is_pass)):
            trained = len(self)
        elif trained != drawn and (self._ended or trained not in range(drawn)):
            raise UserError(
                f"cannot rewind to batch {batches}: {epoch.drawn if epoch else 0} have been drawn in this epoch, and "
                "an update that does not end it must have within_epoch=True"
            )
        within = epoch if trained < len(self) else None
        changes = within.changes if within else []
        return {
            "sizes": torch.from_numpy(self._labels.sizes.copy()),
            "labels": self._checksum,
            "batch_size": self.batch_size,
            "epoch_batches": len(self),
            "proportions": self.proportions,
            "losses": torch.from_numpy(self._losses.copy()),
            "owed": torch.from_numpy((within.began if within else self._owed_now()).copy()),
            "generator": self._generator.get_state(),
            "shuffled_from": within.shuffled_from.clone() if within else None,  # None: between epochs
            "batch": trained if within else 0,
            "reached": within.reached if within else 0,
            "changed_at": [first for first, _ in changes],
            "changed_to": torch.from_numpy(np.array([alpha for _, alpha in changes])),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a ``state_dict`` of any device; the next pass yields the rest of the epoch, if any.

        Raises:
            ValueError: the state is of a sampler with other labels, batch size or batches an epoch, or of none.
        """
        if "reached" not in state:
            raise UserError(
                f"the state has {', '.join(state) or 'nothing'}: pass what the sampler's state_dict returned"
            )
        state = {name: value.cpu() if isinstance(value, Tensor) else value for name, value in state.items()}
        sizes, batch_size, batches = state["sizes"].numpy(), state["batch_size"], state["epoch_batches"]
        others = state.get("labels", self._checksum) != self._checksum  # the first states had none
        if np.array_equal(sizes, self._labels.sizes) and others:
            raise UserError("the state is of a sampler of as many samples in another order: give the labels as before")
        if others or (batch_size, batches) != (self.batch_size, len(self)):
            raise UserError(
                f"the state is of a sampler of {sizes.sum()} samples in {len(sizes)} groups, {batch_size} a batch and "
                f"{batches} batches an epoch, but this one is of {len(self._labels.groups)} in {len(self._alpha)}, "
                f"{self.batch_size} a batch and {len(self)} batches: use the same labels, batch_size and epoch_batches"
            )
        self._alpha = state["proportions"].numpy().copy()
        self._losses = state["losses"].numpy().copy()
        self._owed = state["owed"].numpy().copy()
        self._newest = self._latest = self._resumed = None
        self._ended = True
        if state["shuffled_from"] is not None:
            self._generator.set_state(state["shuffled_from"])
            changes = zip(state["changed_at"], state["changed_to"].numpy().copy(), strict=True)
            self._resumed = self._begin()
            self._resumed.go_to(int(state["batch"]), int(state["reached"]), list(changes))
        self._generator.set_state(state["generator"])

    def _initial(self, proportions: Sequence[float] | Floats | Tensor | None) -> Floats:
        sizes = self._labels.sizes
        alpha: Floats = as_array("proportions", sizes / sizes.sum() if proportions is None else proportions)
        alpha = alpha.astype(np.float64)
        if alpha.shape != sizes.shape or not (alpha >= 0).all() or not abs(alpha.sum() - 1) < 1e-6:
            raise UserError(
                f"proportions must be {len(sizes)} numbers of at least 0 that sum to 1, one a group, "
                f"not {alpha.tolist()[:10]}"
            )
        alpha /= alpha.sum()
        return alpha

    def _epoch(self) -> Iterator[list[int]]:
        resumed, self._resumed = self._resumed, None
        epoch = resumed if resumed and resumed.drawn < len(self) else self._begin()
        epoch.is_pass = True
        while epoch.drawn < len(self):
            yield self._draw(epoch)[0].tolist()

    def _begin(self) -> Epoch:
        """Shuffle for a new epoch."""
        self._owed = self._owed_now()
        self._newest = self._latest = self._resumed = None  # frees their memory
        self._ended = False
        epoch = Epoch(self._labels, self.batch_size, self._owed, self._generator, self._shuffle_within)
        self._newest = self._latest = epoch
        return epoch

    def _owed_now(self) -> Floats:
        return self._latest.owed if self._latest else self._owed

    def _draw(self, epoch: Epoch, batches: int = 1) -> Tensor:
        """The next batches of an epoch, (batches, batch_size)."""
        self._latest = epoch
        drawn = torch.from_numpy(epoch.draw(batches, self._alpha))
        if epoch.drawn == len(self):
            epoch.release()
        return drawn
