"""ShardedBatchSampler: the shards of one batch, in one process and in two that train together."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import distributed
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, TensorDataset

from l2m import GroupLosses, Learn2MixBatchSampler, ShardedBatchSampler, UserError

LABELS = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [40, 17, 3]))


def sampler(seed: int = 0, batch_size: int = 8) -> Learn2MixBatchSampler:
    generator = torch.Generator().manual_seed(seed)
    return Learn2MixBatchSampler(LABELS, batch_size=batch_size, mixing_rate=0.5, generator=generator)


@pytest.mark.parametrize("replicas", [1, 2, 4, 8])
def test_the_shards_of_a_step_are_disjoint_positions_of_its_batch(replicas: int) -> None:
    whole = sampler()
    ranks = [ShardedBatchSampler(sampler(), num_replicas=replicas, rank=rank) for rank in range(replicas)]
    for losses in ([1.0, 2.0, 3.0], [3.0, 1.0, 0.0], [1.0, 1.0, 1.0]):
        batches, shards = list(whole), list(zip(*ranks, strict=True))
        assert len(batches) == len(shards) == len(ranks[0]) == 7
        for batch, parts in zip(batches, shards, strict=True):
            assert {len(part) for part in parts} == {8 // replicas} == {ranks[0].batch_size}
            assert sorted(chain(*parts)) == sorted(batch)
            held = np.array([np.bincount(LABELS[part], minlength=3) for part in parts])
            assert (np.ptp(held, axis=0) <= 1).all()
        for each in (whole, *(rank.sampler for rank in ranks)):
            each.update(losses)


def test_a_shard_goes_on_from_its_state() -> None:
    whole, again = (ShardedBatchSampler(sampler(seed), num_replicas=2, rank=1) for seed in (0, 9))
    passing = iter(whole)
    next(passing), next(passing)
    again.load_state_dict(whole.state_dict())
    assert list(passing) == list(again)
    assert list(whole) == list(again)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({}, "init_process_group first, or give both"),
        ({"num_replicas": 2}, "init_process_group first, or give both"),
        ({"rank": 0}, "init_process_group first, or give both"),
        ({"num_replicas": 0, "rank": 0}, "num_replicas=0 must be at least 1"),
        ({"num_replicas": 2, "rank": 2}, r"rank=2 must be in \[0, 1\] .*one of 2"),
        ({"num_replicas": 2, "rank": -1}, "rank=-1 must be"),
        (
            {"num_replicas": 3, "rank": 0},
            "batch_size=8 .of the whole batch. cannot be split equally over 3 .*: use 6 or 9",
        ),
        ({"num_replicas": 9, "rank": 0}, "batch_size=8 .*: use 9"),
    ],
)
def test_shards_that_are_none_are_refused(options: dict[str, Any], named: str) -> None:
    with pytest.raises(UserError, match=named):
        ShardedBatchSampler(sampler(), **options)


def train(subject: Learn2MixBatchSampler, batches: Any, model: torch.nn.Module) -> dict[str, Any]:
    """Three epochs; the indices of every step, the proportions of every epoch, and the parameters at the end."""
    dataset = TensorDataset(torch.randn(60, 4, generator=torch.Generator().manual_seed(1)), torch.from_numpy(LABELS))
    record: dict[str, Any] = {"steps": [], "proportions": []}
    optimizer, group_losses = torch.optim.SGD(model.parameters(), 0.3), GroupLosses(3)
    for _ in range(3):
        loader = DataLoader(TensorDataset(torch.arange(60), *dataset.tensors), batch_sampler=batches)
        for index, x, y in loader:
            losses = cross_entropy(model(x), y, reduction="none")
            optimizer.zero_grad()
            losses.mean().backward()
            optimizer.step()
            group_losses.add(losses, y)
            record["steps"].append(index.tolist())
        subject.update(*group_losses.end_epoch())
        record["proportions"].append(subject.proportions)
    return record | {"parameters": [each.detach() for each in model.parameters()]}


def network() -> torch.nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))


def process(rank: int, folder: Path) -> None:
    """What each of two processes does; it leaves what it saw in the folder."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    subject = sampler(seed=rank)  # rank 1 takes rank 0's order
    shards = ShardedBatchSampler(subject)
    record = train(subject, shards, DistributedDataParallel(network()))
    subject.update([1.0, 2.0, 3.0 + rank])
    try:
        list(shards)
    except UserError as error:
        record["refusal"] = str(error)
    left = sampler()
    next(iter(ShardedBatchSampler(left)))
    record["after a pass that was left"] = len(list(ShardedBatchSampler(left)))
    own = [distributed.new_group([each]) for each in (0, 1)][rank]
    losses = GroupLosses(1, process_group=own)
    losses.add([1.0 + rank], [0])
    record["own"] = losses.end_epoch()[0].item()
    torch.save(record, folder / f"{rank}.pt")
    distributed.destroy_process_group()


def test_two_processes_train_as_one_does(tmp_path: Path) -> None:
    torch.multiprocessing.start_processes(process, (tmp_path,), nprocs=2, start_method="spawn")
    alone = sampler()
    expected = train(alone, alone, network())
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    for batch, *shards in zip(expected["steps"], first["steps"], second["steps"], strict=True):
        assert sorted(chain(*shards)) == sorted(batch)
        assert shards[0] == [index for index in batch if index in shards[0]]
    assert all(map(torch.equal, first["proportions"], second["proportions"]))
    for name in ("proportions", "parameters"):
        torch.testing.assert_close(first[name], expected[name], rtol=1e-5, atol=1e-6)
    assert not torch.equal(expected["proportions"][0], expected["proportions"][2])
    assert (first["own"], second["own"]) == (1, 2)
    assert [each["after a pass that was left"] for each in (first, second)] == [7, 7]
    assert "sampler of rank 1 differs from that of rank 0" in first["refusal"] == second["refusal"]
