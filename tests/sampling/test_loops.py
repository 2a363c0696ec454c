"""The sampler in every loop: library × workers × ranks × updates × where it is saved, and what loaders do wrong."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from l2m import GroupLosses, Learn2MixBatchSampler, ShardedBatchSampler, UserError

LABELS = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [40, 17, 3]))
EPOCHS = 3
BATCHES = 7

Step = Callable[[Any], None]


class Situation(NamedTuple):
    """A loop that is saved after ``saved`` of the 7 batches of its second epoch.

    Attributes:
        library: the key of ``LIBRARIES``.
        workers: of the loader; it draws ahead.
        ranks: processes that share a batch; the last of them is looked at.
        every: an update after so many steps, besides the one at an epoch's end; 0: none.
        saved: 0 is the end of the first epoch.
    """

    library: str
    workers: int
    ranks: int
    every: int
    saved: int


SITUATIONS = [
    *[Situation("plain", workers, 1, every, saved) for workers in (0, 2) for every in (0, 2) for saved in (0, 3, 7)],
    *[Situation("plain", 2, 2, every, 5) for every in (0, 1)],
    *[Situation("StatefulDataLoader", workers, 1, every, 3) for workers, every in ((0, 0), (2, 2))],
    *[Situation("Accelerate", workers, ranks, 2, 3) for workers, ranks in ((0, 1), (2, 1), (0, 2))],
    *[Situation("Lightning", workers, ranks, 2, 3) for workers, ranks in ((0, 1), (2, 1), (0, 2))],
]
"""The Trainer and Lightning's own checkpoints, which need a model, are in test_own_loop.py, two processes there too."""


def plain(batches: Any, workers: int, step: Step, epochs: int) -> None:
    for _ in range(epochs):
        for index in DataLoader(range(60), batch_sampler=batches, num_workers=workers):
            step(index)


def stateful(batches: Any, workers: int, step: Step, epochs: int) -> None:
    loaders = pytest.importorskip("torchdata.stateful_dataloader")
    loader = loaders.StatefulDataLoader(range(60), batch_sampler=batches, num_workers=workers)
    for _ in range(epochs):
        for index in loader:
            step(index)


def accelerate(batches: Any, workers: int, step: Step, epochs: int) -> None:
    """An unsharded loader is prepared, which draws one batch ahead; shards are left out, as the page says."""
    pytest.importorskip("accelerate")
    from accelerate.data_loader import prepare_data_loader

    loader = DataLoader(range(60), batch_sampler=batches, num_workers=workers)
    if isinstance(batches, Learn2MixBatchSampler):
        loader = prepare_data_loader(loader, num_processes=1, process_index=0, put_on_device=False)
    for _ in range(epochs):
        for index in loader:
            step(index)


def lightning(batches: Any, workers: int, step: Step, epochs: int) -> None:
    from l2m.data.torchvision_import import torchvision

    assert torchvision
    library = pytest.importorskip("lightning")

    class Module(library.LightningModule):  # type: ignore[misc, name-defined]
        automatic_optimization = False

        def training_step(self, batch: Any, batch_idx: int) -> None:
            step(batch)

        def configure_optimizers(self) -> None:
            return None

    trainer = library.Trainer(
        max_epochs=epochs, use_distributed_sampler=False, logger=False, accelerator="cpu", barebones=True
    )
    trainer.fit(Module(), DataLoader(range(60), batch_sampler=batches, num_workers=workers))


LIBRARIES = {"plain": plain, "StatefulDataLoader": stateful, "Accelerate": accelerate, "Lightning": lightning}


class Loop:
    """Parts of a loop without a model: losses depend on the group and the step."""

    def __init__(self, situation: Situation, seed: int) -> None:
        self.situation = situation
        generator = torch.Generator().manual_seed(seed)
        self.sampler = Learn2MixBatchSampler(LABELS, batch_size=8, mixing_rate=0.5, generator=generator)
        self.losses, self.steps = GroupLosses(3), 0
        self.trained: list[list[int]] = []
        self.saved = b""

    def train(self, epochs: int) -> None:
        library, workers, ranks = self.situation[:3]
        shards = ShardedBatchSampler(self.sampler, num_replicas=ranks, rank=ranks - 1) if ranks > 1 else self.sampler
        LIBRARIES[library](shards, workers, self.step, epochs)

    def step(self, index: torch.Tensor) -> None:
        groups = torch.from_numpy(LABELS)[index]
        self.trained.append(index.tolist())
        self.steps += 1
        self.losses.add(1.0 + groups * (self.steps % 5), groups)
        if self.losses.batches == BATCHES:
            self.sampler.update(*self.losses.end_epoch())
        elif self.situation.every and self.losses.batches % self.situation.every == 0:
            self.sampler.update(*self.losses.end_part(), within_epoch=True)
        if self.steps == BATCHES + self.situation.saved:
            file = io.BytesIO()
            state = {"sampler": self.sampler.state_dict(self.losses.batches), "losses": self.losses.state_dict()}
            torch.save(state | {"steps": self.steps}, file)
            self.saved = file.getvalue()

    def resume(self, saved: bytes) -> None:
        state = torch.load(io.BytesIO(saved), weights_only=True)
        self.sampler.load_state_dict(state["sampler"])
        self.losses.load_state_dict(state["losses"])
        self.steps = state["steps"]


