"""Stored samples and the batches that are taken from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from l2m.errors import UserError, cause
from l2m.seeding import to_device

EVALUATION_BATCH = 1000
"""Samples a batch of evaluation on a CPU, few enough for the activations of an image row to stay in the cache; and of
tokens on a GPU, whose attention grows with the square of their length."""

EVALUATION_NUMBERS = 2**17, 2**24
"""Numbers in the inputs of such a batch: at least, so that a small set is one batch, and at most, which is 111 images
of 3×224×224, since 1000 would take 7 GB in ResNet-18. On a GPU, but for tokens, the most: each batch is launches."""

GATHERED = 2**17, 2**24
"""Numbers at most in the inputs of batches that are gathered together: on a CPU so few that they stay in the cache, on
a GPU 64 MiB, as there each gather is a few launches."""


class Batch(NamedTuple):
    """Samples as models and strategies take them."""

    inputs: Tensor
    """(M, ...) float32, images in the memory format of the split; or (M, L) int32 tokens."""
    targets: Tensor
    """(M,) labels, (M, 1) values, or the inputs."""
    groups: Tensor
    """(M,) groups, 0 to k − 1."""


@dataclass(frozen=True)
class Split:
    """Stored samples, all on one device. Images that have targets lie in channels-last memory, for convolutions.

    Attributes:
        inputs: (N, ...) float32, images (N, C, H, W) in uint8, or tokens (N, L) in int32.
        targets: (N,) int64 labels, or (N, 1) float32 values, in the target's unit or as ``Data.target_unit`` says.
            None: the inputs, scaled.
        groups: (N,) int64, 0 to k − 1.
        scale, shift: (C, 1, 1) float32, or (d,); a stored pixel or number x is seen as ``x * scale + shift``. None: as
            stored.
        rows: (N,) int64 on the CPU. Then ``inputs`` stay in a file that is mapped into memory, which may hold more
            samples, and whose row ``rows[i]`` is sample i; the rest is on the device. None: ``inputs`` are the samples.
    """

    inputs: Tensor
    targets: Tensor | None
    groups: Tensor
    scale: Tensor | None = None
    shift: Tensor | None = None
    rows: Tensor | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", self.inputs.contiguous(memory_format=self._order))

    @property
    def _order(self) -> torch.memory_format:
        convolved = self.inputs.ndim == 4 and self.scale is not None and self.targets is not None
        return torch.channels_last if convolved else torch.contiguous_format

    @property
    def device(self) -> torch.device:
        return self.groups.device

    def __len__(self) -> int:
        return len(self.groups)

    def batch(self, index: Tensor | slice, augment: Callable[[Tensor], Tensor] | None = None) -> Batch:
        """The samples at ``index`` (M,), normalised; ``augment`` changes images before that, as stored pixels."""

        def gather(rows: Tensor, index: Tensor | slice) -> Tensor:  # on a CPU index_select is faster than rows[index]
            return rows[index] if isinstance(index, slice) else rows.index_select(0, index)

        if self.rows is None:
            rows = gather(_rows(self.inputs), index)
        else:
            places = gather(self.rows, index if isinstance(index, slice) else index.cpu())
            rows = to_device(gather(_rows(self.inputs), places), self.device)
            index = index if isinstance(index, slice) else to_device(index, self.device)
        inputs = rows.as_strided((len(rows), *self.inputs.shape[1:]), (rows.shape[1], *self.inputs.stride()[1:]))
        if self.scale is not None and self.shift is not None:
            inputs = inputs.to(torch.float32, memory_format=self._order, copy=True)
            inputs = augment(inputs) if augment else inputs
            scale, shift = (_rows(torch.empty_like(inputs[:1]).copy_(each)) for each in (self.scale, self.shift))
            _rows(inputs).mul_(scale).add_(shift)
        targets = inputs if self.targets is None else gather(self.targets, index)
        return Batch(inputs, targets, gather(self.groups, index))

    def batches(self, plan: Tensor, augment: Callable[[Tensor], Tensor] | None = None) -> Iterator[Batch]:
        """The batches of a ``plan`` (P, M) in turn, as :meth:`batch` gives them; small ones are gathered together."""
        plan = plan if self.rows is None else plan.cpu()  # one wait for all batches
        most = GATHERED[self.device.type != "cpu"]
        together = 1 if augment else max(1, most // (plan.shape[1] * self.inputs.shape[1:].numel()))
        for block in plan.split(together):
            whole = self.batch(block.flatten(), augment)
            parts = (part.view(*block.shape, *part.shape[1:]).unbind() for part in whole)
            yield from map(Batch._make, zip(*parts, strict=True))

    def passes(self, runs: int = 1) -> Iterator[Batch]:
        """All samples in turn, in batches of a size for evaluation by the models of so many runs at once."""
        least, most = (max(1, numbers // self.inputs.shape[1:].numel()) for numbers in EVALUATION_NUMBERS)
        by_numbers = self.device.type != "cpu" and self.inputs.dtype != torch.int32
        size = max(1, (most if by_numbers else min(max(EVALUATION_BATCH, least), most)) // runs)
        for start in range(0, len(self), size):
            yield self.batch(slice(start, start + size))

    def blank(self) -> Split:
        """One sample of zeros, of the same shapes and types; numbers that a file has are as they are seen."""
        scaling = {"scale": None, "shift": None} if self.inputs.is_floating_point() else {}
        return replace(
            self,
            inputs=torch.zeros_like(self.inputs[:1], device=self.device),
            rows=None,
            **scaling,
            targets=None if self.targets is None else torch.zeros_like(self.targets[:1]),
            groups=torch.zeros_like(self.groups[:1]),
        )

    def subset(self, index: Tensor) -> Split:
        """The samples at ``index`` (M,), as stored."""
        targets = None if self.targets is None else self.targets[index]
        stored = {"inputs": self.inputs[index]} if self.rows is None else {"rows": self.rows[index]}
        return replace(self, targets=targets, groups=self.groups[index], **stored)

    def in_memory(self) -> Tensor:
        """The inputs of all samples, (N, ...); a UserError if they are in a file."""
        if self.rows is not None:
            raise UserError(
                "new samples are made of all in memory, and dataset.storage=mapped leaves them in a file: use "
                "dataset.storage=memory, or another strategy"
            )
        return self.inputs

    def to(self, device: torch.device) -> Split:
        """The split on ``device``; a UserError if it does not fit there."""
        in_file = () if self.rows is None else ("inputs", "rows")
        tensors = {name: value for name, value in vars(self).items() if value is not None and name not in in_file}
        try:
            return replace(self, **{name: value.to(device) for name, value in tensors.items()})
        except torch.OutOfMemoryError as error:
            size = sum(value.nbytes for value in tensors.values()) / 2**30
            raise UserError(
                f"{len(self)} samples of the data set take {size:.2g} GiB, which are not free on device={device} "
                f"({cause(error)}): use fewer samples or smaller ones, fewer workers on one GPU, or device=cpu"
            ) from error


def _rows(samples: Tensor) -> Tensor:
    """A view (N, numbers) of samples without gaps in memory, in the order of memory."""
    numbers = samples.shape[1:].numel()
    return samples.as_strided((len(samples), numbers), (numbers, 1))
