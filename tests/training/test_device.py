"""Training on a fake GPU: no operation mixes devices, and nothing waits except where documented."""

from __future__ import annotations

import gc
import io
import json
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import astuple, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fake_device import FakeGPU, MixedDevices, fake_gpu, is_on_gpu
from made_up import compose
from torch import Tensor

from l2m import UserError, data, load
from l2m.catalog import registries
from l2m.comparison import runner
from l2m.config.checking import check
from l2m.config.run import RunConfig
from l2m.data import Batch, Split
from l2m.optimizers import OPTIMIZERS
from l2m.registry import Registry
from l2m.seeding import to_device
from l2m.strategies import STRATEGIES, Context, Strategy
from l2m.sweeps.launchers import with_resources
from l2m.training.device import choose_device, compute_like, torch_state
from l2m.training.engine import Trainer
from l2m.training.run import prepared, train

KNOWN = registries()

VARIANTS = [
    *((f"strategy={name}",) for name in KNOWN["strategy"].names()),
    ("strategy=classical", "strategy.batches=stratified"),
    ("strategy=learn2mix", "strategy.cadence=batch"),
    ("strategy=bilevel", "strategy.hypergradient=first_order"),
    ("strategy=exp3", "strategy.batches=arm"),
]
"""Every registered strategy, and other options that wait for the device or keep a state."""

ROWS = (
    ("dataset=digits", "batch_size=150"), ("dataset=cifar10", "batch_size=40"), ("dataset=imdb", "batch_size=5"),
    ("dataset=mnist_reconstruction", "batch_size=28"),
)  # fmt: skip
"""Data sets so that each model can train on one of them."""


@pytest.fixture
def gpu() -> Iterator[FakeGPU]:
    with fake_gpu() as gpu:
        yield gpu


def small(folder: Path, *overrides: str, device: str = "cuda") -> RunConfig:
    """Five steps an epoch; the default data set is digits."""
    dataset = () if any(each.startswith("dataset=") for each in overrides) else ("dataset=digits", "batch_size=90")
    needed = ["strategy.warm_up=1"] if "strategy=curriculum" in overrides else []
    config = compose(*dataset, "threads=1", "epochs=3", f"results_dir={folder}", *needed, *overrides)
    return replace(config, device=device)


Epoch = tuple[object, ...]


def epochs(config: RunConfig, number: int, state: Mapping[str, Any] | None = None) -> tuple[list[Epoch], Any]:
    """Rows of ``metrics.csv`` and ``groups.csv`` without seconds, and a checkpoint as it is read on another machine."""
    with torch_state(config):
        trainer = prepared(config)
        if state:
            trainer.load_state_dict(state)
        rows = [trainer.run_epoch() for _ in range(number)]
        file = io.BytesIO()
        torch.save(trainer.state_dict(), file)
        file.seek(0)
        state = torch.load(file, map_location="cpu", weights_only=True)
    return [(astuple(row)[:-1], *map(repr, groups)) for row, groups in rows], state


def waits(gpu: FakeGPU, config: RunConfig) -> tuple[Trainer, int]:
    """A trainer after two epochs, and the waits of the second; its steps wait for no copy."""
    with torch_state(config):
        trainer, step, copies = prepared(config), Trainer._step, []

        def counted(self: Trainer, batch: Batch) -> tuple[Tensor, ...]:
            assert all(map(is_on_gpu, batch))
            copies.append(gpu.copies)
            return step(self, batch)

        trainer.run_epoch()
        before = gpu.waits
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Trainer, "_step", counted)
            objective, statistics = trainer.train_epoch()
            assert gpu.copies == copies[0], "a step waited for a copy to the GPU"
        trainer.epoch -= 1
        assert is_on_gpu(objective)
        assert is_on_gpu(statistics.loss)
        within = gpu.waits - before
        trainer.run_epoch()
        return trainer, gpu.waits - before - within


