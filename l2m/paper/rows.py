"""The rows of the paper's two tables, and the runs that belong in their cells."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from omegaconf import OmegaConf

from l2m.catalog import registries
from l2m.config.checking import check
from l2m.config.composing import compose
from l2m.config.description import settings
from l2m.config.run import RunConfig
from l2m.config.user_folders import conf_dir
from l2m.report.runs import Runs

PAPER = ("learn2mix", "classical", "focal", "smote")
"""The strategies of the paper's second version."""

CONTROLS = ("balanced", "stratified")
"""Balancing alone, and fixed proportions in every batch alone."""

THIRD = ("importance_sampling", "curriculum")
"""The strategies that the third version adds."""

UNRUN = ("ldam", "resampled")
"""Strategies for tables of one's own, with which no row is run."""

MIXERS = tuple(file.stem for file in sorted((conf_dir() / "strategy").glob("*.yaml"))
               if file.stem not in (*PAPER, *CONTROLS, *THIRD, *UNRUN))  # fmt: skip
"""All other strategies of the suite, which the paper does not compare with."""

STRATEGIES = (*PAPER, *CONTROLS, *THIRD, *MIXERS)

SEEDS = tuple(range(5))
"""The paper's five runs."""


@dataclass(frozen=True)
class Row:
    """One row of the paper's Table 1 or 2."""

    name: str  # the value of ``dataset=``
    title: str  # its name in the paper
    table: int  # 1 (classification) or 2 (regression and reconstruction)

    @property
    def is_percent(self) -> bool:
        """Whether the metric is an accuracy, shown in %."""
        return self.table == 1

    @property
    def strategies(self) -> tuple[str, ...]:
        """The strategies that are compared in this row's table."""
        return (*PAPER, *CONTROLS) if self.table == 1 else (*PAPER[:2], *CONTROLS)

    @cached_property
    def configurations(self) -> dict[str, RunConfig]:
        """The configurations of ``dataset=<row> strategy=<choice>``, seed 0, for the choices defined for its task."""
        config = compose(f"dataset={self.name}", "strategy=learn2mix")
        strategies, plain = registries()["strategy"], config.to_dict()
        row_keys = {"row": {"mixing_rate": config.strategy["mixing_rate"]}}  # what a strategy's YAML refers to
        made = {}
        for choice in STRATEGIES:
            file = conf_dir() / "strategy" / f"{choice}.yaml"
            node: Any = OmegaConf.create(row_keys | {"strategy": OmegaConf.load(file)})
            OmegaConf.resolve(node)
            options: Any = OmegaConf.to_container(node.strategy)
            if config.task in strategies[options["name"]].tasks:
                made[choice] = check(plain | {"strategy": options})
        return made

    @cached_property
    def _settings(self) -> dict[str, dict[str, Any]]:
        return {choice: settings(config) for choice, config in self.configurations.items()}

    def runs(self, all_runs: Iterable[Runs], equal_seconds: bool = False) -> dict[str, Runs]:
        """By strategy that has any, the runs whose scientific settings but for the seed, or this key, are the row's."""
        more = {"equal_seconds": True} if equal_seconds else {}
        wanted = {choice: flat | more for choice, flat in self._settings.items()}
        return {choice: run for choice, want in wanted.items() for run in all_runs if run.settings == want}


ROWS = (
    Row("mnist", "MNIST", 1),
    Row("fashion_mnist", "Fashion-MNIST", 1),
    Row("cifar10", "CIFAR-10", 1),
    Row("imagenette", "Imagenette", 1),
    Row("cifar100", "CIFAR-100", 1),
    Row("imdb", "IMDB", 1),
    Row("mean_estimation", "Mean Estimation", 2),
    Row("wine_quality", "Wine Quality", 2),
    Row("california_housing", "California Housing", 2),
    Row("mnist_reconstruction", "MNIST reconstruction", 2),
    Row("fashion_mnist_reconstruction", "Fashion-MNIST reconstruction", 2),
    Row("cifar10_reconstruction", "CIFAR-10 reconstruction", 2),
)

VARIANTS = (Row("imagenette_v1", "Imagenette, first version", 1), Row("cifar100_v1", "CIFAR-100, first version", 1))
"""Rows whose imbalance the second version changed, as the first one had them: its Table 1 belongs to these."""

ALL = (*ROWS, *VARIANTS)

BY_NAME = {row.name: row for row in ALL}

V3 = {
    "mnist": Row("mnist_v3", "MNIST, third version", 1),
    "fashion_mnist": Row("fashion_mnist_v3", "Fashion-MNIST, third version", 1),
}
"""By the row they stand for: the third version changed the learning rate, and compares at equal seconds alone."""

EQUAL = {"smote": "classical", "balanced": "stratified"}
"""Where all groups are as large, SMOTE adds nothing, and equal shares are the training set's own."""


def equal_strategies(runs: Mapping[str, Runs]) -> dict[str, str]:
    """Strategies whose runs are another one's by construction in a row, by that other one; one of them has runs.

    Classical training is always the other one, as all are compared with it.
    """
    shares = [runs[strategy].proportions for strategy in ("classical", "learn2mix") if strategy in runs]
    if not shares or max(shares[0]) - min(shares[0]) > 1e-6:
        return {}
    first = {*runs, "classical"}
    some = [(one, other) for one, other in EQUAL.items() if one in runs or other in runs]
    return dict((one, other) if other in first else (other, one) for one, other in some)


def with_equal(runs: Mapping[str, Runs]) -> dict[str, Runs]:
    """The runs of a row, those of strategies included that are another one's by construction."""
    pairs = equal_strategies(runs).items()
    made = {s: runs[other] for pair in pairs for s, other in (pair, pair[::-1]) if other in runs}
    return made | dict(runs)


def missing(
    rows: Iterable[Row], all_runs: Iterable[Runs], strategies: Callable[[Row], Collection[str]]
) -> dict[str, dict[str, tuple[int, ...]]]:
    """By row and strategy, those of the paper's five seeds that have no run; what is complete has no key.

    A strategy whose runs are another one's by construction is not named beside that one.
    """
    lacking: dict[str, dict[str, tuple[int, ...]]] = {}
    for row in rows:
        runs, wanted = row.runs(all_runs), strategies(row)
        equal, runs = equal_strategies(runs), with_equal(runs)
        for strategy in wanted:
            trained = runs[strategy].metrics if strategy in runs else {}
            seeds = tuple(seed for seed in SEEDS if seed not in trained)
            if seeds and equal.get(strategy) not in wanted:
                lacking.setdefault(row.name, {})[strategy] = seeds
    return lacking


def commands(lacking: Mapping[str, Mapping[str, tuple[int, ...]]]) -> list[str]:
    """The fewest commands that fill what :func:`missing` found: strategies of the same seeds together, then rows."""
    rows: dict[tuple[str, tuple[int, ...]], list[str]] = {}
    for row, cells in lacking.items():
        for seeds in dict.fromkeys(cells.values()):
            strategies = ",".join(strategy for strategy, lacks in cells.items() if lacks == seeds)
            rows.setdefault((strategies, seeds), []).append(row)
    return [
        f"python -m l2m.run -m dataset={','.join(names)} strategy={strategies} seed={','.join(map(str, seeds))} "
        "results_dir=results"
        for (strategies, seeds), names in rows.items()
    ]
