"""Things run in turns, and the ratios of their seconds."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

Seconds = dict[str, list[float]]


def wait_for(device: torch.device) -> None:
    """Return once a GPU has done all that it was given; a CPU has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def in_turns(contenders: Mapping[str, Callable[[], object]], rounds: int, device: torch.device) -> Seconds:
    """Seconds of each contender, round by round, after one of warming up; each round begins with another one.

    The clock stops when ``device`` has done its work. A contender may give seconds of its own, by name, as a
    dictionary: these are kept beside the whole.
    """
    seconds: Seconds = {}
    order = list(contenders)
    for number in range(-1, rounds):
        at = number % len(order)
        for name in order[at:] + order[:at]:
            wait_for(device)
            began = time.perf_counter()
            told = contenders[name]()
            wait_for(device)
            whole = {name: time.perf_counter() - began}
            for part, value in (whole | told if isinstance(told, dict) else whole).items():
                if number >= 0:
                    seconds.setdefault(part, []).append(value)
    return seconds


def ratio(above: Sequence[float], below: Sequence[float]) -> dict[str, Any]:
    """The median of the ratios within a round, and their quartiles; at least two rounds."""
    low, middle, high = statistics.quantiles(
        [a / b for a, b in zip(above, below, strict=True)], n=4, method="inclusive"
    )
    return {"median": middle, "quartiles": [low, high]}
