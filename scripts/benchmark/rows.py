"""Seconds of a row's epoch, against bare steps (the limit) and against plain PyTorch (the plain way)."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from benchmark.plain import Plain
from benchmark.random_data import load_or_draw
from benchmark.timing import ratio, time_in_turns
from l2m import compose
from l2m.config.run import RunConfig
from l2m.data import Data
from l2m.optimizers import backward
from l2m.training.device import choose_device, precision, torch_state
from l2m.training.engine import Trainer

ROWS = (
    "mnist", "fashion_mnist", "cifar10", "imagenette", "cifar100", "imdb", "mean_estimation", "wine_quality",
    "california_housing", "mnist_reconstruction", "fashion_mnist_reconstruction", "cifar10_reconstruction",
)  # fmt: skip

SMALL = ("mean_estimation", "wine_quality", "california_housing")

EPOCHS = 20
"""Epochs timed at a time on the small rows, where one is too short to time."""

STEPS_TIMED = {"imagenette": 1, "cifar100": 2, "imdb": 1}
"""Steps timed on a CPU, by row with long steps; a GPU is timed over whole epochs."""


def load_for_timing(config: RunConfig, random: bool = False) -> tuple[Data, str]:
    """As :func:`load_or_draw`, but only the samples that are timed where steps are long."""
    name, size = config.dataset["name"], config.batch_size
    samples = STEPS_TIMED[name] * size if name in STEPS_TIMED and choose_device(config.device).type == "cpu" else None
    data, kind = load_or_draw(config, samples, random)
    if samples is None or kind != "real":
        return data, kind
    chosen = torch.randperm(len(data.train), generator=torch.Generator().manual_seed(0))[:samples]
    return replace(data, train=data.train.subset(chosen), test=data.test.subset(torch.arange(1000))), kind


def measure(name: str, rounds: int, device: str, random: bool = False, plain: bool = True) -> dict[str, Any]:
    """Seconds and ratios of a row in fp32 and bf16, on a GPU in TF32 too, and of the ``plain`` way."""
    configs = {
        strategy: compose(f"dataset={name}", f"strategy={strategy}", f"device={device}")
        for strategy in ("classical", "learn2mix")
    }
    configs["learn2mix bf16"] = replace(configs["learn2mix"], precision="bf16")
    if choose_device(device).type == "cuda":
        configs["learn2mix tf32"] = replace(configs["learn2mix"], precision="tf32")
    classical, times = configs["classical"], EPOCHS if name in SMALL else 1
    with torch_state(classical):
        loaded, kind = load_for_timing(classical, random)
        trainers = {which: Trainer(config, loaded=loaded) for which, config in configs.items()}
        contenders: dict[str, Callable[[], object]] = {
            which: torch_state(configs[which])(_epochs(which, trainer, times)) for which, trainer in trainers.items()
        }
        evaluating = trainers["classical"]
        contenders["evaluation"] = _repeated(evaluating.evaluate, times)
        contenders["limit"] = bare_steps(Trainer(classical, loaded=loaded), times)
        contenders["limit bf16"] = bare_steps(Trainer(configs["learn2mix bf16"], loaded=loaded), times)
        for which in ("classical", "learn2mix") if plain else ():
            contenders[f"plain {which}"] = _repeated(Plain(configs[which], loaded, evaluating.device).epoch, times)
        seconds = time_in_turns(contenders, rounds, evaluating.device)
        threads = torch.get_num_threads()
    to_limit = 1.15 if name in SMALL else 1.05
    is_image = name in ("mnist", "fashion_mnist", "cifar10")
    targets = [
        ("classical training", "limit", to_limit),
        ("learn2mix training", "limit", to_limit),
        ("learn2mix bf16 training", "limit bf16", to_limit),
        ("learn2mix training", "classical training", 1.03),
        ("plain classical", "classical", 2.0 if is_image else None),
        ("plain learn2mix", "learn2mix", 2.0 if is_image else None),
        ("plain learn2mix", "learn2mix bf16", 2.6 if is_image else None),
        ("learn2mix", "learn2mix tf32", None),
    ]
    return {
        "data": kind,
        "steps": evaluating.steps,
        "batch_size": classical.batch_size,
        "threads": threads,
        "rounds": rounds,
        "seconds": {which: statistics.median(each) / times for which, each in seconds.items()},
        "steps a second": evaluating.steps * times / statistics.median(seconds["learn2mix training"]),
        "ratios": [
            {"of": of, "to": to, "asked": target, "at least": of.startswith("plain")} | ratio(seconds[of], seconds[to])
            for of, to, target in targets
            if of in seconds and to in seconds
        ],
    }


def _repeated(run: Callable[[], object], times: int) -> Callable[[], None]:
    def repeat() -> None:
        for _ in range(times):
            run()

    return repeat


def _epochs(which: str, trainer: Trainer, times: int) -> Callable[[], dict[str, float]]:
    run = _repeated(trainer.run_epoch, times)

    def epochs() -> dict[str, float]:
        before = trainer.seconds
        run()
        return {f"{which} training": trainer.seconds - before}

    return epochs


def bare_steps(trainer: Trainer, times: int) -> Callable[[], None]:
    """As many steps as ``times`` epochs have, all on one batch: forward pass, backward pass, optimizer step."""
    batch = trainer.train_set.batch(torch.arange(trainer.config.batch_size, device=trainer.device))

    def steps() -> None:
        trainer.model.train()
        for _ in range(trainer.steps * times):
            with precision(trainer.config, trainer.device):
                outputs = trainer.model(batch.inputs)
            loss = trainer.task.loss(outputs, batch.targets).mean()
            trainer.optimizer.zero_grad()
            backward(loss)
            trainer.optimizer.step()
        float(loss.detach())

    return steps
