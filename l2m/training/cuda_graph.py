"""A step as one CUDA graph: all its kernels are launched at once, and not one by one from Python."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from l2m.data import Batch
from l2m.errors import cause

LOG = logging.getLogger(__name__)

Step = Callable[[Batch], tuple[Tensor, ...]]

REHEARSALS = 3
"""Steps before a capture, in which libraries choose their kernels and set up what they need."""


def captured(step: Step, first: Batch, state: Iterable[Tensor]) -> Step | None:
    """``step`` as a graph, for batches of the shape of ``first``; None, with a warning, if it cannot be captured.

    Nothing has been trained when it is made.

    Args:
        step: takes a batch and gives tensors; all that it does is on the GPU, and never waits for it.
        first: a batch, of which the graph keeps a copy that each next batch is copied to.
        state: what a step changes, in place: parameters, buffers, moments.
    """
    place = Batch(*(part.clone() for part in first))
    side, main = torch.cuda.Stream(), torch.cuda.current_stream()
    side.wait_stream(main)
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.stream(side), untouched(state):
            for _ in range(REHEARSALS):
                step(place)
        main.wait_stream(side)
        with torch.cuda.graph(graph):
            results = step(place)
    except RuntimeError as error:
        torch.cuda.set_stream(main)  # a capture that fails may leave another
        LOG.warning("cuda_graphs=true does nothing: a step cannot be captured as a CUDA graph (%s)", cause(error))
        return None

    def replay(batch: Batch) -> tuple[Tensor, ...]:
        for own, given in zip(place, batch, strict=True):
            own.copy_(given)
        graph.replay()
        return tuple(result.clone() for result in results)  # the next replay writes to the same memory

    return replay


@contextmanager
def untouched(state: Iterable[Tensor]) -> Iterator[None]:
    """Put tensors and torch's generators back as they were."""
    kept = [(tensor, tensor.clone()) for tensor in state]
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        with torch.no_grad():
            for tensor, before in kept:
                tensor.copy_(before)
