"""Strategies: everything that a training strategy may decide. One file each; every default is classical training.

The engine calls the hooks in this order:

- once: ``needs``, ``prepare``;
- at the start of an epoch: ``plan``; if it returns None, ``next_batch`` before each step;
- at each step: ``adjust``, ``loss``, ``after_step``, and after each ``every`` steps ``outer``, unless ``every`` is 0;
- at the end of an epoch: ``end_epoch``;
- between two epochs: ``state_dict`` for a checkpoint, from which a prepared strategy of another process continues.

A strategy never touches the optimizer, the device or a file, and never asks for the task: ``tasks`` lists those it is
defined for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor

from l2m.config.run import UNMIXED, RunConfig
from l2m.data import Batch, Split
from l2m.registry import Registry
from l2m.sampling.sampler import Learn2MixBatchSampler
from l2m.strategies.inner_loop import Inner
from l2m.tasks import TASKS

STRATEGIES: Registry[Any] = Registry("strategy", __name__)

CELLS = 2**22
"""Pairs of batch and group that are summed at a time at the end of an epoch: 32 MiB in float64."""


@dataclass(frozen=True)
class Context:
    """The input of :meth:`Strategy.prepare`.

    Attributes:
        train: the training split after the imbalance recipe, on the CPU.
        groups: k, the number of groups.
        batch_size: M, samples a step.
        steps: P = ⌊N / M⌋, steps an epoch; N counts the samples of ``train``, for every strategy.
        generator: returns the CPU generator for a purpose ("order", "smote"), seeded by the run.
        losses: by name of each run that the strategy needs, its final model's losses on ``train``, (N,) on the CPU.
        device: where steps take place.
        classes: of the labels; None for regression and reconstruction, or if they are the groups.
        epochs: E, the configuration's; a run may train fewer or, with a time budget, more.
    """

    train: Split
    groups: int
    batch_size: int
    steps: int
    generator: Callable[[str], torch.Generator]
    losses: Mapping[str, Tensor] = field(default_factory=dict)
    device: torch.device | str = "cpu"
    classes: int | None = None
    epochs: int = 1

    def sampler(self, mixing_rate: float = 0.0, proportions: Sequence[float] | None = None) -> Learn2MixBatchSampler:
        """A sampler over ``train``; at rate 0 it keeps its proportions, by default those of ``train``."""
        return Learn2MixBatchSampler(
            self.train.groups, batch_size=self.batch_size, mixing_rate=mixing_rate, proportions=proportions,
            generator=self.generator("order"), device=self.device, shuffle_within=False,
        )  # fmt: skip


@dataclass(frozen=True)
class Statistics:
    """An epoch's losses and counts of each group; ``end_epoch`` gets them on the CPU.

    Attributes:
        loss: L (k,) float64, the mean over the batches that held group i of its mean loss in them (eq. 10).
        last_loss: (k,) float64, the same of the last batch alone.
        count, last_count: (k,) int64, samples drawn in each. A loss is NaN where they are 0.
    """

    loss: Tensor
    last_loss: Tensor
    count: Tensor
    last_count: Tensor

    @classmethod
    def of(cls, losses: Tensor, groups: Tensor, k: int) -> Statistics:
        """Eq. 10 from the losses (P, M) and groups (P, M) of an epoch's samples, computed on their device.

        From those of R runs, (P, R, M), it is (R, k).
        """
        runs = losses.shape[1:-1]
        size = runs.numel() * k  # the groups of all runs
        total = torch.zeros(3, *runs, k, dtype=torch.float64, device=losses.device)  # sums of means, batches, samples
        rows = max(1, CELLS // size)
        for at in range(0, len(losses), rows):
            group, loss = groups[at : at + rows], losses[at : at + rows].flatten().double()
            cells = len(group) * size
            first = torch.arange(0, cells, k, device=losses.device).view(-1, *runs, 1)
            cell = (group + first).flatten()
            sums, counts = torch.zeros(2, cells, dtype=torch.float64, device=losses.device)
            sums.index_add_(0, cell, loss)
            counts.index_add_(0, cell, torch.ones_like(loss))
            means = (sums / counts).view(-1, *runs, k)  # NaN where a batch lacks a group
            counts = counts.view(-1, *runs, k)
            seen = counts > 0
            total += torch.stack([means.where(seen, 0.0), seen, counts]).sum(1)
        return cls(total[0] / total[1], means[-1], total[2].long(), counts[-1].long())


class Strategy:
    """Classical training with shuffled batches; subclasses override what differs."""

    tasks: ClassVar[frozenset[str]] = frozenset(TASKS)
    replayable: ClassVar[bool] = True
    """Whether a step may be replayed as a CUDA graph: ``loss`` and ``adjust`` never wait for the device, use no Python
    number that changes, replace no tensor, and change in place only those of ``changing``. A subclass that overrides
    ``loss`` or ``adjust`` must set it too, or it is False. Steps with an ``outer`` are never replayed."""
    stackable: ClassVar[bool] = False
    """Whether runs that train together, and share options and training set, may call ``adjust`` of one of them and
    ``losses`` for all; otherwise both hooks are called run by run. A subclass does not inherit it."""

    saved: ClassVar[tuple[str, ...]] = ("_order",)
    """Attributes that change from epoch to epoch, for ``state_dict``: generators, tensors, numbers, strings, and
    objects that have a ``state_dict``. A subclass adds its own to those of its base."""

    def __init_subclass__(cls) -> None:
        setter: Any = next(each for each in cls.__mro__ if "replayable" in vars(each))
        if (cls.loss, cls.adjust) != (setter.loss, setter.adjust):
            cls.replayable = False

    @property
    def every(self) -> int:
        """T: ``outer`` is called after this many steps. 0: never, and no steps are kept for it."""
        return 0

    @property
    def reads_steps(self) -> bool:
        """Whether ``after_step`` is called: by default, if the class overrides it. Replays gather batches for it."""
        return type(self).after_step is not Strategy.after_step

    @property
    def rewinds(self) -> bool:
        """Whether ``outer`` repeats the steps; parameters and moments are then copied before them."""
        return False

    def needs(self, config: RunConfig) -> dict[str, RunConfig]:
        """Runs to finish before that of ``config``, by name: ordinary runs, skipped if they are finished."""
        return {}

    def prepare(self, context: Context) -> Split:
        """Keep what the strategy needs of ``context``; return the split that its indices refer to."""
        self.context, self.drawn_from = context, context.train
        self._order = context.generator("order")
        return context.train

    @property
    def proportions(self) -> Tensor:
        """The current α, (k,) float64: the groups' shares of the drawn samples, or their weights in the loss."""
        return self._shares

    @cached_property
    def _shares(self) -> Tensor:
        counts = torch.bincount(self.drawn_from.groups, minlength=self.context.groups)
        return counts.double() / counts.sum()

    def plan(self, epoch: int) -> Tensor | None:
        """All batches of the epoch, (P, M) indices; None: ``next_batch`` is called at each step."""
        return self.shuffled(len(self.drawn_from))

    def shuffled(self, samples: int) -> Tensor:
        """All batches of an epoch, (P, M), of so many samples; fewer than P·M are shuffled several times."""
        steps, size = self.context.steps, self.context.batch_size
        rounds = -(-steps * size // samples)
        order = torch.cat([torch.randperm(samples, generator=self._order) for _ in range(rounds)])
        return order[: steps * size].view(steps, size)

    def next_batch(self) -> Tensor:
        """The next batch, (M,) indices; called only if ``plan`` returns None."""
        raise NotImplementedError

    def adjust(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The outputs (M, ...) from which the losses for ``loss`` are computed, from the model's on a training batch.

        ``targets`` are the batch's; where ``mixing`` mixes labels they are distributions (M, classes). Nothing else
        uses adjusted outputs. Returning ``outputs`` itself, not a copy, costs nothing.
        """
        return outputs

    def loss(self, batch: Batch, per_sample: Tensor) -> Tensor:
        """The scalar to minimise, from the losses of the batch's samples (M,)."""
        return per_sample.mean(-1)

    @classmethod
    def losses(cls, runs: Sequence[Any], batch: Batch, per_sample: Tensor) -> Tensor:
        """The losses (R,) of R strategies of this class, from their samples (R, M); called if it is ``stackable``.

        By default ``loss`` of the first: it must then take such samples too, and depend on options and training set.
        """
        losses: Tensor = runs[0].loss(batch, per_sample)
        return losses

    def changing(self) -> Iterable[Tensor]:
        """The tensors on the device that ``loss`` changes in place: rehearsals of a CUDA graph restore them."""
        return ()

    def after_step(self, batch: Batch, per_sample: Tensor) -> None:
        """Called after each step if ``reads_steps``; ``per_sample`` (M,) is detached."""

    def outer(self, inner: Inner) -> None:
        """Called after each ``every`` steps, and at an epoch's end after fewer, with those steps."""

    def end_epoch(self, statistics: Statistics) -> None:
        """Called at the end of each epoch."""

    def state_dict(self) -> dict[str, Any]:
        """All that changes from epoch to epoch: tensors, numbers and strings, in dictionaries and lists."""
        return {name.lstrip("_"): _state(getattr(self, name)) for name in self.saved}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a ``state_dict``, after ``prepare``."""
        for name in self.saved:
            own, value = getattr(self, name), state[name.lstrip("_")]
            if isinstance(own, torch.Generator):
                own.set_state(value)
            elif hasattr(own, "load_state_dict"):
                own.load_state_dict(value)
            elif isinstance(own, Tensor):
                own.copy_(value)
            else:
                setattr(self, name, value)


def _state(value: Any) -> Any:
    if isinstance(value, torch.Generator):
        return value.get_state()
    if isinstance(value, Tensor):
        return value.clone()
    return value.state_dict() if hasattr(value, "state_dict") else value


def read_step(batch: Batch, per_sample: Tensor, k: int) -> tuple[Tensor, Tensor] | None:
    """The groups' sums of losses (k,) float64 and counts (k,) of a step on the CPU; waits for the device, once.

    None if a loss is not finite: the engine ends the run at the end of this epoch, and says why.
    """
    groups, losses = torch.stack([batch.groups.double(), per_sample.double()]).cpu()
    sums, counts = torch.bincount(groups.long(), losses, k), torch.bincount(groups.long(), minlength=k)
    return (sums, counts) if losses.isfinite().all() else None


def as_classical(config: RunConfig, **changes: Any) -> RunConfig:
    """``config`` with classical training on shuffled batches, without mixing, and with ``changes``."""
    choice = {"name": "classical", **STRATEGIES.defaults("classical")}
    plain: dict[str, Any] = {"strategy": choice, "mixing": UNMIXED, "force": False, "command": None}
    return replace(config, **(plain | changes))


class SampledStrategy(Strategy):
    """A strategy whose batches come from a :class:`~l2m.sampling.sampler.Learn2MixBatchSampler`.

    Its ``prepare`` sets ``self.sampler``, as by ``context.sampler(proportions=...)``, then calls this class's.
    """

    sampler: Learn2MixBatchSampler
    saved = (*Strategy.saved, "sampler")

    @property
    def proportions(self) -> Tensor:
        return self.sampler.proportions

    def plan(self, epoch: int) -> Tensor | None:
        return self.sampler.plan()

    def next_batch(self) -> Tensor:
        return self.sampler.next_batch()
