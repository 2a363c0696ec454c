"""Choices from outside the package: found by the command line, its workers, Python and the reports, or reported."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import Command, opened

from l2m import UserError, compose, run, train
from l2m.catalog import registries
from l2m.config import user_folders as folders
from l2m.report import runs
from l2m.strategies import Strategy

HARDEST = """
from dataclasses import dataclass
from typing import Annotated

from l2m.schema import Range
from l2m.strategies import STRATEGIES, Strategy


@STRATEGIES.register("hardest")
@dataclass(kw_only=True)
class Hardest(Strategy):
    share: Annotated[float, Range(0, 1, above=True)] = 0.5

    def loss(self, batch, per_sample):
        return per_sample.topk(max(1, int(self.share * len(per_sample)))).values.mean()
"""
QUICK = ("dataset=digits", "epochs=1", "strategy=hardest")


@pytest.fixture(autouse=True)
def _for_a_while(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """An empty folder, in which nobody has added anything; what a test adds goes with it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(folders.VARIABLE, raising=False)
    known = registries()
    before = {group: {name: registry[name] for name in registry.names()} for group, registry in known.items()}
    folders._find_packages.cache_clear()
    yield
    folders._find_packages.cache_clear()
    for group, registry in known.items():
        registry._entries = before[group]
    for name in [name for name in sys.modules if name.startswith(("l2m_config_dir.", "theirs"))]:
        del sys.modules[name]


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A folder with a strategy of somebody's own."""
    return written(tmp_path / "mine")


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return opened(run, monkeypatch, capsys)


def written(folder: Path, python: str = HARDEST) -> Path:
    (folder / "strategy").mkdir(parents=True)
    (folder / "strategy" / "hardest.py").write_text(python)
    (folder / "strategy" / "hardest.yaml").write_text("name: hardest\nshare: 0.5  # as ${oc.env:HOME}, $5\n")
    return folder


def test_the_command_line_knows_a_strategy_of_ones_own(door: Command, mine: Path, tmp_path: Path) -> None:
    assert door("--config-dir", "mine", *QUICK).status == 0
    (path,) = tmp_path.glob("outputs/runs/digits/*/*")
    assert path.parent.name == "hardest"
    assert folders.VARIABLE not in os.environ
    helped = door("--config-dir=mine", "--help").out
    assert re.search(r"group_dro, hardest,\s+importance_sampling", helped)
    assert "    share: 0.5  # as " in door("--config-dir=mine", "--help", "strategy").out
    assert "hardest" not in door("--help").out


def test_a_logger_of_ones_own_follows_a_run(door: Command, mine: Path, tmp_path: Path) -> None:
    (mine / "logger").mkdir()
    (mine / "logger" / "diary.yaml").write_text("diary:\n  file: diary.txt\n")
    (mine / "logger" / "diary.py").write_text(
        "from dataclasses import dataclass\n"
        "from pathlib import Path\n"
        "from typing import ClassVar\n"
        "from l2m.loggers import LOGGERS, Logger\n"
        "@LOGGERS.register('diary')\n"
        "@dataclass(kw_only=True)\n"
        "class Diary(Logger):\n"
        "    package: ClassVar[str] = 'json'\n"
        "    file: str = 'diary.txt'\n"
        "    def start(self, config, path, before):\n"
        "        return self.file\n"
        "    def epoch(self, row, groups):\n"
        "        with Path(self.file).open('a') as diary:\n"
        "            print(row.epoch, file=diary)\n"
        "    def end(self, status):\n"
        "        self.epoch(type('Row', (), {'epoch': status}), ())\n"
    )
    assert door("--config-dir", "mine", *QUICK, "logger=diary").status == 0
    assert (tmp_path / "diary.txt").read_text().split()[-1] == "done"
    assert "diary" in door("--config-dir=mine", "--help").out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("strategy=hardst",), "strategy=hardst is not known (did you mean hardest?): choose one of balanced"),
        (("strategy=hardest", "strategy.shar=1"), "strategy.shar is not an option (did you mean strategy.share?)"),
        (("strategy=hardest", "strategy.share=0"), "strategy.share=0 must be in (0, 1]"),
        (("share=0.2",), "share is not a key by itself: write strategy.share="),
    ],
)
def test_its_errors_are_reported_as_those_of_the_suites_own(
    door: Command, mine: Path, words: tuple[str, ...], sentence: str
) -> None:
    result = door("--config-dir=mine", *words)
    assert result.status == 1
    assert result.err.startswith(f"error: {sentence}")
    assert result.err.count("\n") == 1


