"""``StreamMixer``: shares, rules, workers, ranks, sources that end, and loops that are saved."""

from __future__ import annotations

import io
import math
import re
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from datasets import Dataset
from datasets.distributed import split_dataset_by_node
from torch.utils.data import DataLoader, IterableDataset, default_collate, get_worker_info

from l2m import Learn2MixBatchSampler, StreamMixer, UserError

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),  # Python 3.12 warns of what DataLoader does
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),  # more workers than cores
]
SOURCES = {"a": range(1000), "b": range(1000, 1300), "c": range(5000, 5010)}


def numbers(batch: list[tuple[int, Any]]) -> list[int]:
    return [source for source, _ in batch]


# Shares


@pytest.mark.parametrize("shares", [None, [0.7, 0.25, 0.05], [1, 0, 0]])
def test_a_source_is_within_one_sample_of_its_share(shares: list[float] | None) -> None:
    mixer = StreamMixer(SOURCES, batch_size=7, rule="fixed", proportions=shares)
    drawn = np.zeros(3)
    for count, batch in enumerate(islice(mixer, 200), start=1):
        assert len(batch) == 7
        drawn += np.bincount(numbers(batch), minlength=3)
        assert abs(drawn - 7 * count * np.array(shares or [1 / 3] * 3)).max() < 1 + 1e-6


def test_a_source_comes_in_its_order_and_a_batch_in_random_order() -> None:
    batches = list(islice(StreamMixer(SOURCES, batch_size=30), 30))
    assert [sample for batch in batches for source, sample in batch if source == 1] == list(range(1000, 1300))
    assert sum(numbers(batch) == sorted(numbers(batch)) for batch in batches) == 0
    again, other = (list(islice(StreamMixer(SOURCES, batch_size=30, seed=seed), 30)) for seed in (0, 1))
    assert batches == again != other


def test_shares_may_be_of_tokens() -> None:
    rng = np.random.default_rng(0)
    texts = {name: ["x" * length for length in rng.integers(1, 2 * mean, 5000)] for name, mean in (("a", 5), ("b", 50))}
    mixer = StreamMixer(texts, batch_size=16, rule="fixed", proportions=[0.8, 0.2], tokens=len)
    tokens: Counter[int] = Counter()
    for batch in islice(mixer, 500):
        for source, text in batch:
            tokens[source] += len(text)
    assert tokens[0] / tokens.total() == pytest.approx(0.8, abs=0.01)


# Rules


def test_learn2mix_moves_as_the_sampler_does_every_few_steps() -> None:
    mixer = StreamMixer(SOURCES, batch_size=2, mixing_rate=0.3, update_every=3, proportions=[0.5, 0.4, 0.1])
    sampler = Learn2MixBatchSampler([0, 1, 2], batch_size=1, mixing_rate=0.3, proportions=[0.5, 0.4, 0.1])
    for step in range(1, 7):
        mixer.add([float(step), 10.0], [0, 2])
        if step % 3 == 0:
            sampler.update([step - 1.0, 0, 10], [True, False, True])
        torch.testing.assert_close(mixer.proportions, sampler.proportions)


def test_exponentiated_moves_by_what_exceeds_the_reference() -> None:
    options: dict[str, Any] = {"batch_size": 2, "rule": "exponentiated", "mixing_rate": 0.5, "update_every": 1}
    mixer = StreamMixer(SOURCES, reference_losses=[1.0, 1.0, 3.0], **options)
    mixer.add([3.0, 2.0, 2.0], [0, 1, 2])  # excess 2, 1 and 0
    weights = np.exp(0.5 * np.array([2, 1, 0]))
    np.testing.assert_allclose(mixer.proportions, weights / weights.sum())


def test_fixed_shares_stay() -> None:
    mixer = StreamMixer(SOURCES, batch_size=2, rule="fixed", mixing_rate=1, update_every=1, proportions=[0.5, 0.3, 0.2])
    mixer.add([3.0, 2.0], [0, 1])
    assert mixer.proportions.tolist() == pytest.approx([0.5, 0.3, 0.2])


def test_an_update_acts_on_the_next_batch() -> None:
    mixer = StreamMixer({"a": [1], "b": [2]}, batch_size=10, mixing_rate=1, update_every=2)
    shares = []
    for batch in islice(mixer, 5):
        shares.append(sum(numbers(batch)))
        mixer.add([0.0, 1.0], [0, 1])
    assert shares == [5, 5, 10, 10, 10]


