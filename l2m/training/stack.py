"""Runs that train together: their models are stacked, so that a step of all costs little more than that of one.

Each run keeps its trainer, with its strategy, generators and early stopping. The forward and backward passes, the
losses of strategies that are alike, the optimizer's step and the evaluation are shared. The sum of the runs' losses is
differentiated, so each has its own gradient, and numbers as if it trained alone, but for rounding.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, groupby
from typing import Any

import torch
from torch import Tensor, nn

from l2m import optimizers
from l2m.data import Batch, Split
from l2m.strategies import Statistics, checks
from l2m.training.device import stopwatch
from l2m.training.engine import Trainer
from l2m.training.evaluation import Rows
from l2m.training.kinds import losses_alike, steps_alike


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


@dataclass
class _Segment:
    """Runs whose optimizers take their steps together: neighbours in the stack.

    Attributes:
        optimizer: for parameters (R, ...).
        own: each run's, which gets its moments back when the stack ends.
    """

    trainers: list[Trainer]
    parameters: list[nn.Parameter]
    optimizer: Any
    own: list[Any]

    @classmethod
    def of(cls, trainers: list[Trainer]) -> _Segment:
        """Stack the runs' parameters and moments; their models then have views of the parameters."""
        models = [list(trainer.model.parameters()) for trainer in trainers]
        parameters = [nn.Parameter(torch.stack([each.detach() for each in some])) for some in zip(*models, strict=True)]
        for i, model in enumerate(models):
            for own, stacked in zip(model, parameters, strict=True):
                own.data = stacked.detach()[i]
        config, own = trainers[0].config, [trainer.optimizer for trainer in trainers]
        optimizer = optimizers.OPTIMIZERS.build(config.optimizer, parameters, config.learning_rate)
        optimizers.set_rate(optimizer, own[0].param_groups[0]["lr"])
        states = [each.state_dict() for each in own]
        optimizer.load_state_dict({
            name: [some[0] if not some[0].ndim else torch.stack(some) for some in zip(*each, strict=True)]
            for name, each in ((name, [state[name] for state in states]) for name in states[0])
        })  # fmt: skip
        for trainer in trainers:
            trainer.optimizer = optimizer
        return cls(trainers, parameters, optimizer, own)

    def release(self) -> None:
        """Give each run its parameters and moments."""
        state = self.optimizer.state_dict()
        for i, (trainer, own) in enumerate(zip(self.trainers, self.own, strict=True)):
            own.load_state_dict({
                name: [each if not each.ndim else each[i] for each in some] for name, some in state.items()
            })  # fmt: skip
            optimizers.set_rate(own, self.optimizer.param_groups[0]["lr"])
            trainer.optimizer = own
            for each in trainer.model.parameters():
                each.data = each.data.clone()

    def clip(self, largest: float) -> None:
        """Scale the gradient of each run to a norm of at most ``largest``."""
        gradients = [each.grad for each in self.parameters if each.grad is not None]
        norms = torch.stack([each.flatten(1).norm(dim=1) for each in gradients]).norm(dim=0)
        scales = (largest / (norms + 1e-6)).clamp(max=1.0)
        for each in gradients:
            each.mul_(scales.view(-1, *[1] * (each.ndim - 1)))


