"""Runs that train together: their models are stacked, so that a step of all costs little more than that of one.

Each run keeps its trainer, with its strategy, generators and early stopping. The forward and backward passes, the
losses of strategies that are alike, the optimizer's step and the evaluation are shared. The sum of the runs' losses is
differentiated, so each has its own gradient, and numbers as if it trained alone, but for rounding.
"""

import logging
import math
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain, groupby
from typing import Any

import torch
from torch import Tensor, nn

from l2m import optimizers
from l2m.config.run import RunConfig
from l2m.data import Batch, Split
from l2m.data.own.storage import free_memory
from l2m.strategies import Statistics, Strategy, checks
from l2m.training.device import stopwatch
from l2m.training.engine import Rows, Trainer

LOG = logging.getLogger(__name__)


def common(trainer: Trainer) -> Hashable | None:
    """What runs must have in common to be stacked; None for one that trains alone."""
    config, split = trainer.config, trainer.train_set
    layers = list(trainer.model.children()) if type(trainer.model) is nn.Sequential else []
    able = hasattr(trainer.optimizer, "step_runs") and not any((
        trainer.strategy.every, trainer.mixing, trainer.augmentation, trainer.replays, split.rows is not None,
        config.precision == "bf16", config.equal_seconds,
        any("lr_scale" in group for group in trainer.optimizer.param_groups),
    ))  # fmt: skip
    if not able or not layers or not all(type(each) in (nn.Flatten, nn.Linear, nn.ReLU, nn.Sigmoid) for each in layers):
        return None
    scale = tuple(float(each) for part in (split.scale, split.shift) if part is not None for each in part.flatten())
    sizes, optimizer = (trainer.steps, config.batch_size), sorted(config.optimizer.items())
    return str(trainer.model), *sizes, str(optimizer), config.task, tuple(trainer.group_names), scale


