"""Command lines that Hydra accepts and that once meant something else, or nothing, and sweeps from Python."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import hydra
import pytest
from commands import Command, opened
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

import l2m
import l2m.catalog
from l2m import UserError, run
from l2m.config.composing import compose_sweep
from l2m.config.user_folders import conf_dir

TINY = ("epochs=1", "dataset.train_sizes=[40,30,20,10]", "dataset.test_size=5", "batch_size=20", "threads=1")


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """``python -m l2m.run`` in this process, in an empty folder of its own."""
    monkeypatch.chdir(tmp_path)
    return opened(run, monkeypatch, capsys)


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        (["-m", "+experiment=wine_quality,california_housing"], "cannot be one of several"),
        (["+experiment=wine_quality", "hydra.mode=RUN"], "this is a sweep over dataset, strategy, seed"),
        (["-m", "seed=range(0)"], "the sweep has no runs"),
        (["-m", "seed=range(9),x"], "seed=range(9),x has a range among other values"),
        (["-m", "seed=5,range(9)"], "write each value, as seed=0,1,2,5"),
        (["dataset={}"], "dataset={} must be one choice"),
        (["strategy=[1,[2]]"], "strategy=[1,[2]] must be one choice"),
        (["logger=[a,[b]]"], "must be one choice"),
        (["imbalance=" + "1" * 5000], "too many digits"),
        (["dataset//etc=passwd"], "dataset//etc=passwd is not KEY=VALUE"),
        (["seed"], "seed is not KEY=VALUE"),
        (["=3"], "=3 is not KEY=VALUE"),
        (["expermient=mnist"], "did you mean experiment?"),
        (["lr=0.1"], "did you mean learning_rate?"),
        (["strategy.mixing_rate=null"], "strategy.mixing_rate=null must be"),
        (["results_dir=日本語"], "the command line cannot be parsed (results_dir=日本語)"),
        (["hydra.run.dir=elsewhere"], "hydra.run.dir=elsewhere would have no effect"),
        (["-m", "hydra.sweep.dir=elsewhere", "seed=1,2"], "hydra.sweep.dir=elsewhere would have no effect"),
        (["hydra.job.chdir=true"], "hydra.job.chdir=true would have no effect"),
        (["+hydra.job.env_set.CUDA_VISIBLE_DEVICES=1"], "would have no effect"),
        (["+hydra.callbacks.mine._target_=mine.Callback"], "would have no effect"),
        (["+hydra.nothing=1"], "+hydra.nothing=1 would have no effect"),
        (["-m", "--cfg", "job"], "only one of --run, --multirun, --cfg"),
        (["-m", "--run"], "only one of --run, --multirun, --cfg"),
    ],
)
def test_a_command_without_its_meaning_is_refused(door: Command, tmp_path: Path, words: list[str], rule: str) -> None:
    result = door(*words)
    assert result.status == 1
    assert rule in result.err
    assert len(result.err.splitlines()) <= 2, "a sweep reports each of its runs, at most"
    assert "Traceback" not in result.err
    assert list(tmp_path.iterdir()) == []


def test_flags_may_stand_between_the_words(door: Command) -> None:
    result = door("dataset=digits", "-m", "seed=1,2", "dry_run=true")
    assert (result.status, result.out.splitlines()[-1][:7]) == (0, "2 runs:")


def test_a_command_keeps_the_name_of_its_configuration(door: Command, tmp_path: Path) -> None:
    (tmp_path / "mine" / "strategy").mkdir(parents=True)
    (tmp_path / "mine" / "small.yaml").write_text("defaults: [config, _self_]\nepochs: 0\n")
    result = door("-m", "--config-dir", str(tmp_path / "mine"), "--config-name", "small", "seed=1,2")
    command = f"--config-dir {tmp_path / 'mine'} --config-name small seed=1"
    assert f"error: {command}: epochs=0 must be at least 1" in result.err


def test_a_record_is_a_configuration(door: Command, tmp_path: Path) -> None:
    words = (*TINY, "results_dir=first", "force=true", "debug=true")
    assert door(*words).status == 0
    (record,) = (tmp_path / "first").glob("runs/*/*/*")
    info = json.loads((record / "run.json").read_text())
    assert info["command"] == shlex.join(["python", "-m", "l2m.run", *words])
    assert "done before" in door("--config-path", str(record)).out, "it is not forced again"
    again = door("seed=5", "--config-path", str(record.relative_to(tmp_path)), "results_dir=second")
    assert again.status == 0
    (other,) = (tmp_path / "second").glob("runs/*/*/seed5-*")
    assert door("-m", "seed=6,7", "--config-path", str(record), "results_dir=second").status == 0
    assert {each.name for each in tmp_path.iterdir()} == {"first", "second"}, "Hydra writes nothing"
    texts = [(folder / "config.yaml").read_text() for folder in (record, other)]
    assert texts[0].replace("seed: 0", "seed: 5").replace("first", "second") == texts[1]


def test_an_option_of_choices_that_are_swept(door: Command) -> None:
    words = ("-m", "dataset=digits", "optimizer=adamw,sgd", "dry_run=true")
    remedy = "or, to sweep over optimizer, write optimizer.weight_decay='choice(VALUE)'"
    assert remedy in door(*words, "optimizer.weight_decay=0.01").err
    assert door(*words, "optimizer.weight_decay=choice(0.01)").out.splitlines()[-1].startswith("2 runs:")


def test_runs_that_differ_in_plain_values_are_composed_once_and_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    words = [
        "strategy=learn2mix,classical",
        "seed=range(3)",
        "model.hidden=8,16",
        "learning_rate=1e-3,${optimizer.epsilon}",
    ]
    loaded: list[list[str]] = []
    compose = hydra.compose

    def counted(name: str, words: list[str], **more: bool) -> DictConfig:
        loaded.append(words)
        return compose(name, words, **more)

    monkeypatch.setattr(hydra, "compose", counted)
    runs, _ = compose_sweep(*words)
    assert len(runs) == 24
    assert len(loaded) == 1 + 2, "the settings, and one composition for each strategy"
    for config, command in runs[:: len(runs) // 5]:
        assert l2m.compose(*command.replace("'", "").split()).identity() == config.identity()


def test_the_order_of_values_that_overlap_is_kept() -> None:
    """A mapping and a key in it are composed by Hydra itself."""
    runs, _ = compose_sweep("model={hidden:8}", "model.hidden=16", "seed=1,2")
    assert [config.model["hidden"] for config, _ in runs] == [16, 16]


def test_four_hundred_runs_are_checked_in_seconds(door: Command) -> None:
    began = time.process_time()
    result = door("-m", "seed=range(400)", "dry_run=true", *TINY)
    assert "400 runs: 0 done, 0 failed, 400 to do" in result.out
    assert time.process_time() - began < 30, "182 s when each was composed by itself"


def test_an_experiment_is_a_sweep_from_python_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match=r"is a sweep over dataset, strategy, seed: use l2m\.sweep"):
        l2m.compose("+experiment=mnist")
    assert l2m.sweep(*TINY, "seed=range(2)", f"results_dir={tmp_path}", "dry_run=true") == []
    assert capsys.readouterr().out.startswith("2 runs: 0 done, 0 failed, 2 to do")
    with pytest.raises(UserError, match="dry_run=true trains nothing: leave it out"):
        l2m.train(l2m.compose(*TINY, f"results_dir={tmp_path}", "dry_run=true"))
    assert not list(tmp_path.iterdir())
    records = l2m.sweep(*TINY, "seed=range(2)", f"results_dir={tmp_path}")
    assert [each.path.name[:5] for each in records] == ["seed0", "seed1"]
    with pytest.raises(UserError, match=r"seed=0 epochs=0: epochs=0 must be at least 1|epochs=0 must be"):
        l2m.sweep("seed=0", "epochs=0")


def test_configurations_are_composed_in_threads_and_inside_another_application() -> None:
    seeds: list[int] = []
    threads = [threading.Thread(target=lambda k=k: seeds.append(l2m.compose(f"seed={k}").seed)) for k in range(4)]
    with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        around = GlobalHydra.instance().hydra
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert GlobalHydra.instance().hydra is around
        assert isinstance(hydra.compose("config", []), DictConfig)
    assert sorted(seeds) == [0, 1, 2, 3]


@pytest.mark.parametrize("module", ["run", "compare", "predict"])
def test_ctrl_c_while_modules_are_imported_is_one_line(module: str, tmp_path: Path) -> None:
    """The signal comes with the import of the module that the door imports after its handler."""
    after = {"run": "l2m.cli.command", "compare": "l2m.cli.command", "predict": "l2m.config.checking"}[module]
    code = (
        "import runpy, signal, sys\n"
        "class Stop:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {after!r}: signal.raise_signal(signal.SIGINT)\n"
        "sys.meta_path.insert(0, Stop())\n"
        f"sys.argv = ['l2m']; __spec__ = type('Spec', (), {{'name': 'l2m.{module}'}})\n"
        f"import l2m.{module}\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr.strip()) == (128 + signal.SIGINT, "stopped")
