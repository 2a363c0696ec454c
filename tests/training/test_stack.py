"""Runs that train together: each ends as it does alone, but for rounding."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from alike import left, same
from made_up import compose
from small import ROWS

from l2m import UserError, train
from l2m.catalog import registries
from l2m.config.run import RunConfig
from l2m.data import Batch, Data
from l2m.models import MODELS
from l2m.models.mlp import network
from l2m.records import EpochRow, GroupRow, Records
from l2m.records.directory import RunDirectory
from l2m.strategies import STRATEGIES, Strategy
from l2m.training import run as training
from l2m.training.engine import Trainer
from l2m.training.group import Result
from l2m.training.stack import Stack, stacks
from l2m.training.stopping import Stopped

STACKED = sorted(set(registries()["strategy"].names()) - {"bilevel", "pike"})
"""The strategies without steps of their own outside the model's training."""

BASE = ("device=cpu", "threads=1", "epochs=3", "checkpoint_seconds=0")


def configured(folder: Path, *overrides: str, row: str = "classification") -> RunConfig:
    needed = ["strategy.warm_up=2"] if "strategy=curriculum" in overrides else []
    return compose(*ROWS[row], *BASE, f"results_dir={folder}", *needed, *overrides)


def info(config: RunConfig) -> dict[str, object]:
    return dict(RunDirectory(config).read_info())


def assert_alike(ours: RunConfig, theirs: RunConfig, tolerance: float = 1e-5, later: float = 1e-5) -> None:
    """Two records agree to rounding, which may decide a sample whose two best classes are as likely.

    Args:
        later: the tolerance after the first epoch.
    """
    first, second = RunDirectory(ours).read(), RunDirectory(theirs).read()
    for name in ("metrics", "groups"):
        mine, other = getattr(first, name), getattr(second, name)
        assert len(mine) == len(other)
        for key in mine.select_dtypes("number").columns.drop("seconds", errors="ignore"):
            by_sample = ours.task == "classification" and key in ("test_metric", "worst_group")
            samples = 1 / 40 if name == "groups" or key == "worst_group" else 1 / 800  # of a group, of all
            for rows, bound in ((mine["epoch"] == 1, tolerance), (mine["epoch"] > 1, later)):
                most = samples if by_sample else bound
                np.testing.assert_allclose(mine[key][rows], other[key][rows], rtol=bound, atol=most, err_msg=key)
    parameters, expected = left(first)[2], left(second)[2]
    assert parameters.keys() == expected.keys()
    for name, value in parameters.items():
        torch.testing.assert_close(value, expected[name], rtol=later, atol=later)


def train_together(configs: list[RunConfig], on_epoch: Callable[[EpochRow], None] | None = None) -> list[Result]:
    """The results in the order of the runs."""
    return [result for _, result in sorted(training.train_together(configs, on_epoch), key=lambda ended: ended[0])]


def finished(configs: list[RunConfig]) -> list[Records]:
    results = train_together(configs)
    assert all(isinstance(each, Records) for each in results), results
    return results  # type: ignore[return-value]


def both_ways(folder: Path, words: Sequence[tuple[str, ...]], row: str = "classification") -> list[list[RunConfig]]:
    """Train runs together, and each alone; pairs of these, which agree to rounding.

    In one of four, rounding may also switch a unit on whose input is 0 but for 1e-8, as it does for focal loss on one
    processor: from then on Adam's steps differ.
    """
    ways = ("together", "alone")
    pairs = [[configured(folder / way, *each, row=row) for way in ways] for each in words]
    finished([ours for ours, _ in pairs])
    parted = 0
    for ours, alone in pairs:
        train(alone)
        try:
            assert_alike(ours, alone)
        except AssertionError:
            parted += 1
            if parted > len(pairs) // 4:
                raise
            assert_alike(ours, alone, later=1e-2)
    return pairs


@pytest.mark.parametrize("strategy", STACKED)
def test_runs_of_a_strategy_end_as_alone(strategy: str, tmp_path: Path) -> None:
    words: list[tuple[str, ...]] = [
        (f"strategy={strategy}", f"seed={seed}", f"learning_rate={rate}")
        for seed in (0, 1)
        for rate in ("1e-3", "3e-3")
    ]
    for ours, alone in both_ways(tmp_path, words):
        assert (info(ours)["together"], info(alone).get("together")) == (4, None)


