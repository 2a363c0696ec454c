"""The settings of each strategy that a comparison chooses among."""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import numpy as np

from l2m.comparison.config import CompareConfig, Comparison
from l2m.config.run import RunConfig


def strategy_settings(comparison: Comparison) -> dict[str, list[RunConfig]]:
    """By strategy, the settings to choose among as runs of its first seed, those nearest to the data set's rates first.

    A strategy with a mixing rate has each learning rate with each mixing rate; the others have as many learning rates,
    evenly spaced by their logarithm from the lowest to the highest, so that no strategy has more settings than another,
    unless there is one learning rate alone.
    """
    bases, options = comparison.bases, comparison.options
    if not options.choose:
        return {name: [base] for name, base in bases.items()}
    grids = {name: _grid(base, options) for name, base in bases.items() if "mixing_rate" in base.strategy}
    budget = max(map(len, grids.values()), default=0)
    return {name: grids.get(name) or _learning_rates(base, options, budget) for name, base in bases.items()}


def _grid(base: RunConfig, options: CompareConfig) -> list[RunConfig]:
    own = base.strategy["mixing_rate"]
    gammas = options.mixing_rates or sorted({min(rate, 1.0) for rate in _around(own)})
    rates = options.learning_rates or _around(base.learning_rate)
    pairs = sorted(product(rates, gammas), key=lambda pair: (_distance(pair[0], base), abs(pair[1] - own)))
    strategies = {gamma: {**base.strategy, "mixing_rate": gamma} for gamma in gammas}
    return [replace(base, learning_rate=rate, strategy=strategies[gamma]) for rate, gamma in pairs]


def _learning_rates(base: RunConfig, options: CompareConfig, budget: int) -> list[RunConfig]:
    rates: Sequence[float] = options.learning_rates or _around(base.learning_rate, max(budget, 3))
    if 1 < len(rates) < budget:
        rates = [_rounded(rate) for rate in np.geomspace(min(rates), max(rates), budget)]
    return [replace(base, learning_rate=rate) for rate in sorted(rates, key=lambda rate: _distance(rate, base))]


def _around(rate: float, n: int = 3) -> list[float]:
    """n rates from a third of ``rate`` to three times it, evenly spaced by their logarithm."""
    return [rate if math.isclose(times, 1) else _rounded(times * rate) for times in np.geomspace(1 / 3, 3, n)]


def _rounded(rate: float) -> float:
    return float(f"{rate:.2g}")  # two digits are precise enough for a rate, and readable


def _distance(rate: float, base: RunConfig) -> float:
    return abs(math.log(rate / base.learning_rate))


def rates_of(config: RunConfig) -> dict[str, float]:
    """The rates and the epochs that are chosen."""
    own = {key: value for key, value in config.strategy.items() if key == "mixing_rate"}
    return {"learning_rate": config.learning_rate, **own, "epochs": config.epochs}
