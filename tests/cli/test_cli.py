"""The door as a person uses it: what is printed, what is written, and with which exit status it ends."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
import torch
from commands import Command, Outcome, opened

from l2m import RunConfig, UserError, run
from l2m.catalog import registries
from l2m.cli.help import Help
from l2m.config.choices import GROUPS
from l2m.config.user_folders import conf_dir

QUICK = ("epochs=1", "dataset.train_sizes=[40,30,20,10]", "dataset.test_size=5", "batch_size=20")
"""A run of Mean Estimation of five steps."""


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """``python -m l2m.run`` in this process, in an empty folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("L2M_DATA_DIR", raising=False)
    return opened(run, monkeypatch, capsys)


def process(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """``python -m l2m.run`` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "l2m.run", *arguments],
        cwd=folder,
        env=os.environ | {"HYDRA_FULL_ERROR": "0"} | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def written(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def assert_refused(result: Outcome, folder: Path, *fragments: str, lines: int = 1) -> None:
    """Exit status 1, a line for each problem, no traceback, and nothing written."""
    assert result.status == 1
    problems = result.err.splitlines()
    assert len(problems) == lines, result.err
    assert all(line.startswith("error: ") for line in problems)
    assert "Traceback" not in result.err + result.out
    for fragment in fragments:
        assert fragment in result.err
    assert list(folder.iterdir()) == []


# Bad input


@pytest.mark.parametrize(
    ("group", "wrong", "near"),
    [
        ("dataset", "mnits", "mnist"),
        ("strategy", "learn3mix", "learn2mix"),
        ("model", "lenet", "lenet5"),
        ("imbalance", "stp", "step"),
        ("optimizer", "adm", "adam"),
    ],
)
def test_unknown_choice_lists_the_choices_most_like_it(
    door: Command, tmp_path: Path, group: str, wrong: str, near: str
) -> None:
    names = [file.stem for file in (conf_dir() / group).glob("*.yaml")]
    listed = [near, f"and {len(names) - 8} more, which --help lists"] if len(names) > 8 else names
    assert_refused(door(f"{group}={wrong}"), tmp_path, f"{group}={wrong}", f"did you mean {near}?", *listed)


@pytest.mark.parametrize("key", ["sede=1", "+sede=1"])
def test_unknown_key_lists_the_keys_most_like_it(door: Command, tmp_path: Path, key: str) -> None:
    assert_refused(door(key), tmp_path, "sede", "did you mean seed?", "data_seed", "more, which --help lists")


@pytest.mark.parametrize("key", ["strategy.mixrate=1", "+strategy.mixrate=1"])
def test_unknown_option_lists_the_options(door: Command, tmp_path: Path, key: str) -> None:
    assert_refused(door(key), tmp_path, "strategy.mixrate is not an option", "mixing_rate", "cadence")


def test_an_option_like_another_lists_those_that_have_it(door: Command, tmp_path: Path) -> None:
    result = door("dataset=hugging_face", "dataset.tst_split=train")
    assert_refused(result, tmp_path, "did you mean dataset.test_split?): dataset=hugging_face has augmentation, ")
    assert "mnist" not in result.err


def test_the_error_for_a_path_with_signs_gives_the_quotes_it_needs(door: Command, tmp_path: Path) -> None:
    assert_refused(door("dataset=image_folder", "dataset.path=photos (1)"), tmp_path, "as 'key=\"a, b (c)\"'")


def test_an_option_without_its_group_is_sent_home(door: Command, tmp_path: Path) -> None:
    assert_refused(door("mixing_rate=0.2"), tmp_path, "mixing_rate is not a key by itself", "strategy.mixing_rate=")


@pytest.mark.parametrize("word", ["--seed=1", "--dry_run", "-x"])
def test_the_error_for_a_key_with_dashes_says_how_keys_are_written(door: Command, tmp_path: Path, word: str) -> None:
    assert_refused(door(word), tmp_path, f"{word} is not known", "KEY=VALUE, without dashes")


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        (["seed=-1"], "seed=-1 must be in [0, 2147483647]"),
        (["seed=2147483648"], "must be in [0, 2147483647]"),
        (["seed=null"], "must be a whole number"),
        (["seed=true"], "must be a whole number"),
        (["epochs=0"], "epochs=0 must be at least 1"),
        (["epochs=1.5"], "epochs=1.5 must be a whole number"),
        (["epochs="], "epochs= must be a whole number"),
        (["epochs=ten"], "epochs=ten must be a whole number"),
        (["batch_size=0"], "batch_size=0 must be at least 1"),
        (["learning_rate=0"], "learning_rate=0 must be above 0"),
        (["learning_rate=-1"], "learning_rate=-1 must be above 0"),
        (["learning_rate=nan"], "learning_rate=nan must be a finite number"),
        (["learning_rate=inf"], "learning_rate=inf must be a finite number"),
        (["learning_rate=fast"], "learning_rate=fast must be a finite number"),
        (["strategy.mixing_rate=1.5"], "strategy.mixing_rate=1.5 must be in [0, 1]"),
        (["strategy.cadence=sometimes"], "must be one of epoch_mean, epoch_last, batch"),
        (["precision=fp8"], "precision=fp8 must be one of fp32, tf32, bf16"),
        (["device=tpu"], "device=tpu must be one of auto, cpu, cuda, cuda:N"),
        (["threads=0"], "threads=0 must be in [1, 1024]"),
        (["force=maybe"], "force=maybe must be true or false"),
        (["data_dir="], "data_dir= must be text"),
        (["results_dir="], "results_dir= must be text"),
        (["model.hidden=-1"], "model.hidden=-1 must be in [0, 65536]"),
        (["optimizer.epsilon=0"], "optimizer.epsilon=0 must be above 0"),
        (["imbalance=step", "imbalance.groups=0", "imbalance.factor=0.5"], "must be a list, like [0,1]"),
        (["imbalance=step", "imbalance.groups=[0]", "imbalance.factor=0"], "must be in (0, 1]"),
        (["imbalance=step", "imbalance.groups=[4]", "imbalance.factor=0.5"], "groups are 0 to 3"),
        (["batch_size=2", "dataset.train_sizes=[1,2]"], "must have 4 numbers"),
        (["dataset.task=classification"], "dataset.task=classification must be one of regression"),
    ],
)
def test_value_against_its_rule(door: Command, tmp_path: Path, arguments: list[str], rule: str) -> None:
    assert_refused(door(*arguments), tmp_path, rule, arguments[-1].split("=")[0].lstrip("+").split(".")[0])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_cuda_without_a_gpu(door: Command, tmp_path: Path) -> None:
    assert_refused(door("device=cuda"), tmp_path, "device=cuda", "device=cpu")


def test_batch_larger_than_the_training_set(door: Command, tmp_path: Path) -> None:
    assert_refused(door("batch_size=3001"), tmp_path, "batch_size=3001", "3000 samples")


@pytest.mark.parametrize("dataset", ["mnist", "wine_quality"])
def test_data_dir_that_is_not_there(door: Command, tmp_path: Path, dataset: str) -> None:
    assert_refused(
        door(f"dataset={dataset}", "data_dir=nowhere"), tmp_path, "nowhere", "data_dir=", "the download failed"
    )


def test_strategy_for_another_task(door: Command, tmp_path: Path) -> None:
    result = door("strategy=smote")
    assert_refused(result, tmp_path, "strategy=smote", "regression", "dataset=mean_estimation", "classification")


def test_model_for_other_inputs(door: Command, tiny_data: Path, tmp_path: Path) -> None:
    result = door("dataset=wine_quality", "model=lenet5", "batch_size=10", f"data_dir={tiny_data}")
    assert_refused(result, tmp_path, "model=lenet5", "images", "model=mlp")
    result = door("dataset=wine_quality", "model=autoencoder", "batch_size=10", f"data_dir={tiny_data}")
    assert_refused(result, tmp_path, "model=autoencoder", "reconstruction", "another model")


def test_several_values_for_one_run(door: Command, tmp_path: Path) -> None:
    assert_refused(door("strategy=classical,learn2mix"), tmp_path, "strategy", "add -m")


def test_values_that_a_choice_needs(door: Command, tmp_path: Path) -> None:
    result = door("imbalance=step")
    assert_refused(result, tmp_path, "imbalance.groups has no value", "imbalance.factor has no value", lines=2)


@pytest.mark.parametrize("garbage", ["seed=[", "seed=${epochs", "seed", "=", "seed=1 2]"])
def test_garbage(door: Command, tmp_path: Path, garbage: str) -> None:
    result = door(garbage)
    assert_refused(result, tmp_path)
    assert len(result.err) < 300


def test_a_line_for_every_problem(door: Command, tmp_path: Path) -> None:
    result = door("seed=-1", "epochs=0", "strategy.mixing_rate=2")
    assert_refused(result, tmp_path, "seed=-1", "epochs=0", "strategy.mixing_rate=2", lines=3)


@pytest.mark.skipif(sys.platform != "linux", reason="where nobody may write, not even root")
def test_results_dir_that_cannot_be_written(door: Command, tmp_path: Path) -> None:
    result = door(*QUICK, "results_dir=/proc/nowhere")
    assert_refused(result, tmp_path, "/proc/nowhere", "results_dir")
    assert "epoch 1/1" not in result.out, "reported before training"


# Runs


def test_a_run_prints_where_its_records_are(door: Command, tmp_path: Path) -> None:
    result = door(*QUICK)
    assert (result.status, result.err) == (0, "")
    path = tmp_path / result.out.splitlines()[-2].strip()
    assert result.out.splitlines()[-1] == "records: outputs/runs; to look at them: l2m page outputs"
    assert json.loads((path / "run.json").read_text())["status"] == "done"
    assert path.relative_to(tmp_path).parts[:4] == ("outputs", "runs", "mean_estimation", "learn2mix")
    assert {file.parent for file in written(tmp_path)} == {path}, "nothing is written elsewhere"


@pytest.mark.parametrize(
    ("words", "first"),
    [
        ("run dataset=digits seed=3 device=cpu threads=1", "digits · learn2mix · seed 3 · device cpu · 1 thread"),
        ("compare dataset=csv dataset.path=my/ill.csv device=cpu", "ill.csv · comparison · device cpu · 1 thread"),
    ],
)
def test_the_first_line_comes_before_torch_is_imported(words: str, first: str, tmp_path: Path) -> None:
    """At a terminal; torch takes seconds, and here ends the program."""
    (tmp_path / "torch.py").write_text("raise SystemExit(7)")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", *f"l2m.{words}".split()]
    paths = os.pathsep.join([str(tmp_path), *sys.path])
    with subprocess.Popen(command, stdout=theirs, cwd=tmp_path, env={**os.environ, "PYTHONPATH": paths}) as process:
        os.close(theirs)
        with open(ours, encoding="utf-8") as terminal:
            line = terminal.readline()
    assert line == f"{first}\n"
    assert process.returncode == 7


def test_the_same_command_twice_trains_once(door: Command, tmp_path: Path) -> None:
    first = door(*QUICK)
    before = {file: (file.stat().st_mtime_ns, file.read_bytes()) for file in written(tmp_path)}
    second = door(*QUICK)
    assert second.status == 0
    assert {file: (file.stat().st_mtime_ns, file.read_bytes()) for file in written(tmp_path)} == before
    assert "epoch 1/1" in first.out
    assert "epoch 1/1" not in second.out
    assert second.out.splitlines()[-2].strip() == "done before: " + first.out.splitlines()[-2].strip()
    again = door(*QUICK, "force=true")
    assert "epoch 1/1" in again.out
    assert [str(file) for file in written(tmp_path)] == [str(file) for file in before]


def test_loss_that_is_not_finite_is_recorded_as_failed(door: Command, tmp_path: Path) -> None:
    result = door(*QUICK, "learning_rate=1e30")
    assert result.status == 1
    assert result.err.startswith("error: the loss is not finite in epoch 1")
    assert len(result.err.splitlines()) == 1
    (record,) = tmp_path.rglob("run.json")
    assert json.loads(record.read_text())["status"] == "failed"


@pytest.mark.parametrize("epochs", [3, 25])
def test_plain_lines_where_nobody_watches(door: Command, epochs: int) -> None:
    out = door(*QUICK, f"epochs={epochs}").out
    shown = [int(epoch) for epoch in re.findall(rf"epoch (\d+)/{epochs}", out)]
    assert shown == sorted(set(shown)), "at most a line an epoch"
    assert len(shown) <= 10
    assert shown[-1] == epochs
    assert "\x1b" not in out
    assert "\r" not in out


# Sweeps


def test_sweep_runs_all_and_lists_the_failed(door: Command, tmp_path: Path) -> None:
    result = door("-m", "strategy=smote,classical", *QUICK)
    assert result.status == 1
    assert "2 runs: 1 done, 0 skipped (done before), 1 failed" in result.out
    (problem,) = result.err.splitlines()
    assert problem.startswith("error: ")
    assert "strategy=smote" in problem
    assert "strategy=classical" not in problem
    (record,) = tmp_path.rglob("run.json")
    assert record.parts[-3] == "classical"
    assert json.loads(record.read_text())["status"] == "done"


def test_dry_run_prints_the_plan_and_trains_nothing(door: Command, tmp_path: Path) -> None:
    sweep = ("-m", *QUICK, "strategy=classical,learn2mix", "seed=0,1", "results_dir=here")
    result = door(*sweep, "dry_run=true")
    unknown = "no finished run of mean_estimation to estimate the time from"
    assert (result.status, result.out) == (0, f"4 runs: 0 done, 0 failed, 4 to do, {unknown}\n")
    assert written(tmp_path) == []
    door(*QUICK, "results_dir=here")
    before = {file: file.stat().st_mtime_ns for file in written(tmp_path)}
    result = door(*sweep, "dry_run=true")
    assert re.fullmatch(r"4 runs: 1 done, 0 failed, 3 to do, about \d s\n", result.out)
    assert {file: file.stat().st_mtime_ns for file in written(tmp_path)} == before


def test_dry_run_over_a_record_that_cannot_be_read(door: Command, tmp_path: Path) -> None:
    door(*QUICK, "results_dir=here")
    (info,) = tmp_path.glob("here/runs/*/*/*/run.json")
    info.write_text("{")
    result = door(*QUICK, "results_dir=here", "dry_run=true")
    assert result.out.startswith("1 run: 0 done, 1 failed, 0 to do")
    assert re.search(r"^failed: here/runs/mean_estimation.*\n  .*run\.json is not a valid run record", result.out, re.M)
    assert "Traceback" not in result.err


def test_sweep_without_failures(door: Command, tmp_path: Path) -> None:
    result = door("-m", "strategy=classical,learn2mix", "seed=range(2)", *QUICK)
    assert (result.status, result.err) == (0, "")
    assert "4 runs: 4 done, 0 skipped (done before), 0 failed" in result.out
    assert len(list(tmp_path.rglob("model.pt"))) == 4
    assert {file.name for file in written(tmp_path)} == {
        "config.yaml", "metrics.csv", "groups.csv", "run.json", "model.pt",
    }  # fmt: skip


def test_the_size_of_a_large_sweep_is_printed_before_it_is_checked(door: Command) -> None:
    result = door("-m", "seed=range(100)", *QUICK, "dry_run=true")
    assert result.out.startswith("checking 100 runs\n100 runs: 0 done, ")


def test_sweep_with_an_unknown_choice_runs_nothing(door: Command, tmp_path: Path) -> None:
    assert_refused(door("-m", "strategy=classical,learn3mix", *QUICK), tmp_path, "learn3mix", "learn2mix")


# Help, tracebacks, interruption


def test_help_names_every_key_without_importing_torch(tmp_path: Path) -> None:
    code = (
        "import atexit, sys; from l2m.run import main; sys.argv = ['l2m.run', '--help', 'all']\n"
        "heavy = lambda: [name for name in ('torch', 'pandas', 'sklearn') if name in sys.modules]\n"
        "atexit.register(lambda: print(heavy(), file=sys.stderr)); main()"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=300
    )
    assert result.stderr.strip() == "[]"
    for field in fields(RunConfig):
        listed = re.search(rf"^  {field.name}\b", result.stdout, re.MULTILINE)
        assert (listed is None) == (field.name == "command"), field.name
    for group in GROUPS:
        for name in registries()[group].names():
            assert name in result.stdout
    for option in ("mixing_rate", "cadence", "focusing", "batches"):
        assert option in result.stdout
    assert list(tmp_path.iterdir()) == []


def test_help_shows_what_the_command_line_gives(door: Command, tmp_path: Path) -> None:
    result = door("--help", "dataset=wine_quality")
    assert result.status == 0
    assert "name: wine_quality" in result.out
    assert list(tmp_path.iterdir()) == []


def test_help_fits_a_screen_and_has_sections(door: Command, tmp_path: Path) -> None:
    short = door("--help").out.splitlines()
    assert len(short) <= 48
    assert max(map(len, short[short.index("Keys") :])) <= 80
    keys = [line.split()[0] for line in short[short.index("Keys") + 2 :] if line]
    assert keys[:4] == ["epochs", "batch_size", "learning_rate", "seed"]
    assert re.search(r"max_gradient_norm.*null", " ".join(door("--help", "max_gradient_norm").out.split()))
    focal = door("--help", "strategy=focal").out
    assert focal.startswith("  strategy=focal\n")
    assert "focusing: " in focal.partition("This command line gives")[0]
    assert "strategy=smote" not in focal
    every = door("--help", "dataset").out
    for name in registries()["dataset"].names():
        assert f"  dataset={name}\n" in every
    assert_refused(door("--help", "sede"), tmp_path, "help topic=sede", "did you mean seed?")


def test_debug_shows_the_traceback(door: Command) -> None:
    with pytest.raises(UserError, match="epochs=0"):
        door("epochs=0", "debug=true")


def test_hydra_full_error_shows_the_traceback(tmp_path: Path) -> None:
    result = process(tmp_path, "epochs=0", HYDRA_FULL_ERROR="1")
    assert result.returncode == 1
    assert "Traceback" in result.stderr
    assert "epochs=0 must be at least 1" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_process_of_its_own(tmp_path: Path) -> None:
    refused = process(tmp_path, "dataset=mnits")
    assert_refused(Outcome(refused.returncode, refused.stdout, refused.stderr), tmp_path, "did you mean mnist?")
    result = process(tmp_path, *QUICK, "threads=1", "epochs=3")
    assert (result.returncode, result.stderr) == (0, "")
    assert re.findall(r"epoch (\d)/3", result.stdout) == ["1", "2", "3"]
    assert "\x1b" not in result.stdout
    assert len(list(tmp_path.rglob("model.pt"))) == 1


def test_help_is_written_only_when_it_is_asked_for(door: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[object] = []
    text = Help.text
    monkeypatch.setattr(Help, "text", lambda page, *rest: written.append(page) or text(page, *rest))
    assert door("dataset=digits", "dry_run=true").status == 0
    assert written == []
    assert door("--help").out.startswith("Train one run")
    assert len(written) == 1


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("by", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.long)])
def test_interrupted_by_a_signal(tmp_path: Path, by: signal.Signals) -> None:
    command = (*QUICK, "threads=1", "epochs=600", "batch_size=100")
    run = subprocess.Popen(
        [sys.executable, "-m", "l2m.run", *command],
        cwd=tmp_path,
        env=os.environ | {"HYDRA_FULL_ERROR": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )
    assert run.stdout is not None
    with run:
        assert "epoch 60/600" in run.stdout.readline()
        run.send_signal(by)
        out, err = run.communicate(timeout=300)
    assert run.returncode == 128 + by
    assert "Traceback" not in err + out
    assert "stopping after this epoch (once more: at once)" in err
    found = re.search(r"stopped: (\S+) was stopped after epoch (\d+); run the same command to continue", err)
    assert found
    assert sorted(file.name for file in (tmp_path / found[1]).iterdir()) == ["checkpoint.pt", "config.yaml", "run.json"]
    again = process(tmp_path, *command)
    assert (again.returncode, again.stderr) == (0, "")
    assert again.stdout.startswith(f"mean_estimation learn2mix seed 0: continues after epoch {found[2]}\n")
    assert (tmp_path / found[1] / "model.pt").exists()