# Sources that end


@pytest.mark.parametrize(("ends", "batches"), [("first", 3), ("last", 8)])
def test_a_pass_ends_with_the_first_or_the_last_source(ends: Any, batches: int) -> None:
    """Of 7 and 17 samples, two of each a batch: the eighth batch is the last whole one."""
    mixer = StreamMixer({"a": range(7), "b": range(17)}, batch_size=4, ends=ends)
    for _ in range(2):
        drawn = list(mixer)
        assert len(drawn) == batches
        assert [sample for batch in drawn for source, sample in batch if source == 1] == list(range(2 * batches))


def test_sources_begin_again_without_end() -> None:
    mixer = StreamMixer({"a": range(3), "b": range(100)}, batch_size=4)
    assert [sample for batch in islice(mixer, 6) for source, sample in batch if source == 0] == [0, 1, 2] * 4


@pytest.mark.parametrize("ends", ["first", "last"])
def test_a_pass_that_has_ended_is_not_gone_on_with(ends: Any) -> None:
    parts = {"a": range(8), "b": range(100, 120)}
    whole, other = (StreamMixer(parts, batch_size=4, ends=ends, update_every=3) for _ in range(2))
    for batch in whole:
        whole.add([1.0 + source for source, _ in batch], numbers(batch))
    other.load_state_dict(whole.state_dict())
    assert [list(other), list(other)] == [list(whole), list(whole)]


# Workers and ranks


@pytest.mark.parametrize(("workers", "ranks"), [(0, 2), (2, 1), (2, 2)])
def test_workers_and_ranks_share_the_samples(workers: int, ranks: int) -> None:
    drawn: list[int] = []
    for rank in range(ranks):
        mixer = StreamMixer(
            {"a": range(80), "b": range(100, 180)},
            batch_size=4,
            ends="first",
            prefetched=4,
            num_replicas=ranks,
            rank=rank,
        )
        loader = DataLoader(mixer, batch_size=None, num_workers=workers, collate_fn=default_collate)
        drawn += [sample for _, samples in loader for sample in samples.tolist()]
    assert sorted(drawn) == [*range(80), *range(100, 180)]


class Slow:
    """Samples that come irregularly."""

    def __iter__(self) -> Iterator[int]:
        for sample in range(10_000):
            time.sleep(np.random.default_rng().random() / 5000)
            yield sample


def steps(loader: Any, mixer: StreamMixer, seconds: float = 0) -> Iterator[list[list[int]]]:
    """The loader's batches, each after its losses were added."""
    for sources, samples in loader:
        mixer.add(1.0 + sources.double() * (mixer._losses.batches % 3), sources)
        time.sleep(seconds)
        yield [sources.tolist(), samples.tolist()]


def test_updates_act_at_the_same_batch_however_fast_workers_are() -> None:
    drawn = []
    for seconds in (0, 0.01):
        mixer = StreamMixer({"a": Slow(), "b": Slow()}, batch_size=8, update_every=2, mixing_rate=0.5, prefetched=4)
        loader = DataLoader(mixer, batch_size=None, num_workers=2, collate_fn=default_collate)
        drawn.append(list(islice(steps(loader, mixer, seconds), 30)))
    assert drawn[0] == drawn[1]
    assert len({sum(sources) for sources, _ in drawn[0]}) > 2


def test_an_update_that_comes_too_late_is_noticed() -> None:
    mixer = StreamMixer(SOURCES, batch_size=8, update_every=1, mixing_rate=0.5, prefetched=2)
    loader = DataLoader(mixer, batch_size=None, num_workers=2, prefetch_factor=8, collate_fn=default_collate)
    with pytest.raises(UserError, match=r"batch \d+ was drawn before an update that it should follow: call add after"):
        list(islice(steps(loader, mixer, 0.01), 60))


class Shards(IterableDataset[int]):
    """Divides its three shards among the workers."""

    def __iter__(self) -> Iterator[int]:
        info = get_worker_info()
        assert info
        return iter([100 * shard + n for shard in range(3)[info.id :: info.num_workers] for n in range(100)])


