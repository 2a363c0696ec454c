"""The items of ``gpu_check.py``, by section."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median_high
from typing import Any, NamedTuple

import torch

import bench
import l2m
from benchmark import memory, together
from benchmark.random_data import draw
from benchmark.rows import ROWS
from benchmark.timing import time_in_turns
from gpu_place import Place, SkipError
from l2m import data
from l2m.data.augmentation import Standard
from l2m.models import MODELS
from l2m.strategies import STRATEGIES
from l2m.sweeps.launching import choose_launcher, launch
from l2m.sweeps.plan import plan
from l2m.training.device import precision as precision_of
from l2m.training.device import torch_state
from l2m.training.engine import Trainer
from l2m.training.run import prepared

ROOT = Path(__file__).resolve().parents[1]
TOLERANCES = {"fp32": 1e-4, "tf32": 1e-3, "bf16": 2e-2}
"""Of the first epoch's mean loss on the GPU, against fp32 on the CPU; cross entropy of ten classes is about 2.3."""


class PauseError(Exception):
    """Interrupts a run."""


class Item(NamedTuple):
    """One check: ``run`` returns what it measured, or raises."""

    name: str
    seconds: float
    """Estimated cost on an H100."""
    run: Callable[[], str]


def expect(passed: bool, detail: str) -> str:
    """``detail``, which is the error where the item failed."""
    if not passed:
        raise RuntimeError(detail)
    return detail


def strategy_overrides(strategy: str) -> tuple[str, ...]:
    """A strategy, which shows all it does within two epochs."""
    return f"strategy={strategy}", *(["strategy.warm_up=1"] if strategy == "curriculum" else [])


def train_epochs(config: Any, epochs: int, loaded: Any = None) -> tuple[list[Any], Any]:
    """The first rows of a run's metrics, and its trainer; trains the runs that it needs first."""
    with torch_state(config):
        trainer = Trainer(config, loaded=loaded) if loaded else prepared(config)
        return [trainer.run_epoch()[0] for _ in range(epochs)], trainer


def compare_losses(place: Place, *overrides: str, tolerance: float = 1e-4, loaded: Any = None, **changes: Any) -> str:
    """Two epochs; the first must have the CPU's mean loss, and steps be replayed if ``cuda_graphs`` is true."""
    config = place.config(*overrides)
    if overrides not in place.losses:
        (row,), _ = train_epochs(replace(config, device="cpu"), 1, loaded)
        place.losses[overrides] = row.train_loss
    (first, second), trainer = train_epochs(replace(config, **changes), 2, loaded)
    difference = abs(first.train_loss - place.losses[overrides])
    way = "replayed as CUDA graphs" if trainer._replay else "launched kernel by kernel"
    return expect(
        difference <= tolerance and bool(trainer._replay) == changes.get("cuda_graphs", False),
        f"loss {first.train_loss:.6f}, {difference:.2g} from the CPU's (at most {tolerance:g}), then "
        f"{second.train_loss:.6f}; second epoch {second.seconds - first.seconds:.3g} s{f', {way}' * place.on_gpu}",
    )


def check_strategy(place: Place, strategy: str, graphs: bool) -> str:
    if graphs and not place.on_gpu:
        raise SkipError("CUDA graphs need a GPU")
    overrides = strategy_overrides(strategy)
    built = STRATEGIES.build(place.config(*overrides).strategy)
    if graphs and (built.every or not built.replayable):
        raise SkipError("its steps cannot be replayed")
    return compare_losses(place, *overrides, cuda_graphs=graphs)


