"""The training loop: pinned numbers, repeatability, statistics, evaluation, and how a run ends."""

from __future__ import annotations

import dataclasses
import json
import math
import platform
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from alike import left, same
from made_up import compose
from sklearn.metrics import accuracy_score, log_loss, mean_squared_error
from torch import Tensor

from l2m import UserError, data, strategies
from l2m.catalog import registries
from l2m.config.checking import check
from l2m.config.run import RunConfig
from l2m.data import Batch
from l2m.records import EpochRow
from l2m.records.directory import RunDirectory
from l2m.strategies import STRATEGIES, Statistics, Strategy
from l2m.training.cuda_graph import capture, preserving
from l2m.training.device import torch_state, warn_of_slow_bf16
from l2m.training.engine import Trainer
from l2m.training.run import train

SMALL = (
    "dataset=mean_estimation", "dataset.train_sizes=[40,30,20,5]", "dataset.test_size=20", "batch_size=19",
)  # fmt: skip
"""Five steps an epoch."""


def tiny(folder: Path, *overrides: str) -> RunConfig:
    return compose("device=cpu", "threads=1", "epochs=1", f"results_dir={folder}", *overrides)


def trainer_of(config: RunConfig) -> Trainer:
    with torch.random.fork_rng():
        return Trainer(config)


def written(folder: Path) -> dict[str, int]:
    """When each file below ``folder`` was written last."""
    return {str(file): file.stat().st_mtime_ns for file in folder.rglob("*") if file.is_file()}


# Golden


def test_digits_with_learn2mix_is_pinned(tmp_path: Path) -> None:
    records = train(tiny(tmp_path, "dataset=digits", "strategy=learn2mix", "epochs=2"))
    first, second = records.metrics.to_dict("records")
    assert (first["steps"], first["samples"], second["steps"], second["samples"]) == (9, 450, 18, 900)
    assert first["train_loss"] == pytest.approx(2.125094, rel=1e-3)
    assert first["test_loss"] == pytest.approx(2.202353, rel=1e-3)
    assert first["test_metric"] == pytest.approx(0.296997, abs=3 / 899)
    assert second["test_loss"] == pytest.approx(2.172965, rel=1e-3)
    proportions = records.groups["proportion"].to_numpy().reshape(2, 10)
    assert proportions[:, 0] == pytest.approx([0.180162, 0.171590], rel=1e-3)
    assert proportions[:, 9] == pytest.approx([0.018219, 0.027294], rel=1e-3)
    assert records.groups["count"].tolist()[:10] == [82, 83, 81, 83, 82, 8, 8, 8, 7, 8]


def test_mean_estimation_with_classical_is_pinned(tmp_path: Path) -> None:
    records = train(tiny(tmp_path, "dataset=mean_estimation", "strategy=classical"))
    (row,) = records.metrics.to_dict("records")
    assert (row["steps"], row["samples"]) == (6, 3000)
    assert row["train_loss"] == pytest.approx(162.2949, rel=1e-3)
    assert row["test_loss"] == pytest.approx(592.4847, rel=1e-3)
    assert row["worst_group"] == pytest.approx(2366.515, rel=1e-3)
    assert records.groups["train_loss"].tolist() == pytest.approx([1.229090, 0.944049, 1.166876, 2437.148], rel=1e-3)
    assert records.groups["count"].tolist() == [1000, 1000, 800, 200]


# Repeatability


@pytest.mark.parametrize("strategy", registries()["strategy"].names())
def test_a_seed_determines_the_run(strategy: str, tmp_path: Path) -> None:
    runs = []
    with torch.random.fork_rng():
        for number, seed in enumerate((0, 0, 1)):
            torch.manual_seed(number)  # what others do with torch's generator makes no difference
            config = tiny(tmp_path / str(number), "dataset=digits", f"strategy={strategy}", f"seed={seed}", "epochs=2")
            runs.append(train(config))
    assert same(runs[0], runs[1])
    assert not same(runs[0], runs[2])
    ours, theirs = left(runs[0]), left(runs[2])
    assert not any(torch.equal(ours[2][key], theirs[2][key]) for key in ours[2])


