"""The last steps as differentiable functions, for ``Strategy.outer``."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from l2m.data import Batch
from l2m.seeding import default_states, restore_defaults

Parameters = dict[str, Tensor]
"""By name."""


class Start(NamedTuple):
    """Copies of the state before the steps."""

    parameters: Parameters
    optimizer: dict[str, list[Tensor]]
    generators: dict[str, Tensor]  # torch's default ones


@dataclass
class Inner:
    """The last T steps, and the model after them.

    The methods change neither the model's parameters nor its buffers, and never wait for the GPU.
    """

    draw: Callable[[Tensor], Batch]  # the samples at indices (n,) of the split that ``prepare`` returned, not augmented
    model: nn.Module  # after the steps, as the optimizer
    optimizer: Any
    task_loss: Callable[[Tensor, Tensor], Tensor]  # (outputs, targets) -> losses (M,)
    precision: Callable[[], AbstractContextManager[None]]  # returns the context of a forward pass
    before: Start | None = None  # the state before the steps; None if the strategy never calls :meth:`unrolled`
    batches: list[Batch] = field(default_factory=list)  # those of the steps, in order, as the steps saw them

    def rewindable(self) -> Inner:
        """Itself, with copies of the state before the next steps."""
        parameters = {name: each.detach().clone() for name, each in self.parameters.items()}
        optimizer = {name: [each.clone() for each in tensors] for name, tensors in self.optimizer.state_dict().items()}
        self.before = Start(parameters, optimizer, default_states(next(iter(parameters.values())).device))
        return self

    @property
    def parameters(self) -> Parameters:
        """θ after the steps, those that are trained, as leaves with gradients."""
        named = self.model.named_parameters()
        return {name: each.detach().requires_grad_() for name, each in named if each.requires_grad}

    def losses(self, parameters: Mapping[str, Tensor], batch: Batch, *, training: bool) -> Tensor:
        """The task's loss of each sample (M,), a function of ``parameters`` that may be differentiated twice.

        ``training`` is the model's mode. Attention stores all its weights (M, heads, L, L), as torch's memory-efficient
        kernels have one derivative only.
        """
        buffers = {name: each.clone() for name, each in self.model.named_buffers()}
        mode = self.model.training
        self.model.train(training)
        try:
            with self.precision(), sdpa_kernel(SDPBackend.MATH):
                outputs = functional_call(self.model, (dict(parameters), buffers), (batch.inputs,))
        finally:
            self.model.train(mode)
        return self.task_loss(outputs, batch.targets)

    def gradient(self, batch: Batch, *, training: bool) -> Parameters:
        """∇ of the batch's mean loss at θ after the steps."""
        at = self.parameters
        gradients = torch.autograd.grad(self.losses(at, batch, training=training).mean(), list(at.values()))
        return dict(zip(at, gradients, strict=True))

    def slopes(self, batch: Batch, direction: Mapping[str, Tensor]) -> Tensor:
        """⟨∇ℓ_b, ``direction``⟩ of each sample b (M,) at θ after the steps, in training mode: one forward pass."""
        with torch.no_grad(), forward_ad.dual_level(), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # raised inside torch
            dual = {name: forward_ad.make_dual(each, direction[name]) for name, each in self.parameters.items()}
            tangent: Tensor = forward_ad.unpack_dual(self.losses(dual, batch, training=True)).tangent
            return tangent

    def unrolled(self, objective: Callable[[Batch, Tensor], Tensor]) -> Parameters:
        """θ after repeating the steps from their start, a differentiable function of the tensors in ``objective``.

        That takes a batch and its losses (M,) to the scalar that a step minimises. A RuntimeError says that torch lacks
        the second derivative of an operation of the model.
        """
        if self.before is None:
            raise ValueError("the steps cannot be repeated: the strategy's rewinds is False")
        parameters, optimizer, generators = self.before
        names, values = list(parameters), [each.detach().requires_grad_() for each in parameters.values()]
        device = values[0].device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            restore_defaults(generators, device)
            for batch in self.batches:
                losses = self.losses(dict(zip(names, values, strict=True)), batch, training=True)
                gradients = torch.autograd.grad(objective(batch, losses), values, create_graph=True)
                values, optimizer = self.optimizer.stepped(values, gradients, optimizer)
        return dict(zip(names, values, strict=True))