def check_augmentation(place: Place) -> str:
    data = draw("cifar10", 400 if place.quick else 5000)
    augmentation = Standard((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    return compare_losses(place, "model=lenet5_large", loaded=replace(data, augmentation=augmentation))


def check_two_steps(place: Place, row: str) -> str:
    """Two steps at the row's batch size, and their peak memory."""
    config, data = place.random_row(row, 2)
    if place.on_gpu:
        torch.cuda.reset_peak_memory_stats()
    (epoch,), trainer = train_epochs(config, 1, data)
    memory = f", peak memory {torch.cuda.max_memory_allocated() / 2**20:.0f} MiB" if place.on_gpu else ""
    batch = f"{trainer.steps} steps of {config.batch_size}"
    return expect(trainer.steps == 2, f"{batch}: loss {epoch.train_loss:.4f}, {epoch.seconds:.3g} s{memory}")


def check_memory(place: Place, row: str) -> str:
    """Peak memory against what a run must hold, in its own process."""
    measured = memory.measure(row, "learn2mix", times=1, device=place.device, random=True)
    parts = ", ".join(f"{part} {size / 2**20:.3g}" for part, size in measured["parts"].items())
    needed = sum(measured["parts"].values()) / 2**20
    return f"peak {measured['peak'] / 2**20:.3g} MiB, {measured['of']:.3g} × the {needed:.3g} MiB needed ({parts})"


def check_waits(place: Place, strategy: str) -> str:
    """The steps of a planned epoch; torch raises an error if the host waits for the GPU in them."""
    config = place.config(*strategy_overrides(strategy))
    with torch_state(config):
        trainer = prepared(config)
        if trainer.strategy.plan(1) is None:
            raise SkipError("its batches are not planned: each depends on the steps before it")
        trainer.run_epoch()  # libraries initialise here
        trainer.model.train()
        steps = trainer._steps(config.learning_rate)
        next(steps)  # after the plan was drawn and copied
        try:
            if place.on_gpu:
                torch.cuda.set_sync_debug_mode("error")
            for _ in steps:
                pass
        finally:
            if place.on_gpu:
                torch.cuda.set_sync_debug_mode("default")
    if not place.on_gpu:
        raise SkipError("the steps ran, but only a GPU makes a host wait")
    return f"{trainer.steps - 1} steps, no wait"


def check_resume(place: Place) -> str:
    """A run of three epochs on the CPU, the device and the CPU, against one that stays on the CPU."""
    overrides = ("strategy=learn2mix", "epochs=3", "checkpoint_seconds=0")
    whole = l2m.train(place.config(*overrides, device="cpu", results="whole"))

    def pause(row: Any, after: int) -> None:
        if row.epoch > after:  # the previous epoch has its checkpoint
            raise PauseError

    for device, after in (("cpu", 1), (place.device, 2)):
        with suppress(PauseError):
            l2m.train(place.config(*overrides, device=device, results="moved"), partial(pause, after=after))
    moved = l2m.train(place.config(*overrides, device="cpu", results="moved"))
    losses = [run.metrics[["train_loss", "test_loss"]].to_numpy() for run in (whole, moved)]
    difference = float(abs(losses[0] - losses[1]).max())
    return expect(difference <= 1e-4, f"three epochs, losses at most {difference:.2g} apart (at most 1e-4)")


def check_prediction(place: Place) -> str:
    config = place.config("strategy=learn2mix", "epochs=1")
    path = l2m.train(config).path
    inputs = data.load(config).test.inputs[:1000]
    models = [l2m.load(path, device) for device in ("cpu", place.device)]
    scores = [model.predicted(model.outputs(model.split(inputs))) for model in models]
    difference = float((scores[0] - scores[1]).abs().max())
    return expect(difference <= 1e-5, f"{len(inputs)} images, probabilities {difference:.2g} apart (at most 1e-5)")


def check_sweep(place: Place) -> str:
    overrides = ("strategy=learn2mix", "workers=2")
    runs = plan((place.config(*overrides, f"seed={seed}", results="sweep"), "") for seed in (0, 1))
    began = time.perf_counter()
    with closing(choose_launcher({})) as launcher:
        failed = [problem for _, problem in launch(runs, launcher)]
    return expect(not failed, "; ".join([f"two runs by two workers: {time.perf_counter() - began:.3g} s", *failed]))


def check_layouts(place: Place, row: str, precision: str) -> str:
    """Forward and backward passes of a row's model, with images in either memory layout."""
    if not place.on_gpu and precision == "tf32":
        raise SkipError("a CPU has no TF32")
    if not place.on_gpu and (row, precision) == ("imagenette", "bf16"):
        raise SkipError("it takes a minute on many CPUs")
    config, data = place.random_row(row, 1, quick=2)
    config, device = replace(config, precision=precision), torch.device(place.device)
    batch = data.train.to(device).batch(slice(None))
    times = 1 if place.quick else 10
    order = {"NCHW": torch.contiguous_format, "NHWC": torch.channels_last}

    def passes(layout: torch.memory_format) -> Callable[[], None]:
        model = MODELS.build(config.model, data).to(device, memory_format=layout)
        inputs = batch.inputs.contiguous(memory_format=layout)

        def run() -> None:
            for _ in range(times):
                with precision_of(config, device):
                    outputs = model(inputs)
                torch.nn.functional.cross_entropy(outputs, batch.targets).backward()

        return run

    with torch_state(config):
        contenders = {name: passes(layout) for name, layout in order.items()}
        seconds = time_in_turns(contenders, 2 if place.quick else 5, device)
    medians = {name: 1000 * median_high(values) / times for name, values in seconds.items()}
    listed = ", ".join(f"{name} {value:.3g} ms" for name, value in medians.items())
    return f"{listed}: {min(medians, key=medians.__getitem__)}"


def measure(place: Place, *options: str) -> str:
    """A part of the benchmark; it writes its own page, beside these results."""
    host, folder = ("--host", "small"), ("--folder", str(place.folder / "bench"))
    bench.main(["--device", place.device, "--random-data", "--no-plain", "--rounds", "2", *host, *folder, *options])
    return "bench/small.md"


def measure_together(place: Place, row: str) -> str:
    """An epoch of runs that train as one stack, a run, against that of one alone."""
    measured = together.measure(2, place.device, True, [row], (1, 3) if place.quick else (1, 20, 100))
    return ", ".join(f"{one['runs']} together {one['median']:.3g} times as fast" for one in measured)


def train_row(place: Place, row: str, strategy: str, seed: int, folders: Sequence[str]) -> str:
    """A whole run on real data; its records are kept."""
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
    compare, learn2mix = partial(compare_losses, place), "strategy=learn2mix"
    items = [
        Item(f"{strategy}, {way}", 3, partial(check_strategy, place, strategy, way == "CUDA graphs"))
        for strategy in strategies
        for way in ("kernels", "CUDA graphs")
    ]
    for precision, tolerance in TOLERANCES.items():
        run = partial(compare, learn2mix, precision=precision, tolerance=tolerance)
        items.append(Item(f"learn2mix, {precision}", 1, run))
    first_order = ("strategy=bilevel", "strategy.hypergradient=first_order")
    items += [
        Item("bilevel, first order", 4, partial(compare, *first_order)),
        Item("mixup", 3, partial(compare, learn2mix, "mixing=mixup", tolerance=1e-3)),
        Item("guided mixing", 8, partial(compare, learn2mix, "mixing=guided", tolerance=1e-2)),
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
        sections = ("rows",) if row == "imagenette" else ("suite", "rows")  # it has whole runs in a later section
        items.append(Item(row, costs.get(row, 5), partial(measure, place, "--only", *sections, "--rows", row)))
    return [*items, Item("groups", 10, partial(measure, place, "--only", "groups"))]


def list_runs(place: Place, rows: Sequence[str], seconds: float, folders: Sequence[str]) -> list[Item]:
    """Whole runs; learn2mix and classical training come first, in pairs at one seed."""
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
    "together": lambda place: [Item(row, 10, partial(measure_together, place, row)) for row in together.ROWS],
    "imagenette": lambda place: list_runs(place, ("imagenette", "imagenette_v1"), 150, ["imagenette2-320"]),
    "imdb": lambda place: list_runs(place, ("imdb",), 90, ["imdb", "aclImdb"]),
}
