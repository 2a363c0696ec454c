"""Runs a comparison: chooses rates, trains, scores, and writes the report."""

import math
import shlex
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import cache
from itertools import product
from statistics import median

import numpy as np
import pandas as pd
import torch

from l2m.comparison.advice import advise
from l2m.comparison.advised import describe
from l2m.comparison.candidates import (
    Candidate,
    evaluate,
    final_run,
    held_out_run,
    moved_thresholds,
    opponent,
    run_name,
    trained,
)
from l2m.comparison.config import BASELINE, CHANGED, OWN, Comparison, choice_metric
from l2m.comparison.findings import judge, score_held_out, score_test_part
from l2m.comparison.opponents import Fitted, suitable
from l2m.comparison.report import Protocol, Report
from l2m.comparison.settings import rates_of, strategy_settings
from l2m.comparison.thresholds import moved_rows
from l2m.comparison.writing import as_csv
from l2m.config import description
from l2m.config.run import LATER_KEYS, RunConfig
from l2m.data import load
from l2m.data.own.new_samples import are_images
from l2m.errors import UserError
from l2m.files import write_whole
from l2m.records import WRITE_REMEDY
from l2m.records.directory import RunDirectory
from l2m.sweeps.launching import choose_launcher, launch
from l2m.sweeps.plan import PlannedRun, format_plan, plan
from l2m.sweeps.progress import print_data
from l2m.training.device import torch_state
from l2m.training.engine import Trainer
from l2m.training.run import needs
from l2m.training.scores import SCORES