def test_the_fake_refuses_what_a_gpu_would_and_counts(gpu: FakeGPU) -> None:
    cpu, cuda = torch.ones(4), torch.ones(4, device="cuda")
    assert (cpu.device.type, cuda.device.type, (cuda * 2).device.type) == ("cpu", "cuda", "cuda")
    for mixed in (lambda: cpu + cuda, lambda: torch.cat([cpu, cuda]), lambda: cuda.index_select(0, cpu.long())):
        with pytest.raises(MixedDevices):
            mixed()
    with pytest.raises(TypeError, match="can't convert cuda"):
        np.asarray(cuda)
    with pytest.raises(MixedDevices):
        cuda.uniform_(generator=torch.Generator())
    assert (cuda * torch.tensor(2.0)).device.type == "cuda", "a number of the CPU goes with anything"
    for number, read in enumerate([
        cuda.sum().item, cuda.cpu, cuda.tolist, cuda.nonzero, lambda: bool(cuda.any()), lambda: cuda[cuda > 0],
        lambda: torch.equal(cuda, cuda), lambda: torch.bincount(cuda.long()), lambda: cuda.to("cpu"),
        lambda: cpu.copy_(cuda),
    ], start=1):  # fmt: skip
        read()
        assert gpu.waits == number
    to_device(cpu, "cuda")
    assert gpu.copies == 0
    cpu.to("cuda")
    cuda[torch.tensor([1])]
    assert gpu.copies == 2
    assert gpu.waits == 10


@pytest.mark.parametrize("overrides", VARIANTS, ids=" ".join)
def test_a_strategy_waits_as_documented(overrides: tuple[str, ...], tmp_path: Path, gpu: FakeGPU) -> None:
    """Once an epoch where batches are planned, else at most once a step besides."""
    trainer, number = waits(gpu, small(tmp_path, *overrides))
    planned = trainer.strategy.plan(4) is not None
    assert number == 1 if planned else 1 < number <= 1 + trainer.steps


MOVED = [
    pytest.param(each, marks=() if {"strategy=learn2mix", "strategy=bilevel"} & {*each} else pytest.mark.long)
    for each in VARIANTS
]
"""All variants; `make test` takes a planned strategy and one that keeps more state."""


@pytest.mark.parametrize("overrides", MOVED, ids=" ".join)
def test_a_run_moves_from_device_to_device(overrides: tuple[str, ...], tmp_path: Path) -> None:
    config = small(tmp_path, *overrides)
    whole, end = epochs(replace(config, device="cpu"), 3)
    rows, state = epochs(replace(config, device="cpu"), 1)
    with fake_gpu():
        more, state = epochs(config, 1, state)
    last, state = epochs(replace(config, device="cpu"), 1, state)
    assert rows + more + last == whole
    assert all(torch.equal(end["model"][name], value) for name, value in state["model"].items())


@pytest.mark.parametrize("mixing", KNOWN["mixing"].names())
def test_mixing_waits_for_nothing(mixing: str, tmp_path: Path, gpu: FakeGPU) -> None:
    for clean in ((), ("mixing.clean=0.3",)) if mixing == "guided" else ((),):
        assert waits(gpu, small(tmp_path, f"mixing={mixing}", "strategy=group_dro", *clean))[1] == 1


