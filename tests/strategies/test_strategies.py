"""Strategies: a contract that every registered one passes without being named, then tests of each."""

from __future__ import annotations

import dataclasses
import importlib.util
import math
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from made_up import compose
from small import ROWS
from torch import Tensor
from torch.nn import functional

from l2m import UserError
from l2m.catalog import registries
from l2m.config.checking import check
from l2m.config.run import RunConfig
from l2m.data import Batch, Split
from l2m.records.directory import RunDirectory
from l2m.seeding import generator
from l2m.strategies import STRATEGIES, Context, Statistics, Strategy, smote
from l2m.tasks import TASKS
from l2m.training.device import torch_state
from l2m.training.run import needs, prepared, train

NAMES = registries()["strategy"].names()

DECLARED = [(name, task) for name in NAMES for task in sorted(STRATEGIES[name].tasks)]
UNDECLARED = [(name, task) for name in NAMES for task in sorted(TASKS.keys() - STRATEGIES[name].tasks)]

SIZES = (30, 12, 6, 2)


@pytest.fixture(autouse=True)
def _tiny_files(tiny_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("L2M_DATA_DIR", str(tiny_data))


def tiny(task: str, folder: Path, *overrides: str) -> RunConfig:
    common = ("device=cpu", "threads=1", "epochs=1", f"results_dir={folder}")
    return compose(*ROWS[task], *common, *overrides)


def built(name: str, **options: Any) -> Any:
    """A strategy with its defaults, but for ``options``."""
    problems: list[str] = []
    choice = STRATEGIES.check({"name": name, **options}, problems)
    assert not problems
    return STRATEGIES.build(choice)


def small(task: str = "classification", sizes: tuple[int, ...] = SIZES) -> Split:
    groups = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    groups = groups[torch.randperm(len(groups), generator=generator(0, "groups"))]
    inputs = torch.rand(len(groups), 6, generator=generator(0, "inputs"))
    targets = {"classification": groups, "regression": inputs[:, :1].clone(), "reconstruction": None}
    return Split(inputs, targets[task], groups)


def context(train_split: Split, batch_size: int = 10, seed: int = 0) -> Context:
    k = int(train_split.groups.max()) + 1
    needed = defaultdict(lambda: torch.rand(len(train_split), generator=generator(0, "losses")))
    steps = len(train_split) // batch_size
    return Context(train_split, k, batch_size, steps, lambda purpose: generator(seed, purpose), needed)


def batches(strategy: Strategy, epoch: int) -> Tensor:
    """An epoch's batches, (P, M), planned or drawn one by one."""
    plan = strategy.plan(epoch)
    return torch.stack([strategy.next_batch() for _ in range(strategy.context.steps)]) if plan is None else plan


def parameters(records: Any) -> dict[str, Tensor]:
    state: dict[str, Tensor] = torch.load(records.path / "model.pt", weights_only=True)["parameters"]
    return state


def without_seconds(metrics: Path) -> list[str]:
    rows = metrics.read_text().splitlines()
    assert rows[0].endswith(",seconds")
    return [row.rpartition(",")[0] for row in rows]


# The contract


def test_there_is_a_small_data_set_of_every_task() -> None:
    assert ROWS.keys() == TASKS.keys()
    assert {task for _, task in DECLARED} == TASKS.keys()
    assert len(NAMES) >= 5


@pytest.mark.parametrize(("name", "task"), DECLARED)
def test_batches_lie_in_the_split(name: str, task: str) -> None:
    strategy, split = built(name), small(task)
    untouched = deepcopy(split)
    drawn_from = strategy.prepare(context(split))
    for drawn, rows in zip(vars(drawn_from).values(), vars(split).values(), strict=True):
        assert drawn is rows is None or (len(drawn), drawn.dtype) == (len(drawn_from), rows.dtype)
    for epoch in (1, 2, 3):
        index = batches(strategy, epoch)
        assert index.dtype == torch.int64
        assert index.shape == (5, 10)
        assert 0 <= int(index.min()) <= int(index.max()) < len(drawn_from)
    for kept, before in zip(vars(split).values(), vars(untouched).values(), strict=True):
        assert kept is before is None or torch.equal(kept, before)


@pytest.mark.parametrize(("name", "task"), DECLARED)
def test_order_comes_from_the_seed(name: str, task: str) -> None:
    plans = []
    for seed in (0, 0, 1):
        strategy = built(name)
        strategy.prepare(context(small(task), seed=seed))
        plans.append(torch.cat([batches(strategy, epoch) for epoch in (1, 2)]))
    assert torch.equal(plans[0], plans[1])
    assert not torch.equal(plans[0], plans[2])
    assert not torch.equal(plans[0][:5], plans[0][5:])  # epochs differ


@pytest.mark.parametrize(("name", "task"), DECLARED)
def test_the_loss_is_a_scalar_with_a_gradient(name: str, task: str) -> None:
    strategy = built(name)
    drawn_from = strategy.prepare(context(small(task)))
    batch = drawn_from.batch(batches(strategy, 1)[0])
    width = {"classification": len(SIZES), "regression": 1, "reconstruction": 6}[task]
    outputs = torch.randn(10, width, generator=generator(0, "outputs")).requires_grad_()
    loss = strategy.loss(batch, TASKS[task].loss(strategy.adjust(outputs, batch.targets), batch.targets))
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.shape == ()
    assert loss > 0
    assert outputs.grad is not None
    assert outputs.grad.isfinite().all()
    assert outputs.grad.abs().sum() > 0


@pytest.mark.parametrize(("name", "task"), DECLARED)
def test_the_loss_changes_declared_tensors_in_place(name: str, task: str) -> None:
    """A CUDA graph writes to the same tensors again, and its rehearsals restore those in ``changing``."""
    strategy = built(name)
    drawn_from = strategy.prepare(context(small(task)))
    batch = drawn_from.batch(batches(strategy, 1)[0])
    before = {key: (value, value.clone()) for key, value in vars(strategy).items() if isinstance(value, Tensor)}
    strategy.loss(batch, torch.rand(10, generator=generator(0, "losses")))
    assert all(vars(strategy)[key] is value for key, (value, _) in before.items())
    changed = {id(value) for value, kept in before.values() if not torch.equal(value, kept)}
    assert changed == {id(value) for value in strategy.changing()}


@pytest.mark.parametrize(("name", "task"), DECLARED)
def test_proportions_are_on_the_simplex(name: str, task: str) -> None:
    strategy = built(name)
    drawn_from = strategy.prepare(context(small(task)))
    random = generator(0, "losses")
    for epoch in (1, 2, 3):
        alpha = strategy.proportions
        assert alpha.shape == (len(SIZES),)
        assert alpha.dtype == torch.float64
        assert alpha.min() >= 0
        assert alpha.sum().item() == pytest.approx(1)
        for index in batches(strategy, epoch):
            if strategy.reads_steps:
                strategy.after_step(drawn_from.batch(index), torch.rand(10, generator=random))
        held = torch.tensor([5, 5, 5, 0 if epoch == 2 else 5])
        loss = torch.rand(4, dtype=torch.float64, generator=random)
        loss[held == 0] = math.nan
        strategy.end_epoch(Statistics(loss, loss.clone(), held, held.clone()))


@pytest.mark.parametrize(("name", "task"), DECLARED)
def test_an_epoch_trains(name: str, task: str, tmp_path: Path) -> None:
    records = train(tiny(task, tmp_path, f"strategy={name}"))
    (row,) = records.metrics.to_dict("records")
    assert np.isfinite([row["train_loss"], row["test_loss"], row["test_metric"]]).all()
    assert row["train_loss"] > 0
    assert records.groups["proportion"].sum() == pytest.approx(1)
    assert records.groups["count"].sum() == row["samples"]
    assert records.info["status"] == "done"


@pytest.mark.parametrize(("name", "task"), UNDECLARED)
def test_other_tasks_are_refused(name: str, task: str, tmp_path: Path) -> None:
    declared = ", ".join(sorted(STRATEGIES[name].tasks))
    config = tiny(task, tmp_path).to_dict() | {"strategy": {"name": name}}
    with pytest.raises(UserError, match=f"strategy={name} is not defined for {task}.*: it is for {declared}$"):
        check(config)


@pytest.mark.parametrize("task", sorted(ROWS))
def test_strategies_share_initial_parameters_and_steps(task: str, tmp_path: Path) -> None:
    states, steps = [], set()
    for name in (name for name, of in DECLARED if of == task):
        for seed in (0, 1):
            with torch.random.fork_rng():
                trainer = prepared(tiny(task, tmp_path, f"strategy={name}", f"seed={seed}"))
            states.append(torch.cat([value.flatten() for value in trainer.model.state_dict().values()]))
            steps.add(trainer.steps)
    assert all(torch.equal(state, states[0]) for state in states[::2])
    assert not torch.equal(states[0], states[1])
    assert len(steps) == 1


# Each strategy


def test_classical_epochs_are_permutations() -> None:
    strategy = built("classical")
    strategy.prepare(context(small()))
    for epoch in (1, 2):
        assert sorted(batches(strategy, epoch).flatten().tolist()) == list(range(50))


@pytest.mark.parametrize("task", sorted(ROWS))
def test_learn2mix_at_rate_0_is_stratified_classical(task: str, tmp_path: Path) -> None:
    still = train(tiny(task, tmp_path, "strategy=learn2mix", "strategy.mixing_rate=0", "epochs=3"))
    stratified = train(tiny(task, tmp_path, "strategy=classical", "strategy.batches=stratified", "epochs=3"))
    assert still.path != stratified.path
    assert without_seconds(still.path / "metrics.csv") == without_seconds(stratified.path / "metrics.csv")
    assert (still.path / "groups.csv").read_bytes() == (stratified.path / "groups.csv").read_bytes()
    ours, theirs = parameters(still), parameters(stratified)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours | theirs)


