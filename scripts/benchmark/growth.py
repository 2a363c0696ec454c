"""Time and memory as the training set grows, and as the number of groups does."""

from __future__ import annotations

import json
import sys
from functools import partial
from typing import Any

import torch

from benchmark.memory import resident_bytes, run_module
from benchmark.random_data import draw
from benchmark.timing import median_seconds, ratio, time_in_turns
from l2m import compose
from l2m.data import Data, Split
from l2m.training.device import keep_memory, torch_state
from l2m.training.engine import Trainer

SAMPLES = (10**4, 10**5, 10**6, 10**7)
GROUPS = (2, 10, 100, 1000, 10_000)


def measure_samples(device: str = "auto") -> list[dict[str, Any]]:
    """Seconds a million samples, and peak bytes, of an epoch of learn2mix on ten numbers a sample, by ``SAMPLES``."""
    return [run_module("benchmark.growth", str(samples), device) for samples in SAMPLES]


def measure_groups(rounds: int, samples: int = 20_000, device: str = "auto") -> list[dict[str, Any]]:
    """learn2mix against classical training, by ``GROUPS``, on images of MNIST's shape, 1000 a batch."""
    measured = []
    images = draw("mnist", samples)
    for groups in GROUPS:
        names = tuple(map(str, range(groups)))
        loaded = Data(_grouped(images.train, groups), _grouped(images.test, groups), names, 10, {})
        shared = ("dataset=mnist", f"device={device}")
        configs = {name: compose(*shared, f"strategy={name}") for name in ("classical", "learn2mix")}
        with torch_state(configs["classical"]):
            trainers = {name: Trainer(config, loaded=loaded) for name, config in configs.items()}
            epochs = {name: partial(_train, trainer) for name, trainer in trainers.items()}
            seconds = time_in_turns(epochs, rounds, trainers["classical"].device)
        measured.append({"groups": groups, "asked": 1.03} | ratio(seconds["learn2mix"], seconds["classical"]))
    return measured


def _train(trainer: Trainer) -> None:
    trainer.strategy.end_epoch(trainer.train_epoch()[1])


def _grouped(split: Split, groups: int) -> Split:
    return Split(split.inputs, split.targets, torch.arange(len(split)) % groups, split.scale, split.shift)


def _measure(samples: int, device: str) -> dict[str, Any]:
    keep_memory()
    config = compose("dataset=mean_estimation", "strategy=learn2mix", "batch_size=1000", f"device={device}")
    before = resident_bytes("VmRSS")
    loaded = draw("mean_estimation", samples)
    with torch_state(config):
        trainer = Trainer(config, loaded=loaded)
        seconds = median_seconds(trainer.train_epoch, 3, trainer.device)
    peak = resident_bytes("VmHWM") - before
    return {
        "samples": samples,
        "seconds a million": seconds / samples * 1e6,
        "peak": peak,
        "bytes a sample": peak / samples,
    }


if __name__ == "__main__":
    print(json.dumps(_measure(int(sys.argv[1]), sys.argv[2])))