@pytest.mark.parametrize("learning_rate", ["1e-3", "1e30"])
def test_torch_is_left_as_it_was(learning_rate: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "manual_seed_all", lambda seed: pytest.fail("seeds GPUs of others"))
    threads = torch.get_num_threads()
    other = 2 if threads == 1 else 1
    config = tiny(tmp_path, *SMALL, f"threads={other}", f"learning_rate={learning_rate}")
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(12345)
        torch.rand(3)
        before = torch.get_rng_state()
        try:
            info = train(config).info
        except UserError:
            info = json.loads(next(tmp_path.rglob("run.json")).read_text())
        assert torch.equal(torch.get_rng_state(), before)
    assert info["status"] == ("done" if learning_rate == "1e-3" else "failed")
    assert info["threads"] == other
    assert torch.get_num_threads() == threads


# An epoch's numbers


@pytest.mark.parametrize("cells", [strategies.CELLS, 9, 1])
def test_statistics_are_equation_10(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strategies, "CELLS", cells)
    random = torch.Generator().manual_seed(0)
    losses = torch.rand(5, 6, generator=random)
    groups = torch.tensor([[0, 0, 1, 1, 1, 1], [1] * 6, [0, 1, 1, 1, 1, 2], [2] * 6, [0, 1, 1, 1, 1, 0]])  # 3 never
    result = Statistics.of(losses, groups, 4)
    for group in range(4):
        held = [losses[step][groups[step] == group].mean().item() for step in range(5) if group in groups[step]]
        loss = sum(held) / len(held) if held else math.nan
        assert result.loss[group].item() == pytest.approx(loss, rel=1e-6, nan_ok=True)
        last = losses[4][groups[4] == group].mean().item()
        assert result.last_loss[group].item() == pytest.approx(last, rel=1e-6, nan_ok=True)
    assert result.count.tolist() == [5, 18, 7, 0]
    assert result.last_count.tolist() == [2, 4, 0, 0]


@pytest.mark.parametrize("numbers", [data.split.EVALUATION_NUMBERS, (1, 7 * 64)])
def test_evaluation_of_classification(
    numbers: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data.split, "EVALUATION_NUMBERS", numbers)
    subject = trainer_of(tiny(tmp_path, "dataset=digits"))
    subject.train_epoch()
    result = subject.evaluate()
    with torch.no_grad():
        every = subject.test_set.batch(slice(None))
        probabilities = subject.model(every.inputs).double().softmax(1).numpy()
    truth, guess = every.targets.numpy(), probabilities.argmax(1)
    assert result.loss.item() == pytest.approx(log_loss(truth, probabilities), rel=1e-5)
    assert result.metric.item() == pytest.approx(accuracy_score(truth, guess))
    by_group = [accuracy_score(truth[truth == group], guess[truth == group]) for group in range(10)]
    assert result.group_metric.tolist() == pytest.approx(by_group)


def test_evaluation_takes_inputs_by_their_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = trainer_of(tiny(tmp_path, "dataset=digits"))
    sizes: list[int] = []
    subject.model.register_forward_hook(lambda module, inputs, outputs: sizes.append(len(outputs)))
    whole = subject.evaluate()
    monkeypatch.setattr(data.split, "EVALUATION_NUMBERS", (1, 100 * 64 + 63))
    parts = subject.evaluate()
    assert sizes == [899, *[100] * 8, 99]
    monkeypatch.setattr(data.split, "EVALUATION_BATCH", 10)
    monkeypatch.setattr(data.split, "EVALUATION_NUMBERS", (500 * 64, 600 * 64))
    subject.evaluate()
    assert sizes[10:] == [500, 399]
    assert parts.loss.item() == pytest.approx(whole.loss.item(), rel=1e-6)
    assert torch.equal(parts.group_metric, whole.group_metric)