@pytest.mark.parametrize("row", ["classification", "regression", "reconstruction"])
def test_different_strategies_end_as_alone(row: str, tmp_path: Path, tiny_data: Path) -> None:
    able = [name for name in STACKED if row in STRATEGIES[name].tasks]
    words = [(f"data_dir={tiny_data}", f"strategy={name}", f"seed={seed}") for name in able for seed in (0, 1)]
    for ours, _ in both_ways(tmp_path, words, row):
        assert info(ours)["together"] == len(words)


@pytest.mark.parametrize(
    "words",
    [
        ("optimizer=sgd", "optimizer.momentum=0.9", "schedule=cosine"),
        ("optimizer=adamw", "warmup_steps=12", "max_gradient_norm=0.5"),
        ("early_stopping=1", "epochs=8", "learning_rate=0.03"),
        ("validation_fraction=0.3", "early_stopping=2", "epochs=6"),
        ("model.hidden=0",),
        ("strategy=learn2mix", "strategy.cadence=batch"),
        ("strategy=ldam", "strategy.deferred=0.5"),
    ],
    ids=" ".join,
)
def test_options_of_training_are_each_runs_own(words: tuple[str, ...], tmp_path: Path) -> None:
    each_own = [
        ("seed=0",),
        ("seed=1", "epochs=2"),
        ("seed=2", "max_gradient_norm=1"),
        ("seed=3", "learning_rate=2e-3"),
    ]
    for ours, alone in both_ways(tmp_path, [(*words, *own) for own in each_own]):
        assert info(ours).get("best_epoch") == info(alone).get("best_epoch")
        assert info(ours).get("held_out") == info(alone).get("held_out")


def test_parts_that_are_held_out_train_together(tmp_path: Path) -> None:
    parts = [("validation_fraction=0.25", f"validation_part={part}") for part in range(3)]
    words = [(*part, f"strategy={name}") for part in parts for name in ("learn2mix", "class_weighted")]
    assert max(int(str(info(ours)["together"])) for ours, _ in both_ways(tmp_path, words)) >= 2


@pytest.mark.parametrize(
    "words",
    [
        ("strategy=bilevel",),
        ("mixing=mixup",),
        ("model=lenet5_large",),
        ("precision=bf16",),
    ],
    ids=" ".join,
)
def test_what_cannot_be_stacked_trains_as_alone_to_the_byte(words: tuple[str, ...], tmp_path: Path) -> None:
    together = [configured(tmp_path / "together", *words, f"seed={seed}", "epochs=1") for seed in (0, 1)]
    finished(together)
    for seed, ours in enumerate(together):
        alone = configured(tmp_path / "alone", *words, f"seed={seed}", "epochs=1")
        train(alone)
        assert same(ours, alone)
        assert "together" not in info(ours)


def stop_after(epoch: int) -> Callable[[EpochRow], None]:
    sent: list[int] = []

    def on_epoch(row: EpochRow) -> None:
        if row.epoch == epoch and not sent:
            sent.append(epoch)
            os.kill(os.getpid(), signal.SIGTERM)

    return on_epoch


def test_runs_that_were_stopped_continue_together_or_alone(tmp_path: Path) -> None:
    words = [(f"strategy={name}", f"seed={seed}") for name in ("learn2mix", "exp3", "group_dro") for seed in (0, 1)]
    together = [configured(tmp_path / "together", *each, "epochs=5") for each in words]
    results = train_together(together, stop_after(2))
    assert all(isinstance(each, Stopped) and "was stopped after epoch 2" in str(each) for each in results)
    train(together[0])  # alone
    finished(together[1:])
    for ours, each in zip(together, words, strict=True):
        alone = configured(tmp_path / "alone", *each, "epochs=5")
        train(alone)
        assert_alike(ours, alone)
        assert [each["epoch"] for each in info(ours)["resumed"]] == [2]  # type: ignore[attr-defined]
        assert info(ours)["together"] == 6


