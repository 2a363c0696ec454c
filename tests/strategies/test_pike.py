"""PiKE: its estimates against gradients of single samples, and the rule by hand."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from test_strategies import built, context, small
from torch import Tensor, nn

from l2m.data import Split
from l2m.seeding import generator
from l2m.strategies.inner_loop import Inner
from l2m.strategies.pike import Pike

SIZES = (12, 5, 1)


def squares(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs - targets).square().sum(1)


def world(**options: object) -> tuple[Pike, Inner, Split]:
    """A prepared strategy, and a linear network that has taken no step."""
    given = small("regression", SIZES)
    inputs = torch.randn(len(given), 3, generator=generator(0, "inputs"), dtype=torch.float64)
    split = Split(inputs, inputs.sum(1, keepdim=True) + given.groups[:, None], given.groups)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Linear(3, 1).double()
    strategy = built("pike", **options)
    strategy.prepare(context(split, batch_size=6))
    return strategy, Inner(split.batch, model, None, squares, nullcontext), split


def gains(strategy: Pike, inner: Inner, split: Split) -> list[float]:
    """‖∇L_i‖² − ζ₂/ζ₁ · σ_i² / (2M) of each group, from the gradient 2 (wx + b − y) (x, 1) of each sample."""
    with torch.no_grad():
        off = inner.model(split.inputs) - split.targets
    each = 2 * off * torch.cat([split.inputs, torch.ones(len(split), 1)], 1)
    found = []
    for group in range(len(SIZES)):
        own = each[split.groups == group]
        variance = own.var(0, correction=0).sum()
        found.append((own.mean(0).square().sum() - strategy.noise * variance / (2 * 6)).item())
    return found


@pytest.mark.parametrize("noise", [0.0, 2.0])
def test_estimates_are_unbiased(noise: float) -> None:
    strategy, inner, split = world(noise=noise, samples=2)
    drawn = torch.stack([
        torch.stack([strategy._gain(inner, members) for members in strategy._members]) for _ in range(500)
    ])  # fmt: skip
    error = drawn.std(0) / len(drawn) ** 0.5
    assert (
        (drawn.mean(0) - torch.tensor(gains(strategy, inner, split), dtype=torch.float64)).abs() <= 4 * error + 1e-9
    ).all()
    assert error[0] > 0
    assert error[2] < 1e-9  # a group of one sample has no variance


def test_proportions_follow_the_rule_and_batches_follow_them() -> None:
    strategy, inner, split = world(rate=0.01, noise=0.0, scaled=False, samples=50_000)
    before = strategy.proportions
    strategy.outer(inner)
    weights = before * torch.exp(0.01 * torch.tensor(gains(strategy, inner, split), dtype=torch.float64))
    assert strategy.proportions.tolist() == pytest.approx((weights / weights.sum()).tolist(), abs=5e-3)
    assert (strategy.proportions - before).abs().max() > 0.02
    drawn = torch.cat([strategy.next_batch() for _ in range(50)])
    counts = torch.bincount(split.groups[drawn], minlength=len(SIZES))
    assert (counts - 300 * strategy.proportions).abs().max() <= 1


def test_a_gradient_that_is_lost_moves_nothing() -> None:
    """The engine ends the run at the end of the epoch."""
    strategy, inner, _ = world()
    before = strategy.proportions
    with torch.no_grad():
        inner.model.bias.fill_(torch.nan)
    strategy.outer(inner)
    assert torch.equal(strategy.proportions, before)
