"""One run on two processes gives the numbers of one, and continues after one of them was killed.

Only rank 0 prints; dropout, which each rank draws, continues too.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest
import torch
from commands import opened

import l2m
from l2m import RunConfig, compose, train
from l2m.catalog import registries
from l2m.records.directory import RunDirectory

TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
SMALL = ("dataset=digits", "model=lenet_300_100", "epochs=3", "batch_size=65", "device=cpu", "threads=1")
REFUSED = ("bilevel", "pike")

VARIANTS = [
    *((f"strategy={name}",) for name in registries()["strategy"].names() if name not in REFUSED),
    ("strategy=learn2mix", "strategy.cadence=batch", "schedule=cosine", "max_gradient_norm=0.5"),
    ("strategy=classical", "mixing=mixup"),
    ("strategy=logit_adjusted", "mixing=regmixup", "optimizer=sgd", "early_stopping=2"),
    ("strategy=classical", "mixing=guided"),
    *([("model=timm", "model.architecture=test_resnet", "model.freeze=all")] if find_spec("timm") else []),
]

SCRIPT = """
import json, sys
from l2m import compose, train
from l2m.training import ranks
with ranks.joined("cpu"):
    for words in json.loads(sys.argv[1]):
        train(compose(*words))
"""


def words(folder: Path, *more: str) -> list[str]:
    needed = ["strategy.warm_up=2"] if "strategy=curriculum" in more else []
    return [*SMALL, f"results_dir={folder}", *needed, *more]


def on_two(*arguments: str) -> subprocess.CompletedProcess[str]:
    package = str(Path(l2m.__file__).parents[1])
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HYDRA_FULL_ERROR": "0", "PYTHONPATH": package}
    return subprocess.run([*TORCHRUN, *arguments], capture_output=True, text=True, env=environment, timeout=600)


def parameters(config: RunConfig) -> dict[str, torch.Tensor]:
    file = RunDirectory(config).path / "model.pt"
    return dict(torch.load(file, weights_only=True)["parameters"])


@pytest.mark.long
def test_two_processes_give_the_numbers_of_one(tmp_path: Path) -> None:
    """Each has 32 or 33 of the 65 samples of a batch."""
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    result = on_two(str(script), json.dumps([words(tmp_path / "two", *more) for more in VARIANTS]))
    assert result.returncode == 0, result.stderr
    for more in VARIANTS:
        one, two = (compose(*words(tmp_path / name, *more)) for name in ("one", "two"))
        alone, shared = train(one), train(two)
        assert shared.info["processes"] == 2
        assert "processes" not in alone.info
        for name, value in parameters(one).items():
            torch.testing.assert_close(parameters(two)[name], value, rtol=1e-3, atol=1e-5, msg=" ".join(more))
        for table in ("metrics", "groups"):
            left, right = (getattr(each, table).drop(columns="seconds", errors="ignore") for each in (alone, shared))
            pd.testing.assert_frame_equal(left, right, rtol=1e-4, atol=1e-6)


@pytest.mark.long
@pytest.mark.parametrize(
    ("more", "problem"),
    [
        (["strategy=bilevel"], "error: strategy=bilevel takes outer steps of its own"),
        (["strategy=classical", "equal_seconds=true", "strategy.batches=stratified"], "equal_seconds=true measures"),
        (
            ["model=timm", "model.architecture=test_resnet"],
            "has batch norm, which" if find_spec("timm") else "needs timm",
        ),
        (["batch_size=1"], "batch_size=1 is less than a sample each"),
    ],
)
def test_what_cannot_be_divided_is_refused(more: list[str], problem: str, tmp_path: Path) -> None:
    result = on_two("-m", "l2m.run", *words(tmp_path, *more))
    assert result.returncode == 1
    assert problem in result.stderr
    assert not list(tmp_path.rglob("config.yaml")), "refused before anything is trained"


@pytest.mark.parametrize(
    ("module", "command", "what"),
    [
        ("run", [*SMALL, "-m", "seed=0,1"], "a sweep"),
        ("run", [*SMALL, "-m", "hydra/sweeper=optuna", "validation_fraction=0.2", "learning_rate=0.1,1"], "a sweep"),
        ("compare", ["dataset=digits"], "l2m compare"),
        ("study", ["study=one_step"], "l2m study"),
    ],
)
def test_what_every_process_would_do_is_refused_under_torchrun(
    module: str, command: list[str], what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("WORLD_SIZE", "2")
    result = opened(import_module(f"l2m.{module}"), monkeypatch, capsys)(*command)
    assert result.status == 1
    assert result.out == ""
    assert result.err == (
        f"error: torchrun divides one run among processes, and each of its 2 would do all of {what}: start it without "
        "torchrun\n"
    )
    assert not any(tmp_path.iterdir())


@pytest.mark.long
def test_a_run_continues_after_a_rank_was_killed(tmp_path: Path) -> None:
    more = ("epochs=40", "checkpoint_seconds=0", "model=lenet5_large")
    config = compose(*words(tmp_path / "two", *more))
    command = [*TORCHRUN, "-m", "l2m.run", *words(tmp_path / "two", *more)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        while not (RunDirectory(config).path / "checkpoint.pt").exists():
            assert process.poll() is None
            time.sleep(0.05)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(children[1]), signal.SIGKILL)
        output, _ = process.communicate(timeout=120)
    assert process.returncode
    assert "error: another process of this run has ended or cannot be reached" in output
    assert "[rank0]: Traceback" not in output
    assert RunDirectory(config).status() != "done"
    result = on_two("-m", "l2m.run", *words(tmp_path / "two", *more))
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("seed 0: accuracy") == 1, "only rank 0 prints"
    info = RunDirectory(config).read_info()
    assert info["resumed"][0]["epoch"] >= 1
    assert info["resumed"][0]["processes"] == 2
    undisturbed = on_two("-m", "l2m.run", *words(tmp_path / "undisturbed", *more))
    assert undisturbed.returncode == 0
    again = compose(*words(tmp_path / "undisturbed", *more))
    for name, value in parameters(again).items():
        assert torch.equal(parameters(config)[name], value), name