def test_evaluation_on_a_gpu_takes_many_numbers_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images by their numbers; tokens, whose attention grows with the square of their length, as on a CPU."""
    monkeypatch.setattr(data.split, "EVALUATION_BATCH", 10)
    monkeypatch.setattr(data.split, "EVALUATION_NUMBERS", (1, 40 * 64))
    groups = torch.zeros(100, dtype=torch.int64)

    def sizes(device: str, kind: torch.dtype) -> list[int]:
        split = data.Split(torch.zeros(100, 64, dtype=kind, device=device), groups.to(device), groups.to(device))
        return [len(batch.groups) for batch in split.passes()]

    with fake_gpu():
        assert sizes("cuda", torch.float32) == [40, 40, 20]
        assert sizes("cpu", torch.float32) == sizes("cuda", torch.int32) == [10] * 10


@pytest.mark.parametrize("more", ["strategy=learn2mix", "strategy=bilevel", "validation_fraction=0.2"])
def test_images_in_a_mapped_file_stay_on_the_cpu(more: str, tmp_path: Path, gpu: FakeGPU) -> None:
    """The same numbers; no copy is waited for, and once an epoch more than otherwise the plan is."""
    config = small(tmp_path, more)

    def run(loaded: data.Data) -> tuple[list[Epoch], int]:
        with torch_state(config):
            trainer = Trainer(config, loaded=loaded)
            assert is_on_gpu(trainer.train_set.inputs) is (trainer.train_set.rows is None)
            rows = [trainer.run_epoch() for _ in range(2)]
            copies, waits = gpu.copies, gpu.waits
            trainer.train_epoch()
            assert gpu.copies == copies
            return [(astuple(row)[:-1], *map(repr, groups)) for row, groups in rows], gpu.waits - waits

    def mapped(split: Split) -> Split:
        place = torch.randperm(len(split), generator=torch.Generator().manual_seed(0))
        return replace(split, inputs=split.inputs[place], rows=place.argsort())

    plain = data.load(config)
    rows, waits = run(plain)
    same, waits_mapped = run(replace(plain, train=mapped(plain.train), test=mapped(plain.test)))
    assert same == rows
    assert waits_mapped == waits + 1 or more == "strategy=bilevel"


@pytest.mark.parametrize("model", KNOWN["model"].names())
def test_a_model_trains(model: str, tmp_path: Path, tiny_data: Path, gpu: FakeGPU) -> None:
    if model == "timm" and find_spec("timm") is None:
        pytest.skip("needs the extra pretrained")
    refused = []
    for row in ROWS:
        config = small(tmp_path, *row, f"data_dir={tiny_data}", f"model={model}")
        with torch_state(config):
            try:
                trainer = prepared(config)
            except UserError as error:
                refused.append(str(error))
                continue
            before = gpu.waits
            trainer.run_epoch()
        assert gpu.waits == before + 1
        assert all(map(is_on_gpu, trainer.model.state_dict().values()))
        assert gpu.scattered == 0, "a convolution took images that were not channels-last"
        return
    raise AssertionError(f"ROWS lacks data that model={model} takes: {refused}")


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
@pytest.mark.parametrize("strategy", ["learn2mix", "bilevel"])
def test_a_precision_is_that_of_the_cpu(precision: str, strategy: str, tmp_path: Path) -> None:
    config = small(tmp_path, f"precision={precision}", f"strategy={strategy}")
    with fake_gpu():
        rows, _ = epochs(config, 1)
    assert rows == epochs(replace(config, device="cpu"), 1)[0]


def test_augmentation_waits_for_nothing(tmp_path: Path, tiny_data: Path, gpu: FakeGPU) -> None:
    images = ("dataset=image_folder", f"dataset.path={tiny_data}/own/images", "dataset.augmentation=standard")
    assert waits(gpu, small(tmp_path, *images, "batch_size=3"))[1] == 1


# CUDA graphs

NOT_REPLAYED = {f"strategy={name}" for name in ("bilevel", "importance_sampling", "pike")}
NOTHING = "cuda_graphs=true does nothing: a CUDA graph cannot replay steps with"


def replayed(config: RunConfig) -> tuple[bool, list[Epoch], list[Epoch]]:
    """Whether steps are replayed with ``cuda_graphs=true``; rows with it and without."""
    with fake_gpu(), torch_state(graphs := replace(config, cuda_graphs=True)):
        trainer = prepared(graphs)
        ours = [trainer.run_epoch() for _ in range(2)]
    with fake_gpu():
        theirs = epochs(config, 2)[0]
    return trainer.replays, [(astuple(row)[:-1], *map(repr, groups)) for row, groups in ours], theirs


@pytest.mark.parametrize("overrides", VARIANTS, ids=" ".join)
def test_replays_train_as_steps_do(
    overrides: tuple[str, ...], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = ("model=lenet5_large",) if overrides == ("strategy=learn2mix",) else ()  # each replay draws its dropout
    config = small(tmp_path, *overrides, *model)
    if overrides[0] not in NOT_REPLAYED:
        replays, ours, theirs = replayed(config)
        assert replays
        assert ours == theirs
        assert not caplog.text
    else:
        with fake_gpu(), torch_state(config):
            assert not prepared(replace(config, cuda_graphs=True)).replays
        assert caplog.messages == [f"{NOTHING} {overrides[0]}"]


@pytest.mark.parametrize("overrides", [
    ("mixing=mixup",), ("schedule=cosine",), ("mixing=mixup", "strategy=importance_sampling", "schedule=cosine"),
], ids=" ".join)  # fmt: skip
def test_what_keeps_steps_from_being_replayed_is_named(
    overrides: tuple[str, ...], tmp_path: Path, gpu: FakeGPU, caplog: pytest.LogCaptureFixture
) -> None:
    with torch_state(config := small(tmp_path, "cuda_graphs=true", *overrides)):
        trainer = prepared(config)
        trainer.run_epoch()
    assert trainer._replay is None
    assert sorted(caplog.messages[0].removeprefix(f"{NOTHING} ").split(" and ")) == sorted(overrides)


def test_augmented_images_are_not_replayed(
    tmp_path: Path, tiny_data: Path, gpu: FakeGPU, caplog: pytest.LogCaptureFixture
) -> None:
    images = ("dataset=image_folder", f"dataset.path={tiny_data}/own/images", "dataset.augmentation=standard")
    with torch_state(config := small(tmp_path, *images, "batch_size=3", "cuda_graphs=true")):
        assert not prepared(config).replays
    assert caplog.messages == [f"{NOTHING} augmented images"]


@pytest.mark.parametrize("strategy", ["learn2mix", "focal"])
def test_a_replay_copies_the_indices_of_its_batch_alone(strategy: str, tmp_path: Path, gpu: FakeGPU) -> None:
    """Besides the graph a step launches that copy and those of the losses and the objective, and waits for nothing."""
    with torch_state(config := small(tmp_path, f"strategy={strategy}", "cuda_graphs=true")):
        trainer = prepared(config)
        trainer.run_epoch()
        steps = trainer._replayed_steps(trainer._replay)
        next(steps)  # after the plan was drawn
        for _ in range(trainer.steps - 1):
            gpu.launched.clear()
            waited = gpu.waits, gpu.copies
            next(steps)
            assert gpu.launched == {"aten.copy_": 1, "aten.clone": 2}
            assert (gpu.waits, gpu.copies) == waited


class Watching(Strategy):
    """Keeps what ``after_step`` gets, as it is."""

    def prepare(self, context: Context) -> Split:
        self.seen: list[Tensor] = []
        return super().prepare(context)

    def after_step(self, batch: Batch, per_sample: Tensor) -> None:
        self.seen += [*batch, per_sample]


class Unplanned(Watching):
    """Draws each batch before its step."""

    def plan(self, epoch: int) -> None:
        return None

    def next_batch(self) -> Tensor:
        return torch.randperm(len(self.drawn_from), generator=self._order)[: self.context.batch_size]


@pytest.mark.parametrize("kind", [Watching, Unplanned])
@pytest.mark.parametrize("dataset", ["digits", "mnist_reconstruction"])
def test_a_strategy_sees_the_batch_of_each_replay(
    kind: type[Watching], dataset: str, tmp_path: Path, tiny_data: Path
) -> None:
    seen = []
    with registered(STRATEGIES, kind):
        config = small(tmp_path, f"dataset={dataset}", f"data_dir={tiny_data}", "batch_size=28")
        config = replace(config, strategy={"name": "toy"})
        for graphs in (True, False):
            with fake_gpu(), torch_state(config):
                trainer = prepared(replace(config, cuda_graphs=graphs))
                trainer.run_epoch()
                assert (trainer._replay is not None) == graphs
            seen.append(trainer.strategy.seen)
    assert len(seen[0]) == len(seen[1]) == 4 * trainer.steps
    assert all(map(torch.equal, *seen))


class Counting(Strategy):
    """Has a number that a graph would freeze."""

    seen = 0

    def loss(self, batch: Batch, per_sample: Tensor) -> Tensor:
        self.seen += 1
        return per_sample.mean() * (1 + self.seen % 2)


class Mixin:
    loss = Counting.loss
    seen = 0


class Reading(Counting):
    """Is declared replayable, but waits for the device."""

    replayable = True

    def loss(self, batch: Batch, per_sample: Tensor) -> Tensor:
        return per_sample.mean() * (2 if per_sample.mean() > 2.2 else 1)


class Inheriting(STRATEGIES["learn2mix"]):  # type: ignore[misc]
    """A registered strategy with a new loss, which does not declare replays."""

    loss = Counting.loss
    seen = 0


class Mixed(Mixin, Strategy):
    """A strategy whose loss comes from another class."""


@contextmanager
def registered(registry: Registry[Any], toy: Any) -> Iterator[None]:
    """Inside, the registry has ``toy``."""
    registry.register("toy")(toy)
    try:
        yield
    finally:
        del registry._entries["toy"]


@pytest.mark.parametrize("kind", [Counting, Reading, Inheriting, Mixed])
def test_a_strategy_that_is_not_known_to_be_replayable_is_not_replayed(
    kind: type[Strategy], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with registered(STRATEGIES, kind):
        config = check(small(tmp_path).to_dict() | {"strategy": {"name": "toy"}, "device": "cuda"})
        replays, ours, theirs = replayed(config)
    assert not replays
    assert ours == theirs
    reason = "cannot be captured as a CUDA graph" if kind is Reading else f"{NOTHING} strategy=toy"
    assert caplog.text.count(reason) == 1


@pytest.mark.parametrize("options", [{}, {"momentum": 0.9}])
def test_an_optimizer_of_torch_trains_with_graphs_asked_for(
    options: dict[str, float], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with registered(
        OPTIMIZERS, lambda parameters, learning_rate: torch.optim.SGD(parameters, learning_rate, **options)
    ):
        config = check(small(tmp_path).to_dict() | {"optimizer": {"name": "toy"}, "device": "cuda"})
        replays, ours, theirs = replayed(config)
    assert not replays
    assert ours == theirs
    assert caplog.messages == [f"{NOTHING} optimizer=toy"]


# The choice of a device


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("cuda", "device=cuda is not available, torch sees 0 GPUs: use device=cpu or device=auto"),
        ("cuda:1", "device=cuda:1 is not available, torch sees 0 GPUs: use device=cpu or device=auto"),
        ("mps", "device=mps lacks float64, which a run needs to sum its losses: use device=cpu"),
    ],
)
def test_a_missing_device_is_one_error_wherever_a_run_starts(
    name: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    config = small(tmp_path, device="cpu")
    path = train(config).path
    for start in (
        lambda: train(replace(config, seed=1, device=name)),
        lambda: load(path, name),
        lambda: Trainer(replace(config, device=name)),
    ):
        with pytest.raises(UserError) as error:
            start()
        assert str(error.value) == sentence
    assert check(config.to_dict() | {"device": name}).device == name, "another machine may train it"
    assert len(list(tmp_path.rglob("run.json"))) == 1


def test_a_gpu_has_its_number(gpu: FakeGPU) -> None:
    assert [str(choose_device(name)) for name in ("auto", "cpu", "cuda", "cuda:0")] == ["cuda", "cpu", "cuda", "cuda:0"]
    with pytest.raises(UserError, match="device=cuda:1 is not available, torch sees 1 GPUs: use device=cpu"):
        choose_device("cuda:1")
    for name in ("gpu", "cuda:128", "cuda:01", "cuda:١"):
        with pytest.raises(UserError, match=f"device='{name}' must be one of auto, cpu, cuda, cuda:N"):
            choose_device(name)


def test_a_run_that_is_sent_to_a_gpu_does_not_train_without(tmp_path: Path) -> None:
    config = small(tmp_path, device="auto")
    assert [with_resources(config, 2, gpus).device for gpus in (None, 0, 1, 0.5)] == ["auto", "auto", "cuda", "cuda"]
    assert with_resources(replace(config, device="cpu"), 2, 1).device == "cpu"
    assert (with_resources(config, 2, 0).threads, with_resources(replace(config, threads=None), 2, 0).threads) == (1, 2)


# Precision

SETTINGS = (
    torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.cudnn.rnn,  # type: ignore[attr-defined]
    torch.backends.mkldnn.matmul, torch.backends.mkldnn.conv, torch.backends.mkldnn.rnn,  # type: ignore[attr-defined]
)  # fmt: skip


def settings() -> list[str]:
    return [each.fp32_precision for each in SETTINGS]


@pytest.fixture(params=["defaults", "new settings", "one new setting for all", "old flags"])
def program(request: pytest.FixtureRequest) -> Iterator[str]:
    """Settings of torch that the calling program has changed."""
    before = settings()
    match request.param:
        case "new settings":
            torch.backends.cuda.matmul.fp32_precision = "tf32"
            torch.backends.cudnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]
        case "one new setting for all":
            torch.backends.fp32_precision = "tf32"  # type: ignore[attr-defined]
        case "old flags":
            torch.backends.cuda.matmul.allow_tf32 = True
    yield request.param
    torch.backends.fp32_precision = "none"  # type: ignore[attr-defined]
    for each, value in zip(SETTINGS, before, strict=True):
        each.fp32_precision = value
    assert settings() == before


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
def test_a_run_has_its_products_and_leaves_those_of_the_program(precision: str, program: str, tmp_path: Path) -> None:
    config = small(tmp_path, f"precision={precision}", "strategy=classical", device="cpu")
    products = ["tf32" if precision == "tf32" else "ieee"] * 3 + ["ieee"] * 3
    before, seen = settings(), []
    for context in (torch_state(config), compute_like(config, torch.device("cpu"))):
        with context:
            assert settings() == products
        assert settings() == before
    path = train(config, lambda row: seen.append(settings())).path
    assert seen == [products] * 3
    trained = load(path)
    trained.model.register_forward_hook(
        lambda *_: seen.append((settings(), torch.is_autocast_enabled("cpu")))  # type: ignore[arg-type]
    )
    trained.outputs(trained.split(torch.zeros(2, *trained.data.train.inputs.shape[1:])))
    assert seen[3:] == [(products, precision == "bf16")]
    assert settings() == before
    if program == "old flags":
        assert torch.backends.cuda.matmul.allow_tf32
    if program == "one new setting for all":
        torch.backends.fp32_precision = "ieee"  # type: ignore[attr-defined]
        assert torch.backends.mkldnn.matmul.fp32_precision == "ieee", "it still follows"  # type: ignore[attr-defined]


# Memory and records


def test_data_too_large_for_the_gpu_have_their_own_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gpu: FakeGPU
) -> None:
    split = data.load(small(tmp_path)).train

    def full(pinned: bool) -> None:
        raise torch.OutOfMemoryError("full")

    monkeypatch.setattr(gpu, "copy", full)
    with pytest.raises(UserError, match=r"^494 samples of the data set take 3.7e-05 GiB.* \(.*full\): use fewer"):
        split.to(torch.device("cuda"))


@pytest.mark.parametrize("overrides", [
    *((f"mixing={name}",) for name in KNOWN["mixing"].names()), ("strategy=bilevel",), ("cuda_graphs=true",),
], ids=" ".join)  # fmt: skip
def test_nothing_keeps_a_model_or_its_data(overrides: tuple[str, ...], tmp_path: Path) -> None:
    """No cycle of references: the garbage collector is off."""
    with fake_gpu() if "cuda_graphs=true" in overrides else nullcontext():
        config = small(tmp_path, *overrides, device="cuda" if "cuda_graphs=true" in overrides else "cpu")
        gc.collect()
        gc.disable()
        try:
            with torch_state(config):
                trainer = prepared(config)
                trainer.run_epoch()
            kept = [weakref.ref(trainer.model), weakref.ref(trainer.train_set), weakref.ref(trainer)]
            del trainer
            assert [each() for each in kept] == [None] * 3
        finally:
            gc.enable()


def test_a_comparison_checks_on_the_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gpu: FakeGPU) -> None:
    """The process that trains nothing takes none of the GPU's memory."""
    seen: list[str] = []
    monkeypatch.setattr(runner, "Trainer", lambda config: seen.append(config.device))
    comparison = runner.ComparisonRunner.__new__(runner.ComparisonRunner)
    comparison._settings = {"classical": [small(tmp_path)]}
    comparison._drop_untrainable()
    assert seen == ["cpu"]


def test_records_say_what_the_gpu_was(tmp_path: Path, gpu: FakeGPU) -> None:
    record = json.loads((train(small(tmp_path, "cuda_graphs=true")).path / "run.json").read_text())
    assert record["device"] == "Fake GPU"
    assert record["cuda_graphs"] is True
    assert {"cuda", "cudnn", "driver"} <= record.keys()
    record = json.loads((train(small(tmp_path, "seed=1", device="cpu")).path / "run.json").read_text())
    assert not {"cuda", "cudnn", "driver", "cuda_graphs"} & record.keys()
