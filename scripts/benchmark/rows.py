"""A row's epoch, against the limit and against the plain way."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from benchmark.plain import Plain
from benchmark.stand_in import available
from benchmark.timing import in_turns, ratio
from l2m import compose
from l2m.config.run import RunConfig
from l2m.data import Data
from l2m.optimizers import backward
from l2m.training.device import choose_device, torch_state
from l2m.training.engine import Trainer

ROWS = (
    "mnist", "fashion_mnist", "cifar10", "imagenette", "cifar100", "imdb", "mean_estimation", "wine_quality",
    "california_housing", "mnist_reconstruction", "fashion_mnist_reconstruction", "cifar10_reconstruction",
)  # fmt: skip

SMALL = ("mean_estimation", "wine_quality", "california_housing")

EPOCHS = 20
"""That the small rows take at a time: one is over before it is warm."""

FEW = {"imagenette": 1, "cifar100": 2, "imdb": 1}
"""Rows of long steps, and how many are timed on a CPU; on a GPU their epochs are whole."""


def cut(config: RunConfig, random: bool = False) -> tuple[Data, str]:
    """What :func:`available` gives, and no more of it than is timed where steps are long."""
    name, size = config.dataset["name"], config.batch_size
    samples = FEW[name] * size if name in FEW and choose_device(config.device).type == "cpu" else None
    found, kind = available(config, samples, random)
    if samples is None or kind != "real":
        return found, kind
    first = torch.randperm(len(found.train), generator=torch.Generator().manual_seed(0))[:samples]
    return replace(found, train=found.train.subset(first), test=found.test.subset(torch.arange(1000))), kind


def measured(
    name: str, rounds: int, *overrides: str, device: str = "auto", random: bool = False, plain: bool = True
) -> dict[str, Any]:
    """Seconds and ratios of a row, in fp32 and bf16, on a GPU in TF32 too; the ``plain`` way beside them."""
    overrides = (f"device={device}", *overrides)
    configs = {
        "classical": compose(f"dataset={name}", "strategy=classical", *overrides),
        "learn2mix": compose(f"dataset={name}", "strategy=learn2mix", *overrides),
        "learn2mix bf16": compose(f"dataset={name}", "strategy=learn2mix", "precision=bf16", *overrides),
    }
    if choose_device(device).type == "cuda":
        configs["learn2mix tf32"] = replace(configs["learn2mix"], precision="tf32")
    classical, times = configs["classical"], EPOCHS if name in SMALL else 1
    with torch_state(classical):
        loaded, kind = cut(classical, random)
        trainers = {which: Trainer(config, loaded=loaded) for which, config in configs.items()}
        contenders: dict[str, Callable[[], object]] = {
            which: torch_state(configs[which])(_epochs(which, trainer, times)) for which, trainer in trainers.items()
        }
        evaluating = trainers["classical"]
        contenders["evaluation"] = _repeated(evaluating.evaluate, times)
        contenders["limit"] = limit(Trainer(classical, loaded=loaded), times)
        contenders["limit bf16"] = limit(Trainer(configs["learn2mix bf16"], loaded=loaded), times)
        for which in ("classical", "learn2mix") if plain else ():
            contenders[f"plain {which}"] = _repeated(Plain(configs[which], loaded, evaluating.device).epoch, times)
        seconds = in_turns(contenders, rounds, evaluating.device)
        steps = evaluating.steps
        threads = torch.get_num_threads()
    on_limit = 1.15 if name in SMALL else 1.05
    image = name in ("mnist", "fashion_mnist", "cifar10")
    asked = [
        ("classical training", "limit", on_limit),
        ("learn2mix training", "limit", on_limit),
        ("learn2mix bf16 training", "limit bf16", on_limit),
        ("learn2mix training", "classical training", 1.03),
        ("plain classical", "classical", 2.0 if image else None),
        ("plain learn2mix", "learn2mix", 2.0 if image else None),
        ("plain learn2mix", "learn2mix bf16", 2.6 if image else None),
        ("learn2mix", "learn2mix tf32", None),
    ]
    return {
        "data": kind,
        "steps": steps,
        "batch_size": classical.batch_size,
        "threads": threads,
        "rounds": rounds,
        "seconds": {which: statistics.median(each) / times for which, each in seconds.items()},
        "steps a second": steps * times / statistics.median(seconds["learn2mix training"]),
        "ratios": [
            {"of": above, "to": below, "asked": bound, "at least": above.startswith("plain")}
            | ratio(seconds[above], seconds[below])
            for above, below, bound in asked
            if above in seconds and below in seconds
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


def limit(trainer: Trainer, times: int) -> Callable[[], None]:
    """As many steps as an epoch has, on one batch that is there: forward, backward and the optimizer's step."""
    batch = trainer.train_set.batch(torch.arange(trainer.config.batch_size, device=trainer.device))
    half = trainer.config.precision == "bf16"

    def steps() -> None:
        trainer.model.train()
        for _ in range(trainer.steps * times):
            if half:
                with torch.autocast(trainer.device.type, torch.bfloat16):
                    outputs = trainer.model(batch.inputs)
            else:
                outputs = trainer.model(batch.inputs)
            loss = trainer.task.loss(outputs, batch.targets).mean()
            trainer.optimizer.zero_grad()
            backward(loss)
            trainer.optimizer.step()
        float(loss.detach())

    return steps
