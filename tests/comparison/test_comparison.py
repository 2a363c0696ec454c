"""What a comparison finds on its test part and writes of it, on made-up runs of which the truth is known."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from l2m.comparison.advice import advise
from l2m.comparison.candidates import Candidate, Result
from l2m.comparison.findings import DRAWS, Findings, judge, score_test_part
from l2m.comparison.report import Protocol, Report, recommend
from l2m.comparison.splits import combine
from l2m.comparison.tables import format_caption, format_csv, format_markdown, format_terminal
from l2m.comparison.writing import draw_differences
from l2m.report.statistics import half_width, holm, paired_p
from l2m.training.results import SampleResults, label_results
from l2m.training.scores import LABELS, VALUES, resample

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


def verdicts(findings: Findings, score: str) -> dict[str, int]:
    return findings.table["verdict"].xs(score, level="score").to_dict()


def reported(findings: Findings, **gains: float) -> Report:
    """A report whose held-out scores are 0.8 and ``gains``, with little noise."""
    rng = np.random.default_rng(12)
    held_out = pd.DataFrame({name: 0.8 + gains.get(name, 0) + rng.normal(0, 0.001, 5) for name in STRATEGIES})
    rates = {name: {"learning_rate": 0.001} for name in STRATEGIES}
    protocol = Protocol(
        "csv",
        False,
        "t.csv, target y",
        42,
        0.2,
        2,
        rates,
        dict.fromkeys(STRATEGIES, 3),
        60,
        ("focal",),
        200,
        ("rare", 7),
        800,
        (0.9, 0.1),
    )
    confusion = dict.fromkeys(STRATEGIES, np.array([[190.0, 3.0], [2.4, 4.6]]))
    return Report(advise(held_out), held_out, findings, protocol, confusion, ("common", "rare"), Path("mine"))


@pytest.mark.long
def test_where_all_are_equal_a_difference_is_as_rare_as_promised() -> None:
    rng, draws = np.random.default_rng(2), 160
    found = [errors(rng, {}) for _ in range(draws)]
    false = [verdicts(one, "mean_squared_error") for one in found]
    better = sum(1 in each.values() for each in false)
    assert 0 < better <= 0.05 * draws, "never is no test"
    assert sum(any(each.values()) for each in false) <= stats.binom.ppf(0.99, draws, 0.05)


def test_the_lower_error_is_the_better_one() -> None:
    findings = errors(np.random.default_rng(5), {"learn2mix": 0.6, "smote": -0.6})
    found = verdicts(findings, "mean_squared_error")
    assert {name for name, verdict in found.items() if verdict} == {"learn2mix", "smote"}
    assert (found["learn2mix"], found["smote"]) == (1, -1)


def test_a_gain_that_costs_another_score_is_reported() -> None:
    runs = made_up_runs(
        np.random.default_rng(8),
        {"focal": 0.2},
        accuracy={"focal": -0.2},
        worst_group={"focal": -0.2},
        calibration_error={"focal": 0.2, "smote": 0.2},
    )
    text = " ".join(recommend(reported(judged(runs), focal=0.1)))
    worse = text.partition("Beware: reliably worse than classical there, ± over seeds: ")[2]
    assert re.fullmatch(r"accuracy \(-.*\), worst group \(-.*\) and calibration error \(\+.*\)\.", worse)
    assert "smote" not in text, "it is not recommended"
    assert "No other candidate is within 0.1 points, a typical standard error of a difference." in text


def test_the_test_part_reports_and_has_no_say() -> None:
    findings = judged(made_up_runs(np.random.default_rng(4), {"learn2mix": 0.1}))
    report = reported(findings, smote=0.1)
    assert report.recommended == "smote"
    text = " ".join(recommend(report))
    assert text.startswith("Use smote (learning_rate=0.001): its balanced accuracy on held-out parts")
    assert re.search(
        r": no reliable difference\)\. 1 of the other 5 has a better mean there, the best learn2mix, 9", text
    )
    assert (
        "the best of all 6 is smote with a probability of more than 99 %, and the best may be ahead of smote by 0.0"
        in text
    )
    gain = 100 * (report.held_out["smote"] - report.held_out["classical"]).mean()
    assert f"Gain of smote there, in points (± standard error): {gain:+.1f} ± 0." in text
    assert " over classical, plain training, " in text


def test_candidates_that_cannot_be_told_apart_are_named_before_one_of_them() -> None:
    findings = judged(made_up_runs(np.random.default_rng(4)))
    flat = reported(findings)
    tied = replace(flat, advice=advise(flat.held_out, within=100))
    text = " ".join(recommend(tied))
    assert re.match(
        r"6 of 6 candidates are within \d\.\d points, a typical standard error of a difference, of the best mean of ",
        text,
    )
    assert "Use classical (learning_rate=0.001), the simplest of them: " in text
    assert f"These are all. The best mean is that of {tied.advice.best}, 80." in text
    assert "No gain over plain training was seen." in text
    assert "the best of all 6 is one of these 6 with a probability of more than 99 %" in text
    ours, theirs = (100 * flat.held_out[name] for name in ("classical", "learn2mix"))
    error = np.std(ours - theirs, ddof=1) * np.sqrt(1 / 5 + 0.25)
    assert f"{np.mean(ours - theirs):+.1f} ± {error:.1f} over learn2mix." in text
    ahead = reported(findings, smote=0.01)
    ahead = replace(ahead, advice=advise(ahead.held_out, within=100, simplest=("smote",)))
    assert "over classical, plain training, " in " ".join(recommend(ahead))
    assert "The gain over plain training is within that margin." in recommend(ahead)
    strategies = replace(flat, advice=advise(flat.held_out[["smote", "focal"]], within=100))
    name, other = flat.held_out[["smote", "focal"]].mean().sort_values(ascending=False).index
    assert f"Use {name} (learning_rate=0.001), which has the best mean: 8" in " ".join(recommend(strategies))
    assert f"The rest of them: {other}. Gain of {name}" in " ".join(recommend(strategies))


def test_a_test_part_that_is_too_small_supports_nothing() -> None:
    runs = made_up_runs(np.random.default_rng(9), {"focal": 0.1, "smote": 0.4})
    rng = np.random.default_rng(0)
    wide = {name: {score: rng.normal(0, 0.05, 200) for score in LABELS} for name in STRATEGIES}
    findings = judge(runs, "classification", "balanced_accuracy", wide)
    assert verdicts(judged(runs), "balanced_accuracy")["focal"] == 1
    assert verdicts(findings, "balanced_accuracy") == dict.fromkeys(STRATEGIES, 0) | {"smote": 1}
    text = " ".join(recommend(reported(findings, focal=0.5)))
    assert " over test samples, 95 %: no reliable difference)" in text
    difference = wide["focal"]["balanced_accuracy"] - wide["classical"]["balanced_accuracy"]
    half_width = findings.table.loc[("focal", "balanced_accuracy"), "interval_half_width_over_samples"]
    assert half_width == pytest.approx(stats.norm.ppf(1 - 0.025 / 5) * np.std(difference, ddof=1))
    of_mean = 100 * stats.norm.ppf(0.975) * np.std(wide["focal"]["balanced_accuracy"], ddof=1)
    assert f" % (± {of_mean:.1f} over test samples, 95 %), +" in text


def test_splits_are_combined_without_a_candidate_that_one_of_them_lacks() -> None:
    runs = made_up_runs(np.random.default_rng(13), {"focal": 0.1}).assign(run="csv/classical/seed0-1")
    whole = reported(judged(runs), focal=0.1)
    held_out = whole.held_out.drop(columns="focal")
    lacking = replace(
        whole,
        advice=advise(held_out),
        held_out=held_out,
        findings=judged(runs[runs["strategy"] != "focal"]),
        protocol=replace(whole.protocol, data_seed=43),
    )
    both = combine([whole, lacking])
    assert whole.recommended == "focal"
    assert "focal" not in (both.recommended, *both.protocol.advised, *both.held_out)
    assert "Of 2 splits, each alone advised" in " ".join(recommend(both))


def test_rows_of_one_patient_are_drawn_together() -> None:
    rng = np.random.default_rng(0)
    targets = np.repeat(rng.integers(0, 2, 40), 10)
    said = np.where(np.repeat(rng.random(40) < 0.7, 10), targets, 1 - targets)
    rows = label_results(np.eye(2)[said], targets, targets, np.ones(2) / 2)
    units = replace(rows, units=np.repeat(np.arange(40) * 7, 10))
    spreads = [resample([LABELS["accuracy"]], each, 2000).std() for each in (rows, units)]
    error = rows.is_right.std() / np.sqrt([400, 40])
    assert spreads == pytest.approx(error, rel=0.1)


def test_resampling_gives_the_standard_error_of_a_mean() -> None:
    rng = np.random.default_rng(10)
    size = 500
    targets = rng.integers(0, 2, size)

    def candidate(right: float) -> tuple[Candidate, list[SampleResults]]:
        said = [np.where(rng.random(size) < right, targets, 1 - targets) for _ in range(3)]
        runs = [label_results(np.eye(2)[each], targets, targets, np.ones(2) / 2) for each in said]
        return Candidate({}, 1, lambda part: Result(runs[part], {}), lambda seed: Result(runs[seed], {})), runs

    (ours, our_runs), (theirs, their_runs) = candidate(0.9), candidate(0.7)
    score = {"accuracy": LABELS["accuracy"]}
    runs, drawn, confusion = score_test_part({"ours": ours, "theirs": theirs}, score, range(3))
    assert runs["accuracy"].tolist() == [each.is_right.mean() for each in (*our_runs, *their_runs)]
    assert confusion["ours"].sum() == pytest.approx(size)
    assert confusion["ours"].trace() / size == pytest.approx(runs["accuracy"][:3].mean())
    difference = drawn["ours"]["accuracy"] - drawn["theirs"]["accuracy"]
    each = np.mean([1.0 * a.is_right - b.is_right for a, b in zip(our_runs, their_runs, strict=True)], 0)
    assert len(difference) == DRAWS
    assert difference.mean() == pytest.approx(each.mean(), abs=6e-3)
    assert difference.std() == pytest.approx(each.std() / np.sqrt(size), rel=0.15)


def test_all_that_is_written_agrees() -> None:
    findings = judged(made_up_runs(np.random.default_rng(11), {"focal": 0.1, "smote": -0.1}))
    report = reported(findings, focal=0.1)
    page, printed, data = (
        format_markdown(report, "comparison.png"),
        format_terminal(report),
        json.loads(report.to_json()),
    )
    for text in (*recommend(report), *format_caption(report)):
        assert text in page
        assert text in " ".join(printed.split())
    assert printed.startswith("Use focal")
    assert max(map(len, printed.splitlines())) < 80
    table = pd.read_csv(io.StringIO(format_csv(report)), index_col=["strategy", "score"])
    assert len(table) == len(STRATEGIES) * len(LABELS) == len(data["test"])
    focal = findings.runs[findings.runs["strategy"] == "focal"]["balanced_accuracy"]
    classical = findings.runs[findings.runs["strategy"] == "classical"]["balanced_accuracy"]
    line = table.loc["focal", "balanced_accuracy"]
    assert line["mean"] == pytest.approx(focal.mean())
    assert line["minus_classical"] == pytest.approx(focal.mean() - classical.mean())
    assert line["recommended"]
    assert data["advice"]["name"] == "focal"
    assert data["held_out"]["focal"] == report.held_out["focal"].tolist()
    assert table["minus_classical"].isna().sum() == len(LABELS), "classical has none"
    assert [row["p_holm"] for row in data["test"] if row["strategy"] == "classical"] == [None] * len(LABELS)
    mean = f"{100 * focal.mean():.1f} ± {100 * focal.std(ddof=1):.1f} +"
    assert f"| focal | learning_rate=0.001 | * {report.held_out_text('focal')} | {mean} |" in page
    assert "its smallest group (rare) has 7" in page
    assert "among 3 settings each" in page
    assert "| rare | 7 | 65.7 | 60.5 | 65.7 | 60.5 |" in page, "recall 4.6 / 7, precision 4.6 / 7.6"
    assert "| rare | 2.4 | 4.6 |" in page
    figure = draw_differences(report)
    panels = figure.axes
    assert [axes.get_title() for axes in panels] == ["balanced accuracy", "worst group", "calibration error"]
    assert "over 5 seeds; " in " ".join(text.get_text().replace("\n", " ") for text in figure.texts)
    split = draw_differences(replace(report, protocol=replace(report.protocol, advised=("focal",) * 5)))
    caption = " ".join(" ".join(text.get_text() for text in split.texts).split())
    assert "over 5 splits; " in caption
    assert caption.endswith("over splits (Holm, 5 %).")
    assert [label.get_text() for label in panels[0].get_yticklabels()] == [
        name for name in findings.strategies if name != "classical"
    ]


def test_errors_of_large_targets_are_shown_in_a_power_of_ten() -> None:
    """Prices of houses have squared errors of 10^10, which left no room for the names of strategies."""
    findings = errors(np.random.default_rng(5), {"learn2mix": 0.6})
    columns = ["mean_squared_error", "worst_group"]
    runs = findings.runs.assign(**{name: findings.runs[name] * 2.5e10 for name in columns})
    large = judge(runs, "regression", "mean_squared_error")
    report = replace(reported(large), confusion={}, classes=(), held_out=2.5e10 * reported(findings).held_out)
    assert [score.title for score in large.scores.values()] == [
        "mean squared error / 10⁹", "mean absolute error", "worst group / 10⁹",
    ]  # fmt: skip
    assert large.values("mean_squared_error", "smote").tolist() == pytest.approx(
        [25 * value for value in findings.values("mean_squared_error", "smote")]
    )
    mean = runs[runs["strategy"] == "learn2mix"]["mean_squared_error"].mean() / 1e9
    printed = format_terminal(report)
    assert max(map(len, printed.splitlines())) < 80
    row = next(line for line in printed.splitlines() if line.startswith("learn2mix "))
    assert f" {mean:.1f} ± " in row or f" {mean:.2f} ± " in row
    assert f" {report.held_out['learn2mix'].mean() / 1e9:.1f} ± " in row
    assert large.difference("mean_squared_error", "learn2mix") in row
    assert json.loads(report.to_json())["runs"][0]["mean_squared_error"] > 1e10, "files have the values themselves"


def test_name_of_a_group_is_no_markup_in_the_page() -> None:
    findings = judged(made_up_runs(np.random.default_rng(11), {"focal": 0.1, "smote": -0.1}))
    report = reported(findings, focal=0.1)
    report = replace(report, protocol=replace(report.protocol, smallest=("<b>|[x](y)*", 7)), classes=("<i>", "b|"))
    page = format_markdown(report, "comparison.png")
    assert r"its smallest group (\<b\>\|\[x\]\(y\)\*) has 7" in page
    assert r"| \<i\> |" in page
    assert r"as b\| |" in page
    assert "its smallest group (<b>|[x](y)*) has 7" in " ".join(format_terminal(report).split())
