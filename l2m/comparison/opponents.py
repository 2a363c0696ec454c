"""Models of scikit-learn that a table's strategies are compared with, on the same split and prepared inputs."""

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from l2m.comparison.thresholds import moved_rows
from l2m.config.run import RunConfig
from l2m.data import Data
from l2m.training.results import Floats, SampleResults, sample_results

Setting = Mapping[str, float]


def _grid(**options: Sequence[float]) -> list[Setting]:
    return [dict(zip(options, values, strict=True)) for values in product(*options.values())]


LINEAR = _grid(C=(1.0, 0.1, 10.0, 0.01, 0.001))
TREES = _grid(learning_rate=(0.1, 0.03, 0.3), max_leaf_nodes=(31, 7))

OPPONENTS: Mapping[str, Mapping[str, list[Setting]]] = {
    "classification": {
        "logistic_regression": LINEAR,
        "logistic_regression_balanced": LINEAR,
        "boosted_trees": TREES,
        "boosted_trees_balanced": TREES,
    },
    "regression": {"ridge": _grid(alpha=(1.0, 0.1, 10.0, 100.0, 1000.0)), "boosted_trees": TREES},
    "reconstruction": {},
}
"""By task and name, the settings to choose among, scikit-learn's defaults first."""


def suitable(data: Data, task: str, requested: Sequence[str] | None) -> dict[str, list[Setting]]:
    """The requested opponents, by default all, that are for vectors of numbers, as the samples are or not.

    On features of a pretrained network, of which there are a thousand, boosted trees take longer than all else, so
    that they must be requested. Of features that are left in a file none can be fitted.
    """
    inputs = data.train.inputs
    if inputs.ndim != 2 or not inputs.is_floating_point() or data.train.rows is not None:
        return {}

    def is_wanted(name: str) -> bool:
        if requested is None:
            return "features" not in data.preprocessing or not name.startswith("boosted_trees")
        return name in requested or bool(moved_rows(name, requested))

    return {name: settings for name, settings in OPPONENTS[task].items() if is_wanted(name)}


class Fitted:
    """Fits opponents and keeps what they predict in ``folder``, so that a repetition fits none."""

    def __init__(self, folder: Path) -> None:
        from joblib import Memory

        self._fit: Callable[..., tuple[Floats, float]] = Memory(folder, verbose=0).cache(_fit, ignore=["threads"])

    def results(
        self, name: str, setting: Setting, seed: int, data: Data, threads: int | None
    ) -> tuple[SampleResults, float]:
        """Results on the test part of ``data``, and the seconds of fitting. Linear models are alike for every seed."""
        train, seed = data.train, seed if name.startswith("boosted") else 0
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Persisting input arguments")  # a slow disk, of which nothing follows
            outputs, seconds = self._fit(
                name, dict(setting), seed, train.inputs.numpy(), np.asarray(train.targets), data.test.inputs.numpy(),
                data.classes, threads,
            )  # fmt: skip
        return sample_results(torch.from_numpy(outputs), data), seconds


def predict_values(model: str, setting: Setting, config: RunConfig, data: Data, inputs: Floats) -> Floats:
    """Class probabilities (N, k), or values (N, 1) in the target's unit, of a model fitted on ``data``'s training set.

    ``config`` is of a run on the same data, for the seed and the number of threads; ``inputs`` are prepared samples
    (N, d) of :func:`l2m.data.own.new_samples.read_unseen`.
    """
    outputs, _ = _fit(
        model, setting, config.seed, data.train.inputs.numpy(), np.asarray(data.train.targets), inputs, data.classes,
        config.threads,
    )  # fmt: skip
    mean, sd = data.target_unit
    return np.exp(outputs) if data.classes else mean + sd * outputs


def _fit(
    name: str, setting: Setting, seed: int, inputs: Floats, targets: Floats, new: Floats, classes: int | None,
    threads: int | None,
) -> tuple[Floats, float]:  # fmt: skip
    """Outputs (N, k) for the inputs ``new``, logarithms of probabilities or values, and the seconds of fitting."""
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    model = _estimators(classes)[name.removesuffix("_balanced")](**setting, random_state=seed)
    if name.endswith("_balanced"):
        model.set_params(class_weight="balanced")
    if classes and name.startswith("boosted") and np.unique(targets, return_counts=True)[1].min() == 1:
        model.set_params(early_stopping=False)  # which holds out a part of each class of more than 10 000 samples
    begin = time.perf_counter()
    with warnings.catch_warnings(), threadpool_limits(threads):
        warnings.simplefilter("ignore", ConvergenceWarning)  # the best of its steps is a model all the same
        model.fit(inputs, targets.ravel())
    seconds = time.perf_counter() - begin
    if classes is None:
        return model.predict(new)[:, None].astype(np.float64), seconds
    outputs = np.full((len(new), classes), np.log(np.finfo(np.float64).tiny))
    outputs[:, model.classes_] = np.log(model.predict_proba(new).clip(np.finfo(np.float64).tiny))
    return outputs, seconds


def _estimators(classes: int | None) -> dict[str, Callable[..., Any]]:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.linear_model import LogisticRegression, Ridge

    if classes is None:
        return {"ridge": Ridge, "boosted_trees": HistGradientBoostingRegressor}
    return {
        "logistic_regression": partial(LogisticRegression, max_iter=1000),
        "boosted_trees": HistGradientBoostingClassifier,
    }
