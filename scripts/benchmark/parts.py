"""Where the seconds of a row's epoch go: what an engine does about its steps; a GPU is waited for after each part."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

from benchmark.rows import SMALL, cut, limit
from benchmark.timing import wait_for
from l2m import compose, strategies
from l2m.data import Batch
from l2m.training.device import torch_state
from l2m.training.engine import Trainer

EPOCHS = dict.fromkeys(SMALL, 300) | {"mnist": 3, "mnist_reconstruction": 10, "cifar10_reconstruction": 10}
"""The rows, and how many epochs are timed; as many again are taken before."""


def measured(name: str, device: str = "auto", random: bool = False) -> dict[str, Any]:
    """Seconds of each part of an epoch of learn2mix, medians over epochs; the rest is what none of them is."""
    config = compose(f"dataset={name}", "strategy=learn2mix", f"device={device}")
    with torch_state(config):
        loaded, _ = cut(config, random)
        trainer = Trainer(config, loaded=loaded)
        bare = limit(Trainer(config, loaded=loaded), 1)
        spent: defaultdict[str, float] = defaultdict(float)

        def timed(part: str, run: Callable[..., Any]) -> Callable[..., Any]:
            def call(*given: Any) -> Any:
                began = time.perf_counter()
                told = run(*given)
                wait_for(trainer.device)
                spent[part] += time.perf_counter() - began
                return told

            return call

        def batches(drawn: Callable[[], Iterator[Batch]] = trainer._batches) -> Iterator[Batch]:
            each = drawn()
            while (batch := timed("batches", next)(each, None)) is not None:
                yield batch

        strategy, told = trainer.strategy, []
        with (
            mock.patch.multiple(trainer, _step=timed("steps", trainer._step), _batches=batches),
            mock.patch.object(trainer, "evaluate", timed("evaluation", trainer.evaluate)),
            mock.patch.object(strategy, "plan", timed("plan", strategy.plan)),
            mock.patch.object(strategy, "end_epoch", timed("new proportions", strategy.end_epoch)),
            mock.patch.object(strategies.Statistics, "of", timed("groups' losses", strategies.Statistics.of)),
        ):
            for _ in range(2 * EPOCHS[name]):
                spent.clear()
                began = time.perf_counter()
                trainer.run_epoch()
                whole = time.perf_counter() - began
                spent["batches"] -= spent["plan"]  # which is made as the first is asked for
                told.append({"epoch": whole, **spent, "rest": whole - sum(spent.values())})
                began = time.perf_counter()
                bare()
                told[-1]["bare steps"] = time.perf_counter() - began
    timed_ones = told[EPOCHS[name] :]
    return {
        "row": name,
        "steps": trainer.steps,
        "seconds": {part: statistics.median(one[part] for one in timed_ones) for part in timed_ones[0]},
    }
