"""Where learn2mix settles when the groups disagree about the minimiser, and points to compare it with.

There Σ α_i ∇L_i(θ) = 0 with α = L(θ) / 1ᵀL(θ) (eq. 3 and 4), so that Σ L_i ∇L_i = 0: the gradient of ½ Σ L_i²
vanishes. For losses that are convex and positive this sum is strictly convex and has one minimiser, so there is one
such point, which depends on neither α̃ nor the rates. For quadratic losses everything here is exact.
"""

import numpy as np
from scipy import optimize

from l2m.paper.studies.group_losses import Floats, GroupLosses


def losses_and_gradients(groups: GroupLosses, theta: Floats) -> tuple[Floats, Floats]:
    """L(θ) (k,) and its Jacobian (k, m) at one θ (m,)."""
    excess, gradients = groups(theta[None])
    return groups.minima + excess[0], gradients[0]


def fixed_point(groups: GroupLosses) -> Floats:
    """The root (m,) of Σ α_i ∇L_i with α = L / 1ᵀL, by Powell's hybrid method from the mean of the minimisers."""

    def equation(theta: Floats) -> Floats:
        losses, gradients = losses_and_gradients(groups, theta)
        return np.asarray(losses / losses.sum() @ gradients)

    solution = optimize.root(equation, groups.minimisers.mean(axis=0), tol=1e-13)
    residual = float(np.abs(equation(solution.x)).max())
    if not residual < 1e-9 * groups.lipschitz.max():
        raise RuntimeError(f"no fixed point was found: {solution.message} The residual is {residual}.")
    return np.asarray(solution.x)


def least_squares(groups: GroupLosses) -> Floats:
    """The minimiser (m,) of ½ Σ L_i², by Newton steps in a trust region."""

    def value(theta: Floats) -> tuple[float, Floats]:
        losses, gradients = losses_and_gradients(groups, theta)
        return float(losses @ losses) / 2, losses @ gradients

    def hessian(theta: Floats) -> Floats:
        losses, gradients = losses_and_gradients(groups, theta)
        return np.tensordot(losses, groups.curvature, 1) + gradients.T @ gradients

    start = groups.minimisers.mean(axis=0)
    return np.asarray(optimize.minimize(value, start, jac=True, hess=hessian, method="trust-exact", tol=1e-9).x)


def weighted(groups: GroupLosses, alpha: Floats) -> Floats:
    """The minimiser (m,) of Σ α_i L_i."""
    curvature = alpha[:, None, None] * groups.curvature
    return np.linalg.solve(curvature.sum(axis=0), np.einsum("kij,kj->i", curvature, groups.minimisers))


def minimax(groups: GroupLosses) -> Floats:
    """The minimiser (m,) of the largest L_i, by SLSQP on its dual: the α for which Σ α_i L_i has the largest minimum.

    By duality no θ has a largest loss below that minimum; the one here is at most a relative 1e-6 above it.
    """
    k = len(groups.minima)

    def dual(alpha: Floats) -> tuple[float, Floats]:
        losses = groups.losses(weighted(groups, alpha)[None])[0]
        return -float(alpha @ losses), -losses

    solution = optimize.minimize(
        dual,
        np.full(k, 1 / k),
        jac=True,
        method="SLSQP",
        bounds=[(0, 1)] * k,
        constraints={"type": "eq", "fun": lambda alpha: alpha.sum() - 1, "jac": lambda alpha: np.ones(k)},
        options={"maxiter": 1000, "ftol": 1e-14},
    )
    theta = weighted(groups, solution.x / solution.x.sum())
    largest = float(groups.losses(theta[None]).max())
    if not largest <= -solution.fun * (1 + 1e-6):
        raise RuntimeError(f"no minimax point was found: {solution.message} {largest} is above {-solution.fun}.")
    return theta


def spectral_radius(groups: GroupLosses, theta: Floats, eta: float, gamma: float) -> float:
    """The largest |eigenvalue| of one step's Jacobian at the fixed point (m,); it is stable below 1."""
    losses, gradients = losses_and_gradients(groups, theta)
    alpha = losses / losses.sum()
    slope = (gradients - np.outer(alpha, gradients.sum(axis=0))) / losses.sum()  # the Jacobian (k, m) of L / 1ᵀL
    to_theta = np.hstack([np.eye(len(theta)) - eta * np.tensordot(alpha, groups.curvature, 1), -eta * gradients.T])
    to_alpha = np.hstack([gamma * slope, (1 - gamma) * np.eye(len(alpha))])
    return float(np.abs(np.linalg.eigvals(np.vstack([to_theta, to_alpha]))).max())
