"""Records made up by a test, in their real form: a real configuration, its real place, all columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import torch

from l2m import RunConfig
from l2m import compose as compose_anew
from l2m.records import EpochRow, GroupRow, RunDirectory

compose = cache(compose_anew)
"""Hydra takes a tenth of a second for each configuration."""


def write(
    folder: Path,
    config: RunConfig,
    metric: Callable[[int], float],
    *,
    seed: int = 0,
    status: str = "done",
    apart: float = 0.1,
    loss: float = 0.5,
    epochs: int | None = None,
) -> Path:
    """A run whose test metric at an epoch is ``metric(epoch)``, and whose two groups lie ``apart`` either side of it.

    The groups have shares of 1/4 and 3/4 and training losses of 0.2 and 0.4; the test loss is ``loss``.
    """
    config = replace(config, seed=seed, results_dir=str(folder), device="cpu")
    run = RunDirectory(config)
    run.start(torch.device("cpu"))
    for epoch in range(1, (epochs or config.epochs) + 1):
        value, size = metric(epoch), config.batch_size
        worst = value - apart if config.task == "classification" else value + apart
        run.add(
            EpochRow(epoch, epoch * 10, epoch * 10 * size, 0.35, loss, value, worst, epoch * 0.5),
            [
                GroupRow(epoch, 0, "rare", 0.25, size * 10 // 4, 0.2, value - apart),
                GroupRow(epoch, 1, "common", 0.75, size * 30 // 4, 0.4, value + apart),
            ],
        )
    run.finish(status)
    return run.path
