"""Bilevel mixing: hypergradients against finite differences of real steps, what is held out, and the engine's hook."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from alike import same
from made_up import compose
from test_strategies import batches, built, context, small
from torch import Tensor, nn

import l2m
from l2m import UserError
from l2m.data import Batch, Split
from l2m.optimizers import OPTIMIZERS
from l2m.records import EpochRow
from l2m.sampling.exponentiated_weights import ExponentiatedWeights
from l2m.seeding import generator
from l2m.strategies.bilevel import Bilevel
from l2m.strategies.inner_loop import Inner
from l2m.training import engine
from l2m.training.device import torch_state
from l2m.training.engine import Trainer
from l2m.training.run import train

STEPS, SIZE, RATE = 4, 12, 0.02


def squares(outputs: Tensor, targets: Tensor) -> Tensor:
    """In double precision, which the suite's own losses leave."""
    return (outputs - targets).square().sum(1)


class World:
    """A network in double precision, its optimizer, three groups that disagree, and a prepared strategy."""

    def __init__(self, optimizer: str = "adam", **options: Any) -> None:
        split = small("regression", (40, 20, 12))
        draw = generator(0, "targets")
        targets = torch.randn(len(split), 1, generator=draw).double() + split.groups[:, None]
        self.split = Split(split.inputs.double(), targets, split.groups)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.model = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 1)).double()
        self.choice = {"name": optimizer}
        self.optimizer = OPTIMIZERS.build(self.choice, self.model.parameters(), RATE)
        self.strategy: Bilevel = built("bilevel", inner_steps=STEPS, scaled=False, outer_rate=1.0, **options)
        self.strategy.prepare(context(self.split, SIZE))
        plan = torch.cat([batches(self.strategy, epoch) for epoch in (1, 2)])
        self.taken = [self.split.batch(index) for index in plan]
        for batch in self.taken[:3]:  # so that there are moments
            self.step(batch, self.strategy.proportions)

    def step(self, batch: Batch, alpha: Tensor) -> None:
        """By torch's kernel, on Σ α_i Σ ℓ_b / (α̃_i M)."""
        losses = squares(self.model(batch.inputs), batch.targets)
        shares = torch.bincount(self.split.groups[self.strategy._kept]) / len(self.strategy._kept)
        loss = sum(alpha[i] * losses[batch.groups == i].sum() / (shares[i] * SIZE) for i in range(3))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    def inner(self, rewindable: bool = True) -> Inner:
        """The next steps, which are taken."""
        inner = Inner(self.split.batch, self.model, self.optimizer, squares, nullcontext)
        inner = inner.rewindable() if rewindable else inner
        for batch in self.taken[3 : 3 + STEPS]:
            self.step(batch, self.strategy.proportions)
            inner.batches.append(batch)
        return inner

    def outer_loss(self, alpha: Tensor, held: Batch) -> float:
        """V at the parameters that the next steps lead to; they are taken in a copy."""
        copy = deepcopy(self)
        copy.optimizer = OPTIMIZERS.build(self.choice, copy.model.parameters(), RATE)
        copy.optimizer.load_state_dict(self.optimizer.state_dict())
        for batch in self.taken[3 : 3 + STEPS]:
            copy.step(batch, alpha)
        return squares(copy.model(held.inputs), held.targets).mean().item()

    def held(self) -> Batch:
        """What the strategy draws next."""
        return self.split.batch(self.strategy._held[deepcopy(self.strategy._validation).next_batch()])


def moved(alpha: Tensor, slopes: Sequence[float] | Tensor) -> list[float]:
    weights = alpha * torch.exp(-torch.as_tensor(slopes, dtype=torch.float64))
    return (weights / weights.sum()).tolist()


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_the_exact_hypergradient_is_that_of_real_steps(optimizer: str) -> None:
    world, width = World(optimizer), 1e-5
    alpha, held = world.strategy.proportions, world.held()
    slopes = []
    for group in range(3):
        ends = [alpha.clone(), alpha.clone()]
        ends[0][group] -= width
        ends[1][group] += width
        below, above = (world.outer_loss(end, held) for end in ends)
        slopes.append((above - below) / (2 * width))
    assert max(slopes) - min(slopes) > 1e-3
    world.strategy.outer(world.inner())
    assert world.strategy.proportions.tolist() == pytest.approx(moved(alpha, slopes), rel=1e-7)
    assert (world.strategy.proportions - alpha).abs().max() > 1e-4


