"""What a comparison finds and recommends, on made-up runs of which the truth is known."""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from l2m.comparison.findings import Findings, judge, recommend, resample_mean
from l2m.comparison.tables import (
    Protocol,
    draw_differences,
    format_caption,
    format_csv,
    format_markdown,
    format_terminal,
)
from l2m.evaluation.scores import LABELS, VALUES, SampleResults, label_results
from l2m.report.statistics import half_width, holm, paired_p

STRATEGIES = ("classical", "learn2mix", "balanced", "focal", "smote", "exp3")


def made_up_runs(
    rng: np.random.Generator, gains: Mapping[str, float] | None = None, seeds: int = 5, **others: Mapping[str, float]
) -> pd.DataFrame:
    """Runs of classification: accuracies near 0.8 that share their seed's luck, ``gains`` added to balanced accuracy.

    ``others`` are gains in other scores.
    """
    luck = rng.normal(0, 0.02, seeds)
    gains = {"balanced_accuracy": gains or {}, **others}
    return pd.DataFrame(
        [
            {"strategy": name, "seed": seed, "seconds": 10.0 + place}
            | {s: 0.8 + luck[seed] + rng.normal(0, 0.01) + gains.get(s, {}).get(name, 0) for s in LABELS}
            for place, name in enumerate(STRATEGIES)
            for seed in range(seeds)
        ]
    )


def judged(runs: pd.DataFrame) -> Findings:
    return judge(runs, "classification", "balanced_accuracy")


def errors(rng: np.random.Generator, gains: Mapping[str, float]) -> Findings:
    """Of regression, which has fewer scores to judge: mean squared errors without any structure but ``gains``."""
    table = {"strategy": np.repeat(STRATEGIES, 5), "seed": np.tile(range(5), len(STRATEGIES)), "seconds": 1.0}
    noise = {score: rng.normal(1, 0.05, 5 * len(STRATEGIES)) for score in VALUES}
    runs = pd.DataFrame(table | noise)
    runs["mean_squared_error"] -= runs["strategy"].map(lambda name: gains.get(name, 0.0))
    return judge(runs, "regression", "mean_squared_error")


def test_p_values_and_intervals_are_those_of_scipy() -> None:
    rng = np.random.default_rng(0)
    ours, theirs = pd.Series(rng.normal(size=6)), pd.Series(rng.normal(size=6))
    test = stats.ttest_rel(ours, theirs)
    assert paired_p(ours, theirs) == pytest.approx(test.pvalue)
    for comparisons in (1, 7):
        low, high = test.confidence_interval(1 - 0.05 / comparisons)
        assert half_width(ours - theirs, comparisons) == pytest.approx((high - low) / 2)
    assert paired_p(ours, ours) == 1, "nothing differs"
    assert paired_p(ours, ours + 1) == pytest.approx(0, abs=1e-12)
    assert paired_p(ours[:1], theirs[:1]) == 1, "one seed says nothing"


