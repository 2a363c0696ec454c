"""``GroupLosses``: the mean loss of each group over an epoch, for ``Learn2MixBatchSampler.update``."""

from collections.abc import Mapping
from typing import Annotated, Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor, distributed

from l2m.errors import UserError
from l2m.sampling.labels import as_array
from l2m.schema import Range, check_argument


class GroupLosses:
    """Mean loss of each group over an epoch, L of eq. 10: ``add`` at every step, ``end_epoch`` at its end.

    L_i is the mean, over the batches that held group i, of its mean loss in them. If ``torch.distributed`` is
    initialised, a batch is what all ranks add at one step, so every rank has the same L and must add at every step.
    Nothing waits for the device before ``end_epoch``.

    Args:
        groups: k, at least 1.
        process_group: the ranks that add up their losses, if ``torch.distributed`` is initialised; by default all.

    Attributes:
        batches: number of batches added since the last ``end_epoch``.

    Raises:
        ValueError: ``groups`` is not a whole number of at least 1.

    Examples:
        >>> losses = GroupLosses(2)
        >>> losses.add([1.0, 3.0, 5.0], [0, 0, 1])
        >>> [means.tolist() for means in losses.end_epoch()]  # L, and whether the group was seen
        [[2.0, 5.0], [True, True]]
    """

    def __init__(self, groups: int, process_group: distributed.ProcessGroup | None = None) -> None:
        remedy = "the number of groups in the labels"
        self._groups: int = check_argument("groups", groups, Annotated[int, Range(1)], remedy)
        self._process_group = process_group
        self._totals: Tensor | None = None  # (2, k), on the device: sums of means, batches
        self.batches = 0

    def add(self, losses: ArrayLike | Tensor, groups: ArrayLike | Tensor) -> None:
        """Add the losses (M,) of a batch's samples, which are detached, and their groups (M,), 0 to k − 1.

        Tensors, arrays, lists and Series are read by position, on the device of ``losses``.

        Raises:
            ValueError: not one loss and one group a sample, or, on the CPU, a group that is not one of the k.
        """
        loss, group = _as_tensor("losses", losses), _as_tensor("groups", groups)
        if not loss.is_floating_point() or group.is_floating_point():
            raise UserError(
                f"add takes losses, then groups, which must be whole numbers, not {loss.dtype} and {group.dtype}: "
                "use groups.long()"
            )
        if loss.ndim != 1 or group.shape != loss.shape:
            raise UserError(
                f"add takes one loss and one group a sample, not shapes {tuple(loss.shape)} and "
                f"{tuple(group.shape)}: give the loss function reduction='none', average several losses a sample with "
                "losses.flatten(1).mean(1), and flatten a column of groups with groups.flatten()"
            )
        group = group.to(loss.device).long()
        precise = torch.float32 if loss.device.type == "mps" else torch.float64  # MPS has no float64
        loss = loss.detach().to(precise)
        if group.device.type == "cpu" and not ((group >= 0) & (group < self._groups)).all():
            raise UserError(
                f"groups go from {group.min()} to {group.max()}, but there are {self._groups}, numbered from 0: "
                "give GroupLosses the number of groups in the labels"
            )
        batch = loss.new_zeros(2, self._groups)
        batch.index_add_(1, group, torch.stack([loss, torch.ones_like(loss)]))
        if distributed.is_available() and distributed.is_initialized():
            distributed.all_reduce(batch, group=self._process_group)
        seen = batch[1] > 0
        step = torch.stack([(batch[0] / batch[1]).where(seen, 0), seen])
        self._totals = step if self._totals is None else self._totals.to(step.device) + step
        self.batches += 1

    def end_part(self) -> tuple[Tensor, Tensor]:
        """What ``end_epoch`` returns, of the batches since the last part, for an update within the epoch."""
        none = torch.zeros(2, self._groups, dtype=torch.float64)
        (total, batches), self._totals = none if self._totals is None else self._totals.cpu(), None
        return total / batches, batches > 0

    def end_epoch(self) -> tuple[Tensor, Tensor]:
        """L (k,), NaN for a group that no batch held, and which groups were seen (k,); starts a new epoch.

        Raises:
            ValueError: nothing was added.
        """
        if not self.batches:
            raise UserError("no losses were added in this epoch: call add(losses, groups) after every batch")
        self.batches = 0
        return self.end_part()

    def state_dict(self) -> dict[str, Any]:
        """The losses since the last ``end_epoch``, for a loop that is saved within an epoch."""
        return {"totals": None if self._totals is None else self._totals.cpu(), "batches": self.batches}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a ``state_dict``.

        Raises:
            ValueError: the state has another number of groups, or is not that of ``GroupLosses``.
        """
        if set(state) != {"totals", "batches"}:
            raise UserError(
                f"the state has {', '.join(sorted(state)) or 'nothing'}, but that of GroupLosses has totals "
                "and batches: pass what GroupLosses.state_dict returned"
            )
        totals = state["totals"]
        if totals is not None and totals.shape != (2, self._groups):
            raise UserError(
                f"the state has {totals.shape[-1]} groups, but there are {self._groups}: use the same number"
            )
        self._totals = None if totals is None else totals.clone()
        self.batches = state["batches"]


def _as_tensor(name: str, values: ArrayLike | Tensor) -> Tensor:
    if isinstance(values, Tensor):
        return values
    array = as_array(name, values)
    if array.dtype.kind not in "biuf":
        raise UserError(f"add takes numbers as {name}, not {array.dtype}: use an array or a tensor of numbers")
    return torch.from_numpy(array.copy())  # some arrays are read-only