def test_the_first_order_hypergradient_is_inner_products() -> None:
    world = World(hypergradient="first_order")
    alpha, held = world.strategy.proportions, world.held()
    inner = world.inner(rewindable=False)
    weights = list(world.model.parameters())

    def gradient(batch: Batch, which: Tensor, over: float) -> Tensor:
        losses = squares(world.model(batch.inputs), batch.targets)
        parts = torch.autograd.grad(losses[which].sum() / over, weights, materialize_grads=True, allow_unused=True)
        return torch.cat([part.flatten() for part in parts])

    validation = gradient(held, torch.ones(len(held.groups), dtype=torch.bool), len(held.groups))
    slopes = [
        -sum(validation @ gradient(batch, batch.groups == i, alpha[i].item() * SIZE) for batch in inner.batches)
        for i in range(3)
    ]
    world.strategy.outer(inner)
    assert world.strategy.proportions.tolist() == pytest.approx(moved(alpha, slopes), rel=1e-9)
    assert (world.strategy.proportions - alpha).abs().max() > 1e-4


def test_a_loss_weighs_groups_by_alpha() -> None:
    world = World()
    world.strategy.outer(world.inner())
    batch, alpha = world.taken[0], world.strategy.proportions
    losses = torch.rand(SIZE, generator=generator(0, "losses"))
    drawn = world.strategy._training.proportions
    expected = sum(alpha[i] * losses[batch.groups == i].sum() / (drawn[i] * SIZE) for i in range(3))
    assert world.strategy.loss(batch, losses).item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_weights_move_by_about_the_rate_whatever_the_unit(unit: float) -> None:
    weights = ExponentiatedWeights(torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64), 0.1, scaled=True)
    slopes = torch.tensor([1.0, -1.0, 0.0], dtype=torch.float64)
    weights.move(unit * slopes)
    second = weights.weights
    assert second.tolist() == pytest.approx(moved(torch.tensor([0.5, 0.3, 0.2]), 0.1 * slopes / 1.2))  # h − αh = −1.2
    weights.move(3 * unit * slopes)
    largest = 3 * (1 + second @ slopes)
    size = ((0.9 * 0.1 * 1.2**2 + 0.1 * largest**2) / (0.9 * 0.1 + 0.1)) ** 0.5
    assert weights.weights.tolist() == pytest.approx(moved(second, 0.1 * 3 * slopes / size))


def test_weights_at_rate_0_stay() -> None:
    start = torch.tensor([0.7, 0.3], dtype=torch.float64)
    weights = ExponentiatedWeights(start, 0.0, scaled=True)
    weights.move(torch.tensor([5.0, -3.0]))
    assert weights.weights.tolist() == pytest.approx(start.tolist())


# What is held out


def test_a_part_of_each_group_is_held_out_and_never_drawn() -> None:
    split, strategy = small(sizes=(60, 20, 9, 2, 1)), built("bilevel", held_out=0.2)
    strategy.prepare(context(split))
    held, kept = strategy._held, strategy._kept
    assert sorted([*held.tolist(), *kept.tolist()]) == list(range(len(split)))
    assert torch.bincount(split.groups[held], minlength=5).tolist() == [12, 4, 2, 1, 0]
    drawn = torch.cat([batches(strategy, epoch) for epoch in range(1, 5)])
    assert drawn.shape == (4 * 9, 10)  # P is that of all 92
    assert set(drawn.flatten().tolist()) == set(kept.tolist())
    counts = torch.bincount(split.groups[drawn.flatten()], minlength=5)
    assert (counts - 360 * strategy.proportions).abs().max() <= 1
    other = built("bilevel", held_out=0.2)
    other.prepare(context(split, seed=1))
    assert not torch.equal(other._held, held)


@pytest.mark.parametrize("balanced", [True, False])
def test_held_out_batches_are_balanced_or_not(balanced: bool) -> None:
    split, strategy = small(sizes=(60, 20, 10, 1)), built("bilevel", held_out=0.5, balanced=balanced)
    strategy.prepare(context(split, batch_size=9))
    index = torch.cat([strategy._held[strategy._validation.next_batch()] for _ in range(10)])
    counts = torch.bincount(split.groups[index], minlength=4)
    assert counts.tolist() == ([30, 30, 30, 0] if balanced else [60, 20, 10, 0])


