"""What checkpoints take of a run, and what bf16 does to its accuracy."""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import replace
from typing import Any

from l2m import compose, train
from l2m.records.directory import RunDirectory
from l2m.training.device import torch_state
from l2m.training.engine import Trainer


def checkpoint(name: str, times: int = 9, device: str = "auto") -> dict[str, Any]:
    """Of a checkpoint at the end of a run, with all rows: seconds, bytes, and its share of the time to the next."""
    with tempfile.TemporaryDirectory() as folder:
        config = compose(f"dataset={name}", f"results_dir={folder}", f"device={device}")
        with torch_state(config):
            trainer = Trainer(config)
            run = RunDirectory(config)
            run.start(trainer.device)
            began = time.perf_counter()
            row, groups = trainer.run_epoch()
            epoch = time.perf_counter() - began
            for _ in range(config.epochs):
                run.add(row, groups)
            seconds = []
            for _ in range(times):
                began = time.perf_counter()
                run.save_checkpoint(trainer.state_dict())
                seconds.append(time.perf_counter() - began)
        size = (run.path / "checkpoint.pt").stat().st_size
    each = statistics.median(seconds)
    between = max(config.checkpoint_seconds, epoch)
    return {"row": name, "seconds": each, "bytes": size, "share": each / between, "asked": 0.01}


def bf16(name: str, epochs: int, seeds: list[int], device: str = "auto") -> dict[str, Any]:
    """The test metric of learn2mix at the end of ``epochs``, by seed, in fp32 and in bf16."""
    pairs = []
    with tempfile.TemporaryDirectory() as folder:
        config = compose(f"dataset={name}", f"epochs={epochs}", f"results_dir={folder}", f"device={device}")
        for seed in seeds:
            runs = [train(replace(config, seed=seed, precision=precision)) for precision in ("fp32", "bf16")]
            pairs.append([float(run.metrics["test_metric"].iloc[-1]) for run in runs])
    return {"row": name, "epochs": epochs, "seeds": seeds, "pairs": pairs}
