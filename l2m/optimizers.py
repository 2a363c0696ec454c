"""Optimizers, from parameters and a learning rate. The paper uses Adam throughout (section C.3)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

import torch

from l2m.registry import Registry
from l2m.schema import Range

OPTIMIZERS: Registry[Any] = Registry("optimizer")

Decay = Annotated[float, Range(0, 1, below=True)]
Epsilon = Annotated[float, Range(0, above=True)]


@OPTIMIZERS.register("adam")
def adam(
    parameters: Iterable[torch.nn.Parameter],
    learning_rate: float,
    *,
    beta1: Decay = 0.9,
    beta2: Decay = 0.999,
    epsilon: Epsilon = 1e-8,
) -> torch.optim.Optimizer:
    """Adam (Kingma and Ba, 2015) with all parameters updated in one fused call."""
    return torch.optim.Adam(parameters, learning_rate, (beta1, beta2), epsilon, fused=True)


@OPTIMIZERS.register("adamw")
def adamw(
    parameters: Iterable[torch.nn.Parameter],
    learning_rate: float,
    *,
    weight_decay: Annotated[float, Range(0)] = 0.01,
    beta1: Decay = 0.9,
    beta2: Decay = 0.999,
    epsilon: Epsilon = 1e-8,
) -> torch.optim.Optimizer:
    """Adam with decoupled weight decay: what the authors' code has for MNIST reconstruction."""
    return torch.optim.AdamW(parameters, learning_rate, (beta1, beta2), epsilon, weight_decay, fused=True)
