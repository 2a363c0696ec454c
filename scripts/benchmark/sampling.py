"""An epoch's batches from large sets: ``Learn2MixBatchSampler`` beside torch's ``WeightedRandomSampler``."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from itertools import islice
from typing import Any

import torch
from torch.utils.data import BatchSampler, WeightedRandomSampler

from benchmark.memory import resident_bytes, run_module
from l2m import Learn2MixBatchSampler
from l2m.training.device import keep_memory

SIZES = tuple((samples, groups) for samples in (10**7, 10**8) for groups in (10**3, 10**4, 10**5))
MOST = 2**24
"""Samples that torch's sampler can draw from."""

BATCH = 1000
TIMED = 300
"""Batches after the first one, from which the epoch's are estimated."""


def measure(times: int) -> list[dict[str, Any]]:
    """By ``SIZES``, seconds of both samplers until the first batch and for the epoch, and our peak bytes.

    Each of ``times`` measurements is a process of its own.
    """
    return [
        {"samples": samples, "groups": groups,
         "measured": [run_module("benchmark.sampling", str(samples), str(groups)) for _ in range(times)]}
        for samples, groups in SIZES
    ]  # fmt: skip


def _measure(samples: int, groups: int) -> dict[str, Any]:
    keep_memory()
    labels = draw_labels(samples, groups)
    before = resident_bytes("VmRSS")
    began = time.perf_counter()
    ours = _time(iter(Learn2MixBatchSampler(labels, batch_size=BATCH)), began, samples)
    measured: dict[str, Any] = {"ours": ours, "peak": resident_bytes("VmHWM") - before}
    if samples <= MOST:
        began = time.perf_counter()
        weights = torch.bincount(labels).double().reciprocal()[labels.long()]
        weighted = WeightedRandomSampler(weights, samples)  # type: ignore[arg-type]  # a tensor is one
        batches = BatchSampler(weighted, BATCH, drop_last=True)
        measured["weighted"] = _time(iter(batches), began, samples)
    return measured


def draw_labels(samples: int, groups: int) -> torch.Tensor:
    """Labels (samples,) whose groups have 1/1, 1/2, 1/3 … as many samples as the first, at least one each."""
    shares = torch.arange(1, groups + 1).double().reciprocal().cumsum(0)
    generator = torch.Generator().manual_seed(0)
    uniform = torch.rand(samples, generator=generator, dtype=torch.float64) * shares[-1]
    labels = torch.searchsorted(shares, uniform, out_int32=True).clamp_(max=groups - 1)
    labels[:groups] = torch.arange(groups)
    return labels


def _time(batches: Iterator[list[int]], began: float, samples: int) -> dict[str, float]:
    next(batches)
    first = time.perf_counter()
    timed = sum(1 for _ in islice(batches, TIMED))
    a_batch = (time.perf_counter() - first) / timed
    return {"first": first - began, "epoch": first - began + a_batch * (samples // BATCH - 1)}


if __name__ == "__main__":
    print(json.dumps(_measure(int(sys.argv[1]), int(sys.argv[2]))))
