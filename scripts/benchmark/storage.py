"""An epoch from a mapped file against one from memory, with the file in the system's page cache and without."""

from __future__ import annotations

import mmap
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmark.growth import _train
from benchmark.random_data import draw
from benchmark.timing import ratio, time_in_turns, wait_for
from l2m import compose
from l2m.data import Data, Split
from l2m.training.device import torch_state
from l2m.training.engine import Trainer

FEATURES = 1280
"""Of EfficientNet-Lite0."""


def measure(rounds: int, folder: Path, device: str = "auto", samples: int = 20_000) -> list[dict[str, Any]]:
    """learn2mix on images of CIFAR-10's shape, and ``mlp`` on features, whose file lies in ``folder`` meanwhile."""
    images = draw("cifar10", samples)
    numbers = torch.randn(samples, FEATURES, generator=torch.Generator().manual_seed(0))
    vectors = replace(images, train=Split(numbers, images.train.targets, images.train.groups))
    vectors = replace(vectors, test=vectors.train.subset(torch.arange(100)))
    kinds = {"images": (images, "model=lenet5_large"), "features": (vectors, "model=mlp")}
    with tempfile.TemporaryDirectory(dir=folder) as place:
        return [{"of": of, **_measure(*kind, rounds, Path(place, of), device)} for of, kind in kinds.items()]


def _measure(loaded: Data, model: str, rounds: int, file: Path, device: str) -> dict[str, Any]:
    inputs, config = (
        loaded.train.inputs.numpy(),
        compose("dataset=cifar10", "strategy=learn2mix", model, f"device={device}"),
    )
    with file.open("wb") as stream:  # images as dataset.storage=mapped keeps them, with their channels last
        np.save(stream, np.moveaxis(inputs, 1, -1) if inputs.ndim == 4 else inputs)
    array: Any = np.load(file, mmap_mode="c")
    stored = torch.from_numpy(np.moveaxis(array, -1, 1) if array.ndim == 4 else array)
    mapped = replace(loaded, train=replace(loaded.train, inputs=stored, rows=torch.arange(len(stored))))
    read: list[int] = []
    with torch_state(config):
        memory, warm = (Trainer(config, loaded=each) for each in (loaded, mapped))

        def train_cold() -> dict[str, float]:
            _forget(file, array)
            before, began = _bytes_read(), time.perf_counter()
            _train(warm)
            wait_for(warm.device)
            read.append(_bytes_read() - before)
            return {"cold": time.perf_counter() - began}

        contenders: dict[str, Callable[[], object]] = {
            "memory": partial(_train, memory),
            "cold": train_cold,
            "mapped": partial(_train, warm),
        }
        seconds = time_in_turns(contenders, rounds, warm.device)
    return {
        "asked": 1.1, **ratio(seconds["mapped"], seconds["memory"]), "cold": ratio(seconds["cold"], seconds["memory"]),
        "seconds": statistics.median(seconds["memory"]), "bytes": file.stat().st_size,
        "bytes read": statistics.median(read[-rounds:]),
    }  # fmt: skip


def _forget(file: Path, array: Any) -> None:
    """Let the system drop a file's pages, which it does only with those that are on disk and that no process maps."""
    array._mmap.madvise(mmap.MADV_DONTNEED)
    descriptor = os.open(file, os.O_RDONLY)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


def _bytes_read() -> int:
    """Bytes that this process has had read from disks."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("read_bytes"))
