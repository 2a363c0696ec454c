"""Trains a run from its configuration to its records, after the runs that it needs."""

import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from l2m import strategies
from l2m.catalog import registries
from l2m.config.checking import check
from l2m.config.run import RunConfig
from l2m.errors import UserError, cause, describe_error
from l2m.loggers import followed
from l2m.mixing import Mixing
from l2m.records import EpochRow, GroupRow, Records
from l2m.records.directory import MODEL, RunDirectory
from l2m.records.lock import locked
from l2m.records.provenance import device_name
from l2m.records.reading import read_model
from l2m.training import ranks
from l2m.training.device import choose_device, torch_state, warn_of_slow_bf16
from l2m.training.engine import Rows, Trainer
from l2m.training.group import Group, Result, Training
from l2m.training.stack import most_together
from l2m.training.stopping import Stopped, stop_between_epochs


def train(config: RunConfig, on_epoch: Callable[[EpochRow], None] | None = None) -> Records:
    """Train one run and write its records.

    A finished run is read, not repeated, unless ``force`` is set. An interrupted or failed run continues from its
    checkpoint, and on a CPU with as many threads gives the same bytes as without the interruption. The runs that it
    :func:`needs` are trained first, in the same ``results_dir``. If another process is training the run, wait for it.

    ``on_epoch`` is called with each row of ``metrics.csv``. SIGINT and SIGTERM end the run after the current epoch,
    with a checkpoint; a second signal ends it at once.

    Raises:
        UserError: a value of ``config`` breaks a rule, the run cannot start (nothing is written) or continue, or a loss
            is not finite (its records are written, marked as failed).
        Stopped: a signal ended it.
    """
    ((_, result),) = train_together([config], on_epoch)
    if not isinstance(result, BaseException):
        return result
    try:
        raise result
    finally:
        del result  # whose traceback has this frame, and so the model


def train_together(
    configs: Sequence[RunConfig], on_epoch: Callable[[EpochRow], None] | None = None
) -> Iterator[tuple[int, Result]]:
    """Train runs of one device and number of threads as :func:`train` does each, in stacks where runs can be stacked.

    Yields:
        The number of a run that has ended, and its records, or what :func:`train` would raise.
    """
    configs, left, trainings = list(configs), set(range(len(configs))), dict[int, Training]()
    for number, config in enumerate(configs):
        result: Result
        try:
            configs[number] = config = check(vars(config))
            ranks.check_divisible(config)
            run = RunDirectory(config)
            if not ranks.from_first(partial(is_done, run, config)):
                choose_device(config.device)
                trainings[number] = _training(config, run, _measure_budget(config), on_epoch)
                continue
            result = run.read()
        except Exception as error:
            result = error
        left.remove(number)
        yield number, result
    signals = list[int]()
    if trainings:
        # all processes lock runs in this order, as two may wait for each other's locks; by shape of their data
        places = {number: (str(configs[number].held_out), RunDirectory(configs[number]).path) for number in trainings}
        in_order, first = sorted(trainings, key=places.__getitem__), configs[min(trainings)]
        device = choose_device(first.device)
        most = min(len(trainings), max(most_together(configs[number], device) for number in trainings))
        group = Group({number: trainings[number] for number in in_order}, most, signals)
        with torch_state(first), closing(group):
            group.prepare()
            with stop_between_epochs(signals):
                for number, result in group.train():
                    left.remove(number)
                    yield number, result
    for number in sorted(left):
        if signals:
            yield number, Stopped(signals[0], f"{RunDirectory(configs[number]).path} was stopped")
        else:
            for _, result in train_together([configs[number]], on_epoch):
                signals += [result.signal] if isinstance(result, Stopped) else []  # it ends all that are left
                yield number, result


def _training(
    config: RunConfig, run: RunDirectory, budget: float | None, on_epoch: Callable[[EpochRow], None] | None
) -> Training:
    """Train a run whose epochs are trained elsewhere."""
    with _report_lack_of_memory(config):
        trainer = prepared(config)
        if config.precision == "bf16" and trainer.device.type == "cpu":
            warn_of_slow_bf16()
        with locked(run.path) if ranks.is_first() else nullcontext():  # rank 0 locks for all
            signals = yield trainer
            if ranks.from_first(lambda: run.status() == "done" and not config.force):  # by the one that had the lock
                return run.read()
            state = ranks.from_first(lambda: run.start(trainer.device, trainer.data.description, ranks.count()))
            try:
                if state:
                    _restore(trainer, state, run)
                with followed(config, run.path) if ranks.is_first() else nullcontext() as follow:
                    yield from _train_epochs(trainer, run, budget, signals, follow, on_epoch)
                    info: dict[str, Any] = {"cuda_graphs": trainer.replays} if trainer.device.type == "cuda" else {}
                    info |= {"together": trainer.together} if trainer.together > 1 else {}
                    trainer.unstack()
                    if trainer.stopping:
                        trainer.model.load_state_dict(trainer.stopping.parameters)
                        info |= trainer.stopping.info()
                    ranks.from_first(lambda: run.finish(trainer.model, trainer.data.described(), **info))
            except Exception as error:
                if ranks.is_first():
                    run.fail(describe_error(error) or cause(error), traceback.format_exc())
                raise
            if signals:
                raise Stopped(signals[0], f"{run.path} is done", is_done=True)
    return run.read()


