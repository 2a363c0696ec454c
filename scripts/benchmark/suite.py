"""How long the whole suite takes on this machine: every row, the paper's four strategies, five seeds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmark.random_data import load_or_draw
from benchmark.timing import median_seconds
from l2m import compose
from l2m.catalog import registries
from l2m.training.device import choose_device, torch_state
from l2m.training.engine import Trainer

STRATEGIES = ("classical", "learn2mix", "focal", "smote")
SEEDS = 5
MINUTES = 30.0
"""The target for the whole suite on one GPU."""


def measure(row: str, epochs: int = 3, device: str = "auto", random: bool = False) -> Iterator[dict[str, Any]]:
    """A row under each strategy defined for its task: median seconds of an epoch, and of all epochs and seeds.

    The first epoch is warm-up. On a GPU, steps run kernel by kernel and as CUDA graphs; the total uses the faster.
    """
    config = compose(f"dataset={row}", f"device={device}")
    loaded, kind = load_or_draw(config, random=random)
    for strategy in STRATEGIES:
        if config.task not in registries()["strategy"][strategy].tasks:
            continue
        seconds = {}
        for graphs in (False, True) if choose_device(device).type == "cuda" else (False,):
            overrides = f"strategy={strategy}", f"cuda_graphs={str(graphs).lower()}", f"device={device}"
            config = compose(f"dataset={row}", *overrides)
            with torch_state(config):
                trainer = Trainer(config, loaded=loaded)
                trainer.run_epoch()
                name = "graphs" if graphs else "kernels"
                seconds[name] = median_seconds(trainer.run_epoch, epochs, trainer.device)
        yield {
            "row": row,
            "strategy": strategy,
            "data": kind,
            "steps": trainer.steps,
            "epoch": seconds,
            "epochs": config.epochs,
            "whole": SEEDS * config.epochs * min(seconds.values()),
        }