@pytest.mark.parametrize("ends", ["first", "last"])
def test_updates_go_on_when_one_worker_has_ended(ends: Any) -> None:
    """Two passes: in the second, too, an update that comes too late before that would be noticed."""
    mixer = StreamMixer(
        {"a": Shards(), "b": Shards()}, batch_size=8, ends=ends, prefetched=4, split_themselves=True, update_every=10
    )
    loader = DataLoader(mixer, batch_size=None, num_workers=2, collate_fn=default_collate)
    for _ in range(2):
        assert len(list(steps(loader, mixer))) > 60


def test_passes_of_workers_are_shuffled_anew_and_alike_in_all_workers() -> None:
    stream = Dataset.from_dict({"x": list(range(40))}).to_iterable_dataset(num_shards=4).shuffle(seed=1, buffer_size=5)
    mixer = StreamMixer({"a": stream}, batch_size=4, ends="last", prefetched=4, split_themselves=True)
    loader = DataLoader(mixer, batch_size=None, num_workers=2, collate_fn=flat)
    passes = [[sample for _, samples in loader for sample in samples.tolist()] for _ in range(3)]
    assert all(sorted(drawn) == list(range(40)) for drawn in passes)
    assert len(set(map(tuple, passes))) == 3


class Epochs:
    """Samples that say the epoch that was set."""

    epoch = -1

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        return iter([self.epoch] * 8)


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_every_pass_has_an_epoch_of_its_own_the_first_0_with_any_workers(workers: int) -> None:
    mixer = StreamMixer({"a": Epochs()}, batch_size=4, ends="first", prefetched=2 * workers)
    loader = DataLoader(mixer, batch_size=None, num_workers=workers, collate_fn=default_collate)
    passes = [{int(sample) for _, samples in loader for sample in samples} for _ in range(3)]
    assert passes[0] == {0}
    assert all(len(epochs) == 1 for epochs in passes)
    assert len(set.union(*passes)) == 3


def test_a_look_at_a_batch_leaves_workers_their_pass() -> None:
    mixer = StreamMixer({"a": range(40)}, batch_size=8, ends="first", prefetched=2)
    next(iter(mixer))
    loader = DataLoader(mixer, batch_size=None, num_workers=1, collate_fn=default_collate)
    assert [sample for _, samples in loader for sample in samples.tolist()] == [*range(40)]


def test_too_few_prefetched_batches_are_refused_before_training() -> None:
    loader = DataLoader(StreamMixer(SOURCES, batch_size=8), batch_size=None, num_workers=2)
    with pytest.raises(
        UserError, match=r"prefetched=0 is too small for 2 workers: give num_workers \* prefetch_factor"
    ):
        next(iter(loader))


def test_losses_that_are_no_numbers_are_refused() -> None:
    for rule in ("learn2mix", "exponentiated", "fixed"):
        mixer = StreamMixer(SOURCES, batch_size=8, rule=rule, update_every=1)
        with pytest.raises(UserError, match=r"the loss of group 1 is nan: .*has training diverged"):
            mixer.add([1.0, float("nan")], [0, 1])
        with pytest.raises(UserError, match=r"the loss of group 0 is -1.0: losses must be finite and at least 0"):
            mixer.add([-1.0, 1.0], [0, 1])


# Saved loops


class Situation(NamedTuple):
    """A loop that is saved after 11 of 30 steps."""

    library: str
    workers: int
    ranks: int
    rule: Any
    ends: Any
    kind: str


SITUATIONS = [
    *[
        Situation("plain", 0, ranks, rule, "cycle", "list")
        for ranks in (1, 2)
        for rule in ("learn2mix", "exponentiated")
    ],
    Situation("plain", 0, 1, "learn2mix", "last", "list"),
    Situation("plain", 0, 1, "learn2mix", "cycle", "datasets"),
    Situation("plain", 0, 2, "learn2mix", "cycle", "datasets"),
    Situation("plain", 0, 1, "learn2mix", "cycle", "read again"),
    Situation("StatefulDataLoader", 2, 1, "learn2mix", "cycle", "read again"),
    *[
        Situation("StatefulDataLoader", workers, ranks, "learn2mix", "cycle", kind)
        for workers in (0, 2)
        for ranks in (1, 2)
        for kind in ("list", "datasets")
    ],
]
"""Every library, number of workers, ranks (the last is looked at), rule, end and kind of source in some company."""


