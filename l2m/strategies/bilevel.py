"""Bilevel data mixing: weights of the groups that lower a validation loss through T steps of training."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from l2m.data import Batch, Split
from l2m.data.validation import held_out
from l2m.errors import UserError
from l2m.sampling.exponentiated_weights import ExponentiatedWeights
from l2m.sampling.sampler import Learn2MixBatchSampler
from l2m.schema import Range
from l2m.strategies import STRATEGIES, Context, Strategy
from l2m.strategies.inner_loop import Inner


@STRATEGIES.register("bilevel")
@dataclass(kw_only=True)
class Bilevel(Strategy):
    """An outer loop moves α every T steps by a hypergradient; the inner loop descends the loss weighted by α.

    After "Less is More: Convergence Benefits of Fewer Data Weight Updates over Longer Horizon" (arXiv 2602.19510).
    Its abstract describes the two loops and leaves the rest open. Our choices:

    Batches keep the shares α̃ of the training set, and a step minimises Σ_i α_i Σ_{b ∈ i} ℓ_b / (α̃_i M), the weighted
    mean loss of the groups, which is linear in α and unbiased also for groups that some batches lack. At α = α̃, where
    training starts, it is the batch's mean. After T steps, fewer at an epoch's end, α_i ∝ α_i exp(−rate · h_i), with
    h the gradient in α of the mean loss of a held-out batch, with dropout off, at the parameters after these steps.
    The held-out part is drawn once from each group and never trained on; a group of one sample keeps it for training.

    ``exact`` repeats the T steps and differentiates through them, second moments of the optimizer included: about four
    times the work of training, and the memory of T steps at once. ``first_order`` is −Σ_t ⟨∇V, ∇L_i⟩ over the T
    batches, both gradients at the parameters after the steps: the hypergradient of plain gradient descent over its
    learning rate, without second derivatives. It costs a forward pass a step, and one step for the held-out batch.
    """

    inner_steps: Annotated[int, Range(1)] = 5  # T
    hypergradient: Literal["exact", "first_order"] = "exact"
    outer_rate: Annotated[float, Range(0)] = 0.1
    scaled: bool = True  # divide h by its typical size, which differs by orders of magnitude between data sets
    held_out: Annotated[float, Range(0, 1, above=True, below=True)] = 0.1  # share of a group, at least 1 sample of 2
    balanced: bool = True  # held-out batches; otherwise they have the shares of the held-out part

    saved = (*Strategy.saved, "_training", "_validation", "_alpha")

    @property
    def every(self) -> int:
        return self.inner_steps

    @property
    def rewinds(self) -> bool:
        return self.hypergradient == "exact"

    @property
    def proportions(self) -> Tensor:
        return self._alpha.weights

    def prepare(self, context: Context) -> Split:
        super().prepare(context)
        groups, size, order = context.train.groups, context.batch_size, context.generator("held_out")
        held = held_out(groups, self.held_out, order)
        self._held, self._kept = torch.nonzero(held).flatten(), torch.nonzero(~held).flatten()
        if not len(self._held):
            raise UserError(
                "strategy=bilevel holds out a part of each group, but no group has two samples: use another strategy"
            )
        if size > len(self._kept):
            raise UserError(
                f"batch_size={size} is larger than the {len(self._kept)} training samples that strategy.held_out="
                f"{self.held_out:g} leaves: use a smaller one"
            )
        sampler = partial(Learn2MixBatchSampler, mixing_rate=0, shuffle_within=False)
        self._training = sampler(groups[self._kept], batch_size=size, generator=context.generator("order"))
        present, labels = groups[self._held].unique(return_inverse=True)
        shares = [1 / len(present)] * len(present) if self.balanced else None
        self._validation = sampler(labels, batch_size=min(size, len(labels)), proportions=shares, generator=order)
        self._drawn_at = self._training.proportions.to(context.device)
        self._alpha = ExponentiatedWeights(self._drawn_at, self.outer_rate, self.scaled)
        self._factors = torch.ones_like(self._drawn_at, dtype=torch.float32)
        return context.train

    def plan(self, epoch: int) -> Tensor:
        return self._kept[torch.stack([self._training.next_batch() for _ in range(self.context.steps)])]

    def loss(self, batch: Batch, per_sample: Tensor) -> Tensor:
        return (self._factors[batch.groups] * per_sample).mean()

    def outer(self, inner: Inner) -> None:
        held = inner.draw(self._held[self._validation.next_batch()])
        self._alpha.move(self._exact(inner, held) if self.rewinds else self._first_order(inner, held))
        self._factors = (self._alpha.weights / self._drawn_at).float()

    def _exact(self, inner: Inner, held: Batch) -> Tensor:
        alpha = self._alpha.weights.requires_grad_()
        factors = alpha / self._drawn_at
        try:
            after = inner.unrolled(lambda batch, losses: (factors.to(losses)[batch.groups] * losses).mean())
            loss = inner.losses(after, held, training=False).mean()
            return torch.autograd.grad(loss, alpha)[0]
        except RuntimeError as error:
            if "is not implemented" not in str(error):
                raise
            raise UserError(
                f"strategy.hypergradient=exact needs second derivatives that torch lacks for this model ({error}): use "
                "strategy.hypergradient=first_order"
            ) from error

    def _first_order(self, inner: Inner, held: Batch) -> Tensor:
        direction = inner.gradient(held, training=False)
        along = torch.zeros_like(self._drawn_at)
        for batch in inner.batches:
            along.index_add_(0, batch.groups, inner.slopes(batch, direction).to(along))
        return -along / (self._drawn_at * self.context.batch_size)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self._factors = (self._alpha.weights / self._drawn_at).float()
