"""A comparison, from its runs to what it tells."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from rich.console import Console

from l2m.comparison.config import CompareConfig, Comparison
from l2m.comparison.findings import BASELINE, findings, recommendation, resample
from l2m.comparison.tables import Setting, caption, forest, frame, markdown, paragraph, terminal
from l2m.config.run import RunConfig
from l2m.data import load
from l2m.errors import UserError
from l2m.evaluation.score_cache import Scored, predictions, run_name
from l2m.evaluation.scores import SCORES
from l2m.files import write_whole
from l2m.records.directory import RunDirectory
from l2m.report import drawing
from l2m.sweeps.launching import choose_launcher, launch
from l2m.sweeps.plan import PlannedRun, format_plan, plan
from l2m.training.device import torch_state
from l2m.training.engine import Trainer
from l2m.training.run import needs

Choices = dict[str, list[RunConfig]]
"""By strategy, its settings, each as the run of its first seed."""


def choices(comparison: Comparison) -> Choices:
    """What is chosen among, by strategy, the settings nearest to the data set's rates first.

    A strategy with a mixing rate has each learning rate with each mixing rate; the others have as many learning rates,
    evenly spaced by their logarithm from the lowest to the highest, so that no strategy has more choices than another.
    """
    bases, options = comparison.bases, comparison.options
    if not options.choose:
        return {name: [base] for name, base in bases.items()}
    made = {name: _crossed(base, options) for name, base in bases.items() if "mixing_rate" in base.strategy}
    budget = max(map(len, made.values()), default=0)
    return {name: made[name] if name in made else _spaced(base, options, budget) for name, base in bases.items()}


def _crossed(base: RunConfig, options: CompareConfig) -> list[RunConfig]:
    own = base.strategy["mixing_rate"]
    gammas = options.mixing_rates or sorted({min(rate, 1.0) for rate in _around(own)})
    rates = options.learning_rates or _around(base.learning_rate)
    pairs = sorted(product(rates, gammas), key=lambda pair: (_apart(pair[0], base), abs(pair[1] - own)))
    return [
        replace(base, learning_rate=rate, strategy={**base.strategy, "mixing_rate": gamma}) for rate, gamma in pairs
    ]


def _spaced(base: RunConfig, options: CompareConfig, budget: int) -> list[RunConfig]:
    rates: Sequence[float] = options.learning_rates or _around(base.learning_rate, max(budget, 3))
    if 1 < len(rates) < budget:
        rates = [_rounded(rate) for rate in np.geomspace(min(rates), max(rates), budget)]
    return [replace(base, learning_rate=rate) for rate in sorted(rates, key=lambda rate: _apart(rate, base))]


def _around(rate: float, n: int = 3) -> list[float]:
    """From a third of it to three times it, evenly spaced by the logarithm; of an odd number it is one."""
    return [rate if math.isclose(times, 1) else _rounded(times * rate) for times in np.geomspace(1 / 3, 3, n)]


def _rounded(rate: float) -> float:
    """To two digits, which is enough of a rate, and can be read."""
    return float(f"{rate:.2g}")


def _apart(rate: float, base: RunConfig) -> float:
    return abs(math.log(rate / base.learning_rate))


class Comparing:
    """What the door does with one comparison; ``words`` are those of its command that its runs share."""

    def __init__(self, comparison: Comparison, words: Sequence[str]) -> None:
        self._options, self._path, self._words = comparison.options, comparison.path, words
        self._choices = choices(comparison)
        self._asked = len(self._choices)
        self._scored = Scored(self._path / "scores.json")
        self._failed: dict[str, list[str]] = {}

    def run(self) -> bool:
        """Choose, train, score and tell, or with ``dry_run`` tell the plan alone; whether a strategy was left out."""
        if self._options.dry_run:
            self._tell_plan()
            return False
        self._leave_out()
        chosen = self._choose() if self._options.choose else {name: one for name, (one,) in self._choices.items()}
        finals = {name: self._finals(setting) for name, setting in chosen.items()}
        print(f"\ntraining, {self._options.seeds} runs of each strategy on the whole training set", flush=True)
        lost = self._train(config for configs in finals.values() for config in configs)
        whole = {name: configs for name, configs in finals.items() if not lost & {_path(config) for config in configs}}
        if BASELINE not in whole or len(whole) < 2:
            raise UserError(f"too many runs failed for a comparison: it needs {BASELINE} and another strategy whole")
        self._tell(whole)
        for why, commands in self._failed.items():
            others = f" ({len(commands)} runs, of which the first is)" if commands[1:] else ""
            print(f"left out: {why}{others}\n  python -m l2m.run {commands[0]}")
        return len(whole) < self._asked

    def _leave_out(self) -> None:
        """Find what can't be trained before anything is: one sentence, where a sweep would say it of each run.

        Raises:
            UserError: the data can't be read, or classical can't be trained on them.
        """
        for name, (first, *_) in list(self._choices.items()):
            try:
                if RunDirectory(first).status() != "done" and not needs(first):
                    tried = replace(first, device="cpu")  # a GPU's memory is for those that train
                    with torch_state(tried):
                        Trainer(tried)
            except UserError as error:
                if name == BASELINE:
                    raise
                print(f"{name} is left out: {error}", flush=True)
                del self._choices[name]

    def _tell_plan(self) -> None:
        """What is done and to do of choosing; of training too, if all is chosen, which training itself depends on."""
        strategies, each = len(self._choices), self._options.seeds
        if self._options.choose:
            most = max(map(len, self._choices.values()))
            print(f"choosing, on a validation part, among {most} settings of each of {strategies} strategies:")
            planned = self._planned(config for configs in self._choices.values() for config in self._seeds(configs))
            print(format_plan(planned))
            print(f"then training what was chosen: {strategies} strategies, {each} runs each")
        else:
            finals = (run for (setting,) in self._choices.values() for run in self._finals(setting))
            print(format_plan(self._planned(finals)))

    def _choose(self) -> dict[str, RunConfig]:
        """By strategy, the setting with the best mean score on the validation part; of equals the first.

        A setting with a failed run is not chosen; a strategy without any other is left out.
        """
        print("choosing rates on a validation part", flush=True)
        lost = self._train(config for configs in self._choices.values() for config in self._seeds(configs))
        metric, sign = self._metric, 1 if SCORES[self._options.task][self._metric].higher_is_better else -1
        chosen, rows = {}, []
        for name, configs in self._choices.items():
            means = []
            for config in configs:
                runs = self._seeds([config])
                failed = bool(lost & {_path(run) for run in runs})
                mean = math.nan if failed else float(np.mean([self._scored.of(run)[metric] for run in runs]))
                means.append(-math.inf if failed or math.isnan(mean) else sign * mean)
                rows.append({"strategy": name, **_rates(config), f"validation_{metric}": mean})
            if max(means) > -math.inf:
                chosen[name] = configs[int(np.argmax(means))]
        self._write("scores.json", self._scored.content())
        self._write("choices.csv", _csv(pd.DataFrame(rows)))
        return chosen

    def _train(self, configs: Iterable[RunConfig]) -> set[Path]:
        """Train what is not done; the directories of runs that failed."""
        failed = launch(self._planned(configs), choose_launcher({}))
        for run, why in failed:
            self._failed.setdefault(why, []).append(run.command)
        return {_path(run.config) for run, _ in failed}

    def _planned(self, configs: Iterable[RunConfig]) -> list[PlannedRun]:
        return plan((config, self._command(config)) for config in configs)

    def _command(self, config: RunConfig) -> str:
        """The words after ``python -m l2m.run`` that mean one of the runs."""
        name = next(name for name, (first, *_) in self._choices.items() if _same(first, config))
        rates = {"learning_rate": config.learning_rate, "strategy.mixing_rate": config.strategy.get("mixing_rate")}
        rates |= {"seed": config.seed, "validation_fraction": config.validation_fraction or None}
        told = [f"{key}={value}" for key, value in rates.items() if value is not None]
        return shlex.join([*self._words, f"strategy={name}", *told])

    @property
    def _metric(self) -> str:
        return str(self._options.metric)

    def _seeds(self, settings: Iterable[RunConfig]) -> list[RunConfig]:
        """The runs of choosing among settings."""
        first = self._options.seed
        return [
            replace(one, seed=seed) for one in settings for seed in range(first, first + self._options.choice_seeds)
        ]

    def _finals(self, setting: RunConfig) -> list[RunConfig]:
        """The runs of a setting that are told of."""
        seeds = range(self._options.seed, self._options.seed + self._options.seeds)
        return [replace(setting, seed=seed, validation_fraction=0.0) for seed in seeds]

    def _tell(self, finals: Choices) -> None:
        """Score the runs on the test part, print what they come to, and write it."""
        rows = [
            {"strategy": name, "seed": run.seed, **_rates(run), "run": run_name(run), **self._scored.of(run)}
            for name, runs in finals.items()
            for run in runs
        ]
        task = self._options.task
        drawn = {name: resample(SCORES[task], map(predictions, runs)) for name, runs in finals.items()}
        found = findings(pd.DataFrame(rows), task, self._metric, drawn)
        setting = self._setting(finals)
        said = recommendation(found, setting.samples)
        figure = forest(found)
        self._write("scores.json", self._scored.content())
        self._write("runs.csv", _csv(found.runs))
        self._write("comparison.csv", _csv(frame(found)))
        self._write("comparison.md", markdown(found, setting, "comparison.png").encode())
        drawing.save(figure, self._path / "comparison")
        console = Console(highlight=False, soft_wrap=False, width=min(Console().width, 79))
        for table in terminal(found, setting):
            print()
            console.print(table)
        print()
        for text in (*caption(found, setting), "", *said):
            print(paragraph(text))
        print(f"\n{self._path}")

    def _setting(self, finals: Choices) -> Setting:
        data, options = load(finals[BASELINE][0]), self._options
        sizes = torch.bincount(data.test.groups, minlength=len(data.group_names)).tolist()
        there = {name: count for name, count in zip(data.group_names, sizes, strict=True) if count}
        smallest = min(there, key=lambda name: there[name])
        chosen = {name: runs[0] for name, runs in finals.items()}
        tried = {name: {one.learning_rate for one in self._choices[name]} for name in finals}
        return Setting(
            dataset=str(options.dataset["name"]),
            data_seed=options.data_seed,
            validation_fraction=options.validation_fraction,
            choice_seeds=options.choice_seeds,
            chosen={name: ", ".join(f"{rate:g}" for rate in _rates(one).values()) for name, one in chosen.items()},
            choices={name: len(self._choices[name]) for name in finals if options.choose},
            edges=tuple(
                name
                for name, one in chosen.items()
                if len(tried[name]) > 2 and one.learning_rate in (min(tried[name]), max(tried[name]))
            ),
            samples=len(data.test),
            smallest=(smallest, there[smallest]),
        )

    def _write(self, name: str, content: bytes) -> None:
        try:
            write_whole(self._path / name, content)
        except OSError as error:
            raise UserError(
                f"{self._path / name} can't be written ({error.strerror}): choose a results_dir that can be"
            ) from error


def _path(config: RunConfig) -> Path:
    path: Path = RunDirectory(config).path
    return path


def _rates(config: RunConfig) -> dict[str, float]:
    """The rates that are chosen."""
    own = {key: value for key, value in config.strategy.items() if key == "mixing_rate"}
    return {"learning_rate": config.learning_rate, **own}


def _same(one: RunConfig, other: RunConfig) -> bool:
    """Whether both are of the same strategy, whatever its mixing rate."""
    return one.strategy | {"mixing_rate": 0} == other.strategy | {"mixing_rate": 0}


def _csv(table: pd.DataFrame) -> bytes:
    return table.to_csv(index=False, lineterminator="\n").encode()