def test_holm_rejects_what_stepping_down_rejects() -> None:
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005}) == pytest.approx(
        {"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02}
    )
    rng = np.random.default_rng(1)
    for _ in range(50):
        p = dict(enumerate(rng.random(6) ** 4))
        rejected, left = set(), dict(p)
        while left and min(left.values()) < 0.05 / len(left):  # the procedure as Holm wrote it
            least = min(left, key=left.__getitem__)
            rejected.add(least)
            del left[least]
        assert {key for key, adjusted in holm(p).items() if adjusted < 0.05} == rejected


def test_where_all_are_equal_a_recommendation_is_as_rare_as_promised() -> None:
    rng, draws = np.random.default_rng(2), 160
    findings = [errors(rng, {}) for _ in range(draws)]
    false = sum(bool(one.better) for one in findings)
    assert 0 < false <= 0.05 * draws, "never is no test"
    assert sum(bool(one.better or one.worse) for one in findings) <= stats.binom.ppf(0.99, draws, 0.05)


def test_equals_that_are_better_are_seldom_told_apart() -> None:
    rng, draws = np.random.default_rng(3), 60
    better = dict.fromkeys(STRATEGIES[1:], 0.6)
    findings = [errors(rng, better) for _ in range(draws)]
    assert all(one.better for one in findings)
    assert sum(one.tied != one.better for one in findings) <= 0.05 * draws


def test_one_that_is_clearly_better_is_named() -> None:
    findings = judged(made_up_runs(np.random.default_rng(4), {"learn2mix": 0.1}))
    assert findings.better == findings.tied == ("learn2mix",)
    said = " ".join(recommend(findings, 1000))
    assert said.startswith("Use learn2mix: its balanced accuracy is reliably better than classical's, +")
    assert "(11 s a run, classical 10 s)" in said
    assert "Beware" not in said


def test_the_lower_error_is_the_better_one() -> None:
    findings = errors(np.random.default_rng(5), {"learn2mix": 0.6, "smote": -0.6})
    assert (findings.better, findings.worse) == (("learn2mix",), ("smote",))
    assert findings.strategies[0] == "learn2mix"
    assert findings.strategies[-1] == "smote"
    assert "Reliably worse mean squared error than classical: smote." in recommend(findings, 1000)


def test_ties_are_named_with_the_quickest_of_them() -> None:
    rng = np.random.default_rng(6)
    findings = judged(made_up_runs(rng, {"exp3": 0.2, "balanced": 0.2, "focal": 0.1}))
    assert set(findings.better) == {"exp3", "balanced", "focal"}
    assert set(findings.tied) == {"exp3", "balanced"}
    said = " ".join(recommend(findings, 1000))
    assert "(no reliable difference)" in said
    assert "but worse than" in said
    assert ("balanced is the fastest of these, 12 s a run." in said) is (findings.tied[0] == "exp3")


def test_no_difference_recommends_classical() -> None:
    rng = np.random.default_rng(7)
    findings = judged(made_up_runs(rng))
    assert findings.better == ()
    said = recommend(findings, 1000)
    assert said[0].startswith("No reliable difference")
    assert "Use classical, the simplest (10 s a run)" in said[0]
    assert "The best mean is" in " ".join(said)


def test_a_gain_that_costs_another_score_is_told() -> None:
    rng = np.random.default_rng(8)
    runs = made_up_runs(
        rng,
        {"focal": 0.2},
        accuracy={"focal": -0.2},
        worst_group={"focal": -0.2},
        calibration_error={"focal": 0.2, "smote": 0.2},
    )
    said = " ".join(recommend(judged(runs), 1000))
    assert "Beware: reliably worse accuracy than classical: focal -" in said
    assert "Beware: reliably worse worst group than classical: focal -" in said
    assert "Beware: reliably worse calibration error than classical: focal +" in said
    assert "smote" not in said, "it is not recommended"


def test_a_test_part_that_is_too_small_supports_nothing() -> None:
    runs = made_up_runs(np.random.default_rng(9), {"focal": 0.1, "smote": 0.4})
    rng = np.random.default_rng(0)
    wide = {name: {score: rng.normal(0, 0.05, 200) for score in LABELS} for name in STRATEGIES}
    findings = judge(runs, "classification", "balanced_accuracy", wide)
    assert findings.better == ("smote",)
    assert "focal" in findings.unsure
    said = " ".join(recommend(findings, 90))
    assert "better over seeds on this test part, but its 90 samples are too few" in said
    difference = wide["focal"]["balanced_accuracy"] - wide["classical"]["balanced_accuracy"]
    half_width = findings.table.loc[("focal", "balanced_accuracy"), "interval_half_width_over_samples"]
    assert half_width == pytest.approx(stats.norm.ppf(1 - 0.025 / 5) * np.std(difference, ddof=1))


def test_resampling_gives_the_standard_error_of_a_mean() -> None:
    rng = np.random.default_rng(10)
    size = 500
    targets = rng.integers(0, 2, size)

    def run(right: float) -> SampleResults:
        said = np.where(rng.random(size) < right, targets, 1 - targets)
        return label_results(np.eye(2)[said], targets, targets, np.ones(2) / 2)

    ours, theirs = [run(0.9) for _ in range(3)], [run(0.7) for _ in range(3)]
    score = {"accuracy": LABELS["accuracy"]}
    drawn = resample_mean(score, ours)["accuracy"] - resample_mean(score, theirs)["accuracy"]
    each = np.mean([(a.labels == targets) * 1.0 - (b.labels == targets) for a, b in zip(ours, theirs, strict=True)], 0)
    assert drawn.mean() == pytest.approx(each.mean(), abs=6e-3)
    assert drawn.std() == pytest.approx(each.std() / np.sqrt(size), rel=0.15)


def test_all_that_is_told_agrees() -> None:
    findings = judged(made_up_runs(np.random.default_rng(11), {"focal": 0.1, "smote": -0.1}))
    chosen = dict.fromkeys(STRATEGIES, "0.001")
    protocol = Protocol("mine", 42, 0.2, 2, chosen, dict.fromkeys(STRATEGIES, 3), ("focal",), 200, ("rare", 7))
    page = format_markdown(findings, protocol, "comparison.png")
    for text in (*recommend(findings, 200), *format_caption(findings, protocol)):
        assert text in page
    table = pd.read_csv(io.StringIO(format_csv(findings)), index_col=["strategy", "score"])
    assert len(table) == len(STRATEGIES) * len(LABELS)
    focal = findings.runs[findings.runs["strategy"] == "focal"]["balanced_accuracy"]
    classical = findings.runs[findings.runs["strategy"] == "classical"]["balanced_accuracy"]
    line = table.loc["focal", "balanced_accuracy"]
    assert line["mean"] == pytest.approx(focal.mean())
    assert line["minus_classical"] == pytest.approx(focal.mean() - classical.mean())
    assert line["recommended"]
    assert table["minus_classical"].isna().sum() == len(LABELS), "classical has none"
    assert f"| focal | 0.001 | {100 * focal.mean():.1f} ± {100 * focal.std(ddof=1):.1f} + |" in page
    assert "its smallest group (rare) has 7" in page
    assert "among 3 settings each" in page
    assert [len(each.rows) for each in format_terminal(findings, protocol)] == [6, 6, 6]
    panels = draw_differences(findings).axes
    assert [axes.get_title() for axes in panels] == ["balanced accuracy", "worst group", "calibration error"]
    assert [label.get_text() for label in panels[0].get_yticklabels()] == [
        name for name in findings.strategies if name != "classical"
    ]
