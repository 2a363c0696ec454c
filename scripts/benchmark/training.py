"""The cost of checkpoints, and the effect of bf16 on accuracy."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from typing import Any

from benchmark.timing import median_seconds, time_once
from l2m import compose, train
from l2m.records.directory import RunDirectory
from l2m.training.device import torch_state
from l2m.training.engine import Trainer


def measure_checkpoint(name: str, times: int = 9, device: str = "auto") -> dict[str, Any]:
    """Of a checkpoint with the rows of a whole run: seconds, bytes, and its share of the time to the next."""
    with tempfile.TemporaryDirectory() as folder:
        config = compose(f"dataset={name}", f"results_dir={folder}", f"device={device}")
        with torch_state(config):
            trainer = Trainer(config)
            run = RunDirectory(config)
            run.start(trainer.device)
            epoch, (row, groups) = time_once(trainer.run_epoch, trainer.device)
            for _ in range(config.epochs):
                run.add(row, groups)
            seconds = median_seconds(lambda: run.save_checkpoint(trainer.state_dict()), times, trainer.device)
        size = (run.path / "checkpoint.pt").stat().st_size
    between = max(config.checkpoint_seconds, epoch)
    return {"row": name, "seconds": seconds, "bytes": size, "share": seconds / between, "asked": 0.01}


def measure_bf16(name: str, epochs: int, seeds: list[int], device: str = "auto") -> dict[str, Any]:
    """The test metric of learn2mix after ``epochs``, by seed, in fp32 and in bf16."""
    pairs = []
    with tempfile.TemporaryDirectory() as folder:
        config = compose(f"dataset={name}", f"epochs={epochs}", f"results_dir={folder}", f"device={device}")
        for seed in seeds:
            runs = [train(replace(config, seed=seed, precision=precision)) for precision in ("fp32", "bf16")]
            pairs.append([float(run.metrics["test_metric"].iloc[-1]) for run in runs])
    return {"row": name, "epochs": epochs, "seeds": seeds, "pairs": pairs}
