"""Which runs of a sweep one process trains: one, or those that can train together."""

import json
from collections import defaultdict
from collections.abc import Sequence

import torch

from l2m.config.run import UNMIXED, RunConfig
from l2m.training.stack import most_together

OWN = {
    "seed", "data_seed", "validation_part", "strategy", "optimizer", "epochs", "learning_rate", "schedule",
    "warmup_steps", "max_gradient_norm", "early_stopping_metric", "checkpoint_seconds", "workers", "force", "debug",
}  # fmt: skip
"""Keys in which runs of one stack may differ."""

MOST = 256
"""Runs of a group, whose results come together."""


def groups(configs: Sequence[RunConfig], workers: int, device: torch.device) -> list[list[int]]:
    """The numbers of the runs by those that one process trains, as many at a time as :func:`most_together` says.

    Of those that can train together each of the ``workers`` gets its part, of all strategies and rates alike.
    """
    alike: dict[str, list[int]] = defaultdict(list)
    for number, config in enumerate(configs):
        shared = {key: value for key, value in config.to_dict().items() if key not in OWN}
        alike[str(number) if _is_alone(config, device) else json.dumps(shared, sort_keys=True)].append(number)
    parts = []
    for some in alike.values():
        ordered = sorted(some, key=lambda number: _order(configs[number]))
        count = min(len(some), workers * -(-len(some) // (workers * MOST)))
        parts += [ordered[first::count] for first in range(count)]
    return sorted(parts, key=min)


def _is_alone(config: RunConfig, device: torch.device) -> bool:
    """Whether a run is sent alone: it cannot be stacked or, without ``together``, its model is another than mlp."""
    cannot = config.mixing != UNMIXED or config.equal_seconds or config.cuda_graphs or config.logger
    return bool(cannot) or not (config.together or config.model["name"] == "mlp") or most_together(config, device) == 1


def _order(config: RunConfig) -> tuple[object, ...]:
    return config.data_seed, str(config.held_out), json.dumps(config.strategy), config.learning_rate, config.seed