class Stack:
    """Trains runs, an epoch at a time, until :meth:`release`; a single one trains as it does alone.

    Args:
        trainers: a part of :func:`stacks`, in its order.
    """

    def __init__(self, trainers: Sequence[Trainer]) -> None:
        self.trainers = list(trainers)
        self.is_released = False
        first, *others = self.trainers
        self._segments: list[_Segment] = []
        if not others:
            return
        self._layers = list(first.model.named_children())
        self._names = [name for name, _ in first.model.named_parameters()]
        self._segments = [_Segment.of(list(some)) for _, some in groupby(self.trainers, steps_alike)]
        self._losses = [len(list(some)) for _, some in groupby(self.trainers, losses_alike)]
        self._split, starts = _union([trainer.train_set for trainer in self.trainers])
        self._starts = torch.tensor(starts, device=first.device)[:, None]
        self._tested: dict[Hashable, list[int]] = defaultdict(list)  # runs by what is evaluated alike
        for i, trainer in enumerate(self.trainers):
            trainer.unstack, trainer.together = self.release, max(trainer.together, len(self.trainers))
            self._tested[id(trainer.data.test), trainer.stopping is None].append(i)

    def release(self) -> None:
        """Give each run its parameters and moments, to save them or to train alone."""
        if not self.is_released:
            self.is_released = True
            for segment in self._segments:
                segment.release()
            for trainer in self.trainers:
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
        trained = Statistics.of_runs(losses, groups, len(first.group_names))
        seconds, read, outputs = stop(), [torch.empty(0)] * runs, [[torch.empty(0)]] * runs
        parameters = self._parameters()
        for some in self._tested.values():
            index = torch.tensor(some, device=first.device)
            own = {name: each.detach()[index] for name, each in parameters.items()}
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

    def _parameters(self) -> dict[str, Tensor]:
        """Of all runs, (R, ...), by name."""
        parts = zip(*(segment.parameters for segment in self._segments), strict=True)
        return {name: torch.cat(part) if part[1:] else part[0] for name, part in zip(self._names, parts, strict=True)}

    def _steps(self) -> Iterator[tuple[Tensor, ...]]:
        """Take the epoch's steps; yields groups and losses (R, M) and objectives (R,) of each."""
        first, reading = self.trainers[0], [i for i, each in enumerate(self.trainers) if each.strategy.reads_steps]
        rates = {trainer: trainer.begin_epoch() for trainer in self.trainers}
        plan, rest = self._plan()
        for step in range(first.steps):
            for i, drawn in rest.items():
                plan[step, i] = next(drawn)[0] + self._starts[i]
            batch = self._split.batch(plan[step].flatten())
            for segment in self._segments:
                number = (segment.trainers[0].epoch - 1) * first.steps + step + 1
                if number <= (warmup := segment.trainers[0].config.warmup_steps):
                    optimizers.set_rate(segment.optimizer, rates[segment.trainers[0]] * number / warmup)
            per_sample, objectives = self._step(batch)
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

    def _step(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Take one step of all; the losses (R, M) of their samples and their objectives (R,), both detached."""
        first, runs = self.trainers[0], len(self.trainers)
        outputs = self._forward(self._parameters(), batch.inputs.unflatten(0, (runs, -1)))
        per_sample = first.task.loss(outputs, batch.targets)
        size, objectives, at = len(per_sample) // runs, list[Tensor](), 0
        sizes = [count * size for count in self._losses]
        parts = zip(*(each.split(sizes) for each in (*batch, outputs, per_sample)), strict=True)
        for count, (*samples, own_outputs, own_losses) in zip(self._losses, parts, strict=True):
            trainer = self.trainers[at]
            together = (count,) if count > 1 else ()
            objectives.append(trainer.objective(Batch(*samples), own_outputs, own_losses, *together).view(count))
            at += count
        objective = torch.cat(objectives)
        for segment in self._segments:
            segment.optimizer.zero_grad()
        optimizers.backward(objective.sum())
        for segment in self._segments:
            if (largest := segment.trainers[0].config.max_gradient_norm) is not None:
                segment.clip(largest)
            segment.optimizer.step()
        return per_sample.detach().view(runs, size), objective.detach()

    def _forward(self, parameters: dict[str, Tensor], inputs: Tensor) -> Tensor:
        """The outputs (R·M, ...) of R models with ``parameters`` (R, ...) for inputs (R, M, ...)."""
        x = inputs
        for name, layer in self._layers:
            if isinstance(layer, nn.Flatten):
                x = x.flatten(2)
            elif isinstance(layer, nn.Linear):
                x = _Linear.apply(x, parameters[f"{name}.weight"], parameters[f"{name}.bias"])
            else:
                x = layer(x)
        return x.flatten(0, 1)


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