def test_balanced_batches_hold_as_many_of_every_group() -> None:
    strategy, split = built("balanced"), small()
    strategy.prepare(context(split))
    for index in torch.cat([batches(strategy, epoch) for epoch in (1, 2, 3)]):
        counts = torch.bincount(split.groups[index], minlength=4)
        assert counts.max() - counts.min() <= 1
    assert strategy.proportions.tolist() == [0.25] * 4


def focal_loss(strategy: Any, groups: list[int], losses: Tensor) -> Tensor:
    result: Tensor = strategy.loss(Batch(losses, torch.tensor(groups), torch.tensor(groups)), losses)
    return result


@pytest.mark.parametrize("inside", [False, True])
def test_focal_without_focusing_on_equal_groups_is_cross_entropy(inside: bool) -> None:
    strategy, equal = built("focal", focusing=0, weight_inside=inside), small(sizes=(7, 7, 7))
    strategy.prepare(context(equal))
    logits = torch.randn(21, 3, generator=generator(0, "logits"))
    each = functional.cross_entropy(logits, equal.targets, reduction="none")
    assert focal_loss(strategy, equal.groups.tolist(), each).item() == pytest.approx(each.mean().item())
    for group, loss in zip(equal.groups.tolist(), each, strict=True):
        assert focal_loss(strategy, [group], loss[None]).item() == pytest.approx(loss.item())