@pytest.mark.parametrize("numbers", [data.split.EVALUATION_NUMBERS, (1, 7 * 10)])
def test_evaluation_of_regression(numbers: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data.split, "EVALUATION_NUMBERS", numbers)
    subject = trainer_of(tiny(tmp_path, *SMALL))
    subject.train_epoch()
    result = subject.evaluate()
    with torch.no_grad():
        every = subject.test_set.batch(slice(None))
        guess = subject.model(every.inputs).numpy()
    truth, groups = every.targets.numpy(), every.groups.numpy()
    assert result.loss.item() == result.metric.item() == pytest.approx(mean_squared_error(truth, guess), rel=1e-5)
    by_group = [mean_squared_error(truth[groups == group], guess[groups == group]) for group in range(4)]
    assert result.group_metric.tolist() == pytest.approx(by_group, rel=1e-5)


def test_evaluation_of_reconstruction_sums_over_pixels(tiny_data: Path, tmp_path: Path) -> None:
    subject = trainer_of(tiny(tmp_path, "dataset=cifar10_reconstruction", "batch_size=4", f"data_dir={tiny_data}"))
    subject.train_epoch()
    result = subject.evaluate()
    images = subject.test_set.inputs.double().flatten(1).numpy() / 255
    with torch.no_grad():
        guess = subject.model(subject.test_set.batch(slice(None)).inputs).double().numpy()
    assert result.loss.item() == pytest.approx(mean_squared_error(images, guess), rel=1e-5)
    errors = ((images - guess) ** 2).sum(1)
    assert result.metric.item() == pytest.approx(errors.mean(), rel=1e-5)
    by_group = [errors[subject.test_set.groups.numpy() == group].mean() for group in range(10)]
    assert result.group_metric.tolist() == pytest.approx(by_group, rel=1e-5)


def test_evaluation_drops_nothing_out_and_training_does(tmp_path: Path) -> None:
    subject = trainer_of(tiny(tmp_path, "dataset=digits"))
    plain = subject.evaluate().loss
    subject.model = torch.nn.Sequential(subject.model, torch.nn.Dropout(0.5))
    assert torch.equal(subject.evaluate().loss, plain)
    with torch.random.fork_rng():
        subject.train_epoch()
    assert subject.model.training
    trained = subject.evaluate().loss
    assert torch.equal(subject.evaluate().loss, trained)
    assert not torch.equal(trained, plain)


@pytest.mark.parametrize(("row", "worst"), [(("dataset=digits",), min), (SMALL, max)])
def test_the_worst_group_is_the_worst(row: tuple[str, ...], worst: type[min], tmp_path: Path) -> None:
    records = train(tiny(tmp_path, *row, "epochs=2"))
    for epoch, metrics in enumerate(records.metrics.to_dict("records"), start=1):
        groups = records.groups[records.groups["epoch"] == epoch]
        assert metrics["worst_group"] == pytest.approx(worst(groups["test_metric"]))


def test_each_row_is_reported_when_it_is_ready(tmp_path: Path) -> None:
    rows: list[EpochRow] = []
    records = train(tiny(tmp_path, *SMALL, "epochs=3"), rows.append)
    assert [row.epoch for row in rows] == [1, 2, 3]
    assert [row.steps for row in rows] == [5, 10, 15]
    ours = pd.DataFrame([dataclasses.asdict(row) for row in rows])
    pd.testing.assert_frame_equal(ours, records.metrics, rtol=1e-6)


def test_seconds_are_a_total(tmp_path: Path) -> None:
    seconds = train(tiny(tmp_path, *SMALL, "epochs=3")).metrics["seconds"]
    assert seconds.is_monotonic_increasing
    assert seconds[0] > 0


