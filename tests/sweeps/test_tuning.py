"""Tuning with Optuna: what is proposed, what it is judged by, and what it comes to."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pandas as pd
import pytest
import yaml
from commands import Command, opened
from test_launchers import cluster  # noqa: F401
from test_sweep import begin, end

from l2m import compose, run
from l2m.config.user_folders import conf_dir
from l2m.sweeps.launchers import LAUNCHERS
from l2m.sweeps.tuning import Search

pytestmark = pytest.mark.extras

SEARCH = ("hydra/sweeper=optuna", "dataset=digits", "device=cpu", "threads=1", "epochs=2")
GAMMA = "strategy.mixing_rate=interval(0.01,0.5)"


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    pytest.importorskip("optuna")
    return opened(run, monkeypatch, capsys)


def test_options_of_the_yaml_are_those_of_the_search() -> None:
    options = yaml.safe_load((conf_dir() / "hydra" / "sweeper" / "optuna.yaml").read_text())
    assert (options.pop("_target_"), options.pop("params")) == ("hydra_plugins.l2m.Optuna", {})
    assert options == vars(Search())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((GAMMA,), "must not choose by the test set, which judges the choice: add validation_fraction=0.2"),
        (("validation_fraction=0.2",), "to choose, for example strategy.mixing_rate='interval(0.01,0.5)'"),
        ((GAMMA, "dataset=digits,mnist"), "chooses values for one data set"),
        ((GAMMA, "hydra.sweeper.n_trials=0"), "hydra.sweeper.n_trials=0 must be at least 1"),
        ((GAMMA, "hydra.sweeper.metric=accuracy"), "must be one of test_metric, worst_group, test_loss"),
        ((GAMMA, "hydra.sweeper.trials=3"), "(did you mean hydra.sweeper.n_trials?)"),
        (("strategy.mixing_rate=interval(0.5,0.1)",), "interval(0.5,0.1) cannot be searched"),
        (("strategy=classical", "validation_fraction=0.2", GAMMA), "strategy.mixing_rate is not an option"),
        (("validation_fraction=0.2", GAMMA, "seed=range(0)"), "seed=range(0) has no values"),
        (("validation_fraction=0.2", "strategy.mixing_rate=interval(2,3)"), "must be in [0, 1]"),
    ],
)
def test_an_invalid_search_is_refused(door: Command, tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    status, _, err = door("-m", *SEARCH, *words, f"results_dir={tmp_path}/outputs")
    assert status == 1
    assert message in err
    assert "Traceback" not in err
    assert not (tmp_path / "outputs").exists()


def test_the_best_trial_is_the_one_with_the_best_held_out_mean(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    (tmp_path / "mine" / "strategy").mkdir(parents=True)
    words = (
        "--config-dir=mine",
        "+experiment=tune",
        "validation_part=1",
        "epochs=2",
        "seed=range(2)",
        "hydra.sweeper.n_trials=3",
        "hydra.sweeper.n_jobs=2",
    )
    status, out, err = end(begin(tmp_path, *words))
    assert (status, err) == (0, "")
    trials = re.findall(r"^trial \d/3: strategy.mixing_rate=(\S+) learning_rate=(\S+): accuracy (\S+)$", out, re.M)
    assert len(trials) == 3
    found: dict[tuple[float, float], list[float]] = {}
    for file in tmp_path.glob("outputs/runs/digits/learn2mix/*/config.yaml"):
        config = yaml.safe_load(file.read_text())
        assert config["validation_fraction"] == 0.2
        values = (config["strategy"]["mixing_rate"], config["learning_rate"])
        found.setdefault(values, []).append(pd.read_csv(file.parent / "metrics.csv")["test_metric"].iloc[-1])
    assert {(float(gamma), float(rate)): float(f"{float(score):.4g}") for gamma, rate, score in trials} == {
        values: float(f"{sum(each) / 2:.4g}") for values, each in found.items()
    }
    assert all(0.01 <= gamma <= 0.5 and 0.0001 <= rate <= 0.01 for gamma, rate in found)
    command = shlex.split(out.splitlines()[-1].strip())
    assert command[:6] == ["python", "-m", "l2m.run", "-m", "--config-dir", "mine"]
    final = compose(*(word for word in command[6:] if word != "seed=range(2)"))
    assert (final.validation_fraction, final.epochs) == (0, 2)
    assert (final.strategy["mixing_rate"], final.learning_rate) == max(found, key=lambda each: sum(found[each]))
    status, again, _ = end(begin(tmp_path, *words))
    assert status == 0
    assert [line for line in again.splitlines() if line.startswith("trial")] == [
        line for line in out.splitlines() if line.startswith("trial")
    ]
    assert ": epoch" not in again, "what is done is skipped"


LAUNCHED = {
    "submitit_local": (),
    "submitit_slurm": (
        "hydra.launcher.setup=[module load cuda]",
        "hydra.launcher.additional_parameters={mail-type:END}",
    ),
    "ray": (),
}
"""The launchers, with options that are containers; the processes of this machine are the sweeps' above."""


def test_every_launcher_is_paired_with_the_search() -> None:
    assert sorted(LAUNCHED) == sorted(LAUNCHERS.names())


@pytest.mark.parametrize("launcher", LAUNCHED)
def test_search_is_planned_with_every_launcher(door: Command, tmp_path: Path, launcher: str) -> None:
    pytest.importorskip(LAUNCHERS[launcher].package)
    words = (GAMMA, "validation_fraction=0.2", f"results_dir={tmp_path}/outputs", "dry_run=true")
    status, out, err = door("-m", *SEARCH, *words, f"hydra/launcher={launcher}", *LAUNCHED[launcher])
    assert (status, err) == (0, "")
    assert "20 trials of 1 runs, 4 at a time" in out


@pytest.mark.long
@pytest.mark.parametrize("launcher", ["submitit_local", "ray"])
def test_search_trains_with_every_launcher(tmp_path: Path, launcher: str, request: pytest.FixtureRequest) -> None:
    """But Slurm, which the tests do not have: ``submitit_local`` runs the same jobs."""
    pytest.importorskip(LAUNCHERS[launcher].package)
    to = [f"hydra/launcher={launcher}"]
    if launcher == "ray":
        to.append(f"hydra.launcher.address={request.getfixturevalue('cluster')}")
    status, out, err = end(begin(tmp_path, *SEARCH, *to, GAMMA, "validation_fraction=0.2", "hydra.sweeper.n_trials=2"))
    assert (status, err) == (0, "")
    assert len(re.findall(r"^trial \d/2: strategy.mixing_rate=\S+: accuracy \S+$", out, re.M)) == 2
