"""The training loop.

Within an epoch it never waits for the device, and at its end it reads once from it. The exceptions: early stopping then
reads the outputs for its held-out part; and of strategies whose next batch depends on the last losses, exp3, and
learn2mix with ``cadence=batch``, read them once a step, and pike once every T steps.
"""

import math
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import chain, islice
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from l2m import data, mixing, models, optimizers, strategies
from l2m.config.run import RunConfig
from l2m.data import Batch, Split
from l2m.errors import UserError, cause
from l2m.records import EpochRow, GroupRow
from l2m.records.directory import MODEL, RunDirectory
from l2m.seeding import default_states, derive, generator, restore_defaults, seed_defaults, to_device
from l2m.strategies import checks
from l2m.strategies.inner_loop import Inner
from l2m.tasks import TASKS
from l2m.training import ranks
from l2m.training.cuda_graph import Step, capture, will_replay
from l2m.training.device import choose_device, precision, stopwatch
from l2m.training.early_stopping import EarlyStopping
from l2m.training.ranks import Ranks

Rows = tuple[EpochRow, list[GroupRow]]
"""Those of an epoch."""


class Evaluation(NamedTuple):
    """Results on a split, on the device, for which nothing here waits; of R runs with a first dimension (R,)."""

    loss: Tensor
    metric: Tensor
    group_metric: Tensor
    """(k,), NaN for a group without samples; the others are (), means over all samples."""
    outputs: list[Tensor]
    """(n, ...) of each batch, if early stopping reads them."""

    def joined(self, objective: Tensor, trained: strategies.Statistics, proportions: Tensor) -> Tensor:
        """All of an epoch's results, (3 + 6·k,) float64, to be read from the device at once."""
        return torch.cat([
            torch.stack([objective, self.loss, self.metric], -1),
            trained.loss, trained.last_loss, trained.count.double(), trained.last_count.double(), self.group_metric,
            proportions,
        ], -1)  # fmt: skip


