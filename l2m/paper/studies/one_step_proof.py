"""The quantities of Proposition 2.5 and the steps of its proof, at one point of one problem."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from l2m.paper.studies.group_losses import Floats, GroupLosses

Bools = NDArray[np.bool_]

READINGS: dict[str, Callable[[Floats, Floats], Any]] = {
    "norm": lambda excess, tilde: np.linalg.norm(excess),
    "sum": lambda excess, tilde: excess.sum(),
    "mean": lambda excess, tilde: excess.mean(),
    "weighted": lambda excess, tilde: tilde @ excess,
}
"""How eq. 8 and 40 may read the vector ΔL, the ``excess``, as the number that they subtract from ‖e‖."""


class Point:
    """One problem at one step, with the quantities of the proposition at θ^t.

    Args:
        losses: of the groups; all minimisers are 0, which is θ*.
        tilde: α̃ (k,).
        before: θ^{t-1} (m,).
        first: the learning rate that led from θ^{t-1} to θ^t, in units of 2/L*.

    Attributes:
        mu, largest: μ* and L*.
        e, distance: θ^t − θ* (m,) and its norm.
        excess: ΔL = L(θ^t) − L(θ*) (k,).
        gradients: ∇L_i(θ^t) (k, m).
        towards: d = L(θ^{t-1}) / 1ᵀL(θ^{t-1}) − α̃ (k,), so that α^t = α̃ + γd.
        classical, change: g̃ = ∇L(θ^t, α̃) and v (m,): the gradient at α^t is g̃ + γv.
        first_factor: (μ*/2 − L*) ‖e‖² + α̃ᵀΔL, of eq. 8 and 40.
        scale: L_α L* ‖d‖, of eq. 40 without η.
    """

    def __init__(self, losses: GroupLosses, tilde: Floats, before: Floats, first: float) -> None:
        self.losses, self.tilde, self.before, self.first = losses, tilde, before, first
        self.mu, self.largest = float(losses.mu.min()), float(losses.lipschitz.max())
        excess, gradients = losses(before[None])
        earlier = losses.minima + excess[0]
        self.towards = earlier / earlier.sum() - tilde
        self.e = before - first * 2 / self.largest * (tilde @ gradients[0])
        (self.excess,), (self.gradients,) = losses(self.e[None])
        self.distance = float(np.linalg.norm(self.e))
        self.classical, self.change = tilde @ self.gradients, self.towards @ self.gradients
        self.first_factor = float((self.mu / 2 - self.largest) * self.distance**2 + tilde @ self.excess)
        self.scale = float(np.linalg.norm(self.gradients, ord=2) * self.largest * np.linalg.norm(self.towards))

    def scaled(self, unit: float) -> Point:
        """The same problem with parameters ``unit`` times as large, as if in another unit; losses stay."""
        losses = replace(self.losses, curvature=self.losses.curvature / unit**2, ridges=self.losses.ridges / unit)
        return Point(losses, self.tilde, self.before * unit, self.first)

    def read(self, reading: str) -> float:
        """ΔL as a number."""
        return float(READINGS[reading](self.excess, self.tilde))

    def beta(self, eta: Floats, reading: str) -> Floats:
        """β of eq. 40; positive exactly if eq. 8 holds."""
        return np.asarray(self.first_factor / (eta * self.scale * (self.distance - self.read(reading))))

    def difference(self, eta: Floats, gamma: Floats) -> Floats:
        """F² − G² of eq. 43 without cancellation: eq. 9 holds exactly if it is at most 0."""
        across, length = (self.e - eta[..., None] * self.classical) @ self.change, self.change @ self.change
        return np.asarray(-2 * eta * gamma * across + (eta * gamma) ** 2 * length)

    def largest_gamma(self, eta: float) -> float:
        """The largest γ for which eq. 9 holds; none does if it is at most 0."""
        across = (self.e - eta * self.classical) @ self.change
        return float(2 * across / (eta * self.change @ self.change))

    def helpful_rates(self) -> tuple[float, float]:
        """The least and the largest η, in units of 2/L*, for which some γ > 0 satisfies eq. 9; NaN twice if none."""
        push, pull = float(self.e @ self.change), float(self.classical @ self.change)
        unit = self.largest / 2
        if push > 0:
            return 0.0, push / pull * unit if pull > 0 else np.inf
        return (push / pull * unit, np.inf) if pull < 0 else (np.nan, np.nan)


def check_proof(point: Point, eta: Floats, gamma: Floats) -> pd.DataFrame:
    """Each step of the proof at every pair of η (n,) and γ (q,): how often it was ``checked`` and ``holds``.

    Bounds hold up to a relative 1e-9 of rounding. A step that has a premise, or divides by a number that must be
    positive, is checked only where that is so.
    """
    eta, gamma = eta[:, None], gamma[None, :]
    r, mu, top, first = point.distance, point.mu, point.largest, point.first_factor
    g = point.classical + gamma[..., None] * point.change  # ∇L(θ^t, α^t), (1, q, m)
    size, classical_size = np.linalg.norm(g, axis=-1), np.linalg.norm(point.classical)
    step = gamma * np.linalg.norm(point.change)  # ‖∇L(θ^t, α^t) − ∇L(θ^t, α̃)‖
    drop = point.towards @ point.excess  # dᵀΔL
    h = 2 * eta * gamma * (point.e @ point.change)
    j = eta**2 * gamma * ((point.change * (g + point.classical)).sum(axis=-1))
    eq44 = step * np.linalg.norm(g + point.classical, axis=-1)
    lipschitz = point.scale / top * gamma  # L_α ‖α^t − α̃‖
    eq45 = 2 * eta**2 * lipschitz * (size + classical_size)
    eq48 = 2 * eta**2 * lipschitz * top * r
    along = g @ point.e  # eᵀ∇L(θ^t, α^t)
    eq52 = mu / 2 * r**2 + point.tilde @ point.excess + gamma * drop
    eq53 = 2 * eta * (first + gamma * drop)
    k = eq48 - eq53
    bracket = eta * point.scale * r - drop  # of eq. 57 and the denominator of eq. 58
    eq58 = first / bracket

    def eq57(at: Floats) -> Bools:
        return np.asarray(first >= at * bracket)

    steps: list[tuple[str, str, Bools, Bools | bool]] = [
        ("28 low", "(28): μ*/2 ‖e‖ ≤ ‖∇L‖", _at_most(mu / 2 * r, size), True),
        ("28 high", "(28): ‖∇L‖ ≤ L* ‖e‖", _at_most(size, top * r), True),
        ("44 printed", "J ≤ (44), as printed", _at_most(j, eq44 + 0 * eta), True),
        ("44", "J ≤ (44) · η²", _at_most(j, eta**2 * eq44), True),
        ("45", "(44) · η² ≤ (45)", _at_most(eta**2 * eq44, eq45), True),
        ("45 to 46", "(45) ≤ (46)", _at_most(eq45, eq48), True),
        ("48", "J ≤ (48)", _at_most(j, eq48), True),
        ("51", "H ≥ (51)", _at_most(2 * eta * (along - top * r**2), h), True),
        ("52 printed", "(51) = (52)", np.isclose(along, eq52, rtol=1e-9), True),
        ("52", "(51) ≥ (52)", _at_most(eq52, along), True),
        ("53", "H ≥ (53)", _at_most(eq53, h), True),
        ("54", "F² − G² ≤ K", _at_most(j - h, k), True),
        ("8", "first factor of (8) > 0", np.asarray(first > 0), True),
        ("55", "K ≥ η (L* − μ*) ‖e‖²", _at_most(eta * (top - mu) * r**2, k), True),
        ("56", "K ≤ 0", k <= 0, True),
        ("58", "(57) at γ = (58)/2 > 0", eq57(eq58 / 2), eq58 > 0),
    ]
    for reading in READINGS:
        beta = point.beta(eta, reading)
        half_beta = np.minimum(beta, 1) / 2
        steps += [
            (f"59 {reading}", f"(58) ≤ (59), {reading}", _at_most(eq58, beta), True),
            (f"40 {reading}", f"(57) at γ = min(β, 1)/2 > 0, {reading}", eq57(half_beta), beta > 0),
        ]
    rows = []
    for name, statement, holds, premise in steps:
        checked = np.broadcast_to(premise, holds.shape)
        rows.append((name, statement, int(checked.sum()), int((holds & checked).sum())))
    return pd.DataFrame(rows, columns=["step", "statement", "checked", "holds"])


def _at_most(left: Floats | float, right: Floats | float) -> Bools:
    return np.asarray(left <= right + 1e-9 * (np.abs(left) + np.abs(right)))