class ComparisonRunner:
    """Runs one comparison; ``words`` are those of its command."""

    def __init__(self, comparison: Comparison, words: Sequence[str]) -> None:
        self._options, self._path = comparison.options, comparison.path
        self._words = [word for word in words if word.lstrip("+~").partition("=")[0] not in CHANGED]
        self._settings = strategy_settings(comparison)
        self._launcher = choose_launcher({})
        self._is_incomplete = False
        self._metric = str(self._options.metric)
        self._scores = SCORES[self._options.task]
        self._choices: list[dict[str, object]] = []
        self._failed: dict[str, list[str]] = {}  # commands by the reason of their failure

    def run(self) -> Report:
        """Choose, train and score, and write which settings were chosen.

        A UserError is raised if the data cannot be read, or too many runs failed.
        """
        requested = len(self._settings)
        self._drop_untrainable()
        print_data(settings[0] for settings in self._settings.values())
        chosen = self._choose() if self._options.choose else {name: one for name, (one,) in self._settings.items()}
        print(
            f"\ntraining each strategy on the whole training set with {self._options.seeds} seeds, and without each of "
            f"{self._options.held_out_parts} held-out parts",
            flush=True,
        )
        runs = {name: self._runs(setting) for name, setting in chosen.items()}
        together = sorted((run for each in runs.values() for run in each), key=lambda run: run.held_out)
        with closing(self._launcher):
            failed = self._train(together)  # by part, as the data of a part are loaded once
        chosen = {name: one for name, one in chosen.items() if not failed & set(map(run_name, runs[name]))}
        if BASELINE not in chosen:
            raise UserError(f"too many runs failed for a comparison: it needs all runs of {BASELINE}")
        candidates = {name: trained(one, rates_of(one), len(self._settings[name])) for name, one in chosen.items()}
        candidates |= self._rivals(candidates[BASELINE], chosen[BASELINE])
        self._is_incomplete = len(chosen) < requested
        if len(candidates) < 2:
            raise UserError(f"nothing is left to compare with {BASELINE}: name other strategies or opponents")
        report = self._report(candidates, chosen[BASELINE])
        write_whole(self._path / "choices.csv", as_csv(pd.DataFrame(self._choices)), remedy=WRITE_REMEDY)
        return report

    def print_plan(self) -> None:
        """The runs of choosing; those of training only if nothing is chosen, as they depend on the choice."""
        strategies, options = len(self._settings), self._options
        print_data((settings[0] for settings in self._settings.values()), is_dry=True)
        if options.choose:
            most = max(map(len, self._settings.values()))
            print(f"choosing, on a validation part, among {most} settings of each of {strategies} strategies:")
            print(format_plan(self._plan(self._all_choice_runs())))
            print(
                f"then training the chosen settings of {strategies} strategies, {options.seeds} runs each on the whole "
                f"training set and {options.held_out_parts} without a held-out part"
            )
        else:
            print(format_plan(self._plan(run for (one,) in self._settings.values() for run in self._runs(one))))

    def _drop_untrainable(self) -> None:
        """Try each strategy before any is trained: one message, where a sweep would repeat it for each run.

        A UserError is raised if the data cannot be read, or classical cannot be trained on them.
        """
        (baseline, *_) = self._settings[BASELINE]
        if held := load(baseline).held_rows:
            raise UserError(
                f"the data set has a held-out part of its own, {held} samples, and a comparison draws several: move "
                "these samples to those of training"
            )
        for name, (first, *_) in list(self._settings.items()):
            try:
                if RunDirectory(first).status() != "done" and not needs(first):
                    on_cpu = replace(first, device="cpu")  # a GPU's memory is for the runs in training
                    with torch_state(on_cpu):
                        Trainer(on_cpu)
            except UserError as error:
                if name == BASELINE:
                    raise
                reason, _, remedy = str(error).rpartition(": ")  # a comparison takes no options of strategies
                print(f"{name} is left out: {reason if 'strategy' in remedy else error}", flush=True)
                del self._settings[name]

    def _choose(self) -> dict[str, RunConfig]:
        """By strategy, the setting with the best mean score on the validation part, of equals the first.

        Its epochs are then the median best epoch of these runs. A setting with a failed run is not chosen; a strategy
        without any other is left out.
        """
        print("choosing rates and epochs on a validation part", flush=True)
        failed = self._train(self._all_choice_runs())
        chosen = {}
        for name, settings in self._settings.items():
            metric, means, tried = choice_metric(name, self._options), [], []
            score = self._scores[metric]
            sign = 1 if score.higher_is_better else -1
            for setting in settings:
                runs = self._choice_runs(setting)
                has_failed = bool(failed & set(map(run_name, runs)))
                scores = [math.nan if has_failed else score.of(evaluate(run)) for run in runs]
                mean = float(np.mean(scores))
                means.append(-math.inf if math.isnan(mean) else sign * mean)
                if not has_failed:
                    epochs = [RunDirectory(run).read_info().get("best_epoch", run.epochs) for run in runs]
                    setting = replace(setting, epochs=int(median(epochs)))
                tried.append(setting)
                self._add_choice(name, rates_of(setting), mean)
            if max(means) > -math.inf:
                chosen[name] = tried[int(np.argmax(means))]
        return chosen

    def _add_choice(self, name: str, rates: Mapping[str, float], mean: float) -> None:
        metric = choice_metric(name, self._options)
        self._choices.append({"strategy": name, **rates, f"validation_{metric}": mean})

    def _train(self, runs: Iterable[RunConfig]) -> set[str]:
        """Train the unfinished runs; the names of those that failed."""
        failed = launch(self._plan(runs), self._launcher)
        for run, reason in failed:
            self._failed.setdefault(reason, []).append(run.command)
        return {run_name(run.config) for run, _ in failed}

    def _plan(self, runs: Iterable[RunConfig]) -> list[PlannedRun]:
        return plan((config, self._command(config)) for config in runs)

    def _command(self, config: RunConfig) -> str:
        """The words after ``python -m l2m.run`` that mean one of the runs."""
        rate = {"mixing_rate": config.strategy.get("mixing_rate")}  # the only option that is chosen
        name = next(name for name, (one, *_) in self._settings.items() if one.strategy | rate == config.strategy | rate)
        keys = {"learning_rate": config.learning_rate, "strategy.mixing_rate": config.strategy.get("mixing_rate")}
        keys |= {key: getattr(config, key) for key in sorted(CHANGED - OWN)}
        words = [f"{key}={value}" for key, value in keys.items() if value != LATER_KEYS.get(key)]
        has_dataset = any(word.startswith("dataset=") for word in self._words)  # the default is that of a comparison
        dataset = [] if has_dataset else [f"dataset={config.dataset['name']}"]
        return shlex.join([*dataset, *self._words, f"strategy={name}", *words])

    def _all_choice_runs(self) -> list[RunConfig]:
        settings = (setting for settings in self._settings.values() for setting in settings)
        return [run for setting in settings for run in self._choice_runs(setting)]

    def _choice_runs(self, setting: RunConfig) -> list[RunConfig]:
        """Its runs on the validation part."""
        first = self._options.seed
        return [replace(setting, seed=seed) for seed in range(first, first + self._options.choice_seeds)]

    def _seeds(self) -> range:
        return range(self._options.seed, self._options.seed + self._options.seeds)

    def _runs(self, setting: RunConfig) -> list[RunConfig]:
        """The runs of a chosen setting: on the whole training set, and without each held-out part."""
        held_out = [held_out_run(setting, part) for part in range(self._options.held_out_parts)]
        return [*(final_run(setting, seed) for seed in self._seeds()), *held_out]

    def _rivals(self, classical: Candidate, base: RunConfig) -> dict[str, Candidate]:
        """The candidates without training of ours, by name; ``base`` is the chosen run of classical training."""
        options, data, score = self._options, load(base), self._scores[self._metric]
        requested, plain = options.opponents, {BASELINE: classical}
        fitted = Fitted(self._path)
        for name, settings in suitable(data, options.task, requested).items():
            print(f"fitting {name}", flush=True)
            tried = settings if options.choose else settings[:1]
            plain[name], scores = opponent(name, tried, base, self._scores[choice_metric(name, options)], fitted)
            for setting, each in zip(tried, scores, strict=True):
                self._add_choice(name, setting, each)
        plain = {name: replace(one, held_out=cache(one.held_out)) for name, one in plain.items()}
        for part, one in product(range(options.held_out_parts), plain.values()):
            one.held_out(part)  # by part again
        rivals = {name: one for name, one in plain.items() if name != BASELINE}
        for name, one in plain.items():
            if data.classes and moved_rows(name, requested):
                rivals |= moved_thresholds(name, one, score, options.held_out_parts, data.classes)
        for name in requested or ():
            if name not in rivals:
                print(f"{name} is left out: it does not suit this data set and metric={self._metric}")
        return {name: one for name, one in rivals.items() if requested is None or name in requested}

    def _report(self, candidates: Mapping[str, Candidate], base: RunConfig) -> Report:
        """Score the candidates and judge them."""
        score = self._scores[self._metric]
        held_out = score_held_out(candidates, score, self._options.held_out_parts)
        ordered = {str(name): candidates[str(name)] for name in held_out}
        runs, drawn, confusion = score_test_part(ordered, self._scores, self._seeds())
        protocol = self._protocol(ordered, base)
        report = Report(
            advise(held_out if score.higher_is_better else -held_out, overlap=protocol.overlap),
            held_out,
            judge(runs, self._options.task, self._metric, drawn),
            protocol,
            confusion,
            load(final_run(base, base.seed)).labels,
            self._path,
        )
        return replace(report, advised=describe(report, report.recommended))

    def _protocol(self, candidates: Mapping[str, Candidate], base: RunConfig) -> Protocol:
        data, options = load(final_run(base, base.seed)), self._options
        sizes = torch.bincount(data.test.groups, minlength=len(data.group_names)).tolist()
        present = [(size, name) for size, name in zip(sizes, data.group_names, strict=True) if size]
        smallest, name = min(present, key=lambda pair: pair[0])
        prior = candidates[BASELINE].tested(options.seed).samples.prior
        chosen = {name: dict(candidate.rates) for name, candidate in candidates.items()}
        tried = {name: {one.learning_rate for one in settings} for name, settings in self._settings.items()}
        return Protocol(
            dataset=str(options.dataset["name"]),
            of_images=are_images(data, options.dataset),
            title=description.title(description.settings(base)),
            data_seed=options.data_seed,
            validation_fraction=options.validation_fraction,
            choice_seeds=options.choice_seeds,
            rates=chosen,
            tried={name: candidate.tried for name, candidate in candidates.items() if options.choose},
            epochs=options.epochs if options.choose and options.early_stopping else None,
            epochs_by=self._scores[metric].title if (metric := options.early_stopping_metric) else None,
            edges=tuple(
                name
                for name, rates in tried.items()
                if name in chosen and len(rates) > 2 and chosen[name]["learning_rate"] in (min(rates), max(rates))
            ),
            samples=len(data.test),
            trained_on=len(data.train),
            shares=() if prior is None else tuple(prior.tolist()),
            smallest=(name, smallest),
        )

    def print_left_out(self) -> bool:
        """Print which runs failed, with a command that repeats one; whether a strategy was left out."""
        for reason, commands in self._failed.items():
            others = f" ({len(commands)} runs, the first of them is)" if commands[1:] else ""
            print(f"left out: {reason}{others}\n  python -m l2m.run {commands[0]}")
        return self._is_incomplete
