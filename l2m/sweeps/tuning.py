"""Tuning: Optuna proposes values, runs are trained with them, and scored on held-out training data.

Proposals depend on a seed and on earlier scores, in order. So the same command repeats its proposals: finished runs are
skipped, and a stopped search continues.
"""

import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from math import isfinite
from statistics import mean
from typing import Annotated, Any, Literal

from hydra.core.override_parser.types import IntervalSweep, Override

from l2m.config.run import RunConfig
from l2m.errors import UserError, require
from l2m.records.directory import RunDirectory
from l2m.registry import Registry
from l2m.schema import Range
from l2m.sweeps.launching import choose_launcher, launch
from l2m.sweeps.plan import plan
from l2m.sweeps.progress import print_data
from l2m.tasks import TASKS

Composed = tuple[RunConfig, str]
"""A configuration and its command."""


@dataclass(kw_only=True)
class Search:
    """Options of ``hydra/sweeper=optuna``; its YAML describes them."""

    n_trials: Annotated[int, Range(1)] = 20
    n_jobs: Annotated[int, Range(1)] = 4
    metric: Literal["test_metric", "worst_group", "test_loss"] = "test_metric"
    seed: Annotated[int, Range(0)] = 0


SWEEPERS: Registry[type[Search]] = Registry("hydra.sweeper")
SWEEPERS.register("optuna")(Search)


def tune(
    overrides: Sequence[Override],
    compose: Callable[[list[list[str]]], list[Composed | None]],
    settings: Mapping[str, Any],
    launcher_settings: Mapping[str, Any],
) -> None:
    """Search, and print the best values with the command that tries them on the test set.

    Intervals and lists of values in ``overrides`` are searched; scores are averaged over ``seed``. ``compose`` makes
    configurations from command lines, None of one that was refused and reported. A UserError is raised if the sweeper's
    ``settings`` are wrong, or there is nothing to choose, or only the test set to choose by.
    """
    require("hydra/sweeper=optuna", "launchers", "optuna")
    import optuna

    problems: list[str] = []
    options = SWEEPERS.check({**settings, "name": "optuna"}, problems)
    if problems:
        raise UserError("\n".join(problems))
    search: Search = SWEEPERS.build(options)
    swept = {override.get_key_element(): override for override in overrides if override.is_sweep_override()}
    seeds = list(swept["seed"].sweep_string_iterator()) if "seed" in swept else [None]
    if not seeds:
        raise UserError(f"{swept['seed'].input_line} has no values: give it at least one, as seed='range(2)'")
    space = {key: _distribution(override) for key, override in swept.items() if key != "seed"}
    fixed = [override.input_line or "" for override in overrides if not override.is_sweep_override()]
    if not space or "dataset" in space:
        raise UserError(
            "hydra/sweeper=optuna chooses values for one data set: give it something to choose, for example "
            "strategy.mixing_rate='interval(0.01,0.5)', and one dataset"
        )
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = optuna.samplers.TPESampler(seed=search.seed, constant_liar=True)
    study, launcher = optuna.create_study(direction="maximize", sampler=sampler), choose_launcher(launcher_settings)
    scored: list[tuple[float, list[str]]] = []
    metric, sign, flags = "", 1, list[str]()
    with closing(launcher):
        for first in range(0, search.n_trials, search.n_jobs):
            trials = [study.ask(space) for _ in range(min(search.n_jobs, search.n_trials - first))]
            proposed = [
                [f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value}" for key, value in each.items()]
                for each in (trial.params for trial in trials)
            ]
            seeded = [[] if seed is None else [f"seed={seed}"] for seed in seeds]
            batch = [[*fixed, *words, *seed] for words in proposed for seed in seeded]
            runs = [run for run in compose(batch) if run]
            if len(runs) < len(batch):
                return
            if not all(config.validation_fraction for config, _ in runs):
                raise UserError(
                    "hydra/sweeper=optuna must not choose by the test set, which judges the choice: add "
                    "validation_fraction=0.2 to choose by a part of the training set"
                )
            if any(config.dry_run for config, _ in runs):
                print(f"{search.n_trials} trials of {len(seeds)} runs, {search.n_jobs} at a time; the first of them:")
                return
            if not first:
                command = shlex.split(runs[0][1])
                flags = command[: 2 * sum(word.startswith("--config-") for word in command)]
                print_data(config for config, _ in runs)
                task = TASKS[runs[0][0].task]
                names = {"test_metric": task.metric, "worst_group": "worst group", "test_loss": "loss"}
                metric = names[search.metric]
                sign = 1 if search.metric != "test_loss" and task.higher_is_better else -1
            launch(plan(runs), launcher)
            for number, (trial, words) in enumerate(zip(trials, proposed, strict=True)):
                configs = [config for config, _ in runs[number * len(seeds) : (number + 1) * len(seeds)]]
                values = _last_values(configs, search.metric)
                name = f"trial {first + number + 1}/{search.n_trials}: {' '.join(words)}"
                if values is None:
                    study.tell(trial, state=optuna.trial.TrialState.FAIL)
                    print(f"{name}: failed", flush=True)
                    continue
                study.tell(trial, sign * mean(values))
                scored.append((mean(values), words))
                print(f"{name}: {metric} {mean(values):.4g}", flush=True)
    if not scored:
        return
    value, words = max(scored, key=lambda each: sign * each[0])
    print(f"best of {len(scored)} trials, {metric} {value:.4g} on the held-out part:")
    print(f"  {' '.join(words)}\nto try them on the test set, which was not used:")
    unused = "validation_fraction=", "validation_part=", "hydra", "+experiment=tune"
    kept = [*flags, *(word for word in fixed if not word.startswith(unused))]
    seed = [swept["seed"].input_line or ""] if "seed" in swept else []
    print(f"  python -m l2m.run {'-m ' if seed else ''}{shlex.join([*kept, *words, *seed])}")


def _distribution(override: Override) -> Any:
    """The distribution of an interval, on a logarithmic scale if it is tagged ``log``, or of a list of values.

    Hydra reads the ends of an interval as floats; ``int(interval(8,64))`` keeps whole numbers.
    """
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    value = override.value()
    try:
        if isinstance(value, IntervalSweep):
            if value.start is None or value.end is None:
                raise ValueError("an interval needs two ends")
            if isinstance(value.start, int) and isinstance(value.end, int):
                return IntDistribution(value.start, value.end, log="log" in value.tags)
            return FloatDistribution(float(value.start), float(value.end), log="log" in value.tags)
        return CategoricalDistribution(list(override.sweep_string_iterator()))
    except ValueError as error:
        raise UserError(f"{override.input_line} cannot be searched: {error}") from error


def _last_values(configs: Sequence[RunConfig], metric: str) -> list[float] | None:
    """The value of a column for the final model of each run; None if a run is not done."""
    directories = [RunDirectory(config) for config in configs]
    if any(directory.status() != "done" for directory in directories):
        return None
    values = [float(directory.read().final[metric]) for directory in directories]
    return values if all(map(isfinite, values)) else None
