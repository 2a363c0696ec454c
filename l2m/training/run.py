"""A run from its configuration to its records: what it needs first, its one owner, its checkpoints and its end."""

from __future__ import annotations

import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from l2m import strategies
from l2m.catalog import registries
from l2m.config.run import RunConfig
from l2m.errors import UserError, cause
from l2m.loggers import followed
from l2m.mixing import Mixing
from l2m.records import EpochRow, GroupRow, Records
from l2m.records.directory import MODEL, RunDirectory
from l2m.records.provenance import device_name
from l2m.training.device import choose_device, torch_state, warn_of_slow_bf16
from l2m.training.engine import Trainer
from l2m.training.stopping import Stopped, stop_between_epochs


def train(config: RunConfig, on_epoch: Callable[[EpochRow], None] | None = None) -> Records:
    """Train one run and write its records.

    A run that is finished is read, not repeated, unless ``force``; one that was interrupted, or failed, goes on from
    its checkpoint, and on a CPU ends byte for byte as if it never had been. What it :func:`needs` is trained before
    it, in the same ``results_dir``. Should another process be training it, that one is waited for.

    ``on_epoch`` is called with each row of ``metrics.csv`` as it comes. SIGINT and SIGTERM end the run after the
    epoch it is in, with a checkpoint; a second one ends it at once.

    Raises:
        UserError: the run can't start (nothing is written), or can't go on, or a loss is not finite (its records are
            written, marked failed).
        Stopped: a signal ended it.
    """
    run = RunDirectory(config)
    if run.status() == "done" and not config.force:
        run.tidy()
        return run.read()
    budget = _budget(config)
    with torch_state(config), _short_of_memory(config):
        trainer = prepared(config)
        if config.precision == "bf16" and trainer.device.type == "cpu":
            warn_of_slow_bf16()
        with run.claimed(), stop_between_epochs() as asked:
            if run.status() == "done" and not config.force:  # by the process that was waited for
                return run.read()
            state = run.start(trainer.device)
            try:
                if state:
                    _go_on(trainer, state, run)
                with followed(config, run.path) as follow:
                    _train(trainer, run, budget, asked, follow, on_epoch)
                    launched = {"cuda_graphs": trainer.replays} if trainer.device.type == "cuda" else {}
                    run.finish(trainer.model, trainer.described, **launched)
            except Exception as error:
                run.fail(str(error) if isinstance(error, UserError) else cause(error), traceback.format_exc())
                raise
            if asked:
                raise Stopped(asked[0], f"{run.path} is done")
    return run.read()


def _go_on(trainer: Trainer, state: Mapping[str, Any], run: RunDirectory) -> None:
    try:
        trainer.load_state_dict(state)
    except (LookupError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise UserError(
            f"{run.path / 'checkpoint.pt'} does not fit this version ({cause(error)}): remove it, and the run begins "
            "anew"
        ) from error


@contextmanager
def _short_of_memory(config: RunConfig) -> Iterator[None]:
    """What there is no memory for, as a user's error."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in str(error):
            raise UserError(
                f"there is not memory enough for batch_size={config.batch_size} and model={config.model['name']} "
                f"({cause(error)}): use smaller ones, or fewer workers"
            ) from error
        raise


def _train(
    trainer: Trainer,
    run: RunDirectory,
    budget: float | None,
    asked: list[int],
    follow: Callable[[EpochRow, list[GroupRow]], None],
    on_epoch: Callable[[EpochRow], None] | None,
) -> None:
    """The epochs that are left, to the last of them or until ``budget`` seconds of training are spent."""
    config, saved = trainer.config, time.monotonic()

    def to_go() -> bool:
        return trainer.epoch < config.epochs if budget is None else trainer.seconds < budget

    while to_go():
        try:
            row, groups = trainer.run_epoch()
        except FloatingPointError as where:
            first = (trainer.epoch - 1) * trainer.steps + 1
            raise UserError(
                f"the loss is not finite in epoch {trainer.epoch}, steps {first} to "
                f"{first + trainer.steps - 1}, {where}: use a learning_rate below {config.learning_rate:g}, or "
                "look for outliers in the data"
            ) from None
        run.add(row, groups)
        follow(row, groups)
        if on_epoch:
            on_epoch(row)
        if to_go() and (asked or time.monotonic() - saved >= config.checkpoint_seconds):
            run.save_checkpoint(trainer.state_dict())
            saved = time.monotonic()
            if asked:
                raise Stopped(asked[0], f"{run.path} was stopped after epoch {trainer.epoch}")


def prepared(config: RunConfig) -> Trainer:
    """The trainer of a run, at its beginning; what its strategy and mixing need is trained, if it has to be."""
    return Trainer(config, {name: final_parameters(first) for name, first in _needed(config).items()})


def needs(config: RunConfig) -> list[RunConfig]:
    """The runs to be done before that of ``config``: its strategy's, its mixing's, one whose seconds it is given."""
    return [*_needed(config).values(), *filter(None, [_timed(config)])]


def _needed(config: RunConfig) -> dict[str, RunConfig]:
    known = registries()
    strategy: strategies.Strategy = known["strategy"].build(config.strategy)
    mixing: Mixing | None = known["mixing"].build(config.mixing)
    return strategy.needs(config) | (mixing.needs(config) if mixing else {})


def _timed(config: RunConfig) -> RunConfig | None:
    """The classical training whose seconds ``config`` is given, if they are shared out and it is not that itself."""
    classical = strategies.as_classical(config)
    itself = (config.strategy, config.mixing) == (classical.strategy, classical.mixing)
    return classical if config.equal_seconds and not itself else None


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


def final_parameters(config: RunConfig) -> dict[str, Tensor]:
    """The final parameters of a run, which is trained if it has to be."""
    file = train(config).path / MODEL
    if not file.exists():  # records may be copied about without their models: these are made again, and thrown away
        with tempfile.TemporaryDirectory() as folder:
            return final_parameters(replace(config, results_dir=folder, logger={}))
    parameters: dict[str, Tensor] = torch.load(file, weights_only=True)["parameters"]
    return parameters
