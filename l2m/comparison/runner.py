"""Runs a comparison: chooses rates, trains, scores, and writes the findings."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import product
from textwrap import fill

import numpy as np
import pandas as pd
import torch
from rich.console import Console

from l2m.comparison.config import CompareConfig, Comparison
from l2m.comparison.findings import BASELINE, judge, recommend, resample_mean
from l2m.comparison.tables import (
    Protocol,
    draw_differences,
    format_caption,
    format_csv,
    format_markdown,
    format_terminal,
)
from l2m.config.run import RunConfig
from l2m.data import load
from l2m.errors import UserError
from l2m.evaluation.score_cache import ScoreCache, evaluate_test_part, run_name
from l2m.evaluation.scores import SCORES
from l2m.files import reporting, write_whole
from l2m.records import WRITE_REMEDY
from l2m.records.directory import RunDirectory
from l2m.report import drawing
from l2m.sweeps.launching import choose_launcher, launch
from l2m.sweeps.plan import PlannedRun, format_plan, plan
from l2m.training.device import torch_state
from l2m.training.engine import Trainer
from l2m.training.run import needs

Candidates = dict[str, list[RunConfig]]
"""By strategy, its settings, each as the run of its first seed."""


def candidates(comparison: Comparison) -> Candidates:
    """The settings to choose among, by strategy, those nearest to the data set's rates first.

    A strategy with a mixing rate has each learning rate with each mixing rate; the others have as many learning rates,
    evenly spaced by their logarithm from the lowest to the highest, so that no strategy has more settings than another.
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
    return [
        replace(base, learning_rate=rate, strategy={**base.strategy, "mixing_rate": gamma}) for rate, gamma in pairs
    ]


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


