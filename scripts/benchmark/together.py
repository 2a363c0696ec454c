"""An epoch of runs that train together, a run, against that of a run alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from benchmark.rows import load_for_timing
from benchmark.timing import ratio, time_in_turns
from l2m import compose
from l2m.training.device import torch_state
from l2m.training.engine import Trainer
from l2m.training.stack import Stack, stacks

ROWS = "wine_quality", "mean_estimation", "california_housing"
RUNS = 5, 20, 60


def measure(
    rounds: int, device: str = "auto", random: bool = False, rows: Sequence[str] = ROWS, numbers: Sequence[int] = RUNS
) -> list[dict[str, Any]]:
    """How many times as fast runs of learn2mix train and evaluate an epoch together, by row and number of runs."""
    measured = []
    for row in rows:
        config = compose(f"dataset={row}", "strategy=learn2mix", f"device={device}")
        with torch_state(config):
            loaded, _ = load_for_timing(config, random)
            alone = Trainer(config, loaded=loaded)
            for runs in numbers:
                trainers = [Trainer(replace(config, seed=seed), loaded=loaded) for seed in range(runs)]
                (some,) = stacks(trainers)
                contenders = {"alone": alone.run_epoch, "together": Stack(some).run_epoch}
                seconds = time_in_turns(contenders, 5 * rounds, alone.device)
                a_run = [each / runs for each in seconds["together"]]
                batch = {"row": row, "batch": config.batch_size, "runs": runs}
                measured.append(batch | ratio(seconds["alone"], a_run))
    return measured