def test_bf16_trains(tmp_path: Path) -> None:
    bf16, fp32 = (train(tiny(tmp_path, "dataset=digits", f"precision={name}")) for name in ("bf16", "fp32"))
    assert bf16.metrics["test_loss"][0] == pytest.approx(fp32.metrics["test_loss"][0], rel=0.05)
    assert bf16.metrics["test_loss"][0] != fp32.metrics["test_loss"][0]
    assert {value.dtype for value in left(bf16)[2].values()} == {torch.float32}


@pytest.mark.parametrize("has", [True, False])
def test_a_processor_without_bf16_is_warned_about_once(
    has: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    known = {"architecture": "x86_64", "avx512_bf16": has, "amx_bf16": False}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known, raising=False)
    warn_of_slow_bf16.cache_clear()
    train(tiny(tmp_path, *SMALL))
    assert caplog.text == ""
    for seed in range(2):
        train(tiny(tmp_path, *SMALL, "precision=bf16", f"seed={seed}"))
    assert caplog.text.count("precision=fp32 is faster here") == (not has)


def test_on_a_cpu_tf32_is_fp32(tmp_path: Path) -> None:
    ours, theirs = (train(tiny(tmp_path, "dataset=digits", f"precision={name}")) for name in ("tf32", "fp32"))
    assert same(ours, theirs)
    assert ours.path != theirs.path


# Ends of a run


def test_a_loss_that_overflows_ends_the_run(tmp_path: Path) -> None:
    config = tiny(tmp_path, *SMALL, "learning_rate=1e30", "epochs=3")
    with pytest.raises(UserError, match=r"not finite in epoch 1, steps 1 to 5, in groups .*uniform.*below 1e\+30"):
        train(config)
    (record,) = tmp_path.rglob("run.json")
    info = json.loads(record.read_text())
    assert info["status"] == "failed"
    assert "not finite in epoch 1, steps 1 to 5" in info["problem"]
    assert not (record.parent / "model.pt").exists()
    assert [len(pd.read_csv(record.parent / name)) for name in ("metrics.csv", "groups.csv")] == [0, 0]


class Spoiled(Strategy):
    """Classical training whose objective is lost from an epoch on."""

    spoiled_from = 3

    def plan(self, epoch: int) -> Tensor | None:
        self.factor = math.nan if epoch >= self.spoiled_from else 1.0
        return super().plan(epoch)

    def loss(self, batch: Batch, per_sample: Tensor) -> Tensor:
        return super().loss(batch, per_sample) * self.factor


@pytest.fixture
def spoiled() -> Iterator[type[Spoiled]]:
    yield STRATEGIES.register("spoiled")(Spoiled)
    del STRATEGIES._entries["spoiled"]