class ComparisonRunner:
    """Runs one comparison; ``words`` are those of its command that its runs share."""

    def __init__(self, comparison: Comparison, words: Sequence[str]) -> None:
        self._options, self._path, self._words = comparison.options, comparison.path, words
        self._candidates = candidates(comparison)
        self._metric = str(self._options.metric)
        self._cache = ScoreCache(self._path / "scores.json")
        self._failed: dict[str, list[str]] = {}  # commands by the reason of their failure

    def run(self) -> bool:
        """Choose, train, score and report, or with ``dry_run`` print the plan; whether a strategy was left out."""
        if self._options.dry_run:
            self._print_plan()
            return False
        requested = len(self._candidates)
        self._drop_untrainable()
        chosen = self._choose() if self._options.choose else {name: one for name, (one,) in self._candidates.items()}
        finals = {name: self._final_runs(setting) for name, setting in chosen.items()}
        print(f"\ntraining, {self._options.seeds} runs of each strategy on the whole training set", flush=True)
        failed = self._train(run for runs in finals.values() for run in runs)
        finals = {name: runs for name, runs in finals.items() if not failed & set(map(run_name, runs))}
        if BASELINE not in finals or len(finals) < 2:
            raise UserError(
                f"too many runs failed for a comparison: it needs all runs of {BASELINE} and of another strategy"
            )
        self._report(finals)
        for reason, commands in self._failed.items():
            others = f" ({len(commands)} runs, the first of them is)" if commands[1:] else ""
            print(f"left out: {reason}{others}\n  python -m l2m.run {commands[0]}")
        return len(finals) < requested

    def _drop_untrainable(self) -> None:
        """Try each strategy before any is trained: one message, where a sweep would repeat it for each run.

        Raises:
            UserError: the data can't be read, or classical can't be trained on them.
        """
        for name, (first, *_) in list(self._candidates.items()):
            try:
                if RunDirectory(first).status() != "done" and not needs(first):
                    on_cpu = replace(first, device="cpu")  # a GPU's memory is for the runs in training
                    with torch_state(on_cpu):
                        Trainer(on_cpu)
            except UserError as error:
                if name == BASELINE:
                    raise
                print(f"{name} is left out: {error}", flush=True)
                del self._candidates[name]

    def _print_plan(self) -> None:
        """The runs of choosing; those of training only if nothing is chosen, as they depend on the choice."""
        strategies, options = len(self._candidates), self._options
        if options.choose:
            most = max(map(len, self._candidates.values()))
            print(f"choosing, on a validation part, among {most} settings of each of {strategies} strategies:")
            print(format_plan(self._plan(self._all_choice_runs())))
            print(f"then training the chosen settings: {strategies} strategies, {options.seeds} runs each")
        else:
            print(format_plan(self._plan(run for (one,) in self._candidates.values() for run in self._final_runs(one))))

    def _choose(self) -> dict[str, RunConfig]:
        """By strategy, the setting with the best mean score on the validation part, of equals the first.

        A setting with a failed run is not chosen; a strategy without any other is left out.
        """
        print("choosing rates on a validation part", flush=True)
        failed = self._train(self._all_choice_runs())
        sign = 1 if SCORES[self._options.task][self._metric].higher_is_better else -1
        chosen, rows = {}, []
        for name, settings in self._candidates.items():
            means = []
            for setting in settings:
                runs = self._choice_runs(setting)
                has_failed = bool(failed & set(map(run_name, runs)))
                mean = math.nan if has_failed else float(np.mean([self._cache.row(run)[self._metric] for run in runs]))
                means.append(-math.inf if math.isnan(mean) else sign * mean)
                rows.append({"strategy": name, **_rates(setting), f"validation_{self._metric}": mean})
            if max(means) > -math.inf:
                chosen[name] = settings[int(np.argmax(means))]
        self._write("scores.json", self._cache.content())
        self._write("choices.csv", _csv(rows))
        return chosen

    def _train(self, runs: Iterable[RunConfig]) -> set[str]:
        """Train the unfinished runs; the names of those that failed."""
        failed = launch(self._plan(runs), choose_launcher({}))
        for run, reason in failed:
            self._failed.setdefault(reason, []).append(run.command)
        return {run_name(run.config) for run, _ in failed}

    def _plan(self, runs: Iterable[RunConfig]) -> list[PlannedRun]:
        return plan((config, self._command(config)) for config in runs)

    def _command(self, config: RunConfig) -> str:
        """The words after ``python -m l2m.run`` that mean one of the runs."""
        strategy = _without_rate(config)
        name = next(name for name, (first, *_) in self._candidates.items() if _without_rate(first) == strategy)
        keys = {"learning_rate": config.learning_rate, "strategy.mixing_rate": config.strategy.get("mixing_rate")}
        keys |= {"seed": config.seed, "validation_fraction": config.validation_fraction or None}
        words = [f"{key}={value}" for key, value in keys.items() if value is not None]
        return shlex.join([*self._words, f"strategy={name}", *words])

    def _all_choice_runs(self) -> list[RunConfig]:
        settings = (setting for settings in self._candidates.values() for setting in settings)
        return [run for setting in settings for run in self._choice_runs(setting)]

    def _choice_runs(self, setting: RunConfig) -> list[RunConfig]:
        """Its runs on the validation part."""
        first = self._options.seed
        return [replace(setting, seed=seed) for seed in range(first, first + self._options.choice_seeds)]

    def _final_runs(self, setting: RunConfig) -> list[RunConfig]:
        """Its runs on the whole training set."""
        seeds = range(self._options.seed, self._options.seed + self._options.seeds)
        return [replace(setting, seed=seed, validation_fraction=0.0) for seed in seeds]

    def _report(self, finals: Candidates) -> None:
        """Score the runs on the test part; write and print the findings."""
        rows = [
            {"strategy": name, "seed": run.seed, **_rates(run), "run": run_name(run), **self._cache.row(run)}
            for name, runs in finals.items()
            for run in runs
        ]
        task = self._options.task
        drawn = {name: resample_mean(SCORES[task], map(evaluate_test_part, runs)) for name, runs in finals.items()}
        findings, protocol = judge(pd.DataFrame(rows), task, self._metric, drawn), self._protocol(finals)
        self._write("scores.json", self._cache.content())
        self._write("runs.csv", _csv(rows))
        self._write("comparison.csv", format_csv(findings).encode())
        self._write("comparison.md", format_markdown(findings, protocol, "comparison.png").encode())
        drawing.save(draw_differences(findings), self._path / "comparison")
        console = Console(highlight=False, soft_wrap=False, width=min(Console().width, 79))
        for table in format_terminal(findings, protocol):
            print()
            console.print(table)
        print()
        for text in (*format_caption(findings, protocol), "", *recommend(findings, protocol.samples)):
            print(fill(text, 79))
        print(f"\n{self._path}")

    def _protocol(self, finals: Candidates) -> Protocol:
        data, options = load(finals[BASELINE][0]), self._options
        sizes = torch.bincount(data.test.groups, minlength=len(data.group_names)).tolist()
        present = [(size, name) for size, name in zip(sizes, data.group_names, strict=True) if size]
        smallest, name = min(present, key=lambda pair: pair[0])
        chosen = {name: runs[0] for name, runs in finals.items()}
        tried = {name: {one.learning_rate for one in self._candidates[name]} for name in finals}
        return Protocol(
            dataset=str(options.dataset["name"]),
            data_seed=options.data_seed,
            validation_fraction=options.validation_fraction,
            choice_seeds=options.choice_seeds,
            chosen={name: ", ".join(f"{rate:g}" for rate in _rates(one).values()) for name, one in chosen.items()},
            choices={name: len(self._candidates[name]) for name in finals if options.choose},
            edges=tuple(
                name
                for name, one in chosen.items()
                if len(tried[name]) > 2 and one.learning_rate in (min(tried[name]), max(tried[name]))
            ),
            samples=len(data.test),
            smallest=(name, smallest),
        )

    def _write(self, name: str, content: bytes) -> None:
        with reporting("written", self._path / name, WRITE_REMEDY):
            write_whole(self._path / name, content)


def _rates(config: RunConfig) -> dict[str, float]:
    """The rates that are chosen."""
    own = {key: value for key, value in config.strategy.items() if key == "mixing_rate"}
    return {"learning_rate": config.learning_rate, **own}


def _without_rate(config: RunConfig) -> dict[str, object]:
    return {**config.strategy, "mixing_rate": 0}


def _csv(rows: list[dict[str, object]]) -> bytes:
    return pd.DataFrame(rows).to_csv(index=False, lineterminator="\n").encode()
