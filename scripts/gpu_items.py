"""What ``gpu_check.py`` does: its items, by section. Each returns what it saw, or raises."""

from __future__ import annotations

import runpy
import struct
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

import l2m
from benchmark import memory
from benchmark.rows import ROWS
from benchmark.stand_in import stand_in
from benchmark.timing import in_turns
from l2m import data
from l2m.data.augmentation import Standard
from l2m.models import MODELS
from l2m.sweeps.launching import choose_launcher, launch
from l2m.sweeps.plan import plan
from l2m.training.device import precision as precision_of
from l2m.training.device import torch_state
from l2m.training.engine import Trainer
from l2m.training.run import prepared

ROOT = Path(__file__).resolve().parents[1]
TOLERANCES = {"fp32": 1e-4, "tf32": 1e-3, "bf16": 2e-2}
"""Between the first epoch's mean loss on the GPU and on the CPU in fp32; cross entropy of ten classes is about 2.3."""


class SkipError(Exception):
    """Why an item cannot be done here."""


class PauseError(Exception):
    """Interrupts a run."""


class Item(NamedTuple):
    """One thing to check: ``run`` returns what it saw, or raises."""

    name: str
    seconds: float
    """What it costs on an H100, estimated."""
    run: Callable[[], str]


@dataclass(frozen=True)
class Place:
    """Where and on what the items run."""

    device: str
    quick: bool
    data: Path
    mnist: Path
    """The folder whose MNIST is used: ``data``, or one with random images."""
    folder: Path
    scratch: Path
    losses: dict[tuple[str, ...], float] = field(default_factory=dict)
    """First-epoch losses on the CPU, by the words that configure the run."""

    @property
    def on_gpu(self) -> bool:
        return self.device.startswith("cuda")

    def config(self, *words: str, device: str | None = None, results: str = "runs") -> Any:
        """A run of MNIST, for two epochs."""
        size = ["batch_size=40", "threads=1"] if self.quick else []
        made = l2m.compose("dataset=mnist", "epochs=2", *size, *words, f"device={device or self.device}")
        return replace(made, data_dir=str(self.mnist), results_dir=str(self.scratch / results))

    def stand_in(self, row: str, steps: int, quick: int = 5) -> tuple[Any, Any]:
        """The configuration of a row of the paper under learn2mix, and random data for so many steps."""
        config = l2m.compose(f"dataset={row}", f"device={self.device}")
        config = replace(config, batch_size=quick, threads=1) if self.quick else config
        return config, stand_in(row, steps * config.batch_size)


def expect(holds: bool, seen: str) -> str:
    """``seen``, if it holds; else the item fails with it."""
    if not holds:
        raise RuntimeError(seen)
    return seen


def train_epochs(config: Any, epochs: int, loaded: Any = None) -> tuple[list[Any], Any]:
    """The first rows of a run's metrics, and its trainer; runs that it needs are trained before."""
    with torch_state(config):
        trainer = Trainer(config, loaded=loaded) if loaded else prepared(config)
        return [trainer.run_epoch()[0] for _ in range(epochs)], trainer


def compare_losses(place: Place, *words: str, tolerance: float = 1e-4, loaded: Any = None, **how: Any) -> str:
    """Two epochs, the first of which has the mean loss that it has on the CPU."""
    config = place.config(*words)
    if words not in place.losses:
        (row,), _ = train_epochs(replace(config, device="cpu"), 1, loaded)
        place.losses[words] = row.train_loss
    (first, second), trainer = train_epochs(replace(config, **how), 2, loaded)
    difference = abs(first.train_loss - place.losses[words])
    way = "replayed as CUDA graphs" if trainer._replay else "launched kernel by kernel"
    return expect(
        difference <= tolerance,
        f"loss {first.train_loss:.6f}, {difference:.2g} from the CPU's (at most {tolerance:g}), then "
        f"{second.train_loss:.6f}; second epoch {second.seconds - first.seconds:.3g} s{f', {way}' * place.on_gpu}",
    )


def check_strategy(place: Place, strategy: str, graphs: bool) -> str:
    if graphs and not place.on_gpu:
        raise SkipError("CUDA graphs need a GPU")
    warm_up = ["strategy.warm_up=1"] if strategy == "curriculum" else []
    return compare_losses(place, f"strategy={strategy}", *warm_up, cuda_graphs=graphs)


