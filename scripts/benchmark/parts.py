"""Where the seconds of an epoch go, in its steps and around them; a GPU is waited for after each part."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from unittest import mock

from benchmark.rows import SMALL, bare_steps, load_for_timing
from benchmark.timing import time_once
from l2m import compose, strategies
from l2m.data import Batch
from l2m.training.device import torch_state
from l2m.training.engine import Trainer

EPOCHS = dict.fromkeys(SMALL, 300) | {"mnist": 3, "mnist_reconstruction": 10, "cifar10_reconstruction": 10}
"""Epochs that are timed, after as many of warm-up, by row."""


def measure(name: str, device: str = "auto", random: bool = False) -> dict[str, Any]:
    """Seconds of each part of an epoch of learn2mix, medians over epochs; ``rest`` is the remainder."""
    config = compose(f"dataset={name}", "strategy=learn2mix", f"device={device}")
    with torch_state(config):
        loaded, _ = load_for_timing(config, random)
        trainer = Trainer(config, loaded=loaded)
        bare = bare_steps(Trainer(config, loaded=loaded), 1)
        spent: defaultdict[str, float] = defaultdict(float)

        def timed(part: str, run: Callable[..., Any]) -> Callable[..., Any]:
            def call(*arguments: Any) -> Any:
                seconds, result = time_once(partial(run, *arguments), trainer.device)
                spent[part] += seconds
                return result

            return call

        def batches(draw: Callable[[], Iterator[Batch]] = trainer._batches) -> Iterator[Batch]:
            drawn = draw()
            while (batch := timed("batches", next)(drawn, None)) is not None:
                yield batch

        strategy, epochs = trainer.strategy, []
        with (
            mock.patch.multiple(trainer, _step=timed("steps", trainer._step), _batches=batches),
            mock.patch.object(trainer, "evaluate", timed("evaluation", trainer.evaluate)),
            mock.patch.object(strategy, "plan", timed("plan", strategy.plan)),
            mock.patch.object(strategy, "end_epoch", timed("new proportions", strategy.end_epoch)),
            mock.patch.object(strategies.Statistics, "of", timed("groups' losses", strategies.Statistics.of)),
        ):
            for _ in range(2 * EPOCHS[name]):
                spent.clear()
                whole, _ = time_once(trainer.run_epoch, trainer.device)
                spent["batches"] -= spent["plan"]  # the plan is made when the first batch is drawn
                rest = whole - sum(spent.values())
                epochs.append({"epoch": whole, **spent, "rest": rest, "bare steps": time_once(bare, trainer.device)[0]})
    epochs = epochs[EPOCHS[name] :]
    return {
        "row": name,
        "steps": trainer.steps,
        "seconds": {part: statistics.median(epoch[part] for epoch in epochs) for part in epochs[0]},
    }
