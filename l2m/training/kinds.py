"""What runs have in common: which can be stacked, and which share more than the model."""

import logging
from collections import defaultdict
from collections.abc import Hashable, Sequence

import torch
from torch import nn

from l2m.data.own.storage import free_memory
from l2m.strategies import Strategy
from l2m.training.engine import Trainer

LOG = logging.getLogger(__name__)

ELEMENTWISE = nn.ReLU, nn.Sigmoid


def common(trainer: Trainer) -> Hashable | None:
    """What runs must have in common to be stacked; None for one that trains alone."""
    config, split = trainer.config, trainer.train_set
    layers = list(trainer.model.children()) if type(trainer.model) is nn.Sequential else []
    able = getattr(trainer.optimizer, "stackable", False) and not any((
        trainer.strategy.every, trainer.mixing, trainer.augmentation, trainer.replays, split.rows is not None,
        config.precision == "bf16", config.equal_seconds,
    ))  # fmt: skip
    if not able or not layers or not all(type(each) in (nn.Flatten, nn.Linear, *ELEMENTWISE) for each in layers):
        return None
    scale = tuple(float(each) for part in (split.scale, split.shift) if part is not None for each in part.flatten())
    return str(trainer.model), trainer.steps, config.batch_size, config.task, tuple(trainer.group_names), scale


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
    """The trainers, each once, by those that can be stacked, with those that share a step or a loss as neighbours."""
    by_common: dict[Hashable, list[Trainer]] = defaultdict(list)
    for trainer in trainers:
        by_common[common(trainer) or trainer].append(trainer)
    return [
        sorted(some, key=lambda each: (str(steps_alike(each)), str(losses_alike(each)))) for some in by_common.values()
    ]


def steps_alike(trainer: Trainer) -> tuple[object, ...]:
    """Runs that have it in common take their optimizer's steps together."""
    config = trainer.config
    annealed = config.epochs if config.schedule == "cosine" else None
    return (
        sorted(config.optimizer.items()), config.learning_rate, config.warmup_steps, config.max_gradient_norm,
        annealed, trainer.epoch,
    )  # fmt: skip


def losses_alike(trainer: Trainer) -> tuple[object, ...]:
    """Runs that have it in common have one function of losses."""
    strategy = trainer.strategy
    if type(strategy).loss is Strategy.loss and type(strategy).adjust is Strategy.adjust:
        return ()
    if not vars(type(strategy)).get("stackable"):
        return (id(trainer),)
    options, samples = sorted(trainer.config.strategy.items()), id(strategy.context.train)
    return str(options), samples, trainer.config.epochs, trainer.epoch
