"""How far a comparison's advice is from usual opponents: the summary of what was measured."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import advice

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "results" / "advice"


def test_the_best_opponent_is_of_all_parts_and_the_chosen_one_of_each() -> None:
    names = ["classical", *advice.USUAL]
    tested = {42: (50, 70, 72, 60, 60), 43: (50, 80, 70, 60, 60)}
    held_out = {42: (50, 70, 71, 60, 60), 43: (50, 80, 81, 60, 60)}
    rows = pd.DataFrame([
        {"table": "made up", "data_seed": seed, "candidate": name, "balanced_accuracy": score, "held_out": held,
         "advised": name == advice.USUAL[0]}
        for seed, scores in tested.items()
        for name, score, held in zip(names, scores, held_out[seed], strict=True)
    ])  # fmt: skip
    (line,) = advice.summarize(rows).to_dict("records")
    assert (line["advised"], line["best usual"], line["score"], line["classical"]) == (
        advice.USUAL[0], advice.USUAL[0], 75, 50
    )  # fmt: skip
    assert (line["ahead of the best"], line["se, best"]) == (0, 0)
    assert line["ahead of the chosen"] == pytest.approx((70 - 72 + 80 - 70) / 2)
    assert line["se, chosen"] == pytest.approx(6)


def test_the_docs_have_the_numbers_of_the_records() -> None:
    rows, summary = (pd.read_csv(FOLDER / f"{name}.csv") for name in ("candidates", "summary"))
    text = " ".join((ROOT / "docs" / "compare.md").read_text().split())
    below = -summary.set_index("table")["ahead of the best"]
    assert (
        f"on average {below.mean():.1f} points of balanced accuracy below the best of the four usual opponents" in text
    )
    assert f"At worst it was {below.max():.1f} points below ({below.idxmax()})" in text
    assert f"It was {summary['ahead of the chosen'].mean():.1f} points above the opponent" in text
    scores = rows.pivot(index=["table", "data_seed"], columns="candidate", values="balanced_accuracy")
    advised = rows[rows["advised"]].set_index(["table", "data_seed"])["balanced_accuracy"]
    for name, words in {
        "balanced": "balanced batches are {:.1f} points below the advice",
        "classical_by_prior": "moved by the prior {:.1f}, ",
        "learn2mix": "learn2mix {:.1f}, ",
        "logistic_regression_balanced": "balanced logistic regression {:.1f}, ",
        "classical": "and classical training {:.1f}.",
    }.items():
        assert words.format((advised - scores[name]).mean()) in text


def test_the_summary_is_of_the_recorded_candidates() -> None:
    rows, summary = (pd.read_csv(FOLDER / f"{name}.csv") for name in ("candidates", "summary"))
    pd.testing.assert_frame_equal(advice.summarize(rows), summary)
    assert list(summary["table"]) == sorted(advice.TABLES)
    assert rows.groupby("table")["data_seed"].nunique().tolist() == [len(advice.SEEDS)] * len(advice.TABLES)
    assert (rows.groupby(["table", "data_seed"])["advised"].sum() == 1).all()
