"""Captures a training step as one CUDA graph, which launches all its kernels at once.

The graph gathers its batch too: a replay copies the batch's indices into it and the results out of it.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from l2m.config.run import RunConfig
from l2m.errors import cause
from l2m.strategies import Strategy
from l2m.training import ranks

LOG = logging.getLogger(__name__)

Step = Callable[[Tensor], tuple[Tensor, ...]]
"""A function of the indices (M,) of a batch."""


def will_replay(
    config: RunConfig, device: torch.device, strategy: Strategy, optimizer: object, augmented: bool, mapped: bool
) -> bool:
    """Whether the run asks for replays and its steps differ in nothing but their indices; warns of what else does."""
    if not config.cuda_graphs or device.type != "cuda":
        return False
    differs = {
        f"strategy={config.strategy['name']}": not strategy.replayable or strategy.every > 0,
        f"optimizer={config.optimizer['name']}": not getattr(optimizer, "replayable", False),
        f"mixing={config.mixing['name']}": config.mixing["name"] != "none",
        f"schedule={config.schedule}": config.schedule != "constant",
        f"warmup_steps={config.warmup_steps}": config.warmup_steps > 0,
        "augmented images": augmented,
        "dataset.storage=mapped": mapped,
        "several processes": ranks.count() > 1,
    }
    named = " and ".join(name for name, is_so in differs.items() if is_so)
    if named:
        LOG.warning("cuda_graphs=true does nothing: a CUDA graph cannot replay steps with %s", named)
    return not named


def capture(step: Step, indices: Tensor, state: Iterable[Tensor]) -> Step | None:
    """Capture ``step``, which never waits for the GPU, without training; None, with a warning, if that fails.

    Args:
        step: gathers a batch and trains on it.
        indices: those of any batch (M,); a replay copies its own into this tensor.
        state: the tensors that a step changes in place: parameters, buffers, moments.
    """
    side, main = torch.cuda.Stream(), torch.cuda.current_stream()
    side.wait_stream(main)
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.stream(side), preserving(state):
            for _ in range(3):  # libraries choose their kernels and allocate their workspaces
                step(indices)
        main.wait_stream(side)
        with torch.cuda.graph(graph):
            results = step(indices)
    except RuntimeError as error:
        torch.cuda.set_stream(main)  # a failed capture may leave another
        LOG.warning("cuda_graphs=true does nothing: a step cannot be captured as a CUDA graph (%s)", cause(error))
        return None

    def replay(index: Tensor) -> tuple[Tensor, ...]:
        indices.copy_(index)
        graph.replay()
        return tuple(result.clone() for result in results)  # the next replay writes to the same memory

    return replay


@contextmanager
def preserving(state: Iterable[Tensor]) -> Iterator[None]:
    """Restore tensors and torch's generators at the end."""
    kept = [(tensor, tensor.clone()) for tensor in state]
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        with torch.no_grad():
            for tensor, before in kept:
                tensor.copy_(before)