@pytest.mark.parametrize(
    ("gone", "lacking"),
    [
        ("py", "no Python file beside {0}/hardest.yaml registers hardest"),
        ("yaml", "{0}/hardest.py has no hardest.yaml beside it"),
    ],
)
def test_the_error_for_half_a_choice_names_the_missing_file(door: Command, mine: Path, gone: str, lacking: str) -> None:
    (mine / "strategy" / f"hardest.{gone}").unlink()
    result = door("--config-dir=mine", *QUICK)
    assert result.status == 1
    assert result.err == f"error: strategy=hardest is not known: {lacking.format(mine / 'strategy')}\n"


@pytest.mark.parametrize("text", ["name: hardest\n  share: [\n", "hardest\n"])
def test_an_invalid_yaml_is_reported(door: Command, mine: Path, text: str) -> None:
    file = mine / "strategy" / "hardest.yaml"
    file.write_text(text)
    result = door("--config-dir=mine", *QUICK)
    assert result.status == 1
    assert result.err.startswith("error: ")
    assert result.err.count("\n") == 1
    assert "hardest" in result.err


HOOKS = [
    ("prepare", "context", "context.train", "Split: it must call super().prepare(context) and return"),
    ("prepare", "context", "super().prepare(context) and None", "NoneType: it must call super().prepare(context)"),
    ("loss", "batch, per_sample", "per_sample", "float32 of shape (50,): it must return one number"),
    ("loss", "batch, per_sample", "None", "NoneType: it must return one number, a tensor of shape ()"),
    ("plan", "epoch", "super().plan(epoch)[:2]", "int64 of shape (2, 50): it must return indices, an int64 tensor"),
    ("plan", "epoch", "super().plan(epoch)[:, :49]", "int64 of shape (9, 49): it must return indices"),
    ("plan", "epoch", "super().plan(epoch).float()", "float32 of shape (9, 50): it must return indices, an int64"),
    ("plan", "epoch", "[[1] * 50] * 9", "list: it must return indices, an int64 tensor of shape (9, 50)"),
    ("plan", "epoch", "super().plan(epoch) + 50", "int64 of shape (9, 50): indices from 50 to "),
    ("next_batch", "", "self.context.train.groups[:7]", "int64 of shape (7,): it must return indices, an int64 tensor"),
    ("proportions", "", "self.context.train.groups[:7]", "int64 of shape (7,): it must be a tensor of shape (10,)"),
]


@pytest.mark.parametrize(("hook", "given", "gives", "problem"), HOOKS)
def test_a_hook_that_breaks_its_contract_ends_the_run(
    tmp_path: Path, hook: str, given: str, gives: str, problem: str
) -> None:
    """Batches of other sizes would train, and be compared with those of other strategies."""
    lines = ["@property"] * (hook == "proportions") + [f"def {hook}(self, {given}):", f"    return {gives}"]
    lines += ["def plan(self, epoch):", "    return None"] * (hook == "next_batch")
    written(tmp_path / "mine", HARDEST + "".join(f"\n    {line}" for line in lines))
    config = compose(*QUICK, config_dir="mine")
    with pytest.raises(UserError, match=re.escape(f"Hardest.{hook} gave {problem}")):
        train(config)


def test_workers_of_a_sweep_know_it_and_the_command_that_repeats_a_run_names_the_folder(mine: Path) -> None:
    file = mine / "strategy" / "hardest.py"
    file.write_text(file.read_text().replace("        return", "        1 / (self.share - 0.25)\n        return"))
    result = subprocess.run(
        [
            sys.executable,
            "-m",
            "l2m.run",
            "--config-dir",
            "mine",
            "-m",
            *QUICK,
            "strategy.share=0.25,0.75",
            "workers=1",
        ],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 1
    assert "2 runs: 1 done, 0 skipped (done before), 1 failed" in result.stdout
    assert "  python -m l2m.run --config-dir mine dataset=digits epochs=1 strategy=hardest" in result.stdout


def test_from_python_and_for_the_report(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = compose(*QUICK, config_dir="mine")
    assert config == compose(*QUICK, config_dir=mine)
    train(config)
    train(compose(*QUICK, "seed=1", config_dir="mine"))
    train(compose("dataset=digits", "epochs=1"))
    del registries()["strategy"]._entries["hardest"]
    found = runs.read_runs(Path("outputs"))
    assert [each.strategy for each in found.runs] == ["learn2mix"]
    (problem,) = found.problems
    assert re.search(r"hardest/seed0-\w+ and 1 more are left out \(strategy=hardest is not known", problem)
    assert "if it is your own, let L2M_CONFIG_DIR name its folder, else remove it" in problem
    del sys.modules["l2m_config_dir.strategy.hardest"]
    monkeypatch.setenv(folders.VARIABLE, "mine")
    assert [each.strategy for each in runs.read_runs(Path("outputs")).runs] == ["hardest", "learn2mix"]


def test_a_package_is_found_by_its_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "site"
    package = written(site / "theirs", "from theirs.share import SHARE\n" + HARDEST.replace("= 0.5", "= SHARE"))
    (package / "share.py").write_text("SHARE = 0.25\n")
    (package / "strategy" / "hardest.yaml").write_text("name: hardest\n")
    entry_points(site, "theirs")
    monkeypatch.syspath_prepend(site)
    assert compose(*QUICK).strategy == {"name": "hardest", "share": 0.25}
    assert sys.modules["theirs.strategy.hardest"].SHARE == 0.25
    assert compose(*QUICK, config_dir=package).strategy["share"] == 0.25  # one folder, and not twice


def entry_points(site: Path, package: str) -> None:
    """What an installed distribution leaves behind."""
    info = site / "theirs-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[l2m]\nours = {package}\n")


@pytest.mark.parametrize(
    ("package", "why"),
    [
        ("theirs", "there is no such package"),
        ("theirs.part", "ModuleNotFoundError: No module named 'theirs'"),
        ("this", "there is no such package"),  # a module
    ],
)
def test_a_package_that_is_gone_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, door: Command, package: str, why: str
) -> None:
    entry_points(tmp_path / "site", package)
    monkeypatch.syspath_prepend(tmp_path / "site")
    result = door(*QUICK)
    assert result.status == 1
    assert result.err == (
        f"error: the package {package}, named by the entry point ours of the group l2m, cannot be found ({why}): "
        "reinstall or uninstall it\n"
    )


