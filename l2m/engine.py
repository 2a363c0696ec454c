"""The one training loop. Nothing in it waits for the device between the first step of an epoch and its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from l2m import data, models, optimizers, records, strategies
from l2m.config import RunConfig
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
    ``torch.random.fork_rng()``, as :func:`train` does.

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

        torch.manual_seed(derive(config.seed, "parameters"))
        self.model = models.MODELS.build(config.model, loaded).to(self.device, memory_format=torch.channels_last)
        self.optimizer = optimizers.OPTIMIZERS.build(config.optimizer, self.model.parameters(), config.learning_rate)
        torch.manual_seed(derive(config.seed, "dropout"))

        self.strategy: strategies.Strategy = strategies.STRATEGIES.build(config.strategy)
        context = strategies.Context(loaded.train, k, size, self.steps, lambda purpose: generator(config.seed, purpose))
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
        draws = generator(self.config.seed, f"augmentation/{self.epoch}")  # the same for every strategy
        augment = self.augmentation and partial(self.augmentation, draws)
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
        self.model.eval()
        losses, scores = [], []
        size = min(EVALUATION_BATCH, max(1, EVALUATION_NUMBERS // self.test_set.inputs[0].numel()))
        for start in range(0, len(self.test_set), size):
            batch = self.test_set.batch(slice(start, start + size))
            with self._precision():
                outputs = self.model(batch.inputs)
            losses.append(self.task.loss(outputs, batch.targets))
            scores.append(self.task.score(outputs, batch.targets, losses[-1]))
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

    ``on_epoch`` is called with each row of ``metrics.csv`` as it comes.

    Raises:
        UserError: the run can't start (nothing is written), or a loss is not finite (its records are written,
            marked failed).
    """
    run = records.RunDirectory(config)
    if run.status() == "done" and not config.force:
        return run.read()
    with _torch_state(config):
        trainer = Trainer(config)
        run.start(trainer.device)
        for _ in range(config.epochs):
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


def choose_device(name: str) -> torch.device:
    """``cuda`` if asked for, or if there is one and the choice is ``auto``; else ``cpu``."""
    return torch.device("cuda" if name == "cuda" or (name == "auto" and torch.cuda.is_available()) else "cpu")


def stopwatch(device: torch.device) -> Callable[[], Callable[[], float]]:
    """Start it; call it to stop it; call what that gives for the seconds, once the device has been waited for."""
    if device.type != "cuda":
        began = time.perf_counter()

        def stop() -> Callable[[], float]:
            elapsed = time.perf_counter() - began
            return lambda: elapsed

        return stop
    first, last = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    first.record()

    def record() -> Callable[[], float]:
        last.record()
        return lambda: first.elapsed_time(last) / 1000

    return record


@contextmanager
def _torch_state(config: RunConfig) -> Iterator[None]:
    """Torch's default generators, number of threads and TF32, put back as they were at the end."""
    threads, tf32 = torch.get_num_threads(), torch.backends.cudnn.allow_tf32
    devices = [torch.cuda.current_device()] if choose_device(config.device).type == "cuda" else []
    with torch.random.fork_rng(devices):
        if config.threads:
            torch.set_num_threads(config.threads)
        torch.backends.cudnn.allow_tf32 = False  # fp32 is fp32: cuDNN would round convolutions' inputs
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            torch.backends.cudnn.allow_tf32 = tf32
