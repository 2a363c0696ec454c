"""Time and memory as the training set grows, and as its groups do."""

from __future__ import annotations

import json
import statistics
import sys
import time
from typing import Any

import torch

from benchmark.memory import in_a_process, resident
from benchmark.stand_in import stand_in
from benchmark.timing import in_turns, ratio, wait_for
from l2m import compose
from l2m.data import Data, Split
from l2m.training.device import keep_memory, torch_state
from l2m.training.engine import Trainer

SAMPLES = (10**4, 10**5, 10**6, 10**7)
GROUPS = (2, 10, 100, 1000, 10_000)


def by_samples(device: str = "auto") -> list[dict[str, Any]]:
    """Seconds a million samples and peak bytes of an epoch of learn2mix, for each of ``SAMPLES``; ten numbers each."""
    return [in_a_process("benchmark.growth", str(samples), device) for samples in SAMPLES]


def by_groups(rounds: int, samples: int = 20_000, device: str = "auto") -> list[dict[str, Any]]:
    """learn2mix against classical training, for each of ``GROUPS``, on ``samples`` images as MNIST's, 1000 a batch."""
    told = []
    images = stand_in("mnist", samples)
    for groups in GROUPS:
        names = tuple(map(str, range(groups)))
        loaded = Data(_grouped(images.train, groups), _grouped(images.test, groups), names, 10, {})
        words = ("dataset=mnist", f"device={device}")
        configs = {name: compose(*words, f"strategy={name}") for name in ("classical", "learn2mix")}
        with torch_state(configs["classical"]):
            trainers = {name: Trainer(config, loaded=loaded) for name, config in configs.items()}
            epochs = {name: _training(trainer) for name, trainer in trainers.items()}
            seconds = in_turns(epochs, rounds, trainers["classical"].device)
        told.append({"groups": groups, "asked": 1.03} | ratio(seconds["learn2mix"], seconds["classical"]))
    return told


def _training(trainer: Trainer) -> Any:
    def epoch() -> None:
        _, statistics = trainer.train_epoch()
        trainer.strategy.end_epoch(statistics)

    return epoch


def _grouped(split: Split, groups: int) -> Split:
    return Split(split.inputs, split.targets, torch.arange(len(split)) % groups, split.scale, split.shift)


def _of(samples: int, device: str) -> dict[str, Any]:
    """An epoch on ``samples`` in this process."""
    keep_memory()
    config = compose("dataset=mean_estimation", "strategy=learn2mix", "batch_size=1000", f"device={device}")
    before = resident("VmRSS")
    made = stand_in("mean_estimation", samples)
    with torch_state(config):
        trainer = Trainer(config, loaded=made)
        seconds = []
        for _ in range(3):
            began = time.perf_counter()
            trainer.train_epoch()
            wait_for(trainer.device)
            seconds.append(time.perf_counter() - began)
    peak = resident("VmHWM") - before
    each = statistics.median(seconds) / samples * 1e6
    return {"samples": samples, "seconds a million": each, "peak": peak, "bytes a sample": peak / samples}


if __name__ == "__main__":
    print(json.dumps(_of(int(sys.argv[1]), sys.argv[2])))
