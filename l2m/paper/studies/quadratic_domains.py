"""Two quadratic domains whose weights are moved every T steps: the T-step scheme, its fixed point and its budget.

The domains' losses are L_i(θ) = ½ (θ − a_i)ᵀ A (θ − a_i) with A = diag(1, κ) and a_1 = −a_2 = (1, 1), the validation
loss is V(θ) = ½ |θ − v|² with v = (1, −1). With weights α = ((1 + s)/2, (1 − s)/2) the inner problem has the solution
θ*(s) = s·(1, 1), so that V(θ*(s)) = 1 + s², and the best weights are equal: s = 0.

T inner steps of rate η at fixed s lead from θ to θ_T with θ_T,j = ρ_j θ_j + (1 − ρ_j) s, ρ_j = (1 − ηλ_j)^T for
λ = (1, κ). So the hypergradient is h = dV(θ_T)/ds = Σ_j (1 − ρ_j) (θ_T,j − v_j). A scheme that continues from θ_T
settles where θ = θ*(s) and h = 0, that is (1 − ρ_1)(s − 1) + (1 − ρ_2)(s + 1) = 0, and

    s_T = (ρ_2 − ρ_1) / (2 − ρ_1 − ρ_2).

For T = 1 this is (1 − κ)/(1 + κ), whatever the rates and however long it runs. For T → ∞ it goes to 0 as ρ_1 does.

Exponentiated gradients of outer rate β move the log-odds ℓ = log(α_1/α_2), s = tanh(ℓ/2), by −2βh: the hypergradients
of α_1 and α_2 are h and −h, up to a common term.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def fixed_point(inner_steps: NDArray[np.int64], conditions: Floats) -> Floats:
    """s_T for every T and κ, (T, κ), at the inner rate 1/(2κ)."""
    slow, fast = ((1 - rate) ** inner_steps[:, None] for rate in (1 / (2 * conditions), np.full_like(conditions, 0.5)))
    return (fast - slow) / (2 - slow - fast)


def simulate(longest: int, conditions: Floats, outer_steps: Sequence[int], outer_rate: float = 0.5) -> Floats:
    """s after ``outer_steps``, (outer steps, T, κ) for T = 1 … ``longest``, at the inner rate 1/(2κ).

    Each inner step is taken together with its derivative in s, without the closed form. All begin at s = 0, the best
    weights, and at θ = 0.
    """
    rates = np.stack([1 / (2 * conditions), np.full_like(conditions, 0.5)])  # η λ_j, (2, κ)
    target = np.array([1.0, -1.0])[:, None]
    theta = np.zeros((longest, 2, len(conditions)))
    odds = np.zeros((longest, len(conditions)))
    weights = []
    for step in range(1, max(outer_steps) + 1):
        s = np.tanh(odds / 2)[:, None]
        slope = np.zeros_like(theta)
        for first in range(longest):  # rows of a larger T take more steps
            theta[first:] -= rates * (theta[first:] - s[first:])
            slope[first:] -= rates * (slope[first:] - 1)
        odds -= 2 * outer_rate * (slope * (theta - target)).sum(1)
        if step in outer_steps:
            weights.append(np.tanh(odds / 2))
    return np.stack(weights)


def spend(
    inner_steps: int,
    budgets: Sequence[int],
    inner_rates: Floats,
    outer_rates: Floats,
    starts: tuple[Floats, Floats],
    condition: float,
    noise: float,
    rng: np.random.Generator,
) -> Floats:
    """Spend each budget of N inner steps on ⌊N/T⌋ outer steps; the mean gaps over those, of weights and parameters.

    A stochastic gradient is the gradient plus normal noise of sd ``noise`` in each coordinate, so T inner steps add
    normal noise of variance η² σ² Σ_t (1 − ηλ_j)^(2t), which is drawn at once. A hypergradient is that of the noisy
    steps. Runs share their noise across rates.

    Args:
        inner_steps: T.
        budgets: N, ascending.
        starts: log-odds (runs,) and θ (2, runs) to begin from.

    Returns:
        (2, budgets, inner rates, outer rates, runs): s², the excess of V(θ*(s)) over its minimum, and ½ |θ_T|², half
        the squared distance from θ* of the best weights, noise included. NaN where a budget allows no outer step.
    """
    kept = 1 - inner_rates * np.array([1.0, condition])[:, None]  # (2, inner rates)
    left = (kept**inner_steps)[:, :, None, None]
    spread = (noise * inner_rates * np.sqrt((1 - kept ** (2 * inner_steps)) / (1 - kept**2)))[:, :, None, None]
    odds = np.broadcast_to(starts[0], (len(inner_rates), len(outer_rates), len(starts[0]))).copy()
    theta = np.broadcast_to(starts[1][:, None, None], (2, *odds.shape)).copy()
    target, moves = np.array([1.0, -1.0])[:, None, None, None], 2 * outer_rates[:, None]
    sums, gaps = np.zeros((2, *odds.shape)), np.full((2, len(budgets), *odds.shape), np.nan)
    rounds = [budget // inner_steps for budget in budgets]
    for step in range(1, rounds[-1] + 1):
        s = np.tanh(odds / 2)
        theta = left * (theta - s) + s
        if noise:
            theta += spread * rng.standard_normal((2, 1, 1, odds.shape[-1]))
        sums[0] += s * s
        sums[1] += (theta * theta).sum(0) / 2
        odds -= moves * ((1 - left) * (theta - target)).sum(0)
        if step in rounds:
            gaps[:, np.equal(rounds, step)] = sums[:, None] / step
    return gaps