def is_done(run: RunDirectory, config: RunConfig) -> bool:
    """Whether a run need not be trained; nothing but its records is left then."""
    done = run.status() == "done" and not config.force
    if done:
        run.remove_leftovers()
    return done


def _restore(trainer: Trainer, state: Mapping[str, Any], run: RunDirectory) -> None:
    try:
        trainer.load_state_dict(state)
    except (LookupError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise UserError(
            f"{run.path / 'checkpoint.pt'} does not fit this version ({cause(error)}): remove it to start the run from "
            "the beginning"
        ) from error


@contextmanager
def _report_lack_of_memory(config: RunConfig) -> Iterator[None]:
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in str(error):
            raise UserError(
                f"there is not enough memory for batch_size={config.batch_size} and model={config.model['name']} "
                f"({cause(error)}): use smaller ones, or fewer workers"
            ) from error
        raise


def _train_epochs(
    trainer: Trainer, run: RunDirectory, budget: float | None, signals: list[int],
    follow: Callable[[EpochRow, list[GroupRow]], None] | None, on_epoch: Callable[[EpochRow], None] | None,
) -> Generator[Trainer, Rows, None]:  # fmt: skip
    """Train the remaining epochs, up to the last, an early stop, or until ``budget`` seconds of training are spent."""
    config, saved = trainer.config, time.monotonic()

    def is_unfinished() -> bool:
        if trainer.stopping and trainer.stopping.is_over:
            return False
        return trainer.epoch < config.epochs if budget is None else trainer.seconds < budget

    while is_unfinished():
        try:
            row, groups = yield trainer
        except FloatingPointError as where:
            first = (trainer.epoch - 1) * trainer.steps + 1
            raise UserError(
                f"the loss is not finite in epoch {trainer.epoch}, steps {first} to "
                f"{first + trainer.steps - 1}, {where}: use a learning_rate below {config.learning_rate:g}, or "
                "look for outliers in the data"
            ) from None
        run.add(row, groups)
        if follow:
            follow(row, groups)
        if on_epoch:
            on_epoch(row)
        stops = ranks.any_rank(bool(signals))
        if is_unfinished() and (stops or time.monotonic() - saved >= config.checkpoint_seconds):
            if ranks.is_first():
                run.save_checkpoint(trainer.state_dict())
            saved = time.monotonic()
            if stops:
                number = next(iter(signals), signal.SIGTERM)  # of another rank
                raise Stopped(number, f"{run.path} was stopped after epoch {trainer.epoch}")


def prepared(config: RunConfig) -> Trainer:
    """The trainer of a run before its first epoch; the runs that its strategy and mixing need are trained first."""
    return Trainer(config, final_parameters)


def needs(config: RunConfig) -> list[RunConfig]:
    """The runs to be done before this one: those of its strategy and mixing, and the one that sets its seconds."""
    registry = registries()
    strategy: strategies.Strategy = registry["strategy"].build(config.strategy)
    mixing: Mixing | None = registry["mixing"].build(config.mixing)
    models = strategy.needs(config) | (mixing.needs(config) if mixing else {})
    return [*models.values(), *filter(None, [_timed_run(config)])]


def _timed_run(config: RunConfig) -> RunConfig | None:
    """The classical training that sets the seconds of this run; None without ``equal_seconds``, or for that run."""
    classical = strategies.as_classical(config)
    is_classical = (config.strategy, config.mixing) == (classical.strategy, classical.mixing)
    return classical if config.equal_seconds and not is_classical else None


def _measure_budget(config: RunConfig) -> float | None:
    """Seconds that classical training takes, measured on the same machine; None without ``equal_seconds``."""
    classical = _timed_run(config)
    if classical is None:
        return None
    timed = train(classical)
    threads = config.threads or torch.get_num_threads()
    here = {"device": device_name(choose_device(config.device)), "threads": threads}
    for part in (timed.info, *timed.info.get("resumed", [])):
        if (measured := {key: part[key] for key in here}) != here:
            raise UserError(
                f"equal_seconds=true compares seconds of one machine: {timed.path} was measured with {measured}, this "
                f"run has {here}: repeat that one here, with strategy=classical mixing=none force=true"
            )
    return float(timed.metrics["seconds"].iloc[-1])


def final_parameters(config: RunConfig) -> dict[str, Tensor]:
    """The final parameters of a run, which is trained if it is not done."""
    file = train(config).path / MODEL
    if not file.exists():  # records may be copied without their models: train this one again, in a temporary folder
        with tempfile.TemporaryDirectory() as own:
            folder = ranks.from_first(lambda: own)
            trained = final_parameters(replace(config, results_dir=folder, logger={}))
            ranks.any_rank(False)  # all have read it
            return trained
    try:
        parameters: dict[str, Tensor] = read_model(file)["parameters"]
    except ValueError as error:
        raise UserError(f"{file} cannot be read ({error}): remove {file.parent} to train that run again") from error
    return parameters