def test_a_failed_run_keeps_its_records_and_is_retried(
    spoiled: type[Spoiled], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tiny(tmp_path, *SMALL, "strategy=classical", "epochs=4")
    config = check(base.to_dict() | {"strategy": {"name": "spoiled"}})
    rows: list[EpochRow] = []
    with pytest.raises(UserError, match="epoch 3, steps 11 to 15"):
        train(config, rows.append)
    assert [row.epoch for row in rows] == [1, 2]
    (record,) = tmp_path.rglob("run.json")
    assert json.loads(record.read_text())["status"] == "failed"
    assert pd.read_csv(record.parent / "metrics.csv")["epoch"].tolist() == [1, 2]
    assert pd.read_csv(record.parent / "groups.csv")["epoch"].tolist() == [1] * 4 + [2] * 4

    with pytest.raises(UserError, match="epoch 3, steps 11 to 15"):
        train(config)
    monkeypatch.setattr(spoiled, "spoiled_from", 99)
    fixed = train(config)
    assert fixed.path == record.parent
    assert fixed.info["status"] == "done"
    assert "problem" not in fixed.info
    assert same(fixed, train(base))


def test_a_finished_run_is_read_and_not_repeated(tmp_path: Path) -> None:
    rows: list[EpochRow] = []
    config = tiny(tmp_path, *SMALL)
    first = train(config, rows.append)
    before = written(tmp_path)
    again = train(config, rows.append)
    assert written(tmp_path) == before
    assert len(rows) == 1
    assert again.info == first.info
    pd.testing.assert_frame_equal(again.metrics, first.metrics)

    forced = train(dataclasses.replace(config, force=True), rows.append)
    assert len(rows) == 2
    assert forced.path == first.path
    after = written(tmp_path)
    assert after.keys() == before.keys()
    assert all(after[file] > before[file] for file in before)


def test_an_interrupted_run_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    def interrupt(row: EpochRow) -> None:
        if row.epoch == 2:
            raise KeyboardInterrupt

    config = tiny(tmp_path / "interrupted", *SMALL, "epochs=4")
    with pytest.raises(KeyboardInterrupt):
        train(config, interrupt)
    assert RunDirectory(config).status() != "done"
    assert same(train(config), train(tiny(tmp_path / "whole", *SMALL, "epochs=4")))


def test_a_batch_larger_than_the_set_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    with pytest.raises(UserError, match=r"batch_size=96 .*mean_estimation.* 95 samples: use batch_size=95 or less"):
        train(tiny(folder, *SMALL, "batch_size=96"))
    assert not folder.exists()
    assert train(tiny(folder, *SMALL, "batch_size=95")).metrics["steps"].tolist() == [1]


def test_an_epoch_leaves_out_what_fills_no_batch(tmp_path: Path) -> None:
    records = train(tiny(tmp_path, *SMALL, "batch_size=50", "strategy=classical"))
    assert records.metrics["samples"].tolist() == [50]
    assert np.sum(records.groups["count"]) == 50


FAULTS = """
import resource, torch
from l2m.training.device import keep_memory

def faults():
    for _ in range(10):
        torch.ones(2**24)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(2**24)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

returned = faults()
keep_memory()
print(returned, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_memory_is_kept_from_step_to_step() -> None:
    """Page faults of ten times 64 MiB: many while memory returns to the kernel, hardly any once it is kept."""
    ended = subprocess.run([sys.executable, "-c", FAULTS], check=True, capture_output=True, text=True)
    returned, kept = map(int, ended.stdout.split())
    assert kept < 100 < returned


# CUDA graphs


@pytest.mark.parametrize("overrides", [
    ("dataset=cifar10", "model=resnet18", "batch_size=40"), ("dataset=imdb", "batch_size=20"),
    (*SMALL, "strategy=group_dro"),
])  # fmt: skip
def test_a_rehearsal_changes_nothing(overrides: tuple[str, ...], tmp_path: Path, tiny_data: Path) -> None:
    """Parameters, moments, batch normalisation's averages, dropout's draws and groups' weights are as they were."""
    config = tiny(tmp_path, *overrides, f"data_dir={tiny_data}")
    with torch_state(config):
        plain = Trainer(config)
        expected = plain.run_epoch()[1]
    with torch_state(config):
        rehearsed = Trainer(config)
        batch = rehearsed.train_set.batch(torch.arange(config.batch_size))
        before = [value.clone() for value in rehearsed._changing()]
        with preserving(rehearsed._changing()):
            for _ in range(3):
                rehearsed._step(batch)
            assert not all(map(torch.equal, before, rehearsed._changing()))
        assert all(map(torch.equal, before, rehearsed._changing()))
        assert rehearsed.run_epoch()[1] == expected


def test_on_a_cpu_graphs_are_steps(tmp_path: Path) -> None:
    ours, theirs = (tiny(tmp_path / word, *SMALL, f"cuda_graphs={word}") for word in ("true", "false"))
    assert ours.digest() == theirs.digest()
    assert same(train(ours), train(theirs))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("strategy", registries()["strategy"].names())
def test_graphs_train_as_kernels_do(strategy: str, tmp_path: Path) -> None:
    found = []
    for word in ("true", "false"):
        config = tiny(tmp_path / word, "dataset=digits", f"strategy={strategy}", f"cuda_graphs={word}", "device=cuda",
                      "model=lenet5_large", "epochs=3")  # fmt: skip
        found.append(train(config).metrics.drop(columns="seconds"))
    pd.testing.assert_frame_equal(*found, rtol=1e-4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_replay_takes_each_batch(tmp_path: Path) -> None:
    config = dataclasses.replace(tiny(tmp_path, *SMALL), device="cuda")
    with torch_state(config):
        trainer = Trainer(config)
        plan = torch.arange(38, device="cuda").view(2, 19)
        replay = capture(lambda index: trainer._step(trainer._gather(index)), plan[0].clone(), trainer._changing())
        first, second = (replay(index)[0] for index in plan)
    assert not torch.equal(first, second)


@pytest.mark.parametrize(("schedule", "rates"), [("constant", (1.0, 1.0)), ("cosine", (1.0, 0.5))])
def test_the_learning_rate_rises_over_the_first_steps(
    schedule: str, rates: tuple[float, float], tmp_path: Path
) -> None:
    config = tiny(tmp_path, *SMALL, "epochs=2", "learning_rate=0.01", f"schedule={schedule}")
    steps = Trainer(config).steps
    subject = Trainer(replace(config, warmup_steps=steps + 2))
    seen: list[float] = []
    step = subject.optimizer.step
    subject.optimizer.step = lambda: (seen.append(subject.optimizer.param_groups[0]["lr"]), step())
    for _ in range(2):
        subject.train_epoch()
    of_epochs = [0.01 * rate for rate in rates for _ in range(steps)]
    assert seen == pytest.approx([
        rate * min(1, number / (steps + 2)) for number, rate in enumerate(of_epochs, start=1)
    ])  # fmt: skip


def test_an_optimizer_keeps_the_rates_it_was_made_with(tmp_path: Path) -> None:
    subject = Trainer(tiny(tmp_path, *SMALL, "epochs=2"))
    parameters = list(subject.model.parameters())
    groups = [{"params": parameters[:1], "lr": 0.1}, {"params": parameters[1:], "lr": 0.2}]
    subject.optimizer = torch.optim.SGD(groups)
    subject.train_epoch()
    assert [group["lr"] for group in subject.optimizer.param_groups] == [0.1, 0.2]


def test_gradients_are_scaled_down_to_the_largest_norm(tmp_path: Path) -> None:
    config = tiny(tmp_path, *SMALL, "strategy=classical", "optimizer=sgd", "optimizer.momentum=0", "learning_rate=0.1")
    norms, moved = [], []
    for largest in (None, 1e6, 0.01):
        subject = Trainer(replace(config, max_gradient_norm=largest))
        before = torch.cat([each.detach().flatten().clone() for each in subject.model.parameters()])
        subject.steps = 1
        subject._step(subject._gather(torch.arange(config.batch_size)))
        moved.append(torch.cat([each.detach().flatten() for each in subject.model.parameters()]) - before)
        norms.append(moved[-1].norm().item() / 0.1)
    assert torch.equal(moved[0], moved[1])
    assert norms[0] > 0.02
    assert norms[2] == pytest.approx(0.01, rel=1e-4)
    torch.testing.assert_close(moved[2] / norms[2], moved[0] / norms[0])


def test_warm_up_and_the_largest_norm_are_parts_of_the_identity_if_they_are_used() -> None:
    plain = compose("dataset=digits")
    changed = [replace(plain, warmup_steps=10), replace(plain, max_gradient_norm=1.0)]
    assert "warmup_steps" not in plain.identity()
    assert len({config.digest() for config in (plain, *changed)}) == 3
