"""The paper's synthetic data: Mean Estimation."""

from collections.abc import Callable
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from l2m.data import DATASETS, Data, Source, Split
from l2m.errors import UserError
from l2m.schema import Range
from l2m.seeding import derive

DRAWS: dict[str, Callable[[np.random.Generator, NDArray[np.float64], tuple[int, int]], NDArray[np.float64]]] = {
    "normal": lambda rng, mu, shape: rng.normal(mu, 1, shape),
    "exponential": lambda rng, mu, shape: rng.exponential(mu, shape),
    "chi-squared": lambda rng, mu, shape: rng.chisquare(mu, shape),
    "uniform": lambda rng, mu, shape: rng.uniform(mu - 10, mu + 10, shape),
}
DISTRIBUTIONS = tuple(DRAWS)
SAMPLES = 10  # numbers in a row (section B.7)

Size = Annotated[int, Range(1)]


@DATASETS.register("mean_estimation")
def mean_estimation(
    source: Source,
    *,
    task: Literal["regression"] = "regression",
    train_sizes: tuple[Size, ...] = (1000, 1000, 800, 200),
    test_size: Size = 1000,
) -> Data:
    """Mean Estimation (section B.7): predict the mean of a distribution from ten draws. Groups are distributions.

    normal(μ, 1), exponential(μ), chi-squared(df = μ) with μ ~ U[0, 1]; uniform(μ − 10, μ + 10) with
    μ ~ U[20, 50]. ``train_sizes`` rows of each for training, ``test_size`` of each for testing; inputs as drawn.
    """
    if len(train_sizes) != len(DISTRIBUTIONS):
        raise UserError(
            f"dataset.train_sizes={list(train_sizes)} must have 4 numbers, one for each of {', '.join(DISTRIBUTIONS)}"
        )
    rng = np.random.default_rng(derive(source.data_seed, "mean_estimation"))

    def split(sizes: tuple[int, ...]) -> Split:
        rows, means = [], []
        for name, size in zip(DISTRIBUTIONS, sizes, strict=True):
            mu = rng.uniform(*((20, 50) if name == "uniform" else (0, 1)), size=(size, 1))
            means.append(mu)
            rows.append(DRAWS[name](rng, mu, (size, SAMPLES)))
        return Split(
            torch.from_numpy(np.concatenate(rows)).float(),
            torch.from_numpy(np.concatenate(means)).float(),
            torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes)),
        )

    train = split(train_sizes)
    test = split((test_size,) * len(DISTRIBUTIONS))
    return Data(train, test, DISTRIBUTIONS, classes=None, preprocessing={})