@pytest.mark.parametrize(
    ("python", "where", "why"),
    [
        ("import nowhere\n", ", line 1,", "ModuleNotFoundError: No module named 'nowhere'"),
        ("one = 1\ntwo = one / 0\n", ", line 2,", "ZeroDivisionError: division by zero"),
        ("def loss(:\n", "", "SyntaxError: invalid syntax (hardest.py, line 1)"),
        (HARDEST.replace('"hardest"', '"focal"'), ", line 9,", "ValueError: strategy focal is already registered"),
    ],
)
def test_a_file_that_cannot_be_imported_is_reported_once(
    door: Command, tmp_path: Path, python: str, where: str, why: str
) -> None:
    file = written(tmp_path / "mine", python) / "strategy" / "hardest.py"
    result = door("--config-dir=mine", "-m", *QUICK, "seed=range(3)")
    assert result.status == 1
    assert f": {file}{where} cannot be imported ({why}" in result.err
    assert result.err.endswith("): fix or remove it\n")
    assert result.err.count("\n") == 1
    file.write_text(HARDEST)
    assert compose(*QUICK, config_dir="mine").strategy["name"] == "hardest"  # mended, in the same process


@pytest.mark.parametrize(
    ("place", "problem"),
    [
        ("nowhere", "nowhere is not a directory: point --config-dir or L2M_CONFIG_DIR at your configuration folder"),
        ("mine/strategy", "has none of the folders dataset, experiment"),
        ("mine/strategy/hardest.py", "hardest.py is not a directory"),
    ],
)
def test_a_folder_that_is_not_a_directory_is_named(door: Command, mine: Path, place: str, problem: str) -> None:
    result = door("--config-dir", place, *QUICK)
    assert result.status == 1
    assert problem in result.err
    assert result.err.count("\n") == 1


def test_a_file_that_has_the_name_of_one_of_the_suites_is_not_passed_over(mine: Path) -> None:
    (mine / "strategy" / "focal.yaml").write_text("name: hardest\n")
    with pytest.raises(UserError, match=r"focal\.yaml has the name of one of the suite's own choices: rename it"):
        compose(*QUICK, config_dir=mine)


def test_a_data_set_without_a_task_is_reported(tmp_path: Path) -> None:
    folder = tmp_path / "mine" / "dataset"
    folder.mkdir(parents=True)
    (folder / "nothing.yaml").write_text(
        "# @package _global_\ndataset:\n  name: nothing\nrow:\n  epochs: 1\n  batch_size: 2\n  learning_rate: 1e-3\n"
        "  mixing_rate: 0.1\n  threads: 1\n"
    )
    (folder / "nothing.py").write_text(
        'from l2m.data import DATASETS\n\n\n@DATASETS.register("nothing")\ndef nothing(source):\n    raise OSError\n'
    )
    with pytest.raises(UserError, match="dataset=nothing has no task: add the option task"):
        compose("dataset=nothing", config_dir="mine")


def test_a_definition_that_is_run_again_replaces_what_it_registered() -> None:
    def define(module: str) -> type:
        return registries()["strategy"].register("hardest")(type("Hardest", (Strategy,), {"__module__": module}))

    define("a_notebook")
    again = define("a_notebook")
    assert registries()["strategy"]["hardest"] is again
    with pytest.raises(ValueError, match="strategy hardest is already registered"):
        define("another_notebook")
