"""A comparison on several splits: what it trains, and that its intervals cover the split."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import opened
from scipy import stats

from l2m import UserError, compare
from l2m.report.statistics import half_width, paired_p


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of two classes, one in four rows ill."""
    rng = np.random.default_rng(5)
    ill = np.arange(200) % 4 == 0
    file = tmp_path_factory.mktemp("splits") / "mine.csv"
    pd.DataFrame({"age": rng.normal(50 + 9 * ill, 10), "state": np.where(ill, "ill", "well")}).to_csv(file, index=False)
    return file


def words(table: Path, *more: str) -> list[str]:
    return [
        "dataset=csv", f"dataset.path={table}", "dataset.target=state", "batch_size=20", "epochs=1", "seeds=2",
        "held_out_parts=2", "choose=false", "workers=1", "strategies=[balanced]",
        "opponents=[logistic_regression,logistic_regression_balanced]", f"results_dir={table.parent}", *more,
    ]  # fmt: skip


def test_the_interval_covers_the_split(
    table: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = " ".join(opened(compare, monkeypatch, capsys)(*words(table, "splits=3")).out.split())
    paths = list(table.parent.glob("comparisons/csv-*"))
    protocols = {path: json.loads((path / "comparison.json").read_text())["protocol"] for path in paths}
    folders = {protocol["data_seed"]: path for path, protocol in protocols.items() if not protocol["advised"]}
    assert sorted(folders) == [42, 43, 44]
    (whole,) = set(paths) - set(folders.values())
    data = json.loads((whole / "comparison.json").read_text())
    assert [len(values) for values in data["held_out"].values()] == [3 * 2] * 4
    alone = {seed: pd.read_csv(path / "runs.csv") for seed, path in folders.items()}
    means = pd.DataFrame({seed: runs.groupby("strategy")["balanced_accuracy"].mean() for seed, runs in alone.items()})
    difference = means.loc["logistic_regression_balanced"] - means.loc["classical"]
    rows = pd.read_csv(whole / "comparison.csv", index_col=["strategy", "score"])
    row = rows.loc[("logistic_regression_balanced", "balanced_accuracy")]
    error = difference.std(ddof=1) * np.sqrt(1 / 3 + 40 / 160)
    assert row["minus_classical"] == pytest.approx(difference.mean())
    assert row["interval_half_width"] == pytest.approx(stats.t.ppf(1 - 0.025 / 3, 2) * error)
    advised = data["protocol"]["advised"]
    own = np.mean([means.loc[name, seed] for name, seed in zip(advised, sorted(folders), strict=True)])
    assert f"with a mean of {100 * own:.1f} % on its own test part" in printed
    assert "It covers the split, and is widened because training sets overlap" in printed
    assert (
        "bootstrap" not in printed.partition("Use ")[2].partition("mine.csv, target state: balanced accuracy, in %")[0]
    )
    assert (whole / "comparison.md").read_text().startswith("# Strategies on mine.csv, target state\n")
    assert "<h1>Strategies on mine.csv, target state</h1>" in (whole / "comparison.html").read_text()


def test_the_correction_is_that_of_nadeau_and_bengio() -> None:
    values = pd.Series(np.random.default_rng(0).normal(1, 1, 10))
    t = values.mean() / (values.std(ddof=1) * np.sqrt(1 / 10 + 0.25))
    assert paired_p(values, 0 * values, 0.25) == pytest.approx(2 * stats.t.sf(t, 9))
    assert half_width(values, overlap=0.25) == pytest.approx(half_width(values) * np.sqrt(1 + 10 * 0.25))


def test_splits_without_a_drawn_test_part_are_refused(table: Path) -> None:
    with pytest.raises(UserError, match="splits=2 needs a test part that data_seed draws, and that of csv is always"):
        compare(pd.read_csv(table), "state", splits=2, results_dir=str(table.parent / "fixed"),
                **{"dataset.test_path": str(table)})  # fmt: skip
    thinned = {"imbalance": "step", "imbalance.groups": [0], "imbalance.factor": 0.5}
    with pytest.raises(UserError, match="splits=2 needs a test part that data_seed draws, and that of csv is always"):
        compare(pd.read_csv(table), "state", splits=2, results_dir=str(table.parent / "thinned"),
                **{"dataset.test_path": str(table)}, **thinned)  # fmt: skip