class Trainer:
    """Trains a model by its strategy, an epoch at a time.

    It seeds torch's default generator and draws from it: create it inside ``torch.random.fork_rng()``.

    Args:
        parameters_of: gives the final parameters of a run that the strategy or the mixing needs.
        loaded: the data to train on; None loads the data set of the configuration.

    Raises:
        UserError: the batch is larger than the training set, or the device, data, model or mixing cannot be used.
    """

    def __init__(
        self,
        config: RunConfig,
        parameters_of: Callable[[RunConfig], Mapping[str, Tensor]] | None = None,
        loaded: data.Data | None = None,
    ) -> None:
        self.config = config
        self.task = TASKS[config.task]
        self.device = choose_device(config.device)
        loaded = loaded or data.load(config)
        size, samples = config.batch_size, len(loaded.train)
        if size > samples:
            raise UserError(
                f"batch_size={size} is larger than the training set of {config.dataset['name']}, which has {samples} "
                f"samples: use batch_size={samples} or less"
            )
        self.data, self.steps = loaded, samples // size
        self.group_names = loaded.group_names
        self.augmentation = loaded.augmentation
        self._precision = partial(precision, config, self.device)
        self._squared_unit = loaded.target_unit[1] ** 2  # of a regression's metric; 1 except for own data
        k = len(self.group_names)

        self.strategy: strategies.Strategy = strategies.STRATEGIES.build(config.strategy)
        self.mixing: mixing.Mixing | None = mixing.MIXINGS.build(config.mixing)
        scoring, teachers = self.strategy.needs(config), self.mixing.needs(config) if self.mixing else {}
        needed = (scoring | teachers).items()
        trained = {name: self._build_trained(loaded, run, parameters_of(run)) for name, run in needed if parameters_of}
        losses = {name: self._losses(trained[name], loaded.train) for name in trained.keys() & scoring}

        seed_defaults(derive(config.seed, "parameters"), self.device)
        self.model = models.MODELS.build(config.model, loaded).to(self.device, memory_format=torch.channels_last)
        self.ranks: Ranks | None = None
        if ranks.count() > 1:
            self.ranks = Ranks(config, self.model, self.device)
            self.model = self.ranks.model
        parameters = optimizers.trained(self.model, config.learning_rate)
        self.optimizer = optimizers.OPTIMIZERS.build(config.optimizer, parameters, config.learning_rate)
        if self.strategy.rewinds and not hasattr(self.optimizer, "stepped"):
            name, optimizer = config.strategy["name"], config.optimizer["name"]
            raise UserError(
                f"strategy={name} differentiates through steps, which optimizer={optimizer} cannot: use adam"
            )
        seed_defaults(derive(config.seed, "dropout"), self.device)

        context = strategies.Context(
            loaded.train, k, size, self.steps, lambda purpose: generator(config.seed, purpose), losses, self.device,
            loaded.classes, config.epochs,
        )  # fmt: skip
        self.train_set: Split = checks.prepare_checked(self.strategy, context).to(self.device)
        self.test_set = loaded.test.to(self.device)
        self.stopping = EarlyStopping.of(config, loaded, self.device)
        if self.mixing:
            losses_of = torch.no_grad()(partial(Trainer._losses_of, weakref.proxy(self)))  # or mixing would keep it
            under = {name: partial(losses_of, model.eval()) for name, model in trained.items()}
            self.mixing.prepare(context, config.epochs, loaded, under)
        changes = bool(self.augmentation), self.train_set.rows is not None
        self.replays = will_replay(config, self.device, self.strategy, self.optimizer, *changes)
        self._replay: Step | None = None
        self._mixes: mixing.Mixing | None = None
        self.epoch, self.seconds = 0, 0.0
        self.together = 1  # the most runs that an epoch was trained with
        self.unstack: Callable[[], None] = lambda: None  # returns parameters and moments from a stack of runs

    def begin_epoch(self) -> float:
        """Count the next epoch, and set its learning rate, which is returned."""
        self.epoch += 1
        self.model.train()
        if self.ranks:  # dropout draws other numbers on each, which a resumed run repeats
            seed_defaults(derive(self.config.seed, f"dropout/{self.epoch}/{self.ranks.rank}"), self.device)
        rate = self.config.learning_rate
        if self.config.schedule == "cosine":
            rate = optimizers.annealed(rate, self.epoch, self.config.epochs)
        if self.config.schedule == "cosine" or self.config.warmup_steps:  # a stack may have warmed up without it
            optimizers.set_rate(self.optimizer, rate)
        return rate

    def train_epoch(self) -> tuple[Tensor, strategies.Statistics]:
        """Take the next epoch's P steps; returns their mean objective () and the groups' statistics, on the device."""
        rate = self.begin_epoch()
        self._mixes = self.mixing if self.mixing and self.mixing.begin_epoch(self.epoch) else None
        if self.replays and not self._replay:
            indices = torch.zeros(self.config.batch_size, dtype=torch.int64, device=self.device)
            self._replay = capture(lambda index: self._step(self._gather(index)), indices, self._changing())
            self.replays = self._replay is not None
        steps = self._replayed_steps(self._replay) if self._replay else self._steps(rate)
        groups, losses, objective = (torch.stack(each) for each in zip(*steps, strict=True))
        return objective.double().mean(), strategies.Statistics.of(losses, groups, len(self.group_names))

    def _steps(self, rate: float) -> Iterator[tuple[Tensor, ...]]:
        """Take the epoch's steps; yields the groups (M,) of each and what :meth:`_step` returns.

        The learning rate warms up to ``rate``; after that it is left alone, as an optimizer may have several.
        """
        batches, warmup = self._inner_loops() if self.strategy.every else self._batches(), self.config.warmup_steps
        for number, batch in enumerate(batches, (self.epoch - 1) * self.steps + 1):
            if number <= warmup:
                optimizers.set_rate(self.optimizer, rate * number / warmup)
            per_sample, loss = self._step(batch)
            if self.strategy.reads_steps:
                self.strategy.after_step(batch, per_sample)
            yield batch.groups, per_sample, loss

    def _replayed_steps(self, replay: Step) -> Iterator[tuple[Tensor, ...]]:
        """The same by replays of one step."""
        for plan in checks.drawn_checked(self.strategy, self.epoch, self.steps, len(self.train_set)):
            for index, groups in zip(plan, self.train_set.groups[plan], strict=True):
                per_sample, loss = replay(index)
                if self.strategy.reads_steps:
                    self.strategy.after_step(self._gather(index), per_sample)
                yield groups, per_sample, loss

    def _step(self, batch: Batch) -> tuple[Tensor, ...]:
        """Take one step; returns the samples' losses (M,) by the model's outputs and the objective (), detached."""
        if self._mixes:
            objective = partial(checks.loss_checked, self.strategy)
            per_sample, loss = self._mixes.losses(batch, self._training_losses, objective)
        else:
            per_sample, losses = self._training_losses(batch.inputs, batch.targets)
            loss = checks.loss_checked(self.strategy, batch, losses)
        self.optimizer.zero_grad()
        optimizers.backward(loss * self.ranks.world if self.ranks else loss)  # torch averages gradients over ranks
        if self.config.max_gradient_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.max_gradient_norm)
        self.optimizer.step()
        return per_sample.detach(), loss.detach()

    def adjusted(self, outputs: Tensor, targets: Tensor, per_sample: Tensor) -> Tensor:
        """The losses (m,) by the outputs as the strategy adjusts them; ``per_sample`` are those by the outputs."""
        adjusted = self.strategy.adjust(outputs, targets)
        return per_sample if adjusted is outputs else self.task.loss(adjusted, targets)

    def _training_losses(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, ...]:
        """The losses of samples (m,) by the model's outputs, and by the outputs as the strategy adjusts them."""

        def losses_of(model: torch.nn.Module, inputs: Tensor, targets: Tensor) -> tuple[Tensor, ...]:
            outputs = self._outputs(model, inputs)
            per_sample = self.task.loss(outputs, targets)
            return per_sample, self.adjusted(outputs, targets, per_sample)

        if self.ranks:
            return self.ranks.losses(losses_of, inputs, targets)
        return losses_of(self.model, inputs, targets)

    def _losses_of(self, model: torch.nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        """The task's loss of each sample (m,) under a model."""
        return self.task.loss(self._outputs(model, inputs), targets)

    def _outputs(self, model: torch.nn.Module, inputs: Tensor) -> Tensor:
        with self._precision():
            outputs: Tensor = model(inputs)
        return outputs

    def _changing(self) -> Iterator[Tensor]:
        """All tensors that a step changes."""
        states = self.model.state_dict(), self.optimizer.state_dict(), list(self.strategy.changing())
        yield from (leaf for leaf in tree_leaves(states) if isinstance(leaf, Tensor))

    def _batches(self) -> Iterator[Batch]:
        """The epoch's batches."""
        augment = self.augmentation and partial(  # the same draws for every strategy
            self.augmentation, generator(self.config.seed, f"augmentation/{self.epoch}")
        )
        for plan in checks.drawn_checked(self.strategy, self.epoch, self.steps, len(self.train_set)):
            yield from self.train_set.batches(plan, augment)

    def _inner_loops(self) -> Iterator[Batch]:
        """The epoch's batches, with the strategy's ``outer`` after each ``every`` of them and after the last."""
        batches = self._batches()
        for first in batches:
            inner = Inner(self._gather, self.model, self.optimizer, self.task.loss, self._precision)
            inner = inner.rewindable() if self.strategy.rewinds else inner
            for batch in chain([first], islice(batches, self.strategy.every - 1)):
                inner.batches.append(batch)
                yield batch
            self.strategy.outer(inner)

    def _gather(self, index: Tensor) -> Batch:
        return self.train_set.batch(to_device(index, self.device))

    @torch.inference_mode()
    def evaluate(
        self, split: Split | None = None, outputs_of: Callable[..., Tensor] | None = None, *runs: int
    ) -> Evaluation:
        """Results on a whole split, by default the test set.

        With ``outputs_of``, which gives the outputs (R·n, ...) of R ``runs``, they have R as their first dimension.
        """
        keeps_outputs = self.stopping is not None and self.stopping.held_out is split
        losses, scores, kept, split = [], [], list[Tensor](), self.test_set if split is None else split
        outputs_of = outputs_of or partial(self._outputs, self.model.eval())
        for batch in split.passes(*runs):
            inputs = batch.inputs.expand(*runs, *batch.inputs.shape) if runs else batch.inputs
            outputs = outputs_of(inputs)
            targets = torch.cat([batch.targets] * runs[0]) if runs else batch.targets
            kept += [outputs.unflatten(0, (*runs, -1))] if keeps_outputs else []
            loss = self.task.loss(outputs, targets)
            scores.append(self.task.score(outputs, targets, loss).view(*runs, -1))
            losses.append(loss.view(*runs, -1))
            del batch, inputs, targets, outputs  # before the next are allocated
        score = torch.cat(scores, -1).double() * self._squared_unit
        k = len(self.group_names)
        by_group = strategies.Statistics.of(score[None], split.groups.expand_as(score)[None], k).loss
        return Evaluation(torch.cat(losses, -1).double().mean(-1), score.mean(-1), by_group, kept)

    def run_epoch(self) -> Rows:
        """Train, evaluate, read both from the device at once, and let the strategy adapt.

        Raises:
            FloatingPointError: a loss is not finite; names the groups whose loss it is, if any.
        """
        stop, proportions = stopwatch(self.device), self.proportions()
        results = self.train_epoch()
        seconds = stop()
        tested = self.evaluate()
        read = tested.joined(*results, proportions).cpu()
        agreed = ranks.from_first(lambda: read)  # what is decided by it is decided alike
        return self.end_epoch(agreed, seconds(), tested.outputs)

    def proportions(self) -> Tensor:
        """The groups' current proportions (k,), on the device."""
        return to_device(checks.proportions_checked(self.strategy, len(self.group_names)), self.device)

    def end_epoch(self, read: Tensor, seconds: float, outputs: list[Tensor]) -> Rows:
        """Check ``read`` of ``Evaluation.joined``, on the CPU, and let the strategy adapt; as :meth:`run_epoch`.

        ``seconds`` are of training, ``outputs`` of the evaluation.
        """
        k = len(self.group_names)
        train_loss, test_loss, test_metric = whole = read[: -6 * k].tolist()
        loss, last_loss, count, last_count, group_metric, proportions = read[-6 * k :].view(6, k)
        statistics = strategies.Statistics(loss, last_loss, count.long(), last_count.long())
        losses, counts = loss.tolist(), statistics.count.tolist()
        means = zip(self.group_names, losses, counts, strict=True)
        bad = [name for name, mean, drawn in means if drawn and not math.isfinite(mean)]
        if bad or not all(map(math.isfinite, whole)):
            more = f" and {len(bad) - 5} more" if len(bad) > 5 else ""
            where = f"in groups {', '.join(bad[:5])}{more}" if bad else "in an evaluation, or after weighting"
            raise FloatingPointError(where)
        began = time.perf_counter()
        self.strategy.end_epoch(statistics)
        self.seconds += seconds + time.perf_counter() - began
        if self.stopping:
            part = self.stopping.held_out
            value = self.stopping.measure(outputs if part is None else self.evaluate(part).outputs)
            value = ranks.from_first(lambda: value)
            if not math.isfinite(value):
                raise FloatingPointError("on the held-out part")
            self.stopping.add(value, self.model)
        worst = group_metric.min() if self.task.higher_is_better else group_metric.max()
        steps = self.epoch * self.steps
        samples = steps * self.config.batch_size
        row = EpochRow(self.epoch, steps, samples, train_loss, test_loss, test_metric, float(worst), self.seconds)
        columns = zip(self.group_names, proportions.tolist(), counts, losses, group_metric.tolist(), strict=True)
        return row, [GroupRow(self.epoch, group, *values) for group, values in enumerate(columns)]

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next epochs depend on: tensors, numbers and strings."""
        self.unstack()
        numbers = {"epoch": self.epoch, "seconds": self.seconds, "together": self.together}
        parts = {name: part.state_dict() for name, part in self._parts().items()}
        return {**numbers, **parts, "generators": default_states(self.device)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a ``state_dict`` of the same run, on any device."""
        self.epoch, self.seconds, self.together = state["epoch"], state["seconds"], state.get("together", 1)
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        restore_defaults(state["generators"], self.device)

    def _parts(self) -> dict[str, Any]:
        parts = {"model": self.model, "optimizer": self.optimizer, "strategy": self.strategy}
        return parts | ({"stopping": self.stopping} if self.stopping else {})

    def _build_trained(self, loaded: data.Data, run: RunConfig, parameters: Mapping[str, Tensor]) -> Any:
        model = models.build_to_load(self.config.model, loaded).to(self.device, memory_format=torch.channels_last)
        try:
            model.load_state_dict(parameters)
        except RuntimeError as error:
            raise UserError(
                f"{RunDirectory(run).path / MODEL} does not fit model={run.model['name']} ({cause(error)}): remove its "
                "folder to train that run again"
            ) from error
        return model

    @torch.inference_mode()
    def _losses(self, model: torch.nn.Module, split: Split) -> Tensor:
        """The task's loss of each sample of a split (N,) under a model, on the CPU."""
        passes = split.to(self.device).passes()
        return torch.cat([self._losses_of(model.eval(), batch.inputs, batch.targets) for batch in passes]).cpu()
