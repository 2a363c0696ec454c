"""Group DRO, Exp3, class weights and logit adjustment, each against its paper's formulas written out anew."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from alike import same
from made_up import compose
from scipy import stats
from sklearn.utils.class_weight import compute_class_weight
from test_strategies import batches, built, context, parameters, small
from torch import Tensor
from torch.nn import functional

from l2m.config.run import RunConfig
from l2m.data import Batch, Split
from l2m.seeding import generator
from l2m.training.run import train


def digits(folder: Path, *overrides: str) -> RunConfig:
    return compose("dataset=digits", "device=cpu", "threads=1", "epochs=2", f"results_dir={folder}", *overrides)


def weighted(strategy: Any, groups: list[int], losses: Tensor) -> Tensor:
    """The scalar of samples of these groups, which are their classes too."""
    result: Tensor = strategy.loss(Batch(losses, torch.tensor(groups), torch.tensor(groups)), losses)
    return result


# Group DRO

STEPS = (([0, 0, 1, 2], [1.0, 3.0, 0.5, 4.0]), ([2, 2, 2, 0], [1.0, 2.0, 6.0, 0.25]), ([1, 1, 1, 1], [9.0, 7.0, 8, 0]))
"""Groups and losses of three batches; the second lacks a group, the third two."""


@pytest.mark.parametrize("adjustment", [0.0, 3.0])
def test_group_dro_is_algorithm_1_on_batches(adjustment: float) -> None:
    sizes = np.array([12, 6, 2])
    strategy = built("group_dro", step_size=0.1, adjustment=adjustment)
    strategy.prepare(context(small("regression", tuple(sizes)), batch_size=4))
    q = np.full(3, 1 / 3)
    for groups, values in STEPS:
        held = np.unique(groups)
        mean = {g: np.mean([v for h, v in zip(groups, values, strict=True) if h == g]) for g in held}
        for g in held:
            q[g] *= math.exp(0.1 * (mean[g] + adjustment / math.sqrt(sizes[g])))
        q /= q.sum()
        losses = torch.tensor(values, requires_grad=True)
        scalar = weighted(strategy, groups, losses)
        scalar.backward()  # type: ignore[no-untyped-call]
        assert scalar.item() == pytest.approx(sum(q[g] * mean[g] for g in held), rel=1e-5)
        assert losses.grad is not None
        shares = [q[g] / groups.count(g) for g in groups]
        assert losses.grad.tolist() == pytest.approx(shares, rel=1e-5), "q is no function of the parameters"
    assert strategy.state_dict()["log_q"].exp().tolist() == pytest.approx(q.tolist(), rel=1e-5)


def test_group_dro_tends_to_the_worst_group() -> None:
    strategy = built("group_dro", step_size=1.0)
    strategy.prepare(context(small(sizes=(9, 6, 3)), batch_size=3))
    for _ in range(40):
        scalar = weighted(strategy, [0, 1, 2], torch.tensor([1.0, 3.0, 2.0]))
    assert scalar.item() == pytest.approx(3.0)


def test_group_dro_bears_any_loss() -> None:
    strategy = built("group_dro")
    strategy.prepare(context(small(sizes=(9, 6, 3)), batch_size=3))
    for _ in range(3):
        assert weighted(strategy, [0, 1, 2], torch.tensor([1e20, 1.0, 2.0])).item() == pytest.approx(1e20)


def test_group_dro_without_steps_is_the_mean_over_groups() -> None:
    strategy = built("group_dro", step_size=0)
    strategy.prepare(context(small(sizes=(9, 6, 3)), batch_size=4))
    assert weighted(strategy, [0, 0, 1, 2], torch.tensor([1.0, 3.0, 6.0, 7.0])).item() == pytest.approx(5.0)


@pytest.mark.parametrize(("kind", "shares"), [("balanced", [1 / 3] * 3), ("stratified", [0.5, 1 / 3, 1 / 6])])
def test_group_dro_draws_the_groups_as_its_option_says(kind: str, shares: list[float]) -> None:
    strategy = built("group_dro", batches=kind)
    split = strategy.prepare(context(small(sizes=(9, 6, 3)), batch_size=6))
    drawn = torch.bincount(split.groups[torch.cat([batches(strategy, 1), batches(strategy, 2)]).flatten()])
    assert (drawn / drawn.sum()).tolist() == pytest.approx(shares)


# Exp3


def played(kind: str, exploration: float = 0.2, sizes: tuple[int, ...] = (30, 12, 6, 2), size: int = 10) -> tuple:
    strategy = built("exp3", batches=kind, exploration=exploration)
    return strategy, strategy.prepare(context(small("regression", sizes), batch_size=size))


def take(strategy: Any, split: Split, means: Tensor) -> Tensor:
    """One step whose samples have their group's loss; the groups of its batch."""
    batch = split.batch(strategy.next_batch())
    strategy.after_step(batch, means[batch.groups])
    return batch.groups