def test_what_cannot_be_held_out_is_reported() -> None:
    with pytest.raises(UserError, match="no group has two samples"):
        built("bilevel").prepare(context(small(sizes=(1, 1, 1)), batch_size=1))
    with pytest.raises(UserError, match=r"batch_size=50 is larger than the 44 training samples .*held_out=0.1 leaves"):
        built("bilevel").prepare(context(small(), batch_size=50))


# The engine's hook

ROWS = {
    "dropout": ("dataset=mnist", "model=lenet5_large", "batch_size=20"),
    "batch normalisation": ("dataset=cifar10", "model=resnet18", "batch_size=10"),
    "attention": ("dataset=imdb", "batch_size=10"),
    "reconstruction": ("dataset=mnist_reconstruction", "batch_size=10"),
    "adamw": ("dataset=digits", "optimizer=adamw", "optimizer.weight_decay=0.3"),
}


def tiny(folder: Path, data: Path, *overrides: str) -> l2m.RunConfig:
    common = ("device=cpu", "threads=1", "epochs=1", f"results_dir={folder}", f"data_dir={data}")
    return compose("strategy=bilevel", "strategy.inner_steps=2", *common, *overrides)


def watched(config: l2m.RunConfig, look: Callable[[Trainer, Inner], None], steps: int) -> None:
    """So many steps, with ``look`` for the strategy's own ``outer``."""
    with torch_state(config):
        trainer = Trainer(config)
        trainer.strategy.outer = lambda inner: look(trainer, inner)
        for batch in islice(trainer._inner_loops(), steps):
            trainer._step(batch)


@pytest.mark.parametrize("row", ROWS)
def test_steps_taken_anew_are_the_steps(row: str, tmp_path: Path, tiny_data: Path) -> None:
    """With the same dropout; and the model, its buffers and torch's generator are as they were."""
    seen = []

    def look(trainer: Trainer, inner: Inner) -> None:
        generators = torch.get_rng_state()
        kept = [value.clone() for value in trainer._changing()]
        after = inner.unrolled(trainer.strategy.loss)
        inner.losses(after, inner.batches[0], training=False)
        assert all(map(torch.equal, kept, trainer._changing()))
        assert torch.equal(generators, torch.get_rng_state())
        assert trainer.model.training
        now, start = dict(trainer.model.named_parameters()), inner.before.parameters
        off, moved = (
            torch.cat([(a[name] - now[name]).flatten() for name in now]).norm().item() for a in (after, start)
        )
        assert moved > 0
        assert off < 2e-3 * moved
        seen.append(len(inner.batches))

    watched(tiny(tmp_path, tiny_data, *ROWS[row]), look, 3)
    assert seen == [2]


@pytest.mark.parametrize("row", ROWS)
def test_slopes_are_inner_products(row: str, tmp_path: Path, tiny_data: Path) -> None:
    """Forward differentiation against a finite difference, where nothing is dropped out."""

    def look(trainer: Trainer, inner: Inner) -> None:
        for module in trainer.model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0
        batch, width = inner.batches[0], 1e-3
        direction = inner.gradient(batch, training=True)
        length = torch.cat([part.flatten() for part in direction.values()]).norm()
        direction = {name: part / length for name, part in direction.items()}
        slopes = inner.slopes(batch, direction)
        assert slopes.mean().item() == pytest.approx(length.item(), rel=5e-3)  # ⟨g, g⟩ / |g|
        assert slopes.shape == batch.groups.shape
        kept = [value.clone() for value in trainer._changing()]
        ends = [
            inner.losses(
                {name: each + side * width * direction[name] for name, each in inner.parameters.items()},
                batch,
                training=True,
            )
            for side in (-1, 1)
        ]
        assert all(map(torch.equal, kept, trainer._changing()))
        difference = (ends[1] - ends[0]) / (2 * width)
        assert (difference - slopes).norm() < 0.1 * slopes.norm()

    watched(tiny(tmp_path, tiny_data, *ROWS[row], "strategy.hypergradient=first_order"), look, 3)


