"""Rows of a comparison without training of ours: moved thresholds, and scikit-learn's models."""

from __future__ import annotations

import json
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from commands import called, opened
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, balanced_accuracy_score

from l2m import compare, compose, predict
from l2m.comparison.advised import describe, read
from l2m.comparison.candidates import Candidate, Result, moved_thresholds
from l2m.comparison.opponents import Fitted
from l2m.comparison.thresholds import MOVED, by_prior, by_threshold, choose_threshold, moved_rows
from l2m.data import Split, load
from l2m.evaluation.decisions import decide
from l2m.training.results import SampleResults, label_results, sample_results
from l2m.training.scores import LABELS


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of two classes, one in eight rows ill, and a number to predict."""
    rng = np.random.default_rng(3)
    ill = np.arange(240) % 8 == 0
    frame = pd.DataFrame({"age": rng.normal(50 + 12 * ill, 10), "ward": rng.choice(list("abc"), 240)})
    frame["state"] = np.where(ill, "ill", "well")
    file = tmp_path_factory.mktemp("table") / "mine.csv"
    frame.to_csv(file, index=False)
    return file


def words(table: Path) -> list[str]:
    return [
        "dataset=csv",
        f"dataset.path={table}",
        "dataset.target=state",
        "batch_size=32",
        "epochs=20",
        "learning_rate=0.01",
    ]


@pytest.fixture(scope="module")
def compared(table: Path) -> Path:
    """A comparison of classical training with what needs no training of ours."""
    folder = table.parent / "outputs"
    rest = ["strategies=[classical]", "seeds=2", "held_out_parts=2", "choose=false", "workers=1"]
    called(compare, *words(table), *rest, f"results_dir={folder}")
    return next(folder.glob("comparisons/csv-*"))


def test_opponents_are_fitted_on_the_same_split_and_inputs(compared: Path, table: Path) -> None:
    runs = pd.read_csv(compared / "runs.csv").set_index(["strategy", "seed"])
    assert set(runs.index.unique("strategy")) == {
        *MOVED,
        *(f"{name}_balanced" for name in MOVED[1:]),
        *(f"{name}_by_{rule}" for name in MOVED for rule in ("prior", "threshold")),
    }
    whole = load(compose(*words(table)))
    train, test = whole.train, whole.test
    models = {
        "logistic_regression_balanced": LogisticRegression(class_weight="balanced", max_iter=1000),
        "boosted_trees": HistGradientBoostingClassifier(random_state=0),
    }
    for name, model in models.items():
        model.fit(train.inputs, train.targets)
        expected = balanced_accuracy_score(test.targets, model.predict(test.inputs))
        assert runs.loc[(name, 0), "balanced_accuracy"] == pytest.approx(expected)
        ill = model.predict_proba(test.inputs)[:, 0]
        precision = average_precision_score(test.targets == 0, ill)
        assert runs.loc[(name, 0), "pr_auc"] == pytest.approx(precision), "of the rarer class"
        assert runs.loc[(name, 0), "seconds"] > 0
    held_out = pd.read_csv(compared / "held_out.csv", index_col="part")
    data = load(compose(*words(table), "validation_fraction=0.2", "validation_part=1"))
    model = models["boosted_trees"].fit(data.train.inputs, data.train.targets)
    expected = balanced_accuracy_score(data.test.targets, model.predict(data.test.inputs))
    assert held_out.loc[1, "boosted_trees"] == pytest.approx(expected)


def test_a_moved_threshold_changes_decisions_but_not_probabilities(compared: Path) -> None:
    runs = pd.read_csv(compared / "runs.csv").set_index(["strategy", "seed"])
    same = ["roc_auc", "pr_auc", "brier", "log_loss", "calibration_error", "seconds"]
    for name in MOVED:
        for row in moved_rows(name):
            assert runs.loc[row][same].equals(runs.loc[name][same])
    confusion = json.loads((compared / "comparison.json").read_text())["confusion"]
    called_ill = {name: np.sum(matrix, axis=0)[0] for name, matrix in confusion.items()}
    assert called_ill["classical_by_prior"] > called_ill["classical"], "the rarer class is predicted more often"


def test_a_repetition_fits_nothing(compared: Path, table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = compared.parents[1]
    monkeypatch.setattr(LogisticRegression, "fit", None)
    monkeypatch.setattr(HistGradientBoostingClassifier, "fit", None)
    rest = ["strategies=[classical]", "seeds=2", "held_out_parts=2", "choose=false", "workers=1"]
    before = (compared / "runs.csv").read_text()
    called(compare, *words(table), *rest, f"results_dir={results}")
    assert (compared / "runs.csv").read_text() == before


def test_a_class_that_no_training_sample_has_gets_no_probability(tmp_path: Path, table: Path) -> None:
    data = load(compose(*words(table)))
    results, _ = Fitted(tmp_path).results("logistic_regression", {"C": 1.0}, 0, replace(data, classes=3), 1)
    assert results.probabilities.shape == (len(data.test), 3)
    assert results.probabilities[:, 2].max() < 1e-300
    assert np.isfinite(results.log_likelihood).all()


def test_boosted_trees_take_a_class_of_one_sample(tmp_path: Path, table: Path) -> None:
    data = load(compose(*words(table)))
    inputs = torch.randn(10_002, data.test.inputs.shape[1], generator=torch.Generator().manual_seed(0))
    targets = (torch.arange(10_002) > 0).long()
    large = replace(data, train=Split(inputs, targets, targets))
    setting = {"learning_rate": 0.1, "max_leaf_nodes": 7}
    results, _ = Fitted(tmp_path).results("boosted_trees", setting, 0, large, 1)
    assert np.isfinite(results.log_likelihood).all()


def test_a_strategy_may_have_any_name() -> None:
    run = "csv/draw_by_size/seed0-1234abcd"
    protocol = SimpleNamespace(rates={"draw_by_size": {"learning_rate": 0.1}}, shares=(0.5, 0.5))
    findings = SimpleNamespace(runs=pd.DataFrame({"strategy": ["draw_by_size"], "run": [run]}))
    advised = describe(SimpleNamespace(protocol=protocol, findings=findings), "draw_by_size")
    assert advised == {"run": run, "model": None, "setting": {}, "thresholds": ()}


def advise_instead(compared: Path, name: str) -> None:
    """Let the comparison's file advise another candidate, as the command would have written it."""
    file = compared / "comparison.json"
    content = json.loads(file.read_text())
    protocol = SimpleNamespace(rates=content["protocol"]["rates"], shares=content["protocol"]["shares"])
    findings = SimpleNamespace(runs=pd.read_csv(compared / "runs.csv"))
    content["advised"] = describe(SimpleNamespace(protocol=protocol, findings=findings), name)
    file.write_text(json.dumps(content))