def most_together(config: RunConfig, device: torch.device) -> int:
    """How many runs like this one are stacked at most: ``together``, or as many as are fast."""
    # outputs of the hidden layer in a step of all runs: more gain little, and leave a CPU's cache
    outputs = 2**19 if device.type == "cpu" else 2**23
    hidden: int = max(config.model.get("hidden", 16), 16)
    return config.together or max(1, min(64, outputs // (config.batch_size * hidden)))  # more than 64 gain little


def room_for(trainer: Trainer, runs: int) -> int:
    """How many of ``runs`` like this one fit into half of the memory that is free; warns of fewer than all."""
    parameters = sum(each.numel() for each in trainer.model.parameters())
    widths = sum(
        each.in_features + each.out_features for each in trainer.model.modules() if isinstance(each, nn.Linear)
    )
    needed = 32 * parameters + 16 * trainer.config.batch_size * widths  # moments and gradients, copies to release
    free = torch.cuda.mem_get_info(trainer.device)[0] if trainer.device.type == "cuda" else free_memory()
    most = max(1, int(free // 2 // needed))
    if most < runs:
        text = "%d runs together may need %.2g MiB, and %d are free: %d are trained at a time"
        LOG.warning(text, runs, runs * needed / 2**20, free >> 20, most)
    return most


def stacks(trainers: Sequence[Trainer]) -> list[list[Trainer]]:
    """The trainers, each once, by those that can be stacked, with those that share a loss as neighbours."""
    by_common: dict[Hashable, list[Trainer]] = defaultdict(list)
    for trainer in trainers:
        by_common[common(trainer) or trainer].append(trainer)
    return [sorted(some, key=lambda each: str(losses_alike(each))) for some in by_common.values()]


def losses_alike(trainer: Trainer) -> tuple[object, ...]:
    """Runs that have it in common have one function of losses."""
    strategy = trainer.strategy
    if type(strategy).loss is Strategy.loss and type(strategy).adjust is Strategy.adjust:
        return ()
    options, samples = sorted(trainer.config.strategy.items()), id(strategy.context.train)
    return (str(options), samples) if vars(type(strategy)).get("stackable") else (id(trainer),)


class _Linear(torch.autograd.Function):
    """``nn.Linear`` of R runs; each gradient is computed in the order of its product that is fast."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        return torch.baddbmm(bias[:, None], inputs, weight.mT)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        inputs, weight = ctx.saved_tensors
        (gradient,) = gradients
        before = torch.bmm(gradient, weight) if ctx.needs_input_grad[0] else None
        grows = weight.shape[1] > weight.shape[2]
        of_weight = torch.bmm(inputs.mT, gradient).mT if grows else torch.bmm(gradient.mT, inputs)
        return before, of_weight, gradient.sum(1)


class Stack:
    """Trains a part of :func:`stacks`, an epoch at a time, until :meth:`release`; a single run as it trains alone."""

    def __init__(self, trainers: Sequence[Trainer]) -> None:
        self.trainers = list(trainers)
        self.is_released = False
        first, *others = self.trainers
        if not others:
            return
        self._layers, self._shapes = list(first.model), [each.shape for each in first.model.parameters()]
        self._sizes = [shape.numel() for shape in self._shapes]
        self._own = torch.stack([_joined(each.model.parameters()) for each in self.trainers]).detach()
        for trainer, own in zip(self.trainers, self._own, strict=True):
            for parameter, value in zip(trainer.model.parameters(), self._by_parameter(own), strict=True):
                parameter.data = value
        states = [each.optimizer.state_dict() for each in self.trainers]
        self._state = {name: torch.stack([_joined(each[name]) for each in states]) for name in states[0]}
        configs = [trainer.config for trainer in self.trainers]
        self._warmup = self._by_run([config.warmup_steps for config in configs])
        self._largest = self._by_run([config.max_gradient_norm or math.inf for config in configs])
        self._alike = [list(some) for _, some in groupby(self.trainers, losses_alike)]
        self._split, starts = _union([trainer.train_set for trainer in self.trainers])
        self._starts = torch.tensor(starts, device=first.device)[:, None]
        self._tested: dict[Hashable, list[int]] = defaultdict(list)  # runs by what is evaluated alike
        for i, trainer in enumerate(self.trainers):
            trainer.unstack, trainer.together = self.release, max(trainer.together, len(self.trainers))
            self._tested[id(trainer.data.test), trainer.stopping is None].append(i)

    def _by_run(self, values: Sequence[float]) -> Tensor | None:
        """A number of each run, (R, 1); None if it is the same as without: 0 or infinite for all."""
        given = any(value and math.isfinite(value) for value in values)
        return torch.tensor(values, device=self._own.device)[:, None] if given else None

    def _by_parameter(self, joined: Tensor) -> list[Tensor]:
        """Views of the parameters (..., *shape) in what :func:`_joined` gave (..., P)."""
        parts = joined.split(self._sizes, -1)
        return [part.view(*joined.shape[:-1], *shape) for part, shape in zip(parts, self._shapes, strict=True)]

    def release(self) -> None:
        """Give each run its parameters and moments, to save them or to train alone."""
        if not self.is_released and self.trainers[1:]:
            self.is_released = True
            for i, trainer in enumerate(self.trainers):
                state = {name: joined[i] for name, joined in self._state.items()}
                trainer.optimizer.load_state_dict({
                    name: list(own.expand(len(self._sizes))) if len(own) == 1 else self._by_parameter(own)
                    for name, own in state.items()
                })  # fmt: skip
                for each in trainer.model.parameters():
                    each.data = each.data.clone()
                trainer.unstack = lambda: None

    def run_epoch(self) -> Mapping[Trainer, Rows | Exception]:
        """Train and evaluate; the rows of each run, or its FloatingPointError, or what ended all."""
        try:
            return self._run_epoch() if self.trainers[1:] else {self.trainers[0]: self.trainers[0].run_epoch()}
        except Exception as error:
            return dict.fromkeys(self.trainers, error)

    def _run_epoch(self) -> dict[Trainer, Rows | Exception]:
        first, runs = self.trainers[0], len(self.trainers)
        stop = stopwatch(first.device)
        proportions = torch.stack([trainer.proportions() for trainer in self.trainers])
        groups, losses, objectives = (torch.stack(each) for each in zip(*self._steps(), strict=True))
        trained = Statistics.of(losses, groups, len(first.group_names))
        seconds, read, outputs = stop(), [torch.empty(0)] * runs, [[torch.empty(0)]] * runs
        for some in self._tested.values():
            index = torch.tensor(some, device=first.device)
            own = self._by_parameter(self._own[index])
            tested = self.trainers[some[0]].evaluate(None, partial(self._forward, own), len(some))
            statistics = Statistics(*(each[index] for each in vars(trained).values()))
            joined = tested.joined(objectives.double().mean(0)[index], statistics, proportions[index]).cpu()
            for i, each in enumerate(some):
                read[each], outputs[each] = joined[i], [batch[i] for batch in tested.outputs]
        shared, rows = seconds() / runs, dict[Trainer, Rows | Exception]()
        for trainer, own_read, own_outputs in zip(self.trainers, read, outputs, strict=True):
            try:
                rows[trainer] = trainer.end_epoch(own_read, shared, own_outputs)
            except FloatingPointError as error:
                rows[trainer] = error
        return rows

    def _steps(self) -> Iterator[tuple[Tensor, ...]]:
        """Take the epoch's steps; yields groups and losses (R, M) and objectives (R,) of each."""
        first, reading = self.trainers[0], [i for i, each in enumerate(self.trainers) if each.strategy.reads_steps]
        device = first.device
        rates = torch.tensor([[trainer.begin_epoch()] for trainer in self.trainers], dtype=torch.float64, device=device)
        number = torch.tensor([[(trainer.epoch - 1) * first.steps] for trainer in self.trainers], device=device)
        plan, rest = self._plan()
        for step in range(first.steps):
            for i, drawn in rest.items():
                plan[step, i] = next(drawn)[0] + self._starts[i]
            batch = self._split.batch(plan[step].flatten())
            warm = 1.0 if self._warmup is None else ((number + step + 1) / self._warmup).clamp(max=1.0)
            per_sample, objectives = self._step(batch, rates * warm)
            for i in reading:
                part = Batch(*(each.unflatten(0, (len(self.trainers), -1))[i] for each in batch))
                self.trainers[i].strategy.after_step(part, per_sample[i])
            yield batch.groups.view_as(per_sample), per_sample, objectives

    def _plan(self) -> tuple[Tensor, dict[int, Iterator[Tensor]]]:
        """The batches (P, R, M) as far as they are planned, and for the other runs what draws them step by step."""
        first = self.trainers[0]
        shape = first.steps, len(self.trainers), first.config.batch_size
        plan, rest = torch.zeros(shape, dtype=torch.int64, device=first.device), dict[int, Iterator[Tensor]]()
        for i, trainer in enumerate(self.trainers):
            drawn = checks.drawn_checked(trainer.strategy, trainer.epoch, first.steps, len(trainer.train_set))
            begin = next(drawn)
            plan[: len(begin), i] = begin + self._starts[i]
            if len(begin) < first.steps:
                rest[i] = chain([begin], drawn)
        return plan, rest

    def _step(self, batch: Batch, rates: Tensor) -> tuple[Tensor, Tensor]:
        """Take one step of all; the losses (R, M) of their samples and their objectives (R,), both detached."""
        first, runs = self.trainers[0], len(self.trainers)
        parameters = [each.detach().requires_grad_() for each in self._by_parameter(self._own)]
        outputs = self._forward(parameters, batch.inputs.unflatten(0, (runs, -1)))
        per_sample = first.task.loss(outputs, batch.targets)
        size, objectives = len(per_sample) // runs, list[Tensor]()
        parts = zip(*(each.split([len(some) * size for some in self._alike]) for each in (*batch, outputs, per_sample)),
                    strict=True)  # fmt: skip
        for alike, (*samples, own_outputs, own_losses) in zip(self._alike, parts, strict=True):
            losses = alike[0].adjusted(own_outputs, samples[1], own_losses)
            objectives.append(checks.losses_checked([each.strategy for each in alike], Batch(*samples), losses))
        objective = torch.cat(objectives)
        optimizers.backward(objective.sum())
        with torch.no_grad():
            gradient = torch.cat([each.grad.flatten(1) for each in parameters if each.grad is not None], 1)
            if self._largest is not None:
                gradient *= (self._largest / (gradient.norm(dim=1, keepdim=True) + 1e-6)).clamp(max=1.0)
            first.optimizer.step_runs(self._own, gradient, self._state, rates)
        return per_sample.detach().view(runs, size), objective.detach()

    def _forward(self, parameters: Sequence[Tensor], inputs: Tensor) -> Tensor:
        """The outputs (R·M, ...) of R models with ``parameters`` (R, ...) for inputs (R, M, ...)."""
        x, rest = inputs, iter(parameters)
        for layer in self._layers:
            if isinstance(layer, nn.Flatten):
                x = x.flatten(2)
            elif isinstance(layer, nn.Linear):
                x = _Linear.apply(x, next(rest), next(rest))
            else:
                x = layer(x)
        return x.flatten(0, 1)


def _joined(parameters: Iterable[Tensor]) -> Tensor:
    """Numbers by parameter as one vector (P,); of counts of steps, which have no dimension, one."""
    own = list(parameters)
    return torch.cat([each.detach().flatten() for each in own]) if own[0].ndim else own[0][None]


def _union(splits: Sequence[Split]) -> tuple[Split, list[int]]:
    """One split with the samples of all, those of equal ones once, and where each begins in it."""
    distinct, starts, at = dict[Hashable, int](), list[int](), 0
    parts = list[Split]()
    for split in splits:
        key = tuple(each.data_ptr() for each in (split.inputs, split.groups, split.targets) if each is not None)
        if key not in distinct:
            distinct[key] = at
            parts.append(split)
            at += len(split)
        starts.append(distinct[key])
    if len(parts) == 1:
        return parts[0], starts
    targets = [each.targets for each in parts if each.targets is not None]
    inputs, groups = torch.cat([each.inputs for each in parts]), torch.cat([each.groups for each in parts])
    return replace(parts[0], inputs=inputs, targets=torch.cat(targets) if targets else None, groups=groups), starts
