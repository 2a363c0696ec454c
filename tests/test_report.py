"""Reports, from records made up by the test: the numbers are known beforehand."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from scipy import stats

from l2m.errors import UserError
from l2m.report import runs, statistics, summary

EPOCHS = 8
CLASSICAL, LEARN2MIX = [0.70, 0.72, 0.74], [0.75, 0.78, 0.78]


def write(folder: Path, strategy: str, seed: int, final: float, status: str = "done", **options: object) -> None:
    """A run whose accuracy climbs in equal steps to ``final``, and whose two groups lie 0.1 either side of it."""
    directory = folder / "runs" / "toy" / strategy / f"seed{seed}-{abs(hash(str(options))):x}"
    directory.mkdir(parents=True)
    epochs = range(1, EPOCHS + 1)
    accuracy = [final * epoch / EPOCHS for epoch in epochs]
    frame = {"epoch": epochs, "test_metric": accuracy, "worst_group": [a - 0.1 for a in accuracy]}
    pd.DataFrame(frame).to_csv(directory / "metrics.csv", index=False)
    rows = [(epoch, group, name, 0.5) for epoch in epochs for group, name in enumerate(("rare", "common"))]
    pd.DataFrame(rows, columns=["epoch", "group", "name", "proportion"]).to_csv(directory / "groups.csv", index=False)
    config = {
        "dataset": {"name": "toy", "task": "classification"},
        "imbalance": {"name": "none"},
        "model": {"name": "mlp"},
        "strategy": {"name": strategy, **options},
        "optimizer": {"name": "adam"},
        "data_seed": 42,
        "seed": seed,
        "epochs": EPOCHS,
        "batch_size": 10,
        "learning_rate": 0.1,
        "precision": "fp32",
    }
    (directory / "config.yaml").write_text(yaml.safe_dump(config))
    (directory / "run.json").write_text(json.dumps({"status": status}))


@pytest.fixture
def results(tmp_path: Path) -> Path:
    for seed, (ours, theirs) in enumerate(zip(LEARN2MIX, CLASSICAL, strict=True)):
        write(tmp_path, "classical", seed, theirs, batches="shuffled")
        write(tmp_path, "learn2mix", seed, ours, mixing_rate=0.1)
    return tmp_path


def test_runs_are_put_together_by_configuration(results: Path) -> None:
    write(results, "learn2mix", 0, 0.5, mixing_rate=0.3)
    write(results, "learn2mix", 7, 0.9, status="failed", mixing_rate=0.1)
    found = {run.label: run for run in runs.read(results)}
    assert set(found) == {"classical", "learn2mix mixing_rate=0.1", "learn2mix mixing_rate=0.3"}
    assert list(found["learn2mix mixing_rate=0.1"].metrics) == [0, 1, 2]  # the failed run is left out


def test_checkpoints_are_the_papers(results: Path) -> None:
    classical = runs.read(results)[0]
    assert classical.at(0.25).tolist() == pytest.approx([value * 2 / EPOCHS for value in CLASSICAL])
    assert classical.at(1.0).tolist() == pytest.approx(CLASSICAL)


def test_table_shows_mean_deviation_and_paired_difference(results: Path) -> None:
    (rows,) = summary.rows(runs.read(results)).values()
    by_label = {row[0]: row for row in rows}
    assert by_label["classical"] == ["classical", "3", "18.0 ± 0.5", "36.0 ± 1.0", "72.0 ± 2.0", "62.0 ± 2.0", ""]
    interval = stats.ttest_1samp([0.05, 0.06, 0.04], 0).confidence_interval(0.95)
    half = 100 * (interval.high - interval.low) / 2
    assert by_label["learn2mix"][-1] == f"+5.0 ± {half:.1f}"


def test_paired_uses_only_common_seeds() -> None:
    ours, theirs = pd.Series({0: 1.0, 1: 2.0, 2: 4.0}), pd.Series({1: 1.0, 2: 2.0, 3: 9.0})
    mean, half, n = statistics.paired(ours, theirs)
    assert (mean, n) == (1.5, 2)
    assert half == pytest.approx(stats.t.ppf(0.975, 1) * math.sqrt(0.5) / math.sqrt(2))


def test_one_seed_has_no_interval() -> None:
    mean, half, n = statistics.paired(pd.Series({0: 2.0}), pd.Series({0: 1.0}))
    assert (mean, n) == (1.0, 1)
    assert math.isnan(half)


def test_damaged_record_is_named(results: Path) -> None:
    broken = next(results.glob("runs/toy/classical/*/run.json"))
    broken.write_text("{")
    with pytest.raises(UserError, match=str(broken.parent)):
        runs.read(results)


def test_script_prints_and_draws_and_fills_the_readme(results: Path, tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- results: written by scripts/summary.py -->\nold\n<!-- end of results -->\nafter\n")
    script = Path(__file__).parents[1] / "scripts" / "summary.py"
    command = [sys.executable, str(script), str(results), "--readme", str(readme)]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "72.0 ± 2.0" in told.stdout
    assert max(map(len, told.stdout.splitlines()[:-1])) <= 80
    assert (results / "summary.png").read_bytes().startswith(b"\x89PNG")
    text = readme.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "| toy: test accuracy in % | classical | 3 |" in text


def test_script_without_records_says_so(tmp_path: Path) -> None:
    script = Path(__file__).parents[1] / "scripts" / "summary.py"
    told = subprocess.run([sys.executable, str(script), str(tmp_path)], capture_output=True, text=True)
    assert told.returncode == 1
    assert told.stderr.startswith("error: ")
    assert "Traceback" not in told.stderr


def test_baseline_is_classical_with_all_else_equal(results: Path) -> None:
    """Shuffled and stratified classical stand side by side; other epochs are compared with nothing."""
    write(results, "classical", 0, 0.8, batches="stratified")
    table = {row[0]: row[-1] for rows in summary.rows(runs.read(results)).values() for row in rows}
    assert table["classical batches=shuffled"] == ""
    assert table["classical batches=stratified"] == "+10.0"
    assert table["learn2mix"].startswith("+5.0 ± ")
    for file in results.glob("runs/toy/learn2mix/*/config.yaml"):
        file.write_text(file.read_text().replace(f"epochs: {EPOCHS}", f"epochs: {EPOCHS // 2}"))
    table = {row[0]: row[-1] for rows in summary.rows(runs.read(results)).values() for row in rows}
    assert table[f"learn2mix epochs={EPOCHS // 2}"] == ""


def test_records_older_than_an_option_stay_with_theirs(results: Path) -> None:
    older = next(results.glob("runs/toy/classical/seed0-*/config.yaml"))
    older.write_text(older.read_text().replace("  batches: shuffled\n", ""))
    assert "batches" not in older.read_text()
    classical = runs.read(results)[0]
    assert (classical.label, list(classical.metrics)) == ("classical", [0, 1, 2])


@pytest.mark.parametrize("name", ["metrics.csv", "groups.csv", "config.yaml"])
def test_a_record_that_lost_a_file_is_named(results: Path, name: str) -> None:
    lost = next(results.glob(f"runs/toy/learn2mix/*/{name}"))
    lost.unlink()
    with pytest.raises(UserError, match=str(lost.parent)):
        runs.read(results)


def test_a_choice_that_differs_is_named_and_its_options_are_not_repeated(results: Path) -> None:
    for file in results.glob("runs/toy/learn2mix/*/config.yaml"):
        config = yaml.safe_load(file.read_text())
        file.write_text(yaml.safe_dump(config | {"imbalance": {"name": "step", "groups": [0], "factor": 0.1}}))
    assert [run.label for run in runs.read(results)] == ["classical imbalance=none", "learn2mix imbalance=step"]


def test_a_folder_beside_the_right_one_is_told(results: Path) -> None:
    above = results / "above"
    write(above / "mine", "classical", 0, 0.5)
    for wrong, right in ((results / "runs", results), (above, above / "mine")):
        with pytest.raises(UserError, match=f"name {right}, which does"):
            runs.read(wrong)