def test_the_printed_command_predicts_new_samples(
    compared: Path,
    table: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    content = json.loads((compared / "comparison.json").read_text())
    assert content["usage"] in (compared / "comparison.md").read_text()
    program, command, *arguments = shlex.split(content["usage"])
    assert (program, command) == ("l2m", "predict")
    monkeypatch.chdir(tmp_path)
    run = opened(predict, monkeypatch, capsys)
    rows = pd.read_csv(table)
    rows.to_csv("new.csv", index=False)
    outputs = shutil.copytree(compared.parents[1], tmp_path / "outputs")
    copied = outputs / "comparisons" / compared.name
    arguments[0] = f"run={copied}"
    assert run(*arguments).status == 0
    assert len(pd.read_csv("predictions.csv")) == len(rows)

    advise_instead(copied, "logistic_regression_by_threshold")
    result = run(*arguments, "force=true")
    assert "scored by scikit-learn's logistic_regression, fitted on the data of" in result.out
    frame = pd.read_csv("predictions.csv")
    data = load(compose(*words(table)))
    model = LogisticRegression(max_iter=1000).fit(data.train.inputs, data.train.targets)
    threshold = content["protocol"]["rates"]["logistic_regression_by_threshold"]["threshold"]
    is_well = frame["probability well"] >= threshold
    assert frame["predicted"].tolist() == np.where(is_well, "well", "ill").tolist()
    known = np.concatenate([model.predict_proba(part.inputs)[:, 1] for part in (data.train, data.test)])
    assert np.sort(frame["probability well"]) == pytest.approx(np.sort(known)), "the file has the rows of both parts"

    assert run(*arguments, "force=true", "threshold=0.9999").status == 0
    assert (pd.read_csv("predictions.csv")["predicted"] == "ill").all(), "one's own threshold replaces the advised one"
    run(*arguments, "force=true", "priors=ill:0.5,well:0.5", "threshold=0.5")
    shares = np.bincount(data.train.targets) / len(data.train)
    before, after = (odds(each["probability well"]) for each in (frame, pd.read_csv("predictions.csv")))
    assert (after / before).to_numpy() == pytest.approx(np.full(len(rows), shares[0] / shares[1]), rel=1e-3)
    text = table.read_text()
    table.write_text(text.replace("ill", "well", 1))
    result = run(*arguments, "force=true")
    assert result.status == 1
    assert "have changed since the comparison: put the old ones back, or repeat its command" in result.err
    table.write_text(text)
    result = run(*arguments, "force=true", "onnx=model.onnx")
    assert result.status == 1
    assert "onnx=model.onnx cannot export logistic_regression of scikit-learn" in result.err

    advise_instead(copied, "classical_by_prior")
    advised = read(copied)
    assert advised
    assert advised.thresholds == (0.125, 0.875), "the classes' shares of the training set"
    result = run(*arguments, "force=true")
    assert "classical/seed" in result.out
    frame = pd.read_csv("predictions.csv")
    assert frame["predicted"].tolist() == np.where(frame["probability well"] > 0.875, "well", "ill").tolist()

    shutil.copytree(copied, tmp_path / "away")
    result = run("run=away", *arguments[1:], "force=true")
    assert result.status == 1
    assert "is not there: put the comparison back beside its runs, or repeat its command" in result.err
    (tmp_path / "disk").mkdir()
    copied.parent.rename(tmp_path / "disk" / "comparisons")
    copied.parent.symlink_to(tmp_path / "disk" / "comparisons")
    assert read(copied) == advised

    (copied / "comparison.json").write_text("{")
    result = run(*arguments, "force=true")
    assert "comparison.json cannot be read" in result.err


def odds(values: pd.Series[float]) -> pd.Series[float]:
    return values / (1 - values)


# Thresholds


def made_up(seed: int = 0, size: int = 400) -> SampleResults:
    """A classifier of two classes, the second one in ten, that is too sure of the first."""
    rng = np.random.default_rng(seed)
    targets = (rng.random(size) < 0.1).astype(int)
    logits = np.stack([np.zeros(size), rng.normal(2.0 * targets - 4, 1)], 1)
    return label_results(logits, targets, targets, np.array([0.9, 0.1]))


def test_the_prior_divides_the_probabilities() -> None:
    results = made_up()
    expected = results.probabilities[:, 1] / 0.1 > results.probabilities[:, 0] / 0.9
    assert by_prior(results).labels.tolist() == expected.astype(int).tolist()


def test_the_chosen_threshold_is_the_best_one_on_all_parts_together() -> None:
    parts, score = [made_up(seed) for seed in range(3)], LABELS["balanced_accuracy"]
    threshold = choose_threshold(score, parts)

    def together(at: float) -> float:
        targets = np.concatenate([part.targets for part in parts])
        return balanced_accuracy_score(targets, np.concatenate([by_threshold(part, at).labels for part in parts]))

    finer = np.linspace(0, 1, 2001)
    assert together(threshold) >= max(map(together, finer)) - 0.01
    assert together(threshold) > together(0.5) + 0.1


def test_a_rare_class_has_thresholds_of_its_own() -> None:
    """At 1 in 1000 all of it lies above the last step but one of 200."""
    rng, size = np.random.default_rng(0), 20_000
    targets = (np.arange(size) % 1000 == 0).astype(int)
    logits = np.stack([np.zeros(size), rng.normal(9.0 * targets - 7, 1)], 1)
    part = label_results(logits, targets, targets, np.array([0.999, 0.001]))
    for name in ("macro_f1", "mcc"):
        threshold = choose_threshold(LABELS[name], [part])
        best = max(LABELS[name].of(by_threshold(part, at)) for at in np.linspace(0.01, 0.99, 99))
        assert LABELS[name].of(by_threshold(part, threshold)) >= best


def test_a_threshold_that_certain_predictions_reach_decides_as_it_was_scored() -> None:
    rng = np.random.default_rng(0)
    targets = (np.arange(100) < 30).astype(int)
    logits = np.where(rng.random(100) < 0.9, 40, 20) * np.where(targets, 1, np.where(rng.random(100) < 0.3, 0.5, -1))
    part = label_results(np.stack([0 * logits, logits], 1), targets, targets, np.array([0.7, 0.3]))
    assert (part.probabilities[:, 1] == 1).any()
    threshold = choose_threshold(LABELS["balanced_accuracy"], [part, part])
    assert 0 < threshold < 1
    scored = by_threshold(part, threshold).labels
    decision = decide(("no", "yes"), lambda: np.ones(2), (1 - threshold, threshold), None, None)
    assert (part.probabilities * decision.preference).argmax(1).tolist() == scored.tolist()
    assert 0 < scored.mean() < 1


def test_a_held_out_part_has_no_say_in_its_own_threshold() -> None:
    parts, score = [made_up(seed) for seed in range(3)], LABELS["balanced_accuracy"]
    classical = Candidate({}, 1, lambda part: Result(parts[part], {}), lambda seed: Result(made_up(9), {}))
    moved = moved_thresholds("classical", classical, score, 3, 2)["classical_by_threshold"]
    own = choose_threshold(score, [parts[1], parts[2]])
    assert moved.held_out(0).samples.labels.tolist() == by_threshold(parts[0], own).labels.tolist()
    threshold = choose_threshold(score, parts)
    assert moved.rates == {"threshold": threshold}
    assert moved.tested(0).samples.labels.tolist() == by_threshold(made_up(9), threshold).labels.tolist()


def test_a_sample_in_two_parts_has_no_say_in_the_threshold_of_either() -> None:
    score = LABELS["balanced_accuracy"]
    same, other = (replace(made_up(n), numbers=np.arange(400) + 400 * n) for n in range(2))

    def scored(*parts: SampleResults) -> list[int]:
        classical = Candidate({}, 1, lambda part: Result(parts[part], {}), lambda seed: Result(other, {}))
        moved = moved_thresholds("classical", classical, score, len(parts), 2)["classical_by_threshold"]
        return moved.held_out(0).samples.labels.tolist()

    assert scored(same, same, other) == by_threshold(same, choose_threshold(score, [other])).labels.tolist()
    assert scored(same, same) == by_threshold(same, 0.5).labels.tolist(), "no other sample is left"


def test_held_out_samples_are_known_by_their_places_in_the_training_set(table: Path) -> None:
    """Of 24 training samples that are ill five are held out, so that the fifth part has one of the first again."""
    whole = load(compose(*words(table))).train
    parts = [load(compose(*words(table), "validation_fraction=0.2", f"validation_part={n}")) for n in (0, 4)]
    numbers = [sample_results(torch.zeros(len(part.test), 2), part).numbers for part in parts]
    for part, places in zip(parts, numbers, strict=True):
        assert part.test.targets.equal(whole.targets[torch.from_numpy(places)])
    assert (whole.targets[np.intersect1d(*numbers)] == 0).sum() == 1
