"""Where the items of ``gpu_check.py`` run: the device, the folders, and the configurations they train there."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

import l2m
from benchmark.random_data import draw


class SkipError(Exception):
    """Why an item cannot run here."""


@dataclass(frozen=True)
class Place:
    """The device and the folders."""

    device: str
    quick: bool
    data: Path
    mnist: Path
    """The folder of MNIST: ``data``, or one with random images."""
    folder: Path
    scratch: Path
    losses: dict[tuple[str, ...], float] = field(default_factory=dict)
    """First-epoch losses on the CPU, by the run's overrides."""

    @property
    def on_gpu(self) -> bool:
        return self.device.startswith("cuda")

    def config(self, *overrides: str, device: str | None = None, results: str = "runs") -> Any:
        """A run of two epochs on MNIST."""
        size = ["batch_size=40", "threads=1"] if self.quick else []
        config = l2m.compose("dataset=mnist", "epochs=2", *size, *overrides, f"device={device or self.device}")
        return replace(config, data_dir=str(self.mnist), results_dir=str(self.scratch / results))

    def random_row(self, row: str, steps: int, quick: int = 5) -> tuple[Any, Any]:
        """A row of the paper under learn2mix, and random data for ``steps``; ``quick``: the batch size if quick."""
        config = l2m.compose(f"dataset={row}", f"device={self.device}")
        config = replace(config, batch_size=quick, threads=1) if self.quick else config
        return config, draw(row, steps * config.batch_size)


def write_random_mnist(folder: Path, train: int, test: int) -> None:
    """The four files of MNIST with random pixels; the last of the ten labels is three times as frequent."""
    draws = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for part, count in (("train", train), ("t10k", test)):
        images = draws.integers(0, 256, (count, 28, 28), np.uint8)
        labels = np.minimum(np.arange(count) % 12, 9).astype(np.uint8)
        for name, array in (("images-idx3", images), ("labels-idx1", labels)):
            head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
            (folder / f"{part}-{name}-ubyte").write_bytes(head + array.tobytes())
