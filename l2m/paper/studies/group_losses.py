"""Strongly convex group losses whose constants are known, and learn2mix's steps on them (section 2 of the paper).

    L_i(θ) = c_i + ½ (θ − θ_i)ᵀ A_i (θ − θ_i) + Σ_r log cosh(b_irᵀ (θ − θ_i))

Without ridges b it is quadratic. Its Hessian lies between A_i and A_i + Σ_r b_ir b_irᵀ, and both bounds are tight: it
is the second at θ_i and tends to the first far from it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class GroupLosses:
    """k losses of m parameters."""

    curvature: Floats  # A (k, m, m), symmetric and positive definite
    minimisers: Floats  # θ_i (k, m)
    minima: Floats  # c (k,), the losses at their minimisers, at least 0
    ridges: Floats  # b (k, r, m); r may be 0

    @property
    def mu(self) -> Floats:
        """μ_i (k,), the constants of strong convexity: the least eigenvalue of A_i."""
        return np.asarray(np.linalg.eigvalsh(self.curvature)[:, 0], np.float64)

    @property
    def lipschitz(self) -> Floats:
        """L_i (k,), the Lipschitz constants of the gradients: the largest eigenvalue of A_i + Σ_r b_ir b_irᵀ."""
        largest = self.curvature + self.ridges.transpose(0, 2, 1) @ self.ridges
        return np.asarray(np.linalg.eigvalsh(largest)[:, -1], np.float64)

    def __call__(self, theta: Floats) -> tuple[Floats, Floats]:
        """L_i(θ) − c_i (n, k) and ∇L_i(θ) (n, k, m) for n parameters θ (n, m)."""
        offsets = (theta[:, None] - self.minimisers).transpose(1, 2, 0)  # (k, m, n)
        gradients = self.curvature @ offsets
        excess = (offsets * gradients).sum(axis=1) / 2
        if self.ridges.shape[1]:
            along = self.ridges @ offsets  # (k, r, n)
            size = np.abs(along)
            excess += (size + np.log1p(np.exp(-2 * size)) - np.log(2)).sum(axis=1)
            gradients = gradients + self.ridges.transpose(0, 2, 1) @ np.tanh(along)
        return excess.T, gradients.transpose(2, 0, 1)

    def losses(self, theta: Floats) -> Floats:
        """L_i(θ) (n, k) for n parameters θ (n, m)."""
        return self.minima + self(theta)[0]


def sample(
    rng: np.random.Generator, *, groups: int, parameters: int, condition: float, spread: float = 0.0, ridges: int = 0
) -> GroupLosses:
    """Random group losses.

    Each A_i has random eigenvectors and log-uniform eigenvalues, the least in [0.3, 1] and the largest up to
    ``condition`` times as large. c_i is log-uniform in [0.01, 10]. The minimisers are normal with standard deviation
    ``spread``, and all 0 at ``spread=0``.
    """
    k, m = groups, parameters
    least = np.exp(rng.uniform(np.log(0.3), 0, k))
    largest = least * np.exp(rng.uniform(0, np.log(condition), k))
    place = rng.uniform(0, 1, (k, m))
    place[:, 0], place[:, -1] = 0, 1
    values = least[:, None] * (largest / least)[:, None] ** place
    vectors = np.linalg.qr(rng.normal(size=(k, m, m)))[0]
    return GroupLosses(
        curvature=(vectors * values[:, None]) @ vectors.transpose(0, 2, 1),
        minimisers=spread * rng.normal(size=(k, m)),
        minima=np.exp(rng.uniform(np.log(0.01), np.log(10), k)),
        ridges=rng.normal(size=(k, ridges, m)) * np.sqrt(largest / m)[:, None, None],
    )


def mix(alpha: Floats, losses: Floats, gamma: Floats) -> Floats:
    """α + γ (L / ΣL − α) (eq. 3); where all losses are 0, α stays, as in ``Learn2MixBatchSampler``.

    Args:
        alpha: (n, k), on the simplex.
        losses: (n, k), at least 0. They are first divided by the largest, so that no sum overflows or underflows.
        gamma: (n,).
    """
    largest = losses.max(axis=1, keepdims=True)
    positive = largest > 0
    target = losses / np.where(positive, largest, 1)
    total = np.where(positive, target.sum(axis=1, keepdims=True), 1)
    return alpha + np.where(positive, gamma[:, None] * (target / total - alpha), 0)


def descend(
    groups: GroupLosses, theta: Floats, alpha: Floats, eta: Floats, gamma: Floats
) -> Iterator[tuple[Floats, Floats]]:
    """Yield θ^t (n, m) and α^t (n, k), t = 0, 1, …, of n trainings with learn2mix (eq. 3 and 4), endlessly.

    A training that has grown beyond 1e100 stays there. θ^0 and α^0 may be one vector for all trainings.
    """
    theta = np.broadcast_to(theta, (len(eta), theta.shape[-1]))
    alpha = np.broadcast_to(alpha, (len(eta), alpha.shape[-1]))
    while True:
        yield theta, alpha
        excess, gradients = groups(theta)
        rate = np.where(np.abs(theta).max(axis=1) > 1e100, 0, eta)
        theta = theta - rate[:, None] * np.einsum("nk,nkm->nm", alpha, gradients)
        alpha = mix(alpha, groups.minima + excess, gamma)