class ReadAgain:
    """A stream that is read again, as docs/streams.md has it."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def __iter__(self) -> Iterator[Any]:
        return iter(self.stream)


def sources(situation: Situation) -> Mapping[str, Any]:
    """Of the kind ``datasets``: with a state of its own; without workers shuffled anew each time it begins.

    datasets 5.2 cannot continue in workers what it shuffles, and nowhere what is in its buffer: this is ``read again``.
    """
    parts = {"a": range(30), "b": range(100, 200), "c": range(300, 420)}
    if situation.kind == "list":
        return parts
    streams = {
        name: Dataset.from_dict({"x": list(part)}).to_iterable_dataset(num_shards=5) for name, part in parts.items()
    }
    if situation.kind == "read again":
        return {name: ReadAgain(stream.shuffle(seed=1, buffer_size=10)) for name, stream in streams.items()}
    if situation.workers == 0:
        return {name: stream.shuffle(seed=1, buffer_size=1) for name, stream in streams.items()}
    ranks = situation.ranks
    return {name: split_dataset_by_node(stream, ranks - 1, ranks) for name, stream in streams.items()}


def flat(batch: list[tuple[int, Any]]) -> Any:
    return default_collate([(source, row["x"] if isinstance(row, dict) else row) for source, row in batch])


def loop(situation: Situation, seed: int) -> tuple[StreamMixer, Any]:
    library, workers, ranks, rule, ends, kind = situation
    mixer = StreamMixer(
        sources(situation), batch_size=9, rule=rule, mixing_rate=0.3, update_every=2, prefetched=2 * workers, ends=ends,
        num_replicas=ranks, rank=ranks - 1, split_themselves=kind != "list" and workers > 0,
    )  # fmt: skip
    if library == "plain":
        return mixer, DataLoader(mixer, batch_size=None, collate_fn=flat)
    loaders = pytest.importorskip("torchdata.stateful_dataloader")
    return mixer, loaders.StatefulDataLoader(mixer, batch_size=None, collate_fn=flat, num_workers=workers)


def marked(situation: Situation) -> Any:
    marks = [] if situation.library == "plain" else [pytest.mark.extras]
    return pytest.param(situation, marks=marks, id="-".join(map(str, situation)))


@pytest.mark.parametrize("situation", [marked(each) for each in SITUATIONS])
def test_a_loop_goes_on_from_where_it_was_saved(situation: Situation) -> None:
    with warnings.catch_warnings():
        if situation.library != "plain":
            warnings.simplefilter("ignore")  # of libraries that are not ours
        mixer, loader = loop(situation, 0)
        whole, file = [], io.BytesIO()
        for batch in islice(steps(loader, mixer), 30):
            whole.append(batch)
            if len(whole) == 11:
                states = {"mixer": mixer.state_dict()}
                if situation.library != "plain":
                    states["loader"] = loader.state_dict()
                torch.save(states, file)
        other, loader = loop(situation, 9)
        file.seek(0)
        states = torch.load(file, weights_only=True)
        other.load_state_dict(states["mixer"])
        if "loader" in states:
            loader.load_state_dict(states["loader"])
        again = list(islice(steps(loader, other), 19))
    assert again == whole[11:]
    assert torch.equal(mixer.proportions, other.proportions)
    assert len({sum(numbers) for numbers, _ in whole}) > 2


@pytest.mark.extras
@pytest.mark.filterwarnings("ignore")  # of libraries that are not ours
@pytest.mark.parametrize("saved", [10, 62, 75])
def test_a_loop_goes_on_when_one_worker_has_ended(saved: int) -> None:
    """Of 75 steps; the worker with one shard ends after 50."""
    loaders = pytest.importorskip("torchdata.stateful_dataloader")
    mixers = [
        StreamMixer({"a": Shards(), "b": Shards()}, batch_size=8, ends="first", prefetched=4, split_themselves=True)
        for _ in range(2)
    ]
    both = [
        loaders.StatefulDataLoader(mixer, batch_size=None, collate_fn=default_collate, num_workers=2)
        for mixer in mixers
    ]
    whole = []
    for batch in steps(both[0], mixers[0]):
        whole.append(batch)
        if len(whole) == saved:
            state, loader_state = mixers[0].state_dict(), both[0].state_dict()
    mixers[1].load_state_dict(state)
    both[1].load_state_dict(loader_state)
    assert list(steps(both[1], mixers[1])) == whole[saved:]
    assert len(whole) == 75
    assert [len(list(loader)) for loader in both] == [75, 75]


# datasets and torch


def test_datasets_in_streaming_mode_share_their_shards() -> None:
    streams = {
        name: Dataset.from_dict({"x": list(range(begin, begin + 40))}).to_iterable_dataset(num_shards=2)
        for name, begin in (("a", 0), ("b", 100))
    }
    mixer = StreamMixer(streams, batch_size=4, ends="first", prefetched=4)
    loader = DataLoader(mixer, batch_size=None, num_workers=2, collate_fn=flat)
    with pytest.raises(
        UserError, match=r"2 processes read an IterableDataset, which may divide itself .* give split_the"
    ):
        list(loader)
    for split in (True, False):
        mixer = StreamMixer(streams, batch_size=4, ends="first", prefetched=4, split_themselves=split)
        loader = DataLoader(mixer, batch_size=None, num_workers=2, collate_fn=flat)
        drawn = [sample for _, samples in loader for sample in samples.tolist()]
        assert (sorted(drawn) == [*range(40), *range(100, 140)]) is split


def test_workers_in_different_rounds_of_datasets_divide_each_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of five shards worker 0 reads three; its second round begins after worker 1, with two, has begun its third."""
    stream = Dataset.from_dict({"x": list(range(20))}).to_iterable_dataset(num_shards=5)
    third, set_epoch = get_context("fork").Event(), type(stream).set_epoch

    def set_epoch_and_wait(stream: Any, epoch: int) -> None:
        set_epoch(stream, epoch)
        info = get_worker_info()
        if info and (info.id, epoch) == (1, 2):
            third.set()
        if info and (info.id, epoch) == (0, 1):
            assert third.wait(60)

    monkeypatch.setattr(type(stream), "set_epoch", set_epoch_and_wait)
    mixer = StreamMixer({"a": stream}, batch_size=4, prefetched=20, split_themselves=True)
    loader = DataLoader(
        mixer, batch_size=None, num_workers=2, prefetch_factor=10, collate_fn=flat, multiprocessing_context="fork"
    )
    batches = [samples.tolist() for _, samples in islice(loader, 12)]
    second = [*batches[0::2][3:6], *batches[1::2][2:4]]
    assert sorted(sample for batch in second for sample in batch) == list(range(20))