@pytest.mark.parametrize(
    ("inside", "value"),
    [
        # n = 8, 2: weights 0.4 and 1.6; p = 1/2 and 1/4
        (False, (0.4 * 0.5**2 * math.log(2) + 1.6 * 0.75**2 * math.log(4)) / 2),
        (True, (0.4 * (1 - 0.5**0.4) ** 2 * math.log(2) + 1.6 * (1 - 0.25**1.6) ** 2 * math.log(4)) / 2),
    ],
)
def test_focal_by_hand(inside: bool, value: float) -> None:
    strategy = built("focal", weight_inside=inside)
    strategy.prepare(context(small(sizes=(8, 2)), batch_size=2))
    losses = torch.tensor([math.log(2), math.log(4)])
    assert focal_loss(strategy, [0, 1], losses).item() == pytest.approx(value, rel=1e-5)


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("focusing", [0, 0.5, 1, 2, 5])
def test_focal_has_a_gradient_where_the_label_is_certain(focusing: float, inside: bool) -> None:
    strategy = built("focal", focusing=focusing, weight_inside=inside)
    strategy.prepare(context(small(), batch_size=3))
    losses = torch.tensor([0.0, 1e-30, 100.0], requires_grad=True)
    loss = focal_loss(strategy, [0, 1, 3], losses)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.isfinite()
    assert losses.grad is not None
    assert losses.grad.isfinite().all()


