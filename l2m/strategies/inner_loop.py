"""The inner loop as functions: what ``Strategy.outer`` is given to see how a change would have carried through it."""

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

Parameters = dict[str, Tensor]
"""By name."""


class Before(NamedTuple):
    """Copies of what the steps began from."""

    parameters: Parameters
    optimizer: dict[str, list[Tensor]]
    generators: tuple[Tensor, Tensor | None]
    """torch's states on the CPU and on the GPU."""


@dataclass
class Inner:
    """T steps that were taken, and the model they left.

    Its methods change neither the model's parameters nor its buffers. The GPU is never waited for.

    Attributes:
        batches: those of the steps, in turn and as the steps saw them.
        draw: the samples at indices (n,) of the split that ``prepare`` returned, not augmented.
        model, optimizer: as the steps left them.
        task_loss: (outputs, targets) -> losses (M,).
        precision: gives the context of a forward pass.
        before: what the steps began from; None where the strategy never asks for :meth:`unrolled`.
    """

    draw: Callable[[Tensor], Batch]
    model: nn.Module
    optimizer: Any
    task_loss: Callable[[Tensor, Tensor], Tensor]
    precision: Callable[[], AbstractContextManager[None]]
    before: Before | None = None
    batches: list[Batch] = field(default_factory=list)

    def rewindable(self) -> Inner:
        """Itself, with copies of all that the next steps begin from."""
        parameters = {name: each.detach().clone() for name, each in self.model.named_parameters()}
        optimizer = {name: [each.clone() for each in tensors] for name, tensors in self.optimizer.state_dict().items()}
        device = next(iter(parameters.values())).device
        cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
        self.before = Before(parameters, optimizer, (torch.get_rng_state(), cuda))
        return self

    @property
    def parameters(self) -> Parameters:
        """θ after the steps, as leaves that gradients can be asked for."""
        return {name: each.detach().requires_grad_() for name, each in self.model.named_parameters()}

    def losses(self, parameters: Mapping[str, Tensor], batch: Batch, *, training: bool) -> Tensor:
        """The task's loss of each sample (M,), a function of ``parameters`` that may be differentiated twice.

        With ``training`` a sample is seen as by a step, with dropout and the batch's own normalisation, else as by
        evaluation. Attention holds all its weights (M, heads, L, L): torch's lean kernels have one derivative.
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
        found = torch.autograd.grad(self.losses(at, batch, training=training).mean(), list(at.values()))
        return dict(zip(at, found, strict=True))

    def slopes(self, batch: Batch, direction: Mapping[str, Tensor]) -> Tensor:
        """⟨∇ℓ_b, ``direction``⟩ of each sample b (M,) at θ after the steps, as by a step: one forward pass.

        The first call of a process may take a second more, in which torch compiles its forward differentiation.
        """
        with torch.no_grad(), forward_ad.dual_level(), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # torch's own, of how it has made this mode
            dual = {name: forward_ad.make_dual(each, direction[name]) for name, each in self.parameters.items()}
            tangent: Tensor = forward_ad.unpack_dual(self.losses(dual, batch, training=True)).tangent
            return tangent

    def unrolled(self, objective: Callable[[Batch, Tensor], Tensor]) -> Parameters:
        """θ after the steps taken anew from where they began, a differentiable function of what ``objective`` holds.

        Args:
            objective: (batch, losses (M,)) -> the scalar that a step descends.

        Raises:
            RuntimeError: torch lacks the second derivative of an operation of the model.
        """
        if self.before is None:
            raise ValueError("the steps can't be taken anew: the strategy's rewinds is False")
        parameters, optimizer, (cpu, cuda) = self.before
        names, values = list(parameters), [each.detach().requires_grad_() for each in parameters.values()]
        device = values[0].device
        with torch.random.fork_rng([device] if cuda is not None else []):
            torch.set_rng_state(cpu)
            if cuda is not None:
                torch.cuda.set_rng_state(cuda, device)
            for batch in self.batches:
                losses = self.losses(dict(zip(names, values, strict=True)), batch, training=True)
                gradients = torch.autograd.grad(objective(batch, losses), values, create_graph=True)
                values, optimizer = self.optimizer.stepped(values, gradients, optimizer)
        return dict(zip(names, values, strict=True))
