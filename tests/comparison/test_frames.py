"""``l2m.compare`` as a function of a DataFrame."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import l2m
from l2m import UserError

FRAME = pd.DataFrame(
    {"dose, mg": np.arange(80) % 7, "ward": list("ab") * 40, "state": ["ill", "well", "well", "well"] * 20}
)


def test_a_comparison_of_a_frame_returns_its_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = {"strategies": ["balanced"], "opponents": ["logistic_regression"], "metric": "pr_auc", "choose": False}
    report = l2m.compare(
        FRAME, "state", seeds=2, held_out_parts=2, epochs=1, batch_size=20, workers=1, results_dir=str(tmp_path),
        **{"dataset.categorical": ["dose, mg"]}, **options,
    )  # fmt: skip
    assert set(report.held_out) == {"classical", "balanced", "logistic_regression"}
    assert report.recommended in report.held_out
    assert report.findings.metric == "pr_auc"
    assert report.by_class("balanced")["samples"].to_dict() == {"ill": 4, "well": 12}
    assert "training each strategy" in capsys.readouterr().out, "the report itself is not printed"
    assert str(report).startswith(f"Use {report.recommended}")
    assert json.loads((report.path / "comparison.json").read_text())["advice"]["name"] == report.recommended
    model = l2m.load(next(tmp_path.glob("runs/csv/balanced/*")))
    assert pd.read_parquet(model.config.dataset["path"]).equals(FRAME.astype("str"))


def test_any_names_texts_and_types_are_taken(tmp_path: Path) -> None:
    """A class called None, columns with numbers or signs for names, a last row that looks like a footer."""
    labels = ["None", "NA", "ill", "ill"] * 20
    name = 'a\\"${seed}\\'
    frame = pd.DataFrame({0: ["a"] * 79 + ["Average"], name: np.arange(80.0), 2: labels}).astype({0: object})
    frame.iloc[79, 1] = np.nan
    report = l2m.compare(
        frame, 2, seeds=np.int64(2), held_out_parts=2, epochs=1, batch_size=20, workers=1, choose=False,
        strategies=["balanced"], opponents=[], results_dir=tmp_path, learning_rate=np.float64(0.01),
        **{"dataset.categorical": [name]},
    )  # fmt: skip
    assert report.by_class("balanced")["samples"].to_dict() == {"NA": 4, "None": 4, "ill": 8}
    model = l2m.load(next(tmp_path.glob("runs/csv/balanced/*")))
    assert model.config.dataset["categorical"] == (name,)


@pytest.mark.parametrize(
    ("frame", "target", "options", "message"),
    [
        (FRAME.to_numpy(), "state", {}, "frame is a ndarray: it must be a pandas DataFrame"),
        (FRAME, "stat", {}, "the DataFrame has no column stat .did you mean state..: choose target from"),
        (pd.DataFrame([[1, 2]], columns=[1, "1"]), 1, {}, "the DataFrame has two columns 1: rename one of them"),
        (FRAME, "state", {"metric": "auc"}, "metric=auc must be one of"),
        (FRAME, "state", {"strategies": "balanced"}, "strategies=balanced must be a list"),
        (FRAME, "state", {"sedes": 3}, "sedes"),
        (FRAME, "state", {"dry_run": True, "choose": False}, "dry_run=True has no report to return: drop it, or use"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    frame: object,
    target: str,
    options: dict[str, object],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        l2m.compare(frame, target, **options)


def test_the_command_and_the_function_are_one_module() -> None:
    from l2m import compare

    assert compare is l2m.compare
    assert callable(compare.main)