def test_exp3_with_one_arm_a_batch_is_that_of_auer_and_others() -> None:
    """Figure 1 of the paper, fed with the arms that were drawn."""
    strategy, split = played("arm")
    means, random, k, gamma = torch.zeros(4), np.random.default_rng(0), 4, 0.2
    weights, largest = np.ones(k), 0.0
    for _ in range(200):
        p = (1 - gamma) * weights / weights.sum() + gamma / k
        assert strategy.proportions.tolist() == pytest.approx(p.tolist())
        means = torch.from_numpy(random.uniform(0, 5, k)).float()
        (arm,) = take(strategy, split, means).unique().tolist()
        largest = max(largest, float(means[arm]))
        weights[arm] *= math.exp(gamma / k * float(means[arm]) / largest / p[arm])
    assert strategy.proportions.max() > 0.3, "it moved"


def test_exp3_draws_groups_by_its_probabilities() -> None:
    """A chi-squared test of 4000 draws, of arms and of samples alike, at probabilities that are far apart."""
    for kind, times in (("arm", 4000), ("mixture", 400)):
        strategy, split = played(kind)
        strategy._log_w = torch.tensor([0.0, 2.0, 1.0, 3.0], dtype=torch.float64)
        expected = strategy.proportions
        assert expected.max() > 5 * expected.min()
        drawn = [split.groups[strategy.next_batch()] for _ in range(times)]
        counts = torch.stack([torch.bincount(groups, minlength=4) for groups in drawn])
        assert counts.sum(1).unique().tolist() == [10]
        if kind == "arm":
            assert counts.max(1).values.unique().tolist() == [10]
            counts = counts // 10
        assert stats.chisquare(counts.sum(0).numpy(), 4000 * expected.numpy()).pvalue > 0.001
        if kind == "mixture":  # each sample by itself: as spread as multinomial counts are
            spread = counts.double().var(0) / (10 * expected * (1 - expected))
            assert spread.tolist() == pytest.approx([1.0] * 4, abs=0.3)


@pytest.mark.parametrize("kind", ["mixture", "arm"])
def test_exp3_estimates_rewards_without_bias(kind: str) -> None:
    strategy, split = played(kind)
    strategy._largest = 8.0
    means = torch.tensor([1.0, 2.0, 4.0, 8.0])
    found = []
    for _ in range(4000):
        before = strategy._log_w = torch.tensor([0.5, 0.0, 1.0, 0.2], dtype=torch.float64)
        take(strategy, split, means)
        rise = (strategy._log_w - before) * 4 / 0.2
        found.append((rise - rise[0]).numpy())  # weights are known but for a factor
    error = np.std(found, 0) / math.sqrt(len(found))
    assert (np.abs(np.mean(found, 0) - (means - means[0]).numpy() / 8) < 4 * error + 1e-12).all()
    assert error.max() < 0.05


@pytest.mark.parametrize("kind", ["mixture", "arm"])
def test_exp3_finds_the_group_of_the_largest_loss(kind: str) -> None:
    strategy, split = played(kind)
    for _ in range(600):
        take(strategy, split, torch.tensor([0.1, 0.1, 1.0, 0.1]))
    assert strategy.proportions[2] > 0.7
    assert strategy.proportions.min() >= 0.2 / 4 - 1e-12


def test_exp3_bears_losses_of_nought_and_of_none() -> None:
    strategy, split = played("mixture")
    take(strategy, split, torch.zeros(4))
    take(strategy, split, torch.tensor([1.0, math.nan, 1.0, math.inf]))
    assert strategy.proportions.tolist() == [0.25] * 4


def test_exp3_goes_on_from_its_state() -> None:
    ours, split = played("mixture")
    for _ in range(7):
        take(ours, split, torch.tensor([1.0, 2.0, 3.0, 4.0]))
    theirs, _ = played("mixture")
    theirs.load_state_dict(ours.state_dict())
    for _ in range(7):
        assert torch.equal(ours.proportions, theirs.proportions)
        first, second = (take(each, split, torch.tensor([4.0, 2.0, 3.0, 1.0])) for each in (ours, theirs))
        assert torch.equal(first, second)


# Class weights


def test_class_weights_are_sklearns() -> None:
    split = small(sizes=(30, 12, 6, 2))
    strategy = built("class_weighted")
    strategy.prepare(context(split))
    labels = split.targets.numpy()  # type: ignore[union-attr]
    expected = compute_class_weight("balanced", classes=np.arange(4), y=labels)
    logits = torch.randn(50, 4, generator=generator(0, "logits"))
    each = functional.cross_entropy(logits, split.targets, reduction="none")
    summed = functional.cross_entropy(logits, split.targets, weight=torch.from_numpy(expected).float(), reduction="sum")
    assert weighted(strategy, labels.tolist(), each).item() == pytest.approx(summed.item() / 50, rel=1e-5)


