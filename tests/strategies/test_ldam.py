"""LDAM-DRW against the authors' formulas, written out anew."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from alike import same
from test_mixers import digits, weighted
from test_strategies import built, context, small
from torch import Tensor
from torch.nn import functional

from l2m.seeding import generator
from l2m.training.run import train

SIZES = (256, 16, 1)
"""Their fourth roots are 4, 2 and 1."""

LABELS = torch.tensor([0, 1, 2, 0, 2])
LOGITS = torch.randn(5, 3, generator=generator(0, "logits"))


def prepared(**options: Any) -> Any:
    strategy = built("ldam", **options)
    strategy.prepare(replace(context(small(sizes=SIZES)), epochs=10))
    return strategy


def objective(strategy: Any, logits: Tensor = LOGITS) -> float:
    each = functional.cross_entropy(strategy.adjust(logits, LABELS), LABELS, reduction="none")
    return weighted(strategy, LABELS.tolist(), each).item()


def by_hand(margins: tuple[float, ...], scale: float, weights: tuple[float, ...]) -> float:
    total = 0.0
    for logits, label in zip(LOGITS.double().numpy(), LABELS.tolist(), strict=True):
        logits[label] -= margins[label]
        total += weights[label] * -np.log(np.exp(scale * logits[label]) / np.exp(scale * logits).sum())
    return total / sum(weights[label] for label in LABELS.tolist())


def test_the_loss_is_that_of_the_authors() -> None:
    """Before 0.8 of ten epochs all classes count alike; after it by their effective number of samples."""
    strategy = prepared(beta=0.5)
    margins = (0.125, 0.25, 0.5)
    for epoch in (1, 8):
        strategy.plan(epoch)
        assert objective(strategy) == pytest.approx(by_hand(margins, 30, (1, 1, 1)), rel=1e-5)
    strategy.plan(9)
    weights = tuple(0.5 / (1 - 0.5**size) for size in SIZES)
    assert objective(strategy) == pytest.approx(by_hand(margins, 30, weights), rel=1e-5)


def test_without_margin_and_scale_it_is_cross_entropy() -> None:
    strategy = prepared(margin=0, scale=1, deferred=1)
    strategy.plan(10)
    assert objective(strategy) == pytest.approx(functional.cross_entropy(LOGITS, LABELS).item(), rel=1e-6)


def test_without_all_three_it_is_classical_training(tmp_path: Path) -> None:
    off = ("strategy.margin=0", "strategy.scale=1", "strategy.deferred=1")
    assert same(train(digits(tmp_path, "strategy=ldam", *off)), train(digits(tmp_path, "strategy=classical")))


def test_deferring_for_no_epoch_weights_from_the_first() -> None:
    early, late = prepared(deferred=0, beta=0.5), prepared(deferred=1, beta=0.5)
    for strategy in (early, late):
        strategy.plan(1)
    assert objective(early) != pytest.approx(objective(late), rel=1e-3)


def test_a_mixed_label_has_the_mixed_margin() -> None:
    strategy = prepared()
    label = torch.tensor([[0.25, 0.0, 0.75]])
    assert strategy.adjust(torch.zeros(1, 3), label)[0].tolist() == pytest.approx([-30 / 32, 0, -30 * 0.375])
    whole = strategy.adjust(LOGITS, functional.one_hot(LABELS, 3).float())
    assert torch.equal(whole, strategy.adjust(LOGITS, LABELS))


def test_a_class_without_samples_has_no_part() -> None:
    split = small(sizes=(81, 16))
    with_an_empty_one, without = built("ldam"), built("ldam")
    with_an_empty_one.prepare(replace(context(split), classes=3, epochs=1))
    without.prepare(replace(context(split), epochs=1))
    labels = split.targets
    logits = torch.randn(97, 3, generator=generator(0, "logits"))
    first, second = with_an_empty_one.adjust(logits, labels), without.adjust(logits[:, :2], labels)
    assert torch.equal(first[:, :2], second)
    assert torch.equal(first[:, 2], 30 * logits[:, 2])
