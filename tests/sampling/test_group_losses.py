"""GroupLosses: eq. 10 as the suite has it, its state, what it refuses; a plain loop that is saved and goes on."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

import l2m
from l2m import GroupLosses, Learn2MixBatchSampler, UserError, data, models
from l2m.seeding import derive, generator

DIGITS = ("dataset=digits", "strategy=learn2mix", "strategy.mixing_rate=0.3", "batch_size=100", "epochs=3")


def test_means_are_of_the_batches_that_held_the_group() -> None:
    random = np.random.default_rng(0)
    subject, expected = GroupLosses(4), [[] for _ in range(4)]
    for _ in range(20):
        groups, losses = random.choice(3, 5, p=[0.8, 0.15, 0.05]), random.exponential(size=5)
        subject.add(torch.tensor(losses, requires_grad=True), torch.tensor(groups))
        for group in set(groups.tolist()):
            expected[group].append(losses[groups == group].mean())
    means, seen = subject.end_epoch()
    assert seen.tolist() == [True, True, True, False]
    assert means[:3].tolist() == pytest.approx([np.mean(each) for each in expected[:3]])
    assert not means.requires_grad


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float32, torch.float64])
def test_losses_and_groups_of_any_type(kind: torch.dtype) -> None:
    subject = GroupLosses(2)
    subject.add(torch.tensor([1, 3, 5], dtype=kind), torch.tensor([0, 1, 1], dtype=torch.uint8))
    assert subject.end_epoch()[0].tolist() == [1, 4]
    subject.add(torch.tensor([1, 3, 5], dtype=kind), np.array([False, True, False]))
    assert subject.end_epoch()[0].tolist() == [3, 3]


@pytest.mark.parametrize("kind", ["list", "float32", "series"])
@pytest.mark.parametrize("groups", ["int8", "uint8", "int16", "uint16", "uint32", "uint64", "list", "series", "codes"])
def test_losses_and_groups_are_read_by_position(kind: str, groups: str) -> None:
    """A Series that was sorted or filtered has another index; categorical codes are int8 and read-only."""
    losses, group = np.array([1.0, 3.0, 5.0]), np.array([0, 1, 1])
    given = {
        "list": group.tolist(),
        "series": pd.Series(group, index=[2, 0, 1]),
        "codes": pd.Categorical(["a", "b", "b"]).codes,
    }
    subject = GroupLosses(2)
    subject.add(
        {"list": losses.tolist(), "series": pd.Series(losses, index=[9, 7, 0])}.get(kind, losses.astype("float32")),
        given[groups] if groups in given else group.astype(groups),
    )
    assert subject.end_epoch()[0].tolist() == [1, 4]


def test_parts_of_an_epoch_are_counted_through() -> None:
    subject = GroupLosses(2)
    for losses, expected in (([1.0, 3.0], [1, 3]), ([5.0, 7.0], [5, 7])):
        subject.add(losses, [0, 1])
        assert subject.end_part()[0].tolist() == expected
    assert subject.batches == 2
    losses, seen = subject.end_epoch()
    assert losses.isnan().all()
    assert not seen.any()
    assert subject.batches == 0


def test_every_epoch_begins_anew() -> None:
    subject = GroupLosses(2)
    subject.add(torch.tensor([9.0, 9.0]), torch.tensor([0, 1]))
    subject.end_epoch()
    subject.add(torch.tensor([1.0]), torch.tensor([1]))
    means, seen = subject.end_epoch()
    assert (means[1], seen.tolist()) == (1, [False, True])


def test_a_plain_loop_is_the_suites_own(tmp_path: Path) -> None:
    """The same proportions in every epoch, up to what two implementations of Adam round otherwise."""
    config = l2m.compose(*DIGITS, f"results_dir={tmp_path}")
    recorded = pd.read_csv(l2m.train(config).path / "groups.csv")
    loaded = data.load(config)
    torch.manual_seed(derive(config.seed, "parameters"))
    model = models.MODELS.build(config.model, loaded)
    optimizer = torch.optim.Adam(model.parameters(), config.learning_rate)
    sampler = Learn2MixBatchSampler(
        loaded.train.groups, batch_size=100, mixing_rate=0.3, generator=generator(config.seed, "order")
    )
    losses_of = GroupLosses(10)
    for epoch in range(1, 4):
        expected = recorded[recorded.epoch == epoch].proportion
        assert sampler.proportions.tolist() == pytest.approx(expected.tolist(), rel=1e-5)
        for index in sampler:
            batch = loaded.train.batch(torch.tensor(index))
            losses = cross_entropy(model(batch.inputs), batch.targets, reduction="none")
            optimizer.zero_grad(), losses.mean().backward(), optimizer.step()
            losses_of.add(losses, batch.groups)
        sampler.update(*losses_of.end_epoch())


class Loop:
    """A loop of a person's own, whose parts can be saved and loaded, and broken off after some steps."""

    def __init__(self, seed: int, workers: int) -> None:
        random = torch.Generator().manual_seed(7)
        labels = torch.arange(60) % 6 // 4
        inputs = torch.randn(60, 3, generator=random) + labels[:, None]
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.model = torch.nn.Linear(3, 2)
            self.sampler = Learn2MixBatchSampler(labels, batch_size=7, mixing_rate=0.5)
        self.optimizer = torch.optim.Adam(self.model.parameters(), 0.05)
        self.group_losses = GroupLosses(2)
        self.loader = DataLoader(TensorDataset(inputs, labels), batch_sampler=self.sampler, num_workers=workers)
        self.saved = {name: getattr(self, name) for name in ("model", "optimizer", "sampler", "group_losses")}

    def epoch(self, steps: int | None = None) -> None:
        """The rest of an epoch, or until so many of its batches were trained on."""
        for x, y in self.loader:
            losses = cross_entropy(self.model(x), y, reduction="none")
            self.optimizer.zero_grad()
            losses.mean().backward()
            self.optimizer.step()
            self.group_losses.add(losses, y)
            if self.group_losses.batches == steps:
                return
        self.sampler.update(*self.group_losses.end_epoch())

    def goes_on(self, other: Loop) -> None:
        """From what the other one saved, within an epoch or at its end."""
        states = {name: each.state_dict() for name, each in other.saved.items()}
        states["sampler"] = other.sampler.state_dict(other.group_losses.batches)
        file = io.BytesIO()
        torch.save(states, file)
        file.seek(0)
        for name, state in torch.load(file, weights_only=True).items():
            self.saved[name].load_state_dict(state)

    def state(self) -> list[Tensor]:
        return [*self.model.parameters(), self.sampler.proportions]