def test_loops_end_with_their_epoch(tmp_path: Path) -> None:
    seen: list[Inner] = []
    watched(
        tiny(tmp_path, tmp_path, "dataset=digits", "strategy.inner_steps=4"), lambda _, inner: seen.append(inner), 99
    )
    assert [len(inner.batches) for inner in seen] == [4, 4, 1]
    assert all(inner.before for inner in seen)


def test_nothing_is_kept_where_no_strategy_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Inner] = []
    monkeypatch.setattr(engine, "Inner", lambda *a: made.append(Inner(*a)) or made[-1])
    train(compose("dataset=digits", "strategy=learn2mix", "device=cpu", "epochs=1", f"results_dir={tmp_path}"))
    assert not made
    monkeypatch.setattr(Inner, "rewindable", lambda self: pytest.fail("copied"))
    train(tiny(tmp_path, tmp_path, "dataset=digits", "strategy.hypergradient=first_order"))
    assert made
    assert all(inner.before is None for inner in made)
    with pytest.raises(ValueError, match="rewinds is False"):
        made[0].unrolled(lambda batch, losses: losses.mean())


@pytest.mark.parametrize("hypergradient", ["exact", "first_order"])
def test_alpha_moves_in_training_and_is_recorded(hypergradient: str, tmp_path: Path) -> None:
    choice = f"strategy.hypergradient={hypergradient}"
    records = train(tiny(tmp_path, tmp_path, "dataset=digits", choice, "epochs=4"))
    shares = records.groups.pivot(index="epoch", columns="group", values="proportion")
    assert shares.sum(axis=1).tolist() == pytest.approx([1] * 4)
    assert (shares.loc[4] - shares.loc[1]).abs().max() > 5e-3
    still = train(tiny(tmp_path, tmp_path, "dataset=digits", choice, "epochs=4", "strategy.outer_rate=0"))
    shares = still.groups.pivot(index="epoch", columns="group", values="proportion")
    assert (shares.loc[4] - shares.loc[1]).abs().max() < 1e-6


@pytest.mark.parametrize("hypergradient", [pytest.param("exact", marks=pytest.mark.long), "first_order"])
def test_an_interrupted_run_ends_as_if_it_had_not_been(hypergradient: str, tmp_path: Path) -> None:
    """With dropout, which both hypergradients draw from."""

    def interrupt(row: EpochRow) -> None:
        if row.epoch == 2:
            raise KeyboardInterrupt

    words = ("dataset=digits", "model=lenet5_large", f"strategy.hypergradient={hypergradient}", "epochs=4")
    config = tiny(tmp_path / "interrupted", tmp_path, *words)
    with pytest.raises(KeyboardInterrupt):
        train(config, interrupt)
    assert same(train(config), train(tiny(tmp_path / "whole", tmp_path, *words)))


@pytest.mark.parametrize("choice", ["mixing=mixup", "mixing=guided", "warmup_steps=3", "max_gradient_norm=0.1"])
def test_steps_that_cannot_be_repeated_are_refused(choice: str, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=rf"strategy=bilevel repeats the steps, but without {choice}: drop one of the two"
    ):
        tiny(tmp_path, tmp_path, "dataset=digits", choice)
    first_order = tiny(tmp_path, tmp_path, "dataset=digits", choice, "strategy.hypergradient=first_order")
    assert train(first_order).info["status"] == "done"


def test_an_optimizer_that_has_no_derivative_is_refused(tmp_path: Path) -> None:
    OPTIMIZERS.register("toy")(lambda parameters, learning_rate: torch.optim.SGD(parameters, learning_rate))
    try:
        config = replace(tiny(tmp_path, tmp_path, "dataset=digits"), optimizer={"name": "toy"})
        with pytest.raises(UserError, match="differentiates through steps, which optimizer=toy cannot: use adam"):
            train(config)
    finally:
        del OPTIMIZERS._entries["toy"], OPTIMIZERS._revisions["toy"]


def test_an_operation_without_second_derivatives_is_reported(tmp_path: Path, tiny_data: Path) -> None:
    row = ("dataset=cifar10", "model=mobilenet_v3", "model.resolution=32", "batch_size=15")
    with pytest.raises(UserError, match=r"second derivatives .*hardsigmoid.*: use strategy.hypergradient=first_order"):
        train(tiny(tmp_path, tiny_data, *row))
    assert train(tiny(tmp_path, tiny_data, *row, "strategy.hypergradient=first_order")).info["status"] == "done"
