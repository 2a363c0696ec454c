"""Captures a training step as one CUDA graph, which launches all its kernels at once."""

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
"""Steps before a capture, in which libraries choose their kernels and allocate their workspaces."""


def capture(step: Step, first: Batch, state: Iterable[Tensor]) -> Step | None:
    """Capture ``step`` as a graph, without training; None, with a warning, if it cannot be captured.

    Args:
        step: a function of a batch that returns tensors, runs on the GPU and never waits for it.
        first: a batch with the shape of all; the graph keeps a copy, into which each next batch is copied.
        state: the tensors that a step changes in place: parameters, buffers, moments.
    """
    inputs = Batch(*(part.clone() for part in first))
    side, main = torch.cuda.Stream(), torch.cuda.current_stream()
    side.wait_stream(main)
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.stream(side), preserving(state):
            for _ in range(REHEARSALS):
                step(inputs)
        main.wait_stream(side)
        with torch.cuda.graph(graph):
            results = step(inputs)
    except RuntimeError as error:
        torch.cuda.set_stream(main)  # a failed capture may leave another
        LOG.warning("cuda_graphs=true does nothing: a step cannot be captured as a CUDA graph (%s)", cause(error))
        return None

    def replay(batch: Batch) -> tuple[Tensor, ...]:
        for own, new in zip(inputs, batch, strict=True):
            own.copy_(new)
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
