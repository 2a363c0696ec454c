"""What the whole suite takes on this machine: every row, the four strategies of the paper, five seeds."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from typing import Any

from benchmark.stand_in import available
from l2m import compose
from l2m.catalog import registries
from l2m.training.device import choose_device, torch_state
from l2m.training.engine import Trainer

STRATEGIES = ("classical", "learn2mix", "focal", "smote")
SEEDS = 5
MINUTES = 30.0
"""That are asked for on one GPU."""


def measured(row: str, epochs: int = 3, device: str = "auto", random: bool = False) -> Iterator[dict[str, Any]]:
    """A row under each strategy that is defined for it: the median seconds of an epoch, and of all epochs and seeds.

    The first epoch is not counted. On a GPU steps are launched as CUDA graphs and kernel by kernel, and the faster
    way counts.
    """
    config = compose(f"dataset={row}", f"device={device}")
    loaded, kind = available(config, random=random)
    for strategy in STRATEGIES:
        if config.task not in registries()["strategy"][strategy].tasks:
            continue
        seconds = {}
        for graphs in (False, True) if choose_device(device).type == "cuda" else (False,):
            how = f"strategy={strategy}", f"cuda_graphs={str(graphs).lower()}", f"device={device}"
            config = compose(f"dataset={row}", *how)
            with torch_state(config):
                trainer = Trainer(config, loaded=loaded)
                seconds["graphs" if graphs else "kernels"] = statistics.median(_epochs(trainer, epochs))
        least = min(seconds.values())
        yield {
            "row": row,
            "strategy": strategy,
            "data": kind,
            "steps": trainer.steps,
            "epoch": seconds,
            "epochs": config.epochs,
            "whole": SEEDS * config.epochs * least,
        }


def _epochs(trainer: Trainer, times: int) -> list[float]:
    """Seconds of epochs, each of which ends with what it tells read from the device."""
    trainer.run_epoch()
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        trainer.run_epoch()
        seconds.append(time.perf_counter() - began)
    return seconds
