"""Which runs of a sweep a process trains at a time: one, or as many as train fast as one stack of models."""

import json
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

from l2m.config.run import UNMIXED, RunConfig

OWN = {
    "seed", "data_seed", "validation_part", "strategy", "optimizer", "epochs", "learning_rate", "schedule",
    "warmup_steps", "max_gradient_norm", "early_stopping_metric", "checkpoint_seconds", "workers", "force", "debug",
}  # fmt: skip
"""Keys in which runs of one stack may differ."""

ON_CPU, ON_GPU = 2**19, 2**23
"""Outputs of the hidden layer in a step of all runs, at most: more gain little, and leave a CPU's cache."""

MOST = 64
"""Runs of a group by default: more gain little, and the first results come later."""


def groups(configs: Sequence[RunConfig], workers: int, on_gpu: bool) -> list[list[int]]:
    """The numbers of the runs by those that train together, no more of them than keep all ``workers`` busy.

    Without ``together`` only runs of ``model=mlp`` do.
    """
    alike: dict[str, list[int]] = defaultdict(list)
    for number, config in enumerate(configs):
        shared = {key: value for key, value in config.to_dict().items() if key not in OWN}
        alike[json.dumps(shared, sort_keys=True) if _most(config, on_gpu) > 1 else str(number)].append(number)
    parts = []
    for some in alike.values():
        size = min(_most(configs[some[0]], on_gpu), -(-len(some) // workers))
        ordered = sorted(some, key=lambda number: _order(configs[number]))
        count = -(-len(some) // size)
        ends = [len(some) * part // count for part in range(count + 1)]
        parts += [ordered[first:last] for first, last in pairwise(ends)]
    return sorted(parts, key=min)


def _most(config: RunConfig, on_gpu: bool) -> int:
    """How many runs like this one are stacked at most."""
    plain = config.mixing == UNMIXED and not (config.equal_seconds or config.cuda_graphs or config.logger)
    if not plain or config.together:
        return config.together if plain and config.together else 1
    hidden = config.model.get("hidden", 0) if config.model["name"] == "mlp" else ON_GPU
    return max(1, min(MOST, (ON_GPU if on_gpu else ON_CPU) // (config.batch_size * max(hidden, 16))))


def _order(config: RunConfig) -> tuple[object, ...]:
    """Runs that share their data, then those that share their optimizer's step and their loss, are neighbours."""
    return config.data_seed, str(config.held_out), config.learning_rate, json.dumps(config.strategy), config.seed