@pytest.mark.parametrize("beta", [0.0, 0.9, 0.999, 0.9999999])
def test_effective_numbers_are_those_of_cui_and_others(beta: float) -> None:
    """By their induction: the first sample counts 1, and each further one adds as much as β leaves of it."""
    sizes = (30, 12, 6, 2)
    strategy = built("class_weighted", weights="effective", beta=beta)
    strategy.prepare(context(small(sizes=sizes)))
    numbers = []
    for n in sizes:
        number = 1.0
        for _ in range(n - 1):
            number = 1 + beta * number
        numbers.append(number)
    weights = 1 / np.array(numbers)
    weights *= 50 / (weights @ sizes)
    found = [weighted(strategy, [c], torch.ones(1)).item() for c in range(4)]
    assert found == pytest.approx(weights.tolist(), rel=1e-5)
    if beta == 0:
        assert found == pytest.approx([1.0] * 4)


# Logit adjustment


@pytest.mark.parametrize("temperature", [0.0, 1.0, 1.5])
def test_logit_adjusted_is_the_softmax_weighted_by_shares(temperature: float) -> None:
    split = small(sizes=(30, 12, 6, 2))
    strategy = built("logit_adjusted", temperature=temperature)
    strategy.prepare(context(split))
    logits = torch.randn(50, 4, generator=generator(0, "logits"))
    shares = np.array([30, 12, 6, 2]) / 50
    raised = shares**temperature * np.exp(logits.double().numpy())
    labels = split.targets.numpy()  # type: ignore[union-attr]
    expected = -np.log(raised[np.arange(50), labels] / raised.sum(1)).mean()
    each = functional.cross_entropy(strategy.adjust(logits, split.targets), split.targets, reduction="none")
    assert weighted(strategy, labels.tolist(), each).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_logit_adjusted_is_finite_for_mixed_labels_without_samples_of_a_class(temperature: float) -> None:
    split = replace(small(sizes=(30, 12)), groups=torch.zeros(42, dtype=torch.int64))
    strategy = built("logit_adjusted", temperature=temperature)
    strategy.prepare(replace(context(split), groups=1, classes=3))
    adjusted = strategy.adjust(torch.zeros(1, 3), torch.tensor([0]))
    loss = functional.cross_entropy(adjusted, torch.tensor([[0.3, 0.7, 0.0]]))
    shares = torch.tensor([30.0, 12.0]) if temperature else torch.ones(3)
    expected = -(torch.tensor([0.3, 0.7]) * (shares / shares.sum()).log()[:2]).sum()
    assert loss.item() == pytest.approx(expected.item())


def test_logit_adjusted_finds_the_least_balanced_error() -> None:
    """One input, whose label is each class as often as its share: the logits that fit best are all alike."""
    strategy = built("logit_adjusted")
    split = small(sizes=(30, 12, 6, 2))
    strategy.prepare(context(split))
    logits = torch.zeros(4, requires_grad=True)
    functional.cross_entropy(strategy.adjust(logits.expand(50, 4), split.targets), split.targets).backward()  # type: ignore
    assert logits.grad is not None
    assert logits.grad.abs().max() < 1e-6


def test_logit_adjusted_at_temperature_0_is_classical(tmp_path: Path) -> None:
    ours = train(digits(tmp_path, "strategy=logit_adjusted", "strategy.temperature=0"))
    assert same(ours, train(digits(tmp_path, "strategy=classical")))


def test_adjusted_outputs_are_descended_and_nothing_else_is(tmp_path: Path) -> None:
    """At a rate that moves no parameter all that is recorded is classical training's, but for what is descended."""
    still = ("imbalance=step", "imbalance.groups=[0,1,2]", "imbalance.factor=0.2", "learning_rate=1e-30", "epochs=1")
    ours, theirs = (train(digits(tmp_path, f"strategy={name}", *still)) for name in ("logit_adjusted", "classical"))
    first, second = parameters(ours), parameters(theirs)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert (ours.path / "groups.csv").read_bytes() == (theirs.path / "groups.csv").read_bytes()
    kept = ["test_loss", "test_metric", "worst_group"]
    assert ours.metrics[kept].equals(theirs.metrics[kept])
    assert abs(ours.metrics["train_loss"][0] - theirs.metrics["train_loss"][0]) > 1e-3


def test_adjusted_outputs_train_another_model(tmp_path: Path) -> None:
    thin = ("imbalance=step", "imbalance.groups=[0,1,2]", "imbalance.factor=0.1", "epochs=6")
    ours, theirs = (train(digits(tmp_path, f"strategy={name}", *thin)) for name in ("logit_adjusted", "classical"))
    rare = [each.groups.query("epoch == 6 and group < 3")["test_metric"].mean() for each in (ours, theirs)]
    assert rare[0] > rare[1], "rare classes gain"