def marked(situation: Situation) -> Any:
    extras = () if situation.library == "plain" else pytest.mark.extras
    return pytest.param(situation, marks=extras, id="-".join(map(str, situation)))


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # Python 3.12 warns of what DataLoader does by default
@pytest.mark.parametrize("situation", [marked(each) for each in SITUATIONS])
def test_a_loop_goes_on_from_where_it_was_saved(situation: Situation) -> None:
    """To the same batches and proportions, in a sampler of another seed."""
    with warnings.catch_warnings():
        if situation.library != "plain":
            warnings.simplefilter("ignore")  # of libraries that are not ours
        whole, again = Loop(situation, 0), Loop(situation, 9)
        whole.train(EPOCHS)
        assert len(whole.trained) == EPOCHS * BATCHES
        assert {len(batch) for batch in whole.trained} == {8 // situation.ranks}
        again.resume(whole.saved)
        again.train(EPOCHS - again.steps // BATCHES)
    assert again.trained == whole.trained[BATCHES + situation.saved :]
    assert torch.equal(again.sampler.proportions, whole.sampler.proportions)
    assert again.sampler.proportions.tolist() != pytest.approx([40 / 60, 17 / 60, 3 / 60])


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")  # more workers than there are cores
def test_an_update_acts_after_what_was_drawn_ahead() -> None:
    """Two batches a worker, as the page says; an update before any batch is trained on shows the delay."""
    labels = np.arange(400) % 2
    for workers in (0, 1, 2):
        sampler = Learn2MixBatchSampler(labels, batch_size=10, mixing_rate=1)
        shares = []
        for index in DataLoader(range(400), batch_sampler=sampler, num_workers=workers):
            shares.append(labels[index].mean())
            sampler.update([1.0, 0.0], within_epoch=True)
        assert shares == [0.5] * (1 + 2 * workers) + [0] * (39 - 2 * workers)


# What loaders do wrong


class Constant(Dataset[int]):
    """So many samples, and none out of range."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> int:
        return 0


@pytest.mark.parametrize("length", [55, 70])
def test_labels_of_another_number_than_the_samples_are_reported_once(length: int) -> None:
    sampler = Learn2MixBatchSampler(LABELS, batch_size=8)
    for batches in (sampler, ShardedBatchSampler(sampler, num_replicas=2, rank=0)):
        loader = DataLoader(Constant(length), batch_sampler=batches)
        with pytest.warns(UserWarning, match=f"has 60 labels, but the data set has {length} samples: give one"):
            next(iter(loader))
        next(iter(loader))  # warnings are errors


def test_batches_of_batches_are_refused() -> None:
    sampler = Learn2MixBatchSampler(LABELS, batch_size=8)
    for _ in range(2):
        with pytest.raises(UserError, match=r"draws whole batches, .* batch_sampler= in place of sampler="):
            next(iter(DataLoader(range(60), batch_size=8, sampler=sampler)))
    assert len(list(DataLoader(torch.arange(60), batch_size=None, sampler=sampler))) == BATCHES  # indexed by batches


def test_a_whole_sampler_in_several_processes_is_reported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    sampler = Learn2MixBatchSampler(LABELS, batch_size=8)
    with pytest.warns(UserWarning, match=r"each of the 2 processes draws whole .* use ShardedBatchSampler\(sampler\)"):
        assert len(list(sampler)) == BATCHES
    assert len(list(sampler)) == BATCHES


@pytest.mark.extras
@pytest.mark.parametrize("split", [False, True])
def test_shards_that_accelerate_would_shard_again_are_refused(split: bool) -> None:
    pytest.importorskip("accelerate")
    from accelerate.data_loader import prepare_data_loader

    shards = ShardedBatchSampler(Learn2MixBatchSampler(LABELS, batch_size=8), num_replicas=2, rank=0)
    loader = DataLoader(range(60), batch_sampler=shards)
    prepared = prepare_data_loader(loader, num_processes=2, process_index=0, split_batches=split, put_on_device=False)
    for _ in range(2):
        with pytest.raises(UserError, match=r"accelerator.prepare would divide .* leave the loader out of prepare"):
            list(prepared)
    assert len(list(loader)) == BATCHES


# torchvision's MixUp rolls a batch by one


@pytest.mark.parametrize("within", [False, True])
def test_mixup_of_torchvision_mixes_classes(within: bool) -> None:
    """Shares of pairs of two classes: 10 equal classes, 90 of 100 pairs in random order."""
    from l2m.data.torchvision_import import torchvision

    assert torchvision
    from torchvision.transforms.v2 import MixUp

    labels, mixup = np.arange(1000) % 10, MixUp(num_classes=10)
    sampler = Learn2MixBatchSampler(labels, batch_size=100, shuffle_within=within)
    mixed = [
        (mixup(torch.zeros(100, 1, 1, 1), torch.from_numpy(labels[index]))[1] > 0).sum(1) == 2 for index in sampler
    ]
    assert torch.cat(mixed).float().mean().item() == pytest.approx(0.9 if within else 0.1, abs=0.04)
