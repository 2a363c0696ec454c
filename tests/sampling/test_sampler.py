"""Learn2MixBatchSampler: what each batch holds, how proportions move, how it goes on, what it refuses."""

from __future__ import annotations

import hashlib
import io
import math
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from fake_device import fake_gpu
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch.utils.data import DataLoader, TensorDataset

from l2m import Learn2MixBatchSampler, UserError
from l2m.sampling.apportion import apportion, smallest

STABLE = settings(derandomize=True, deadline=None, max_examples=60)

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

ROUNDING = 1e-6


def sampler(labels: Any, batch_size: int, seed: int = 0, **options: Any) -> Learn2MixBatchSampler:
    generator = torch.Generator().manual_seed(seed)
    return Learn2MixBatchSampler(labels, batch_size=batch_size, generator=generator, **options)


def labelled(sizes: Any, seed: int = 0) -> Ints:
    """Labels in which group i comes ``sizes[i]`` times, shuffled."""
    return np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))


def ahead(subject: Learn2MixBatchSampler, labels: Ints, batches: int, so_far: Floats) -> list[Floats]:
    """After each of the next ``batches``: samples drawn of each group less its due; adds them to ``so_far``."""
    seen = []
    for _ in range(batches):
        drawn = np.bincount(labels[subject.next_batch().numpy()], minlength=len(so_far))
        so_far += drawn - subject.proportions.numpy() * subject.batch_size
        seen.append(so_far.copy())
    return seen


group_sizes = st.lists(st.integers(1, 40), min_size=1, max_size=12)
shares = st.floats(0, 1)
seeds = st.integers(0, 2**31)


@STABLE
@given(group_sizes, st.floats(0, 1), seeds)
def test_every_batch_is_full_and_drawn_from_the_set(sizes: list[int], share: float, seed: int) -> None:
    labels = labelled(sizes, seed)
    size = 1 + int(share * (len(labels) - 1))
    subject = sampler(labels, size, seed)
    for _ in range(2):
        batches = list(subject)
        assert len(batches) == len(subject) == len(labels) // size
        assert {len(batch) for batch in batches} == {size}
        assert 0 <= min(map(min, batches)) <= max(map(max, batches)) < len(labels)


@STABLE
@given(group_sizes, st.floats(0, 1), seeds, st.booleans())
def test_groups_keep_within_one_sample_of_their_due(sizes: list[int], share: float, seed: int, skewed: bool) -> None:
    labels, k = labelled(sizes, seed), len(sizes)
    proportions = np.random.default_rng(seed).dirichlet(np.full(k, 0.2)) if skewed else None
    subject = sampler(labels, 1 + int(share * (len(labels) - 1)), seed, proportions=proportions)
    for off in ahead(subject, labels, 3 * len(subject), np.zeros(k)):
        assert abs(off).max() < 1 + ROUNDING