def images(sizes: tuple[int, ...], dtype: torch.dtype = torch.uint8) -> Split:
    """Images (1, 4, 4) whose pixels lie between 20·(group + 1) and 20·(group + 1) + 9."""
    split = small(sizes=sizes)
    noise = torch.randint(10, (len(split), 1, 4, 4), generator=generator(0, "pixels"))
    pixels = noise + 20 * (split.groups.view(-1, 1, 1, 1) + 1)
    return Split(pixels.to(dtype), split.groups, split.groups, torch.ones(1, 1, 1), torch.zeros(1, 1, 1))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("chunk", [smote.TOGETHER, 48, 1])
def test_smote_fills_every_group(dtype: torch.dtype, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smote, "TOGETHER", chunk)
    split = images((20, 9, 1, 2, 6), dtype)
    strategy = built("smote")
    filled = strategy.prepare(context(split))
    assert torch.bincount(filled.groups).tolist() == [20] * 5
    assert torch.equal(filled.groups, filled.targets)
    assert filled.inputs.dtype == dtype
    assert filled.inputs.shape == (100, 1, 4, 4)
    assert torch.equal(filled.inputs[: len(split)], split.inputs)
    assert torch.equal(filled.groups[: len(split)], split.groups)
    assert filled.scale is split.scale
    for group in range(5):
        old, new = (each.inputs[each.groups == group].float() for each in (split, filled))
        assert (old.amin(0) <= new.amin(0)).all()
        assert (new.amax(0) <= old.amax(0)).all()
    assert strategy.proportions.tolist() == [0.2] * 5
    assert batches(strategy, 1).max() >= len(split)
    alone = filled.inputs[filled.groups == 2]
    assert (alone == alone[0]).all()


