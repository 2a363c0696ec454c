"""Seconds of one call, of several contenders in turns, and the ratios of these."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch

T = TypeVar("T")
Seconds = dict[str, list[float]]


def wait_for(device: torch.device) -> None:
    """Return once a GPU has finished all of its work; a CPU has always finished."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def time_once(run: Callable[[], T], device: torch.device) -> tuple[float, T]:
    """Seconds of a call, until ``device`` has done its work, and what the call returned."""
    wait_for(device)
    began = time.perf_counter()
    result = run()
    wait_for(device)
    return time.perf_counter() - began, result


def median_seconds(run: Callable[[], object], times: int, device: torch.device) -> float:
    """The median over repeated calls."""
    return statistics.median(time_once(run, device)[0] for _ in range(times))


def time_in_turns(contenders: Mapping[str, Callable[[], object]], rounds: int, device: torch.device) -> Seconds:
    """Seconds of each contender, round by round, after one round of warm-up; each round begins with another contender.

    A contender may return a dictionary of seconds that it measured itself, by name. They are kept as well.
    """
    seconds: Seconds = {}
    order = list(contenders)
    for number in range(-1, rounds):
        first = number % len(order)
        for name in order[first:] + order[:first]:
            whole, parts = time_once(contenders[name], device)
            for part, value in {name: whole, **(parts if isinstance(parts, dict) else {})}.items():
                if number >= 0:
                    seconds.setdefault(part, []).append(value)
    return seconds


def ratio(numerator: Sequence[float], denominator: Sequence[float]) -> dict[str, Any]:
    """Median and quartiles of the ratios, each taken within a round; needs at least two rounds."""
    ratios = [a / b for a, b in zip(numerator, denominator, strict=True)]
    low, median, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return {"median": median, "quartiles": [low, high]}