def check_augmentation(place: Place) -> str:
    made = stand_in("cifar10", 400 if place.quick else 5000)
    augmentation = Standard((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    return compare_losses(place, "model=lenet5_large", loaded=replace(made, augmentation=augmentation))


def check_two_steps(place: Place, row: str) -> str:
    """Two steps at the row's batch size, and the memory that they need."""
    config, data = place.stand_in(row, 2)
    if place.on_gpu:
        torch.cuda.reset_peak_memory_stats()
    (epoch,), trainer = train_epochs(config, 1, data)
    memory = f", peak memory {torch.cuda.max_memory_allocated() / 2**20:.0f} MiB" if place.on_gpu else ""
    batch = f"{trainer.steps} steps of {config.batch_size}"
    return expect(trainer.steps == 2, f"{batch}: loss {epoch.train_loss:.4f}, {epoch.seconds:.3g} s{memory}")


def check_memory(place: Place, row: str) -> str:
    """Peak memory against what a run has to hold, in a process of its own."""
    seen = memory.measured(row, "learn2mix", times=1, device=place.device, random=True)
    parts = ", ".join(f"{part} {size / 2**20:.0f}" for part, size in seen["parts"].items())
    return f"peak {seen['peak'] / 2**20:.0f} MiB, {seen['of']:.3g} of the sum of {parts}"


def check_waits(place: Place, strategy: str) -> str:
    """The steps of a planned epoch, during which torch raises an error if the host waits for the GPU."""
    warm_up = ["strategy.warm_up=1"] if strategy == "curriculum" else []
    config = place.config(f"strategy={strategy}", *warm_up)
    with torch_state(config):
        trainer = prepared(config)
        if trainer.strategy.every or trainer.strategy.plan(1) is None:
            raise SkipError("its batches are not planned: the next one depends on the steps before it")
        trainer.run_epoch()  # libraries set up what they need
        trainer.model.train()
        batches = trainer._batches()
        trainer._step(next(batches))  # the plan has been made and copied
        try:
            if place.on_gpu:
                torch.cuda.set_sync_debug_mode("error")
            for batch in batches:
                per_sample, _ = trainer._step(batch)
                trainer.strategy.after_step(batch, per_sample)
        finally:
            if place.on_gpu:
                torch.cuda.set_sync_debug_mode("default")
    if not place.on_gpu:
        raise SkipError("the steps ran, but only for a GPU can they wait")
    return f"{trainer.steps - 1} steps, no wait"


def check_resume(place: Place) -> str:
    """A run whose three epochs are on the CPU, the device and the CPU again, against one that stays."""
    words = ("strategy=learn2mix", "epochs=3", "checkpoint_seconds=0")
    whole = l2m.train(place.config(*words, device="cpu", results="whole"))

    def pause(row: Any, after: int) -> None:
        if row.epoch > after:  # the checkpoint of the epoch before is written
            raise PauseError

    for device, after in (("cpu", 1), (place.device, 2)):
        with suppress(PauseError):
            l2m.train(place.config(*words, device=device, results="moved"), partial(pause, after=after))
    moved = l2m.train(place.config(*words, device="cpu", results="moved"))
    losses = [run.metrics[["train_loss", "test_loss"]].to_numpy() for run in (whole, moved)]
    difference = float(abs(losses[0] - losses[1]).max())
    return expect(difference <= 1e-4, f"three epochs, losses at most {difference:.2g} apart (at most 1e-4)")


def check_prediction(place: Place) -> str:
    config = place.config("strategy=learn2mix", "epochs=1")
    path = l2m.train(config).path
    inputs = data.load(config).test.inputs[:1000]
    on_cpu, here = (l2m.load(path, device) for device in ("cpu", place.device))
    scores = [model.predicted(model.outputs(model.split(inputs))) for model in (on_cpu, here)]
    difference = float((scores[0] - scores[1]).abs().max())
    return expect(difference <= 1e-5, f"{len(inputs)} images, probabilities {difference:.2g} apart (at most 1e-5)")


def check_sweep(place: Place) -> str:
    words = ("strategy=learn2mix", "workers=2")
    runs = plan((place.config(*words, f"seed={seed}", results="sweep"), "") for seed in (0, 1))
    began = time.perf_counter()
    failed = [problem for _, problem in launch(runs, choose_launcher({}))]
    return expect(not failed, "; ".join([f"two runs by two workers: {time.perf_counter() - began:.3g} s", *failed]))


def check_layouts(place: Place, row: str, precision: str) -> str:
    """Forward and backward passes of a row's model, with images in either memory layout."""
    if not place.on_gpu and precision == "tf32":
        raise SkipError("a CPU has no TF32")
    if not place.on_gpu and (row, precision) == ("imagenette", "bf16"):
        raise SkipError("many CPUs take a minute for it")
    config, made = place.stand_in(row, 1, quick=2)
    config, device = replace(config, precision=precision), torch.device(place.device)
    batch = made.train.to(device).batch(slice(None))
    times = 1 if place.quick else 10
    order = {"NCHW": torch.contiguous_format, "NHWC": torch.channels_last}

    def passes(layout: torch.memory_format) -> Callable[[], None]:
        model = MODELS.build(config.model, made).to(device, memory_format=layout)
        inputs = batch.inputs.contiguous(memory_format=layout)

        def run() -> None:
            for _ in range(times):
                with precision_of(config, device):
                    outputs = model(inputs)
                torch.nn.functional.cross_entropy(outputs, batch.targets).backward()

        return run

    with torch_state(config):
        seconds = in_turns({name: passes(layout) for name, layout in order.items()}, 2 if place.quick else 5, device)
    each = {name: 1000 * sorted(values)[len(values) // 2] / times for name, values in seconds.items()}
    return ", ".join(f"{name} {value:.3g} ms" for name, value in each.items()) + f": {min(each, key=each.__getitem__)}"


def measure(place: Place, *words: str) -> str:
    """A part of the benchmark, which writes its own page beside these results."""
    host, folder = ("--host", "small"), ("--folder", str(place.folder / "bench"))
    given = ("--device", place.device, "--random-data", "--no-plain", "--rounds", "2", *host, *folder, *words)
    runpy.run_path(str(ROOT / "scripts" / "bench.py"))["main"](given)
    return "bench/small.md"


def train_row(place: Place, row: str, strategy: str, seed: int, folders: Sequence[str]) -> str:
    """A whole run on real data; its records stay."""
    if place.quick:
        raise SkipError("a whole run is not quick")
    if not any((place.data / name).is_dir() for name in folders):
        raise SkipError(f"{place.data / folders[0]} does not exist")
    config = l2m.compose(f"dataset={row}", f"strategy={strategy}", f"seed={seed}", f"device={place.device}")
    run = l2m.train(replace(config, data_dir=str(place.data), results_dir=str(place.folder / "results")))
    last = run.metrics.iloc[-1]
    return f"test metric {last['test_metric']:.4f}, {last['seconds']:.0f} s of training"


def list_checks(place: Place) -> list[Item]:
    strategies = sorted(file.stem for file in (ROOT / "conf" / "strategy").glob("*.yaml"))
    same, learn = partial(compare_losses, place), "strategy=learn2mix"
    items = [
        Item(f"{strategy}, {way}", 3, partial(check_strategy, place, strategy, way == "CUDA graphs"))
        for strategy in strategies
        for way in ("kernels", "CUDA graphs")
    ]
    for precision, bound in TOLERANCES.items():
        items.append(Item(f"learn2mix, {precision}", 1, partial(same, learn, precision=precision, tolerance=bound)))
    first_order = ("strategy=bilevel", "strategy.hypergradient=first_order")
    items += [
        Item("bilevel, first order", 4, partial(same, *first_order)),
        Item("mixup", 3, partial(same, learn, "mixing=mixup", tolerance=1e-3)),
        Item("guided mixing", 8, partial(same, learn, "mixing=guided", tolerance=1e-2)),
        Item("augmentation", 3, partial(check_augmentation, place)),
        *(Item(f"two steps, {row}", 5, partial(check_two_steps, place, row)) for row in ("imdb", "imagenette")),
        *(Item(f"no waits, {strategy}", 2, partial(check_waits, place, strategy)) for strategy in strategies),
        Item("resumed on CPU, GPU, CPU", 12, partial(check_resume, place)),
        Item("prediction", 4, partial(check_prediction, place)),
        Item("sweep of two workers", 30, partial(check_sweep, place)),
    ]
    rows = ("mean_estimation",) if place.quick else ("mnist", "imdb", "imagenette")
    items += [Item(f"peak memory, {row}", 12, partial(check_memory, place, row)) for row in rows]
    return items + [
        Item(f"layouts, {row}, {precision}", 3, partial(check_layouts, place, row, precision))
        for row in ("mnist", "imagenette")
        for precision in TOLERANCES
    ]


def list_bench(place: Place) -> list[Item]:
    if place.quick:
        return [Item("mean_estimation", 5, partial(measure, place, "--only", "rows", "--rows", "mean_estimation"))]
    costs = {"imagenette": 45, "imdb": 45, "cifar100": 25, "mnist": 15, "fashion_mnist": 15, "cifar10": 15}
    items = []
    for row in ROWS:
        sections = ("rows",) if row == "imagenette" else ("suite", "rows")  # its whole runs follow
        items.append(Item(row, costs.get(row, 5), partial(measure, place, "--only", *sections, "--rows", row)))
    return [*items, Item("groups", 10, partial(measure, place, "--only", "groups"))]


def list_runs(place: Place, rows: Sequence[str], seconds: float, folders: Sequence[str]) -> list[Item]:
    """Pairs of learn2mix and classical training at one seed come first."""
    pairs = (("learn2mix", "classical"), ("focal", "smote"))
    return [
        Item(f"{row}, {strategy}, seed {seed}", seconds, partial(train_row, place, row, strategy, seed, folders))
        for strategies in pairs
        for seed in range(1 if place.quick else 5)
        for row in rows
        for strategy in strategies
    ]


SECTIONS: dict[str, Callable[[Place], list[Item]]] = {
    "checks": list_checks,
    "bench": list_bench,
    "imagenette": lambda place: list_runs(place, ("imagenette", "imagenette_v1"), 150, ["imagenette2-320"]),
    "imdb": lambda place: list_runs(place, ("imdb",), 90, ["imdb", "aclImdb"]),
}


def write_random_mnist(folder: Path, train: int, test: int) -> None:
    """The four files of MNIST, with random pixels; of ten labels the last is thrice as frequent."""
    draws = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for part, count in (("train", train), ("t10k", test)):
        images = draws.integers(0, 256, (count, 28, 28), np.uint8)
        labels = np.minimum(np.arange(count) % 12, 9).astype(np.uint8)
        for name, array in (("images-idx3", images), ("labels-idx1", labels)):
            head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
            (folder / f"{part}-{name}-ubyte").write_bytes(head + array.tobytes())