@pytest.mark.parametrize(("dtype", "whole"), [(torch.uint8, torch.round), (torch.int32, torch.trunc)])
def test_smote_rounds_pixels_and_truncates_tokens(
    dtype: torch.dtype, whole: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    between, made = (built("smote").prepare(context(images((40, 9), kind))).inputs for kind in (torch.float32, dtype))
    assert torch.equal(made, whole(between).to(dtype))
    assert not torch.equal(torch.round(between), torch.trunc(between))


def test_smote_lies_on_the_line_between_two() -> None:
    filled = built("smote").prepare(context(images((40, 2), torch.float32)))
    first, second, *new = filled.inputs[filled.groups == 1].flatten(1)
    along = [((sample - first) @ (second - first) / (second - first).square().sum()).item() for sample in new]
    assert 0 <= min(along) < 0.3 < 0.7 < max(along) <= 1
    for place, sample in zip(along, new, strict=True):
        assert torch.allclose(sample, first + place * (second - first), atol=1e-4)


def test_smote_draws_from_the_seed() -> None:
    first, same, other = (built("smote").prepare(context(images(SIZES), seed=seed)) for seed in (0, 0, 1))
    assert torch.equal(first.inputs, same.inputs)
    assert not torch.equal(first.inputs, other.inputs)


def test_smote_refuses_groups_that_are_not_the_classes() -> None:
    split = small()
    with pytest.raises(UserError, match="strategy=smote needs groups that are the classes"):
        built("smote").prepare(context(Split(split.inputs, split.targets.flip(0), split.groups)))


STATISTICS = Statistics(
    loss=torch.tensor([4.0, 3.0, 2.0, 1.0], dtype=torch.float64),
    last_loss=torch.tensor([1.0, 1.0, 8.0, math.nan], dtype=torch.float64),
    count=torch.tensor([20, 20, 9, 1]),
    last_count=torch.tensor([4, 4, 2, 0]),
)


@pytest.mark.parametrize(
    ("cadence", "target"),
    [
        ("epoch_mean", [0.4, 0.3, 0.2, 0.1]),
        ("epoch_last", [3 / 40, 3 / 40, 24 / 40, 10 / 40]),  # the unseen group takes the mean, 10/3
        ("batch", [0.6, 0.24, 0.12, 0.04]),  # that is, where it was
    ],
)
def test_learn2mix_reads_what_its_cadence_says(cadence: str, target: list[float]) -> None:
    strategy = built("learn2mix", cadence=cadence, mixing_rate=0.25)
    strategy.prepare(context(small()))
    before = strategy.proportions
    strategy.end_epoch(STATISTICS)
    expected = before + 0.25 * (torch.tensor(target, dtype=torch.float64) - before)
    assert strategy.proportions.tolist() == pytest.approx(expected.tolist())


def test_learn2mix_moves_after_a_batch() -> None:
    strategy = built("learn2mix", cadence="batch", mixing_rate=0.25)
    drawn_from = strategy.prepare(context(small()))
    before = strategy.proportions
    index = torch.cat([torch.nonzero(drawn_from.groups == group)[:n, 0] for group, n in enumerate((2, 2, 1, 0))])
    strategy.after_step(drawn_from.batch(index), torch.tensor([1.0, 3.0, 2.0, 4.0, 1.0]))  # means 2, 3, 1, unseen: 2
    expected = before + 0.25 * (torch.tensor([2, 3, 1, 2], dtype=torch.float64) / 8 - before)
    assert strategy.proportions.tolist() == pytest.approx(expected.tolist())
    strategy.after_step(drawn_from.batch(index), torch.tensor([1.0, math.nan, 2.0, 4.0, 1.0]))
    assert strategy.proportions.tolist() == pytest.approx(expected.tolist())


@pytest.mark.parametrize("cadence", ["epoch_mean", "epoch_last", "batch"])
def test_learn2mix_moves_within_an_epoch_after_batches_alone(cadence: str, tmp_path: Path) -> None:
    config = tiny("classification", tmp_path, "strategy=learn2mix", f"strategy.cadence={cadence}")
    with torch_state(config):
        trainer = prepared(config)
        before = trainer.strategy.proportions
        trainer.train_epoch()
    assert torch.equal(trainer.strategy.proportions, before) == (cadence != "batch")


@pytest.mark.parametrize("task", sorted(ROWS))
@pytest.mark.parametrize("cadence", ["epoch_mean", "epoch_last", "batch"])
def test_learn2mix_moves_in_training(task: str, cadence: str, tmp_path: Path) -> None:
    records = train(tiny(task, tmp_path, f"strategy.cadence={cadence}", "strategy.mixing_rate=0.2", "epochs=2"))
    groups = records.groups
    first, second = (groups[groups["epoch"] == epoch].reset_index() for epoch in (1, 2))
    assert second["proportion"].sum() == pytest.approx(1, abs=1e-5)
    assert (first["proportion"] - second["proportion"]).abs().max() > 1e-3
    by_the_mean = first["proportion"] + 0.2 * (first["train_loss"] / first["train_loss"].sum() - first["proportion"])
    is_the_mean = np.allclose(second["proportion"], by_the_mean, rtol=1e-5)
    assert is_the_mean == (cadence == "epoch_mean")  # eq. 3 with the L of eq. 10, as in groups.csv


def test_importance_sampling_draws_half_by_loss_without_replacement() -> None:
    strategy, losses = built("importance_sampling"), torch.tensor([1.0, 2.0, 3.0, 4.0], requires_grad=True)
    split = small(sizes=(4,))
    strategy.prepare(context(split, batch_size=4))
    p, draws = losses.detach().double() / 10, 4000
    # the first of two by p, the second by p among the rest
    expected = p + torch.stack([p * p[i] / (1 - p) for i in range(4)]).fill_diagonal_(0).sum(1)
    taken = torch.zeros(4)
    for _ in range(draws):
        losses.grad = None
        strategy.loss(split.batch(slice(None)), losses).backward()
        assert losses.grad is not None
        assert sorted(losses.grad.tolist()) == [0, 0, 0.5, 0.5]
        taken += 2 * losses.grad
    assert (taken / draws).tolist() == pytest.approx(expected.tolist(), abs=4 * 0.5 / draws**0.5)


def test_importance_sampling_of_one_sample_takes_it() -> None:
    strategy, split = built("importance_sampling"), small(sizes=(3,))
    strategy.prepare(context(split, batch_size=1))
    assert strategy.loss(split.batch(slice(0, 1)), torch.tensor([3.0])) == 3


def test_curriculum_begins_with_the_easiest_half_and_ends_with_all() -> None:
    strategy, split = built("curriculum"), small()
    prior = context(split)
    strategy.prepare(prior)
    losses = prior.losses["warm_up"]
    for epoch in range(1, 51):
        share = min(1.0, 0.5 * 1.2 ** ((epoch - 1) // 10))
        easiest = set(losses.argsort()[: int(share * 50)].tolist())
        assert set(strategy.plan(epoch).flatten().tolist()) == easiest
        counts = torch.bincount(split.groups[list(easiest)], minlength=len(SIZES))
        assert torch.equal(strategy.proportions, counts.double() / counts.sum())
        strategy.end_epoch(None)
    assert len(easiest) == 50


def test_curriculum_in_random_order_needs_no_easiest() -> None:
    strategy = built("curriculum", order="random")
    prior = context(small())
    strategy.prepare(prior)
    easiest = prior.losses["warm_up"].argsort()[:25]
    assert set(strategy.plan(1).flatten().tolist()) != set(easiest.tolist())
    assert len(strategy.plan(1).unique()) == 25


def test_curriculum_scores_with_a_run_of_its_own(tmp_path: Path) -> None:
    config = tiny("classification", tmp_path, "strategy=curriculum", "strategy.warm_up=2")
    records = train(config)
    (first,) = needs(config)
    assert (first.strategy["name"], first.epochs, first.seed) == ("classical", 2, config.seed)
    warm_up = RunDirectory(first)
    assert warm_up.status() == "done"
    with torch.random.fork_rng():
        subject = prepared(config)
    subject.model.load_state_dict(torch.load(warm_up.path / "model.pt", weights_only=True)["parameters"])
    subject.model.eval()
    batch = subject.train_set.batch(slice(None))
    with torch.no_grad():
        confidence = subject.model(batch.inputs).softmax(1)[torch.arange(len(batch.targets)), batch.targets]
    half = len(confidence) // 2
    drawn = set(subject.strategy.plan(1).flatten().tolist())
    easiest = confidence.argsort(descending=True)
    assert drawn <= set(easiest[: half + 2].tolist())  # near the border float32 may swap two
    kept = {file: file.stat().st_mtime_ns for file in warm_up.path.iterdir()}
    (warm_up.path / "model.pt").unlink()  # as in a clone
    again = train(dataclasses.replace(config, force=True))
    assert parameters(again).keys() == parameters(records).keys()
    assert without_seconds(again.path / "metrics.csv") == without_seconds(records.path / "metrics.csv")
    assert {file: file.stat().st_mtime_ns for file in warm_up.path.iterdir()}.items() <= kept.items()


# A new strategy is one file

TOY = '''
from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from torch import Tensor

from l2m.data import Batch
from l2m.schema import Range
from l2m.strategies import STRATEGIES, Strategy


@STRATEGIES.register("hardest")
@dataclass(kw_only=True)
class Hardest(Strategy):
    """Descends the mean of the hardest samples of a batch."""

    share: Annotated[float, Range(0, 1)] = 0.5

    def loss(self, batch: Batch, per_sample: Tensor) -> Tensor:
        return per_sample.topk(max(1, int(self.share * len(per_sample)))).values.mean()
'''


@contextmanager
def imported(file: Path) -> Iterator[ModuleType]:
    """Inside, the strategies of this file are registered."""
    before = set(STRATEGIES.names())
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[file.stem] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        yield module
    finally:
        del sys.modules[file.stem]
        for name in set(STRATEGIES.names()) - before:
            del STRATEGIES._entries[name]


def test_a_strategy_is_one_file(tmp_path: Path) -> None:
    file = tmp_path / "toy_strategy.py"
    file.write_text(TOY)
    base = tiny("classification", tmp_path, "strategy=classical").to_dict()
    with imported(file):
        config = check(base | {"strategy": {"name": "hardest"}})
        easier = check(base | {"strategy": {"name": "hardest", "share": 1}})
        with pytest.raises(UserError, match=r"strategy.share=2 must be in \[0, 1\]"):
            check(base | {"strategy": {"name": "hardest", "share": 2}})
        assert config.strategy == {"name": "hardest", "share": 0.5}
        hard, mean = train(config), train(easier)
        assert hard.path.parent == tmp_path / "runs" / "digits" / "hardest"
        assert hard.info["status"] == mean.info["status"] == "done"
        assert hard.metrics["train_loss"][0] > mean.metrics["train_loss"][0]
    assert mean.metrics["train_loss"][0] == train(check(base)).metrics["train_loss"][0]  # share 1 is classical
    with pytest.raises(UserError, match="strategy=hardest is not known"):
        check(base | {"strategy": {"name": "hardest"}})