def test_datasets_skips_its_shuffle_buffer_when_it_goes_on() -> None:
    """As docs/streams.md warns."""
    stream = Dataset.from_dict({"x": list(range(60))}).to_iterable_dataset().shuffle(seed=1, buffer_size=10)
    mixer = StreamMixer({"a": stream}, batch_size=10, ends="first")
    whole = []
    for batch in mixer:
        whole.append(batch)
        if len(whole) == 3:
            state = mixer.state_dict()
    mixer.load_state_dict(state)
    assert len(whole) == 6
    assert len(list(mixer)) == 2


# Wrong use


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"batch_size": 0}, r"batch_size=0 must be at least 1 \(samples a batch\)"),
        ({"rule": "doremi"}, r"rule='doremi' must be one of learn2mix, exponentiated, fixed"),
        ({"ends": "never"}, r"ends='never' must be one of cycle, first, last"),
        ({"proportions": {"a": 1.0}}, r"proportions must be in a list or an array, not a dict: give its numbers"),
        ({"proportions": [1.0]}, r"proportions must be 3 numbers of at least 0 that sum to 1"),
        ({"mixing_rate": 2}, r"mixing_rate=2.0 must be in \[0, 1\]"),
        ({"mixing_rate": -1, "rule": "exponentiated"}, r"mixing_rate=-1 must be at least 0"),
        ({"seed": -1}, r"seed=-1 must be at least 0"),
        ({"rank": 2, "num_replicas": 2}, r"rank=2 must be"),
        ({"update_every": 0}, r"update_every=0 must be at least 1"),
        ({"reference_losses": [1.0]}, r"reference_losses must be 3 finite numbers"),
        ({"reference_losses": [1.0, math.nan, 1.0]}, r"reference_losses must be 3 finite numbers"),
        ({"reference_losses": [1.0, None, 1.0]}, r"reference_losses must be 3 finite numbers"),
        ({"reference_losses": ["1", "2", "3"]}, r"reference_losses must be 3 finite numbers"),
    ],
)
def test_a_wrong_value_is_named(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        StreamMixer(SOURCES, **({"batch_size": 4} | options))


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_of_batches_are_refused(workers: int) -> None:
    loader = DataLoader(StreamMixer(SOURCES, batch_size=4, prefetched=2), num_workers=workers)
    with pytest.raises(UserError, match="a mixer yields whole batches: give DataLoader batch_size=None"):
        next(iter(loader))


@pytest.mark.parametrize("rule", ["learn2mix", "exponentiated"])
def test_an_update_without_losses_moves_nothing(rule: Any) -> None:
    mixer = StreamMixer(SOURCES, batch_size=2, rule=rule, update_every=1)
    before = mixer.proportions
    mixer.add(torch.zeros(0), torch.zeros(0, dtype=torch.int64))
    assert torch.equal(mixer.proportions, before)
    assert len(next(iter(mixer))) == 2


def test_a_state_has_numbers_whatever_counts_the_tokens(tmp_path: Path) -> None:
    for count in (np.int64, torch.tensor, float):
        mixer = StreamMixer({"a": range(1, 9)}, batch_size=2, tokens=count, prefetched=0)
        next(iter(mixer))
        torch.save(mixer.state_dict(), tmp_path / "mixer.pt")
        state = torch.load(tmp_path / "mixer.pt", weights_only=True)
        assert state["pass"]["tokens"] == [3], "of the samples 1 and 2"


def test_sources_without_samples_and_states_of_others_are_named() -> None:
    for source in ([], iter([1, 2])):
        with pytest.raises(UserError, match=r"source b had no samples when one of 1 processes read it: .* not a gen"):
            list(islice(StreamMixer({"a": range(9), "b": source}, batch_size=4), 9))
    with pytest.raises(UserError, match="the state is of the sources a, b, c, but these are a, d: use the same"):
        StreamMixer({"a": [1], "d": [1]}, batch_size=1).load_state_dict(StreamMixer(SOURCES, batch_size=1).state_dict())
    other = StreamMixer(SOURCES, batch_size=1, rule="exponentiated")
    shares = other.proportions
    uneven = StreamMixer(SOURCES, batch_size=1, proportions=[0.5, 0.3, 0.2]).state_dict()
    for rule in ("exponentiated", "fixed"):
        with pytest.raises(UserError, match=f"the state is of another rule than {rule}: use the same"):
            StreamMixer(SOURCES, batch_size=1, rule=rule).load_state_dict(uneven)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="the state is of another rule than exponentiated: use the same"):
        other.load_state_dict(uneven)
    assert torch.equal(other.state_dict()["changes"][0, 1:], shares)
    with pytest.raises(UserError, match=r"the state has sizes, .*: pass what the mixer's state_dict returned"):
        other.load_state_dict(Learn2MixBatchSampler([0, 1], batch_size=1).state_dict())
    with pytest.raises(UserError, match="sources must be iterables by name, not list: give"):
        StreamMixer([range(3)], batch_size=1)  # type: ignore[arg-type]
    loader = DataLoader(
        StreamMixer({"a": range(8)}, batch_size=2, ends="first", prefetched=1), batch_size=None, num_workers=1,
        prefetch_factor=1, persistent_workers=True, collate_fn=default_collate,
    )  # fmt: skip
    assert len(list(loader)) == 4
    with pytest.raises(UserError, match="a worker cannot begin a second pass: leave out persistent_workers"):
        list(loader)


def test_the_pages_language_model_runs() -> None:
    """A few steps of it; ``make test-long`` runs the whole page."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "streams.md").read_text(encoding="utf-8")
    (code,) = [block for block in re.findall(r"```python\n(.*?)```", page, re.S) if "losses_by_domain" in block]
    names: dict[str, Any] = {}
    with torch.random.fork_rng():
        exec(code.split("for name, options in choices")[0], names)
        for options in names["choices"].values():
            losses, shares = names["losses_by_domain"](0, 2, **options)
            assert len(losses) == len(shares) == 4