@pytest.mark.parametrize(
    ("k", "batch_size"), [(2, 1), (2, 7), (10, 3), (10, 64), (100, 30), (100, 128), (10_000, 64), (10_000, 3_000)]
)
@pytest.mark.parametrize("concentration", [0.02, 1.0, 50.0])
def test_groups_keep_within_one_sample_of_their_due_at_any_size(k: int, batch_size: int, concentration: float) -> None:
    rng = np.random.default_rng(k + batch_size)
    labels = labelled(1 + rng.integers(0, 3, k)) if k > 1000 else labelled(1 + rng.integers(0, 400 // k, k))
    proportions = rng.dirichlet(np.full(k, concentration))
    subject = sampler(labels, batch_size, proportions=proportions)
    for off in ahead(subject, labels, 3 * len(subject), np.zeros(k)):
        assert abs(off).max() < 1 + ROUNDING


def test_the_spare_place_goes_to_the_group_whose_next_sample_falls_due_first() -> None:
    """The first group is owed more, but waits a whole batch for its next sample; the second hardly waits."""
    counts, owed = apportion(np.zeros(3), np.array([0.5, 9.4, 0.1]), 10)
    assert counts.tolist() == [0, 10, 0]
    assert owed.tolist() == pytest.approx([0.5, -0.6, 0.1])


@pytest.mark.parametrize("k", [2, 3, 10, 100])
@pytest.mark.parametrize("batch_size", [1, 10, 100])
@pytest.mark.parametrize("mixing_rate", [0.01, 0.1, 0.5])
def test_groups_keep_near_their_due_while_proportions_move(k: int, batch_size: int, mixing_rate: float) -> None:
    rng = np.random.default_rng(k)
    labels = labelled(1 + rng.integers(0, 600 // k, k))
    subject = sampler(labels, min(batch_size, len(labels)), mixing_rate=mixing_rate)
    so_far = np.zeros(k)
    for _ in range(25):
        for off in ahead(subject, labels, min(len(subject), 30), so_far):
            assert off.max() < 1 + ROUNDING  # a group is never more than a sample ahead, however they move
            assert off.min() > (-1 - ROUNDING if mixing_rate < 0.5 else -1.5)  # one that jumps up may wait longer
        subject.update(rng.lognormal(0, 3, k))


def test_a_group_with_a_tiny_share_is_seen_as_often_as_it_is_owed() -> None:
    labels = labelled([1, 999])
    subject = sampler(labels, 10)
    counts = [np.bincount(labels[subject.plan().flatten()], minlength=2)[0] for _ in range(20)]
    assert sum(counts) == pytest.approx(20, abs=1)
    assert max(counts) <= 2
    rarer = sampler(labels, 10, proportions=[0.0003, 0.9997])
    assert sum((labels[rarer.plan().flatten()] == 0).sum() for _ in range(50)) == pytest.approx(15, abs=1)


def test_a_group_of_share_0_is_not_drawn() -> None:
    labels = labelled([5, 5, 90])
    subject = sampler(labels, 7, proportions=[0, 0.5, 0.5])
    assert not any((labels[subject.plan().flatten()] == 0).any() for _ in range(5))


@STABLE
@given(group_sizes, st.floats(0, 1), seeds)
def test_a_list_is_read_in_a_circle(sizes: list[int], share: float, seed: int) -> None:
    labels, k = labelled(sizes, seed), len(sizes)
    subject = sampler(labels, 1 + int(share * (len(labels) - 1)), seed, proportions=np.full(k, 1 / k))
    for _ in range(2):
        times = np.bincount(subject.plan().flatten(), minlength=len(labels))
        for group in range(k):
            of_group = times[labels == group]
            assert of_group.max() - of_group.min() <= 1


def test_each_epoch_has_its_own_order() -> None:
    labels = labelled([50, 50])
    subject = sampler(labels, 100)
    first, second = subject.plan()[0].tolist(), subject.plan()[0].tolist()
    assert sorted(first) == sorted(second) == list(range(100))
    assert first != second


@STABLE
@given(group_sizes, st.floats(0, 1), seeds)
def test_iteration_plan_and_next_batch_agree(sizes: list[int], share: float, seed: int) -> None:
    labels = labelled(sizes, seed)
    size = 1 + int(share * (len(labels) - 1))
    iterated, planned, asked = (sampler(labels, size, seed, mixing_rate=0.3) for _ in range(3))
    losses = np.random.default_rng(seed).exponential(1, (3, len(sizes)))
    for epoch in range(3):
        batches = list(iterated)
        assert batches == planned.plan().tolist()
        assert batches == [asked.next_batch().tolist() for _ in range(len(asked))]
        for subject in (iterated, planned, asked):
            subject.update(losses[epoch])


def test_an_epoch_that_was_broken_off_is_followed_by_a_whole_one() -> None:
    subject = sampler(labelled([30, 10]), 4)
    for _ in subject:
        break
    assert len(list(subject)) == len(subject) == 10


@pytest.mark.parametrize("kind", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "uint64"])
def test_labels_may_be_of_any_whole_type(kind: str) -> None:
    """Of more samples than the short types can count."""
    labels = labelled([300, 500, 900])
    expected, short = sampler(labels, 40).plan(), labels.astype(kind)
    of_scalars = [short.dtype.type(label) for label in labels]
    for given_as in (short, torch.from_numpy(short), pd.Series(short)[::-1][::-1], of_scalars):
        assert torch.equal(sampler(given_as, 40).plan(), expected)


def test_codes_of_a_pandas_categorical_are_labels() -> None:
    labels = labelled([300, 500, 900])
    codes = pd.Categorical(np.array(["a", "b", "c"])[labels]).codes
    assert codes.dtype == np.int8
    assert torch.equal(sampler(codes, 40).plan(), sampler(labels, 40).plan())
    assert torch.equal(sampler(labels == 1, 40).plan(), sampler((labels == 1).astype(int), 40).plan())


def test_the_default_generator_is_seeded_from_torch() -> None:
    labels = labelled([30, 10])
    plans = []
    with torch.random.fork_rng():
        for seed in (1, 1, 2):
            torch.manual_seed(seed)
            plans.append(Learn2MixBatchSampler(labels, batch_size=4).plan())
    assert torch.equal(plans[0], plans[1])
    assert not torch.equal(plans[0], plans[2])


# Order within a batch


def test_batches_hold_the_same_samples_in_either_order() -> None:
    labels = labelled([37, 11, 2, 3])
    mixed, ordered = (sampler(labels, 10, shuffle_within=within) for within in (True, False))
    for _ in range(3):
        for one, other in zip(mixed, ordered, strict=True):
            assert sorted(one) == sorted(other)
            assert labels[other].tolist() == sorted(labels[other])
            assert labels[one].tolist() != sorted(labels[one])


@pytest.mark.parametrize(("shuffle_within", "share"), [(False, 0.1), (True, 0.9)])
def test_neighbours_in_a_batch_are_of_random_groups(shuffle_within: bool, share: float) -> None:
    """What MixUp that rolls by one pairs: of ten equal groups, nine pairs of ten are of two groups, as in any order."""
    labels = labelled([100] * 10)
    plan = sampler(labels, 100, shuffle_within=shuffle_within).plan()
    assert (labels[plan] != labels[plan.roll(1, 1)]).mean() == pytest.approx(share, abs=0.03)


@pytest.mark.parametrize(("shuffle_within", "largest"), [(False, 1.0), (True, 0.25)])
def test_chunks_of_a_batch_hold_the_groups_about_in_proportion(shuffle_within: bool, largest: float) -> None:
    """Micro-batches, ghost batch norm, DataParallel: the group of share 0.5 in chunks of 50."""
    labels = labelled([500, 300, 200])
    plan = sampler(labels, 200, shuffle_within=shuffle_within).plan()
    shares = torch.stack([(torch.from_numpy(labels)[chunk] == 0).float().mean(1) for chunk in plan.chunk(4, 1)])
    off = (shares - 0.5).abs().max().item()
    assert off == 0.5 if largest == 1.0 else off < largest


def test_the_suites_plans_are_pinned() -> None:
    """Records were made from them: groups in order, lists and counts as they have always been."""
    digest = hashlib.sha256()
    subject = sampler(labelled([40, 30, 20, 5, 1]), 19, mixing_rate=0.4, shuffle_within=False)
    for epoch in range(4):
        digest.update(subject.plan().numpy().tobytes())
        subject.update(np.arange(1.0, 6) ** epoch)
    assert digest.hexdigest()[:16] == "81a7ddcf6b9414c3"


# Proportions


def test_proportions_start_at_the_groups_shares() -> None:
    subject = sampler(labelled([1, 3, 4]), 2)
    assert subject.proportions.tolist() == [0.125, 0.375, 0.5]
    assert subject.proportions.dtype == torch.float64
    subject.proportions.zero_()  # a copy
    assert subject.proportions.sum() == 1


def test_update_is_equation_3() -> None:
    subject = sampler(labelled([1, 3, 4]), 2, mixing_rate=0.2)
    subject.update([6.0, 3.0, 1.0])  # targets .6 .3 .1
    assert subject.proportions.tolist() == pytest.approx([0.22, 0.36, 0.42])
    subject.update(torch.tensor([0.0, 1.0, 1.0]))
    assert subject.proportions.tolist() == pytest.approx([0.176, 0.388, 0.436])


def test_rate_0_stays_and_rate_1_jumps() -> None:
    still, jumping = (sampler(labelled([1, 3]), 2, mixing_rate=rate) for rate in (0, 1))
    still.update([9.0, 1.0])
    jumping.update([9.0, 1.0])
    assert still.proportions.tolist() == [0.25, 0.75]
    assert jumping.proportions.tolist() == pytest.approx([0.9, 0.1])


def test_losses_of_0_leave_the_proportions() -> None:
    subject = sampler(labelled([1, 3]), 2, mixing_rate=0.5)
    subject.update([0.0, 0.0])
    assert subject.proportions.tolist() == [0.25, 0.75]


def test_a_group_not_seen_keeps_its_last_loss() -> None:
    subject = sampler(labelled([1, 1, 2]), 2, mixing_rate=1)
    subject.update([1.0, 2.0, 5.0])
    subject.update([2.0, 3.0, math.nan], seen=[True, True, False])
    assert subject.proportions.tolist() == pytest.approx([0.2, 0.3, 0.5])


def test_a_group_never_seen_takes_the_mean_of_those_seen() -> None:
    subject = sampler(labelled([1, 1, 2]), 2, mixing_rate=1)
    subject.update([1.0, 2.0, math.nan], seen=[True, True, False])
    assert subject.proportions.tolist() == pytest.approx([1 / 4.5, 2 / 4.5, 1.5 / 4.5])


def test_lists_of_tensors_are_taken() -> None:
    subject, same = sampler([0, 1], 1), sampler([0, 1], 1)
    subject.update([torch.tensor(1.0), torch.tensor(3.0, requires_grad=True)])
    same.update([1.0, 3.0])
    assert torch.equal(subject.proportions, same.proportions)


def test_tensors_are_taken() -> None:
    subject = sampler(labelled([1, 1, 2]), 2, mixing_rate=1, proportions=torch.tensor([0.5, 0.25, 0.25]))
    assert subject.proportions.tolist() == [0.5, 0.25, 0.25]
    subject.update(torch.tensor([1.0, 2.0, math.nan], requires_grad=True), seen=torch.tensor([True, True, False]))
    assert subject.proportions.tolist() == pytest.approx([1 / 4.5, 2 / 4.5, 1.5 / 4.5])


def test_no_group_seen_changes_nothing() -> None:
    subject = sampler(labelled([1, 3]), 2, mixing_rate=1)
    subject.update([math.nan, math.nan], seen=[False, False])
    assert subject.proportions.tolist() == [0.25, 0.75]


@pytest.mark.parametrize("scale", [5e-324, 1e-320, 1e-300, 1e308])
def test_losses_of_any_magnitude(scale: float) -> None:
    subject = sampler(labelled([1, 3]), 2, mixing_rate=1)
    subject.update([scale, scale])
    assert subject.proportions.tolist() == pytest.approx([0.5, 0.5])
    subject.update([scale, 0])
    assert subject.proportions.tolist() == [1, 0]


def test_huge_losses_of_the_groups_seen_do_not_overflow() -> None:
    subject = sampler(labelled([1, 1, 2]), 2, mixing_rate=1)
    subject.update([1e308, 1e308, math.nan], seen=[True, True, False])
    assert subject.proportions.tolist() == pytest.approx([1 / 3] * 3)


@STABLE
@given(
    st.lists(st.lists(st.floats(0, 1.7e308), min_size=4, max_size=4), min_size=1, max_size=40),
    st.floats(0, 1),
    st.lists(st.booleans(), min_size=4, max_size=4),
)
def test_proportions_stay_on_the_simplex(losses: list[list[float]], rate: float, seen: list[bool]) -> None:
    subject = sampler(labelled([1, 2, 3, 50]), 5, mixing_rate=rate)
    for step, loss in enumerate(losses):
        subject.update(loss, seen=seen if step % 2 else None)
        alpha = subject.proportions
        assert alpha.min() >= 0
        assert alpha.sum().item() == pytest.approx(1, abs=1e-12)


def test_groups_with_higher_losses_are_drawn_more() -> None:
    labels = labelled([100, 100])
    subject = sampler(labels, 10, mixing_rate=0.5)
    for _ in range(20):
        subject.update([3.0, 1.0])
    assert np.bincount(labels[subject.plan().flatten()]).tolist() == pytest.approx([150, 50], abs=1)


# State


@pytest.mark.parametrize("batches", [0, 1, 7, 10, 13, 20])
def test_a_state_goes_on_exactly(batches: int) -> None:
    """Before the first epoch, within one (of 10 batches), between two; through a file."""
    labels = labelled([37, 11, 2, 3])
    whole, other = sampler(labels, 5, mixing_rate=0.4), sampler(labels, 5, seed=99, mixing_rate=0.4)
    for batch in range(batches):
        whole.next_batch()
        if batch % 4 == 3:
            whole.update([1.0, 2.0, 3.0, math.nan], seen=[True, True, True, False])
    file = io.BytesIO()
    torch.save(whole.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    for _ in range(25):
        assert torch.equal(other.proportions, whole.proportions)
        assert torch.equal(other.next_batch(), whole.next_batch())
    for subject in (whole, other):
        subject.update([1.0, 1.0, 1.0, math.nan], seen=[True, True, True, False])
    assert torch.equal(other.proportions, whole.proportions)


def test_the_next_pass_yields_the_rest_of_the_epoch() -> None:
    labels = labelled([37, 11, 2])
    whole, other = sampler(labels, 5), sampler(labels, 5, seed=99)
    epochs = [list(whole), list(whole), list(whole)]
    again = sampler(labels, 5)
    list(again)
    passing = iter(again)
    head = [next(passing) for _ in range(4)]
    other.load_state_dict(again.state_dict())
    assert head + list(other) == epochs[1]
    assert list(other) == epochs[2]


@pytest.mark.parametrize("trained", range(11))
@pytest.mark.parametrize("ahead", [0, 3, 10])
def test_a_state_goes_back_to_what_was_trained(trained: int, ahead: int) -> None:
    """A loader has drawn ``ahead`` of the 10 batches more than were trained on; saved twice, in the second epoch."""
    labels = labelled([37, 11, 2])
    whole, drawn = (sampler(labels, 5, mixing_rate=0.5) for _ in range(2))
    for subject in (whole, drawn):
        list(subject)
        subject.update([1.0, 2.0, 3.0])
    epochs = list(whole), list(whole)
    passing = iter(drawn)
    for _ in range(min(trained + ahead, 10)):
        next(passing)
    again = drawn
    for _ in range(2):
        state = again.state_dict(batches=trained)
        again = sampler(labels, 5, seed=99)
        again.load_state_dict(state)
    if trained < 10:
        assert list(again) == epochs[0][trained:]
    assert list(again) == epochs[1]


def test_a_state_of_batches_not_drawn_or_before_an_update_is_refused() -> None:
    subject = sampler(labelled([30, 20]), 5)
    passing = iter(subject)
    next(passing), next(passing)
    for batches in (-1, 3):
        with pytest.raises(UserError, match=f"cannot rewind to batch {batches}: 2 have been drawn"):
            subject.state_dict(batches=batches)
    subject.update([1.0, 2.0])
    with pytest.raises(UserError, match="must have within_epoch=True"):
        subject.state_dict(batches=1)


def test_an_epoch_that_update_ended_early_is_not_gone_on_with() -> None:
    subject, again = sampler(labelled([30, 20]), 5), sampler(labelled([30, 20]), 5, seed=9)
    passing = iter(subject)
    next(passing), next(passing)
    subject.update([1.0, 2.0])
    again.load_state_dict(subject.state_dict(batches=0))
    assert [list(again), list(again)] == [list(subject), list(subject)]


def test_a_pass_left_early_is_not_gone_on_with_after_its_update() -> None:
    subject, again = sampler(labelled([30, 20]), 5), sampler(labelled([30, 20]), 5, seed=9)
    for _ in range(2):  # then a pass that goes on has another begin and be left meanwhile
        passing = iter(subject)
        next(passing), next(passing)
        next(iter(subject))
        subject.update([1.0, 2.0])
        again.load_state_dict(subject.state_dict())
        assert [list(again), list(again)] == [list(subject), list(subject)]


def test_a_state_may_be_loaded_to_any_device() -> None:
    """As ``torch.load(file, map_location=device)`` does beside a model."""
    subject, again = sampler(labelled([30, 20]), 5), sampler(labelled([30, 20]), 5, seed=9)
    passing = iter(subject)
    next(passing)
    state = subject.state_dict()
    with fake_gpu():
        state = {name: value.cuda() if isinstance(value, torch.Tensor) else value for name, value in state.items()}
        again.load_state_dict(state)
    assert list(again) == list(passing)


def test_a_state_does_not_move_with_its_sampler() -> None:
    subject = sampler(labelled([37, 11, 2]), 5, mixing_rate=0.5)
    state = subject.state_dict()
    first = subject.plan()
    subject.update([5.0, 1.0, 1.0])
    subject.load_state_dict(state)
    assert subject.proportions.tolist() == pytest.approx([0.74, 0.22, 0.04])
    assert torch.equal(subject.plan(), first)


@pytest.mark.parametrize(
    ("labels", "batch_size", "named"), [([0, 1, 2] * 20, 1, "2 groups"), ([0, 1] * 5, 5, "of 10 in 2")]
)
def test_a_state_of_another_set_is_refused(labels: list[int], batch_size: int, named: str) -> None:
    saved = sampler([0, 1] * 30, 5)
    list(saved)
    with pytest.raises(ValueError, match=named):
        sampler(labels, batch_size).load_state_dict(saved.state_dict())


def test_a_state_of_the_samples_in_another_order_is_refused() -> None:
    saved = sampler([0, 0, 0, 1, 1, 1], 2).state_dict()
    with pytest.raises(UserError, match="of as many samples in another order: give the labels as before"):
        sampler([1, 0, 1, 0, 1, 0], 2).load_state_dict(saved)
    del saved["labels"]  # as the first states
    sampler([1, 0, 1, 0, 1, 0], 2).load_state_dict(saved)


def test_a_state_of_something_else_is_refused() -> None:
    with pytest.raises(UserError, match="the state has model, epoch: pass what the sampler's state_dict returned"):
        sampler([0, 1], 1).load_state_dict({"model": {}, "epoch": 3})


# Each iterator has its own state


@pytest.mark.parametrize("peeks", [1, 3])
def test_an_iterator_within_another_takes_nothing_from_it(peeks: int) -> None:
    subject = sampler(labelled([37, 11, 2]), 5)
    for _ in range(3):
        seen: list[int] = []
        for number, batch in enumerate(subject):
            seen += batch
            if number == 4:
                peeked = [batch for batch, _ in zip(subject, range(peeks), strict=False)]
                assert {len(batch) for batch in peeked} == {5}
        assert sorted(seen) == list(range(50))


def test_two_iterators_side_by_side_both_see_everything() -> None:
    subject = sampler(labelled([37, 11, 2]), 5)
    for _ in range(2):
        pairs = list(zip(subject, subject, strict=True))
        for side in zip(*pairs, strict=True):
            assert sorted(chain(*side)) == list(range(50))


def test_the_state_is_that_of_the_newest_iterator() -> None:
    subject, other = sampler(labelled([37, 11, 2]), 5), sampler(labelled([37, 11, 2]), 5, seed=9)
    older = iter(subject)
    next(older)
    newest = iter(subject)
    for _ in range(4):
        next(newest)
    next(older)
    other.load_state_dict(subject.state_dict())
    assert list(other) == list(newest)


def test_a_loaded_state_is_of_the_next_iterator_alone() -> None:
    subject, other = sampler(labelled([37, 11, 2]), 5), sampler(labelled([37, 11, 2]), 5, seed=9)
    passing = iter(subject)
    next(passing), next(passing)
    other.load_state_dict(subject.state_dict())
    rest, later = list(other), list(other)
    assert (len(rest), len(later)) == (8, 10)
    assert rest == list(passing)
    assert later == list(subject)


# Updates within an epoch


@pytest.mark.parametrize("trained", [0, 4, 5, 6, 9, 10])
@pytest.mark.parametrize("ahead", [0, 3])
@pytest.mark.parametrize("k", [3, 2000])
def test_updates_within_an_epoch_are_saved(trained: int, ahead: int, k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 10 batches, with an update after every second; a loader draws ahead at the proportions of before it."""
    monkeypatch.setattr("l2m.sampling.epoch._GROUPS_A_SAMPLE", 1)
    labels = labelled([37, 11, 2] if k == 3 else [1] * k)
    whole, again = (sampler(labels, len(labels) // 10, seed, mixing_rate=0.5) for seed in (0, 9))

    def train(subject: Learn2MixBatchSampler, step: int, until: int, drawn: list[list[int]], passing: Any) -> None:
        while step < until:
            while len(drawn) < min(step + 1 + ahead, 10):
                drawn.append(next(passing))
            step += 1
            if step % 2 == 0:
                subject.update((np.arange(k) + step) % 7 + 0.5, within_epoch=True)

    list(whole)
    first: list[list[int]] = []
    passing = iter(whole)
    train(whole, 0, trained, first, passing)
    if not first:
        first.append(next(passing))
    state = whole.state_dict(batches=trained)
    train(whole, trained, 10, first, passing)
    again.load_state_dict(state)
    second: list[list[int]] = [] if trained == 10 else first[:trained]
    if trained < 10:
        train(again, trained, 10, second, iter(again))
        assert second == first
    assert torch.equal(again.proportions, whole.proportions)
    assert list(again) == list(whole)


def test_an_epoch_may_have_any_number_of_batches() -> None:
    labels = labelled([37, 11, 2])
    for batches in (1, 7, 25):
        subject = sampler(labels, 5, epoch_batches=batches)
        assert len(subject) == len(list(subject)) == len(subject.plan()) == batches
        again = sampler(labels, 5, seed=9, epoch_batches=batches)
        again.load_state_dict(subject.state_dict())
        assert list(again) == list(subject)
        with pytest.raises(UserError, match=f"{batches} batches an epoch, but this one .* and 10 batches"):
            sampler(labels, 5).load_state_dict(subject.state_dict())
    with pytest.raises(UserError, match="epoch_batches=0 must be at least 1"):
        sampler(labels, 5, epoch_batches=0)


# In a DataLoader


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # Python 3.12 warns of what DataLoader does by default
@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")  # more workers than there are cores
@pytest.mark.parametrize("workers", [0, 2])
def test_in_a_data_loader(workers: int) -> None:
    labels = labelled([40, 17, 3])
    subject, twin = sampler(labels, 7), sampler(labels, 7)
    dataset = TensorDataset(torch.arange(60), torch.from_numpy(labels))
    loader = DataLoader(dataset, batch_sampler=subject, num_workers=workers)
    assert len(loader) == 8
    for losses in ([1.0, 2.0, 3.0], [3.0, 2.0, 1.0]):
        batches = [(index.tolist(), groups.tolist()) for index, groups in loader]
        assert [index for index, _ in batches] == list(twin)
        assert all(groups == labels[index].tolist() for index, groups in batches)
        subject.update(losses)
        twin.update(losses)


# Refusals


@pytest.mark.parametrize(
    ("labels", "named"),
    [
        ([0, 1, -3], "-3 is negative"),
        ([0, 1, 3, 3], "group 2 has no samples"),
        ([[0, 1], [1, 0]], r"shape \(2, 2\): for one-hot rows use labels.argmax\(1\)"),
        (TensorDataset(torch.tensor([0, 1])), "not a TensorDataset: give the list"),
        ([0.0, 1.0], "float64"),
        ([], r"shape \(0,\)"),
        (["a", "b"], "<U1"),
        (5, r"shape \(\)"),
        (np.array([0, 1, 127], np.int8), "group 2 has no samples, but labels go up to 127"),
        (np.array([0, 2**63 + 1], np.uint64), "group 1 has no samples"),
        (pd.Categorical([None, "a"]).codes, "-1 is negative: .* missing labels"),
        (
            [[0], [0, 1]],
            "labels must be one number each, not rows of several lengths: a sample must have one group; if",
        ),
        ([[0, 1, 1], [1, 0, 0]], r"shape \(2, 3\): a sample must have one group; .* number the frequent combinations"),
        ([{"boxes": 2}], r"object of shape \(1,\): a sample must have one group; if groups overlap, number the"),
        (np.zeros((0, 2), int), r"shape \(0, 2\): for one-hot rows"),
    ],
)
def test_labels_that_are_no_groups_are_refused(labels: Any, named: str) -> None:
    with pytest.raises(UserError, match=named):
        sampler(labels, 1)


@pytest.mark.parametrize("batch_size", [0, -1, 21, 10**9, 2.5, "4", True, None, math.nan, math.inf])
def test_batch_sizes_out_of_range_are_refused(batch_size: Any) -> None:
    with pytest.raises(UserError, match=f"batch_size={batch_size!r} must be .*1 to the 20"):
        sampler([0, 1] * 10, batch_size)


@pytest.mark.parametrize("batch_size", [1, 20, 4.0, np.int64(4)])
def test_batch_sizes_in_range_are_taken(batch_size: Any) -> None:
    subject = sampler([0, 1] * 10, batch_size)
    assert subject.plan().shape == (20 // batch_size, batch_size)


@pytest.mark.parametrize("rate", [-0.1, 1.1, math.nan, math.inf, -math.inf, None, "a"])
def test_mixing_rates_out_of_range_are_refused(rate: Any) -> None:
    with pytest.raises(UserError, match=f"mixing_rate={rate!r} "):
        sampler([0, 1], 1, mixing_rate=rate)


def test_a_mixing_rate_that_was_set_later_is_checked_as_it_is_used() -> None:
    subject = sampler([0, 1], 1)
    subject.mixing_rate = 5
    with pytest.raises(UserError, match="mixing_rate=5 must be"):
        subject.update([1.0, 2.0])


def test_a_seed_is_no_generator() -> None:
    with pytest.raises(UserError, match=r"generator=0 must be one of torch: give torch.Generator\(\).manual_seed\(0\)"):
        Learn2MixBatchSampler([0, 1], batch_size=1, generator=0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("proportions", "named"),
    [
        ([0.5, 0.6], "0.6"),
        ([-0.5, 1.5], "-0.5"),
        ([1.0], "not .1.0."),
        ([0.5, 0.25, 0.25], "0.25"),
        ([[0.5, 0.5]], "0.5"),
        ([math.nan, 1.0], "nan"),
        ([math.inf, 0.0], "inf"),
        ([0.0, 0.0], "0.0"),
    ],
)
def test_proportions_off_the_simplex_are_refused(proportions: Any, named: str) -> None:
    with pytest.raises(UserError, match=f"2 numbers .*{named}"):
        sampler([0, 1], 1, proportions=proportions)


@pytest.mark.parametrize(
    ("losses", "named"),
    [
        ([1.0, -2.0], "group 1 is -2.0"),
        ([math.nan, 1.0], "group 0 is nan"),
        ([1.0, math.inf], "group 1 is inf"),
        ([1.0], r"shape \(1,\)"),
        ([1.0, 2.0, 3.0], r"shape \(3,\)"),
        (([1.0, 2.0], [True, True]), r"shape \(2, 2\): with GroupLosses write update\(\*group_losses.end_epoch\(\)\)"),
        (1.0, r"shape \(\)"),
    ],
)
def test_losses_that_are_none_are_refused(losses: Any, named: str) -> None:
    subject = sampler([0, 1, 1], 1, mixing_rate=1)
    with pytest.raises(UserError, match=named):
        subject.update(losses)
    assert subject.proportions.tolist() == pytest.approx([1 / 3, 2 / 3])


def test_the_remedy_for_a_loss_that_is_not_finite_is_not_what_was_done_already() -> None:
    for seen, remedy in {None: "with seen=", (True, True): "has training diverged?"}.items():
        with pytest.raises(UserError, match=remedy):
            sampler([0, 1], 1).update([math.nan, 1.0], seen=seen)


def test_a_wrong_number_of_seen_is_refused() -> None:
    with pytest.raises(UserError, match=r"2 groups, not shape \(3,\)"):
        sampler([0, 1], 1).update([1.0, 1.0], seen=[True, True, True])


def test_rate_0_keeps_its_batches_whatever_the_losses() -> None:
    """Equal to the bit: proportions that do not sum to 1 exactly must not be normalised anew."""
    for sizes in ([1, 4, 1], [3, 7, 2, 1], [5] * 29):
        still, updated = (sampler(labelled(sizes), 1, mixing_rate=0) for _ in range(2))
        for _ in range(6):
            assert torch.equal(still.plan(), updated.plan())
            updated.update(np.arange(1.0, len(sizes) + 1))


def test_a_plan_drawn_in_parts_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, parts = (sampler(labelled([30, 7, 3]), 4) for _ in range(2))
    expected = whole.plan()
    monkeypatch.setattr("l2m.sampling.sampler._CELLS", 7)
    assert torch.equal(parts.plan(), expected)


def test_a_plan_for_a_gpu_is_the_same_and_there() -> None:
    labels = labelled((40, 30, 20, 5))
    expected = sampler(labels, 19).plan()
    with fake_gpu() as gpu:
        plan = sampler(labels, 19, device="cuda").plan()
        assert plan.device.type == "cuda"
        assert (gpu.waits, gpu.copies) == (0, 0)
        assert torch.equal(plan.cpu(), expected)


def test_losses_in_half_precision() -> None:
    subject = sampler(labelled([1, 3]), 2, mixing_rate=1)
    subject.update(torch.tensor([1.0, 3.0], dtype=torch.bfloat16, requires_grad=True))
    assert subject.proportions.tolist() == [0.25, 0.75]


def test_a_mask_makes_two_groups() -> None:
    assert sampler([True, False, False, False], 2).proportions.tolist() == [0.75, 0.25]


@pytest.mark.parametrize("size", [5, 300, 4000])
def test_the_smallest_are_those_of_a_stable_sort(size: int) -> None:
    random = np.random.default_rng(size)
    for _ in range(20):
        values = random.integers(0, 20, size).astype(float) if random.random() < 0.5 else random.random(size)
        for count in (1, 2, size // 2, size - 1, size):
            expected = np.argsort(values, kind="stable")[:count]
            assert sorted(smallest(values, count)) == sorted(expected)