@pytest.mark.parametrize("strategy", ["bilevel", "curriculum"])
def test_a_signal_ends_all_runs_that_are_left(strategy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes in the first of those that cannot be stacked, or in a run that the first of a stack needs."""
    add, seen = RunDirectory.add, list[int]()

    def stop(self: RunDirectory, row: EpochRow, groups: Sequence[GroupRow]) -> None:
        add(self, row, groups)
        seen.append(row.epoch)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(RunDirectory, "add", stop)
    results = train_together([configured(tmp_path, f"strategy={strategy}", f"seed={seed}") for seed in range(3)])
    assert all(isinstance(each, Stopped) for each in results), results
    assert seen == [1]


def test_a_run_that_was_stopped_alone_continues_with_others(tmp_path: Path) -> None:
    configs = [configured(tmp_path / "together", f"seed={seed}", "epochs=5") for seed in range(3)]
    with pytest.raises(Stopped):
        train(configs[0], stop_after(3))
    finished(configs)
    for seed, ours in enumerate(configs):
        alone = configured(tmp_path / "alone", f"seed={seed}", "epochs=5")
        train(alone)
        assert_alike(ours, alone)


def test_a_loss_that_is_not_finite_ends_its_run_alone(tmp_path: Path) -> None:
    words = [("seed=0",), ("seed=1", "learning_rate=1e30"), ("seed=2",)]
    configs = [configured(tmp_path / "together", *each) for each in words]
    _, failed, _ = train_together(configs)
    assert isinstance(failed, UserError)
    assert "the loss is not finite in epoch" in str(failed)
    assert [info(each)["status"] for each in configs] == ["done", "failed", "done"]
    for ours, each in ((configs[0], words[0]), (configs[2], words[2])):
        alone = configured(tmp_path / "alone", *each)
        train(alone)
        assert_alike(ours, alone)


@pytest.fixture
def slow() -> Iterator[None]:
    """A model whose first layer learns far slower."""

    def build(data: Data) -> torch.nn.Module:
        model = network(data.train.inputs[0].numel(), [8], data.outputs)
        model.rate_factors = {"1.weight": 1e-6, "1.bias": 1e-6}
        return model

    MODELS.register("slow")(build)
    yield
    del MODELS._entries["slow"], MODELS._revisions["slow"]


@pytest.mark.usefixtures("slow")
def test_rates_of_layers_hold_in_a_sweep_too(tmp_path: Path) -> None:
    pairs: list[list[RunConfig]] = []
    for folder in ("together", "alone"):
        config = configured(tmp_path / folder, "learning_rate=0.01")
        pairs.append([replace(config, model={"name": "slow"}, seed=seed) for seed in (0, 1)])
    finished(pairs[0])
    for ours, alone in zip(*pairs, strict=True):
        train(alone)
        assert same(ours, alone)


@pytest.fixture
def broken() -> Iterator[None]:
    """A strategy whose loss is no number from the second epoch on."""

    class Broken(Strategy):
        def plan(self, epoch: int) -> torch.Tensor | None:
            self.epoch = epoch
            return super().plan(epoch)

        def loss(self, batch: Batch, per_sample: torch.Tensor) -> torch.Tensor:
            return per_sample if self.epoch > 1 else per_sample.mean()

    STRATEGIES.register("broken")(Broken)
    yield
    del STRATEGIES._entries["broken"], STRATEGIES._revisions["broken"]


@pytest.mark.usefixtures("broken")
def test_a_broken_strategy_ends_its_run_alone(tmp_path: Path) -> None:
    configs = [configured(tmp_path, f"seed={seed}") for seed in (0, 1)]
    wrong = compose(*ROWS["classification"], *BASE, f"results_dir={tmp_path}")
    wrong = type(wrong)(**(vars(wrong) | {"strategy": {"name": "broken"}}))
    results = train_together([configs[0], wrong, configs[1]])
    assert isinstance(results[1], UserError)
    assert "Broken.loss gave float32 of shape (50,): it must return one number" in str(results[1])
    assert [info(each)["status"] for each in configs] == ["done", "done"]
    assert info(wrong)["status"] == "failed"


def test_files_hold_one_run_alone(tmp_path: Path) -> None:
    """A stacked parameter that is saved as a part of the stack would save all of it."""
    configs = [configured(tmp_path / "together", f"seed={seed}", "epochs=5") for seed in range(8)]
    train_together(configs, stop_after(1))
    alone = configured(tmp_path / "alone", "epochs=5")
    with pytest.raises(Stopped):
        train(alone, stop_after(1))
    checkpoint, expected = (RunDirectory(each).path / "checkpoint.pt" for each in (configs[0], alone))
    assert checkpoint.stat().st_size == pytest.approx(expected.stat().st_size, rel=0.05)
    finished(configs)
    train(alone)
    model, expected = (RunDirectory(each).path / "model.pt" for each in (configs[0], alone))
    assert model.stat().st_size == expected.stat().st_size


def test_finished_and_impossible_runs_are_left_out_of_a_stack(tmp_path: Path) -> None:
    done = configured(tmp_path, "seed=0")
    before = train(done)
    large = configured(tmp_path, "seed=1", "batch_size=100000")
    configs = [done, large, *(configured(tmp_path, f"seed={seed}") for seed in (2, 3))]
    first, problem, *_ = train_together(configs)
    assert isinstance(first, Records)
    assert first.info == before.info
    assert isinstance(problem, UserError)
    assert "batch_size=100000 is larger than the training set" in str(problem)
    assert [info(each)["together"] for each in configs[2:]] == [2, 2]
    assert not RunDirectory(large).path.exists()


def test_a_device_that_is_not_there_ends_all(tmp_path: Path) -> None:
    done = configured(tmp_path, "seed=0", "epochs=1")
    train(done)
    configs = [done, *(configured(tmp_path, f"seed={seed}", "device=cuda:7", "epochs=1") for seed in (1, 2))]
    first, *others = train_together(configs)
    assert isinstance(first, Records)
    assert [str(each).partition(",")[0] for each in others] == ["device=cuda:7 is not available"] * 2


def test_final_metrics_differ_by_less_than_a_tenth_of_the_seeds_sd(tmp_path: Path) -> None:
    words = [("strategy=learn2mix", f"seed={seed}", "epochs=20") for seed in range(5)]
    together = [configured(tmp_path / "together", *each) for each in words]
    ours = [float(each.final.test_loss) for each in finished(together)]
    alone = [float(train(configured(tmp_path / "alone", *each)).final.test_loss) for each in words]
    assert np.abs(np.subtract(ours, alone)).max() < np.std(alone, ddof=1) / 10


def test_more_runs_than_fit_into_memory_are_announced_and_train_in_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("l2m.training.stack.free_memory", lambda: 1_300_000)
    configs = [configured(tmp_path, f"seed={seed}", "epochs=1") for seed in range(5)]
    finished(configs)
    assert "5 runs together may need 1.5 MiB, and 1 are free: 2 are trained at a time" in caplog.text
    assert sorted(str(info(each).get("together")) for each in configs) == ["2", "2", "2", "2", "None"]


def test_a_stack_takes_no_more_losses_than_there_are_kinds(tmp_path: Path) -> None:
    words = [(f"strategy={name}", f"learning_rate={rate}", f"seed={seed}")
             for name in ("classical", "focal", "group_dro", "learn2mix")
             for rate in ("1e-3", "2e-3") for seed in "01"]  # fmt: skip
    with torch.random.fork_rng():
        trainers = [Trainer(configured(tmp_path, *each)) for each in words]
        (part,) = stacks(trainers)
        made = Stack(part)
    assert sorted(map(len, made._alike)) == [4, 4, 8], "focal loss, group DRO's, and the mean of the others"


def test_a_run_that_ends_makes_room_for_the_next(tmp_path: Path) -> None:
    words = [(f"seed={seed}", f"epochs={epochs}", "together=3", "strategy=ldam", "strategy.deferred=0.5")
             for seed, epochs in enumerate((2, 3, 4, 3, 2, 3))]  # fmt: skip
    for ours, _ in both_ways(tmp_path, words):
        assert info(ours)["together"] == 3


def test_a_run_that_is_alone_after_warming_up_with_another_has_its_whole_rate(tmp_path: Path) -> None:
    words = [("epochs=6", "seed=0"), ("epochs=1", "model.hidden=48"), ("epochs=1", "seed=1")]
    shared = ("model=mlp", "optimizer=adam", "learning_rate=3e-3", "together=2")
    steps = configured(tmp_path, *shared).batch_size and Trainer(configured(tmp_path, *shared)).steps
    ours, _ = both_ways(tmp_path, [(*shared, f"warmup_steps={2 * steps - 1}", *each) for each in words])[0]
    assert info(ours)["together"] == 2
