"""The one training loop. Nothing in it waits for the device between the first step of an epoch and its end."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from l2m import data, models, optimizers, records, strategies
from l2m.config import RunConfig
from l2m.data import Split
from l2m.device import choose_device, device_name, stopwatch, torch_state
from l2m.errors import UserError
from l2m.seeding import derive, generator
from l2m.tasks import TASKS

EVALUATION_BATCH = 1000
"""Test samples a pass: small enough for the activations of an image row to stay in the cache."""

EVALUATION_NUMBERS = 2**24
"""Numbers in the inputs of a pass, at most: 111 images of 3×224×224, since 1000 would take 7 GB in ResNet-18."""

CELLS = 2**22
"""Cells of (batch, group) that are summed at a time at the end of an epoch: 32 MiB in float64."""


@dataclass(frozen=True)
class Evaluation:
    """The test set's verdict, on the device: (), (), (k,)."""

    loss: Tensor
    metric: Tensor
    group_metric: Tensor


class Trainer:
    """A model, its data and its strategy, trained an epoch at a time.

    Draws initial parameters from torch's default generator, which it seeds: call it inside
    ``torch.random.fork_rng()``, as :func:`train` does. What the strategy needs is trained first.

    Raises:
        UserError: the batch is larger than the training set, or the data or the model can't be had.
    """

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.task = TASKS[config.task]
        self.device = choose_device(config.device)
        loaded = data.load(config)
        size, samples = config.batch_size, len(loaded.train)
        if size > samples:
            raise UserError(
                f"batch_size={size} is larger than the training set of {config.dataset['name']}, which has {samples} "
                f"samples: use batch_size={samples} or less"
            )
        self.steps = samples // size
        self.group_names = loaded.group_names
        self.preprocessing = loaded.preprocessing
        self.augmentation = loaded.augmentation
        k = len(self.group_names)

        self.strategy: strategies.Strategy = strategies.STRATEGIES.build(config.strategy)
        needed = {name: _final_parameters(run) for name, run in self.strategy.needs(config).items()}
        losses = {name: self._losses(parameters, loaded) for name, parameters in needed.items()}

        torch.manual_seed(derive(config.seed, "parameters"))
        self.model = models.MODELS.build(config.model, loaded).to(self.device, memory_format=torch.channels_last)
        self.optimizer = optimizers.OPTIMIZERS.build(config.optimizer, self.model.parameters(), config.learning_rate)
        torch.manual_seed(derive(config.seed, "dropout"))

        context = strategies.Context(
            loaded.train, k, size, self.steps, lambda purpose: generator(config.seed, purpose), losses
        )
        self.train_set = self.strategy.prepare(context).to(self.device)
        self.test_set = loaded.test.to(self.device)
        self._test_counts = torch.bincount(self.test_set.groups, minlength=k)
        self.epoch, self.seconds = 0, 0.0

    def train_epoch(self) -> tuple[Tensor, strategies.Statistics]:
        """Take the P steps of the next epoch.

        Returns:
            The mean over the steps of what was descended, (), and the groups' statistics, on the device.
        """
        self.epoch += 1
        self.model.train()
        size = self.config.batch_size
        plan = self.strategy.plan(self.epoch)
        drawn = (
            torch.empty(self.steps, size, dtype=torch.int64, device=self.device)
            if plan is None
            else plan.to(self.device)
        )
        losses = torch.empty(self.steps, size, device=self.device)
        objective = torch.empty(self.steps, device=self.device)
        augment = self.augmentation and partial(  # the same draws for every strategy
            self.augmentation, generator(self.config.seed, f"augmentation/{self.epoch}")
        )
        for step in range(self.steps):
            if plan is None:
                drawn[step] = self.strategy.next_batch()
            batch = self.train_set.batch(drawn[step], augment)
            with self._precision():
                outputs = self.model(batch.inputs)
            per_sample = self.task.loss(outputs, batch.targets)
            loss = self.strategy.loss(batch, per_sample)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            losses[step], objective[step] = per_sample.detach(), loss.detach()
            self.strategy.after_step(batch, losses[step])
        return objective.double().mean(), self._statistics(losses, self.train_set.groups[drawn])

    @torch.inference_mode()
    def evaluate(self) -> Evaluation:
        """Loss and metric of the whole test set."""
        losses, scores = [], []
        for outputs, targets, loss in self._pass(self.model, self.test_set):
            losses.append(loss)
            scores.append(self.task.score(outputs, targets, loss))
        score = torch.cat(scores).double()
        by_group = torch.zeros(len(self._test_counts), dtype=torch.float64, device=self.device)
        by_group.index_add_(0, self.test_set.groups, score)
        return Evaluation(torch.cat(losses).double().mean(), score.mean(), by_group / self._test_counts)

    def run_epoch(self) -> tuple[records.EpochRow, list[records.GroupRow]]:
        """Train, evaluate, read both from the device at once, and let the strategy move.

        Raises:
            FloatingPointError: a loss is not finite; names the groups it was found in, if a group's is.
        """
        stop = stopwatch(self.device)
        proportions = self.strategy.proportions
        objective, told = self.train_epoch()
        seconds = stop()
        tested = self.evaluate()
        k = len(self.group_names)
        read = torch.cat([
            torch.stack([objective, tested.loss, tested.metric]),
            told.loss, told.last_loss, told.count.double(), told.last_count.double(), tested.group_metric,
        ]).cpu()  # fmt: skip
        train_loss, test_loss, test_metric = read[:3].tolist()
        loss, last_loss, count, last_count, group_metric = read[3:].view(5, k)
        statistics = strategies.Statistics(loss, last_loss, count.long(), last_count.long())
        lost = [self.group_names[i] for i in range(k) if count[i] and not loss[i].isfinite()]
        if lost or not read[:3].isfinite().all():
            more = f" and {len(lost) - 5} more" if len(lost) > 5 else ""
            where = f"in groups {', '.join(lost[:5])}{more}" if lost else "on the test set, or after weighting"
            raise FloatingPointError(where)
        began = time.perf_counter()
        self.strategy.end_epoch(statistics)
        self.seconds += seconds() + time.perf_counter() - began
        worst = group_metric.min() if self.task.higher_is_better else group_metric.max()
        row = records.EpochRow(
            epoch=self.epoch,
            steps=self.epoch * self.steps,
            samples=self.epoch * self.steps * self.config.batch_size,
            train_loss=train_loss,
            test_loss=test_loss,
            test_metric=test_metric,
            worst_group=float(worst),
            seconds=self.seconds,
        )
        groups = [
            records.GroupRow(self.epoch, i, name, *values)
            for i, (name, *values) in enumerate(
                zip(self.group_names, proportions.tolist(), statistics.count.tolist(), loss.tolist(),
                    group_metric.tolist(), strict=True)
            )
        ]  # fmt: skip
        return row, groups

    def _pass(self, model: torch.nn.Module, split: Split) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Outputs, targets and losses of the whole of a split, a batch at a time."""
        model.eval()
        size = min(EVALUATION_BATCH, max(1, EVALUATION_NUMBERS // split.inputs[0].numel()))
        for start in range(0, len(split), size):
            batch = split.batch(slice(start, start + size))
            with self._precision():
                outputs = model(batch.inputs)
            yield outputs, batch.targets, self.task.loss(outputs, batch.targets)

    @torch.inference_mode()
    def _losses(self, parameters: dict[str, Tensor], loaded: data.Data) -> Tensor:
        """The task's loss of each training sample (N,) under the model with these parameters, on the CPU."""
        model = models.MODELS.build(self.config.model, loaded)
        model.load_state_dict(parameters)
        model.to(self.device, memory_format=torch.channels_last)
        split = loaded.train.to(self.device)
        return torch.cat([loss for _, _, loss in self._pass(model, split)]).cpu()

    def _precision(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bf16")

    def _statistics(self, losses: Tensor, groups: Tensor) -> strategies.Statistics:
        """Eq. 10 from the losses (P, M) and groups (P, M) of an epoch's samples."""
        k = len(self.group_names)
        total, held = (torch.zeros(k, dtype=torch.float64, device=self.device) for _ in range(2))
        count = torch.zeros(k, dtype=torch.float64, device=self.device)
        rows = max(1, CELLS // k)
        for at in range(0, self.steps, rows):
            group, loss = groups[at : at + rows], losses[at : at + rows].double()
            cell = (torch.arange(len(group), device=self.device)[:, None] * k + group).flatten()
            sums, counts = torch.zeros(2, len(group) * k, dtype=torch.float64, device=self.device)
            sums.index_add_(0, cell, loss.flatten())
            counts.index_add_(0, cell, torch.ones_like(loss).flatten())
            sums, counts = sums.view(-1, k), counts.view(-1, k)
            total += torch.where(counts > 0, sums / counts, 0.0).sum(0)
            held += (counts > 0).sum(0)
            count += counts.sum(0)
        return strategies.Statistics(total / held, sums[-1] / counts[-1], count.long(), counts[-1].long())


def train(config: RunConfig, on_epoch: Callable[[records.EpochRow], None] | None = None) -> records.Records:
    """Train one run and write its records; a run that is finished is read, not repeated, unless ``force``.

    What it :func:`needs` is trained before it, in the same ``results_dir``. ``on_epoch`` is called with each row of
    ``metrics.csv`` as it comes.

    Raises:
        UserError: the run can't start (nothing is written), or a loss is not finite (its records are written,
            marked failed).
    """
    run = records.RunDirectory(config)
    if run.status() == "done" and not config.force:
        return run.read()
    budget = _budget(config)
    with torch_state(config):
        trainer = Trainer(config)
        run.start(trainer.device)
        while trainer.epoch < config.epochs if budget is None else trainer.seconds < budget:
            try:
                row, groups = trainer.run_epoch()
            except FloatingPointError as where:
                first = (trainer.epoch - 1) * trainer.steps + 1
                problem = (
                    f"the loss is not finite in epoch {trainer.epoch}, steps {first} to "
                    f"{first + trainer.steps - 1}, {where}"
                )
                run.finish("failed", problem)
                raise UserError(
                    f"{problem}: use a learning_rate below {config.learning_rate:g}, or look for outliers in the data"
                ) from None
            run.add(row, groups)
            if on_epoch:
                on_epoch(row)
        run.save_model(trainer.model, trainer.preprocessing)
        run.finish("done")
    return run.read()


def needs(config: RunConfig) -> list[RunConfig]:
    """The runs that have to be done before that of ``config``: a strategy's, and the one whose seconds it is given."""
    first = strategies.STRATEGIES.build(config.strategy).needs(config).values()
    return [*first, *filter(None, [_timed(config)])]


def _timed(config: RunConfig) -> RunConfig | None:
    """The classical training whose seconds ``config`` is given, if they are shared out and it is not that itself."""
    classical = strategies.as_classical(config)
    return classical if config.equal_seconds and config.strategy != classical.strategy else None


def _budget(config: RunConfig) -> float | None:
    """Seconds to train for, where they and not epochs are given: what classical training takes, under the same name.

    Raises:
        UserError: they were measured on another device, or with other threads.
    """
    classical = _timed(config)
    if classical is None:
        return None
    timed = train(classical)
    here = {
        "device": device_name(choose_device(config.device)),
        "threads": config.threads or torch.get_num_threads(),
    }
    there = {key: timed.info[key] for key in here}
    if there != here:
        raise UserError(
            f"equal_seconds=true compares seconds of one machine: {timed.path} was measured with {there}, here are "
            f"{here}: repeat it here with force=true"
        )
    return float(timed.metrics["seconds"].iloc[-1])


def _final_parameters(config: RunConfig) -> dict[str, Tensor]:
    """The final parameters of a run, which is trained if it has to be."""
    file = train(config).path / "model.pt"
    if not file.exists():  # records may be copied about without their models: these are made again, and thrown away
        with tempfile.TemporaryDirectory() as folder:
            return _final_parameters(replace(config, results_dir=folder))
    parameters: dict[str, Tensor] = torch.load(file, weights_only=True)["parameters"]
    return parameters