def equal(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(map(torch.equal, one, other))


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # Python 3.12 warns of what DataLoader does by default
@pytest.mark.parametrize("workers", [0, 2])
def test_a_loop_saved_at_an_epochs_end_goes_on_exactly(workers: int) -> None:
    whole, again = Loop(0, workers), Loop(1, workers)
    whole.epoch(), whole.epoch()
    assert not equal(again.state(), whole.state())
    again.goes_on(whole)
    for _ in range(2):
        whole.epoch(), again.epoch()
        assert equal(again.state(), whole.state())


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("workers", [0, 2])
def test_a_loop_saved_within_an_epoch_goes_on_exactly(workers: int) -> None:
    """Twice in one epoch. Two workers have had four batches more than the three, then two, that were trained on."""
    whole, broken, once, again = (Loop(seed, workers) for seed in (0, 0, 1, 2))
    whole.epoch(), broken.epoch()
    broken.epoch(steps=3)
    once.goes_on(broken)
    once.epoch(steps=5)
    again.goes_on(once)
    for _ in range(2):
        whole.epoch(), again.epoch()
        assert equal(again.state(), whole.state())


@pytest.mark.parametrize("groups", [0, -1, 2.5, "a", None])
def test_numbers_of_groups_that_are_none_are_refused(groups: Any) -> None:
    with pytest.raises(UserError, match=f"groups={groups!r} must be"):
        GroupLosses(groups)


@pytest.mark.parametrize(
    ("losses", "groups", "named"),
    [
        (torch.tensor(1.0), torch.tensor([0, 1]), r"shapes \(\) and \(2,\): .*reduction='none'"),
        (torch.ones(2, 3), torch.tensor([0, 1]), r"shapes \(2, 3\) and \(2,\): .*losses.flatten\(1\).mean\(1\)"),
        (torch.tensor([0, 1]), torch.tensor([0.5, 0.7]), "losses, then groups, .*not torch.int64 and torch.float32"),
        (torch.ones(2), torch.tensor([[0], [1]]), r"shapes \(2,\) and \(2, 1\)"),
        (torch.ones(2), torch.tensor([0, 2]), "groups go from 0 to 2, but there are 2"),
        (torch.ones(2), torch.tensor([-1, 1]), "groups go from -1 to 1, but there are 2"),
        (torch.ones(2), [[0], [0, 1]], "groups must be one number each, not rows of several lengths"),
        ([[1.0], [1.0, 2.0]], [0, 1], "losses must be one number each, not rows of several lengths"),
        ([1.0, 2.0], ["a", "b"], "add takes numbers as groups, not <U1"),
        ([1, 2], [0, 1], "losses, then groups, .*not torch.int64"),
    ],
)
def test_what_is_not_one_loss_and_one_group_a_sample_is_refused(losses: Any, groups: Any, named: str) -> None:
    with pytest.raises(UserError, match=named):
        GroupLosses(2).add(losses, groups)


def test_an_epoch_without_losses_is_refused() -> None:
    subject = GroupLosses(2)
    subject.add(torch.ones(2), torch.tensor([0, 1]))
    subject.end_epoch()
    with pytest.raises(UserError, match="no losses were added"):
        subject.end_epoch()


def test_a_state_of_other_groups_is_refused() -> None:
    saved = GroupLosses(3)
    saved.add(torch.ones(2), torch.tensor([0, 1]))
    with pytest.raises(UserError, match="has 3 groups, but there are 2"):
        GroupLosses(2).load_state_dict(saved.state_dict())


def test_a_state_of_something_else_is_refused() -> None:
    state = Learn2MixBatchSampler([0, 1], batch_size=1).state_dict()
    with pytest.raises(UserError, match=r"has batch, .* but that of GroupLosses has totals and batches"):
        GroupLosses(2).load_state_dict(state)
