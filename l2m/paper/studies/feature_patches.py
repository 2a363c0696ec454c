"""Patches with common and rare features, and the two-layer network that learns them by full-batch gradient descent.

The data are those of Definition 3.1 of the talk on mixup by data valuation, the model and the measure those of its
slide "early-stop of mix-up can be helpful for efficient learning of rare features" (after Zou et al., 2023).
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

FEATURES = 4
"""The features v, u, v', u' are the first unit vectors: the common ones of class 1 and 2, then the rare ones.

The projection H of the definition assumes that they are orthonormal. All else in it is invariant to rotations.
"""

COMMON, RARE = 0, 2
"""Those of class 1."""


@dataclass(frozen=True)
class Patches:
    """A sample of Definition 3.1."""

    inputs: Tensor  # (n, P, d), float64
    positive: Tensor  # (n,), 1.0 for y = 1 and 0.0 for y = 2
    rare: Tensor  # (n,), whether the feature patch holds a rare feature
    kinds: Tensor  # (n, P), 0 for the feature patch, 1 for feature noise, 2 for Gaussian noise


@dataclass(frozen=True)
class Definition:
    """The parameters of Definition 3.1."""

    dimension: int  # d, at least 5
    patches: int  # P
    rare_share: float  # ρ in [0, 1]
    # b < P, the most patches with feature noise. Their number is uniform in 0 … b ("up to b")
    borrowed: int
    # α, the length of feature noise. One of α·u and α·v is drawn for a sample
    feature_noise: float
    noise: float  # σ_p, the sd of Gaussian noise in each of the d − 4 directions that hold no feature

    def draw(self, n: int, generator: torch.Generator) -> Patches:
        """n independent samples."""
        positive = torch.randint(2, (n,), generator=generator)
        rare = torch.rand(n, generator=generator) < self.rare_share
        rank = torch.rand(n, self.patches, generator=generator).argsort(1)  # the feature patch has rank 0
        lent = torch.randint(self.borrowed + 1, (n, 1), generator=generator)
        kinds = torch.where(rank == 0, 0, torch.where(rank <= lent, 1, 2))
        shape = n, self.patches, self.dimension
        inputs = self.noise * torch.randn(shape, generator=generator, dtype=torch.float64)
        inputs[..., :FEATURES] = 0  # the projection H
        inputs[kinds != 2] = 0
        inputs[torch.arange(n), (kinds == 0).int().argmax(1), 1 - positive + 2 * rare] = 1
        sample, patch = (kinds == 1).nonzero(as_tuple=True)
        inputs[sample, patch, torch.randint(2, (n,), generator=generator)[sample]] = self.feature_noise
        return Patches(inputs, positive.double(), rare, kinds)


def margins(weights: Tensor, inputs: Tensor) -> Tensor:
    """F_1 − F_2 (n,) with F_k = Σ_p Σ_r ⟨w_{k,r}, x^(p)⟩², for weights (2, m, d) and inputs (n, P, d)."""
    inner = inputs @ weights.flatten(0, 1).T
    logits: Tensor = inner.square().sum(1).unflatten(1, (2, -1)).sum(2)
    return logits[:, 0] - logits[:, 1]


def mixed_margins(weights: Tensor, inputs: Tensor, share: float) -> Tensor:
    """F_1 − F_2 (n, n) of λ x_i + (1 − λ) x_j for every ordered pair, i the row, λ the ``share``.

    F_k is quadratic, so that it is λ² F_k(x_i) + (1 − λ)² F_k(x_j) + 2 λ (1 − λ) Σ_p Σ_r ⟨w, x_i^(p)⟩⟨w, x_j^(p)⟩.
    """
    inner = inputs @ weights.flatten(0, 1).T
    sign = inner.new_tensor([1.0, -1.0]).repeat_interleave(weights.shape[1])
    products = (inner * sign).flatten(1) @ inner.flatten(1).T
    own = products.diagonal()
    return share**2 * own[:, None] + (1 - share) ** 2 * own + 2 * share * (1 - share) * products


def loss(weights: Tensor, data: Patches, share: float) -> Tensor:
    """Mean cross entropy, over the samples where ``share`` is 1, else over all n² mixed pairs.

    The target of a pair is λ y_i + (1 − λ) y_j, as one-hot vectors.
    """
    y = data.positive
    if share == 1:
        return functional.binary_cross_entropy_with_logits(margins(weights, data.inputs), y)
    target = share * y[:, None] + (1 - share) * y
    return functional.binary_cross_entropy_with_logits(mixed_margins(weights, data.inputs, share), target)


def descend(weights: Tensor, data: Patches, share: float, rate: float, steps: int) -> Tensor:
    """The weights after ``steps`` of gradient descent on :func:`loss`."""
    for _ in range(steps):
        weights = weights.detach().requires_grad_()
        (slope,) = torch.autograd.grad(loss(weights, data, share), weights)
        weights = weights.detach() - rate * slope
    return weights


def span(data: Patches) -> Tensor:
    """An orthonormal basis (d, k) of a space that holds the features and all patches, and so all gradients.

    Descent in its k coordinates equals descent in all d, and is much cheaper where k is far below d.
    """
    noise = data.inputs[data.kinds == 2][:, FEATURES:]
    if len(noise) >= noise.shape[1]:
        return torch.eye(data.inputs.shape[2], dtype=torch.float64)
    basis: Tensor = torch.block_diag(torch.eye(FEATURES, dtype=torch.float64), torch.linalg.qr(noise.T).Q)
    return basis


def strength(weights: Tensor, feature: int) -> float:
    """Σ_r ⟨w_{1,r}, feature⟩²: what the feature, seen in one patch, adds to the logit of class 1."""
    return float(weights[0, :, feature].square().sum())


def memorised(weights: Tensor, data: Patches) -> float:
    """Σ_p Σ_r ⟨w_{1,r}, ξ^(p)⟩² over noise patches: what they add to the logit of class 1.

    The mean over rare samples of class 1; NaN if there are none.
    """
    chosen = data.rare & (data.positive == 1)
    noise = data.inputs[chosen] * (data.kinds[chosen] == 2)[..., None]
    return float((noise @ weights[0].T).square().sum((1, 2)).mean())


def measures(weights: Tensor, data: Patches) -> dict[str, float]:
    """``common`` and ``rare`` strength, ``memorised`` noise, and ``train_loss`` without mixup."""
    return {
        "common": strength(weights, COMMON),
        "rare": strength(weights, RARE),
        "memorised": memorised(weights, data),
        "train_loss": float(loss(weights, data, 1)),
    }


def accuracy(weights: Tensor, data: Patches) -> float:
    """The share of samples whose class has the larger logit, in [0, 1]."""
    return float(((margins(weights, data.inputs) > 0) == data.positive.bool()).double().mean())
