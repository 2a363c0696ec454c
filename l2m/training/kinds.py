"""What runs have in common: which can be stacked, and which share more than the model."""

import logging
from collections import defaultdict
from collections.abc import Hashable, Sequence

import torch
from torch import nn

from l2m.config.run import RunConfig
from l2m.data.own.storage import free_memory
from l2m.strategies import Strategy
from l2m.training.engine import Trainer

LOG = logging.getLogger(__name__)

ELEMENTWISE = nn.ReLU, nn.Sigmoid

ON_CPU, ON_GPU = 2**19, 2**23
"""Outputs of the hidden layer in a step of all runs, at most: more gain little, and leave a CPU's cache."""

MOST = 64
"""Runs of a stack by default: more gain little."""


def common(trainer: Trainer) -> Hashable | None:
    """What runs must have in common to be stacked; None for one that trains alone."""
    config, split = trainer.config, trainer.train_set
    layers = list(trainer.model.children()) if type(trainer.model) is nn.Sequential else []
    able = hasattr(trainer.optimizer, "step_runs") and not any((
        trainer.strategy.every, trainer.mixing, trainer.augmentation, trainer.replays, split.rows is not None,
        config.precision == "bf16", config.equal_seconds,
        any("lr_scale" in group for group in trainer.optimizer.param_groups),
    ))  # fmt: skip
    if not able or not layers or not all(type(each) in (nn.Flatten, nn.Linear, *ELEMENTWISE) for each in layers):
        return None
    scale = tuple(float(each) for part in (split.scale, split.shift) if part is not None for each in part.flatten())
    sizes, optimizer = (trainer.steps, config.batch_size), sorted(config.optimizer.items())
    return str(trainer.model), *sizes, str(optimizer), config.task, tuple(trainer.group_names), scale


def most_together(config: RunConfig, device: torch.device) -> int:
    """How many runs like this one are stacked at most: ``together``, or as many as are fast."""
    outputs = ON_CPU if device.type == "cpu" else ON_GPU
    hidden: int = max(config.model.get("hidden", 16), 16)
    return config.together or max(1, min(MOST, outputs // (config.batch_size * hidden)))


def room_for(trainer: Trainer, runs: int) -> int:
    """How many of ``runs`` like this one fit into half of the memory that is free; warns of fewer than all."""
    parameters = sum(each.numel() for each in trainer.model.parameters())
    widths = sum(
        each.in_features + each.out_features for each in trainer.model.modules() if isinstance(each, nn.Linear)
    )
    needed = 32 * parameters + 16 * trainer.config.batch_size * widths  # moments and gradients, copies to release
    on_gpu = trainer.device.type == "cuda"
    free: int = torch.cuda.mem_get_info(trainer.device)[0] if on_gpu else free_memory()
    most = max(1, int(free // 2 // needed))
    if most < runs:
        size = runs * needed / 2**20
        text = "%d runs together may need %.2g MiB, and %d are free: %d are trained at a time"
        LOG.warning(text, runs, size, free >> 20, most)
    return most


def stacks(trainers: Sequence[Trainer]) -> list[list[Trainer]]:
    """The trainers, each once, by those that can be stacked, with those that share a loss as neighbours."""
    by_common: dict[Hashable, list[Trainer]] = defaultdict(list)
    for trainer in trainers:
        by_common[common(trainer) or trainer].append(trainer)
    return [sorted(some, key=lambda each: str(losses_alike(each))) for some in by_common.values()]


def losses_alike(trainer: Trainer) -> tuple[object, ...]:
    """Runs that have it in common have one function of losses."""
    strategy = trainer.strategy
    if type(strategy).loss is Strategy.loss and type(strategy).adjust is Strategy.adjust:
        return ()
    options, samples = sorted(trainer.config.strategy.items()), id(strategy.context.train)
    return (str(options), samples) if vars(type(strategy)).get("stackable") else (id(trainer),)
