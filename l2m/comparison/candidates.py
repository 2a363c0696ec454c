"""What a comparison can recommend: a strategy, its threshold moved, or an opponent, each at its chosen setting."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import numpy as np

import l2m.trained
from l2m.comparison.opponents import Fitted, Setting
from l2m.comparison.thresholds import by_prior, by_threshold, choose_threshold, moved_rows
from l2m.config.run import RunConfig
from l2m.data import load
from l2m.records.directory import RunDirectory
from l2m.training.device import torch_state
from l2m.training.results import SampleResults, sample_results
from l2m.training.scores import Score

Rule = Callable[[SampleResults], SampleResults]
"""Predicts the classes by another rule."""


@dataclass(frozen=True)
class Result:
    """The results of one training; ``about`` has, on the test part, its ``seconds`` and our run's directory ``run``."""

    samples: SampleResults
    about: Mapping[str, object]


@dataclass(frozen=True)
class Candidate:
    """One row of a comparison."""

    rates: Mapping[str, float]  # the chosen setting
    tried: int  # among how many settings it was chosen
    # by the number of a held-out part, the results there of a training without that part
    held_out: Callable[[int], Result]
    tested: Callable[[int], Result]  # by seed, the results on the test part of a training on the whole training set


def held_out_run(setting: RunConfig, part: int) -> RunConfig:
    """The run that is trained without a held-out part; the seed differs too, so that parts vary as trainings do."""
    whole = final_run(setting, setting.seed + part)
    return replace(whole, validation_fraction=setting.validation_fraction, validation_part=part)


def final_run(setting: RunConfig, seed: int) -> RunConfig:
    """The run on the whole training set."""
    return replace(setting, seed=seed, validation_fraction=0.0, early_stopping=None, early_stopping_metric=None)


def run_name(run: RunConfig) -> str:
    """A run's directory below ``runs``."""
    return "/".join(RunDirectory(run).path.parts[-3:])


def evaluate(run: RunConfig) -> SampleResults:
    """The results of a finished run on its test part, or on the validation part that replaces it."""
    data = load(run)
    with torch_state(run):  # with as few threads as it was trained with: on a small set more take longer
        outputs = l2m.trained.load(RunDirectory(run).path, run.device).outputs(data.test)
    return sample_results(outputs, data)


def trained(setting: RunConfig, rates: Mapping[str, float], tried: int) -> Candidate:
    """A strategy, whose runs are finished."""
    keep_last = lru_cache(maxsize=1)  # moved thresholds ask again

    def tested(seed: int) -> Result:
        run = final_run(setting, seed)
        seconds = float(RunDirectory(run).read().metrics["seconds"].iloc[-1])
        return Result(evaluate(run), {"seconds": seconds, "run": run_name(run)})

    held_out = keep_last(lambda part: Result(evaluate(held_out_run(setting, part)), {}))
    return Candidate(rates, tried, held_out, keep_last(tested))


def _moved(plain: Candidate, rules: Sequence[Rule], **rates: float) -> Candidate:
    """A candidate whose classes are predicted by a rule: one for each held-out part, and one for the test part."""

    def moved(result: Result, rule: Rule) -> Result:
        return replace(result, samples=rule(result.samples))

    return replace(
        plain,
        rates={**plain.rates, **rates},
        held_out=lambda part: moved(plain.held_out(part), rules[part]),
        tested=lambda seed: moved(plain.tested(seed), rules[-1]),
    )


def opponent(
    name: str, settings: Sequence[Setting], base: RunConfig, score: Score, fitted: Fitted
) -> tuple[Candidate, list[float]]:
    """One of scikit-learn's models at its best setting on the first held-out part, of equals the first.

    The settings' scores are returned too, NaN for a single one.
    """

    def result(setting: Setting, run: RunConfig) -> Result:
        samples, seconds = fitted.results(name, setting, run.seed, load(run), run.threads)
        return Result(samples, {"seconds": seconds})

    scores = [score.of(result(setting, base).samples) if settings[1:] else math.nan for setting in settings]
    best = settings[int(np.argmax(scores) if score.higher_is_better else np.argmin(scores))]
    candidate = Candidate(
        best,
        len(settings),
        lambda part: result(best, held_out_run(base, part)),
        lambda seed: result(best, final_run(base, seed)),
    )
    return candidate, scores


def moved_thresholds(name: str, plain: Candidate, score: Score, parts: int, classes: int) -> dict[str, Candidate]:
    """A model with its threshold moved, by name; none where the score does not depend on it.

    By the prior, each probability is divided by the class's share of the training set. Of two classes the threshold is
    the one that is best on the held-out parts; a held-out part is scored with that of the others, without the samples
    that are in it too, or with 0.5 if these leave a class without a sample.
    """
    if not score.by_label:
        return {}
    row_by_prior, row_by_threshold = moved_rows(name)
    moved = {row_by_prior: _moved(plain, [by_prior] * (parts + 1))}
    if classes == 2:
        held = [plain.held_out(part).samples for part in range(parts)]
        chosen = [choose_threshold(score, held[:part] + held[part + 1 :], held[part].numbers) for part in range(parts)]
        chosen.append(choose_threshold(score, held))
        rules = [partial(by_threshold, threshold=threshold) for threshold in chosen]
        moved[row_by_threshold] = _moved(plain, rules, threshold=chosen[-1])
    return moved
