"""Which candidate is advised, on made-up held-out scores."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from l2m.comparison.advice import advise


def scores(means: dict[str, float], noise: float = 0.01, parts: int = 5, seed: int = 0) -> pd.DataFrame:
    """Held-out scores that share their part's effect, which is larger than the noise."""
    rng = np.random.default_rng(seed)
    effects = rng.normal(0, 0.05, parts)
    return pd.DataFrame({name: mean + effects + rng.normal(0, noise, parts) for name, mean in means.items()})


def test_a_clear_winner_is_advised_without_doubt() -> None:
    advice = advise(scores({"classical": 0.7, "learn2mix": 0.9, "boosted_trees": 0.7}))
    assert (advice.name, advice.best, advice.group) == ("learn2mix", "learn2mix", ("learn2mix",))
    assert advice.probability == pytest.approx(1)
    assert advice.expected_loss == pytest.approx(0, abs=1e-9)


def test_of_those_that_cannot_be_told_apart_the_simplest_is_advised() -> None:
    table = scores({"learn2mix": 0.8, "boosted_trees": 0.8, "logistic_regression": 0.8, "smote": 0.7}, 0.02)
    table += (
        pd.Series({"learn2mix": 0.803, "boosted_trees": 0.8, "logistic_regression": 0.798, "smote": 0.7}) - table.mean()
    )
    simplest, best = advise(table), advise(table, within=0)
    assert set(simplest.group) == {"learn2mix", "boosted_trees", "logistic_regression"}
    assert simplest.name == "logistic_regression"
    assert best.name == best.best == simplest.best == table.mean().idxmax()
    assert simplest.expected_loss > best.expected_loss > 0
    assert best.probability < 0.9 < simplest.probability, "it is that of the whole group"
    assert advise(table, simplest=["smote", "boosted_trees"]).name == "boosted_trees"


def test_the_group_is_what_lies_within_so_many_standard_errors() -> None:
    table = scores({"a": 0.8, "b": 0.79})
    difference = table["a"] - table["b"]
    error = difference.std(ddof=1) / np.sqrt(5)
    for within in (0.99, 1.01):
        for overlap, factor in ((0.0, 1.0), (0.25, np.sqrt(1 + 5 * 0.25))):
            advice = advise(table, within=within * abs(difference.mean()) / (error * factor), overlap=overlap)
            assert len(advice.group) == (1 if within < 1 else 2), "of two candidates it is the paired standard error"
            assert advice.margin == pytest.approx(within * abs(difference.mean()))


def test_one_noisy_candidate_does_not_join_the_group_by_its_noise() -> None:
    table = scores({"learn2mix": 0.9, "focal": 0.9, "smote": 0.9, "exp3": 0.9})
    table["classical"] = [0.55, 0.99, 0.6, 0.98, 0.58]
    assert advise(table).name != "classical"


def test_the_expected_loss_is_that_of_repetitions() -> None:
    """Where candidates are equal but for their noise, the advised one is as far behind as it says, on average."""
    truth = dict.fromkeys("abcd", 0.8)
    losses = [advise(scores(truth, 0.02, seed=seed), within=0) for seed in range(200)]
    assert 0 < np.mean([advice.expected_loss for advice in losses]) < 0.02
    assert np.mean([advice.probability for advice in losses]) < 0.7


def test_probability_and_expected_loss_of_two_candidates_are_those_of_the_normal_distribution() -> None:
    table = pd.DataFrame({"a": [0.8, 0.84, 0.79, 0.86], "b": [0.79, 0.81, 0.8, 0.83]})
    difference = table["a"] - table["b"]
    for overlap in (0.0, 0.25):
        error = difference.std(ddof=1) * np.sqrt(1 / 4 + overlap)
        z = difference.mean() / error
        advice = advise(table, within=0, overlap=overlap)
        assert advice.name == "a"
        assert advice.probability == pytest.approx(stats.norm.cdf(z), abs=0.01)
        assert advice.expected_loss == pytest.approx(error * (stats.norm.pdf(z) - z * stats.norm.sf(z)), rel=0.05)


def test_equal_scores_are_all_in_the_group() -> None:
    table = pd.DataFrame({name: [0.5, 0.6, 0.7] for name in ("learn2mix", "classical", "classical_by_prior")})
    advice = advise(table)
    assert (advice.name, len(advice.group)) == ("classical", 3)
    assert (advice.probability, advice.expected_loss) == (1, 0)
