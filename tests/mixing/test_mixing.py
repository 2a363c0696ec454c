"""Mixing: compared with direct computations, in every strategy, and without effect where it is off."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from alike import left, same
from made_up import compose
from scipy import stats
from small import ROWS
from torch import Tensor
from torch.nn import functional

from l2m import UserError, train
from l2m.catalog import registries
from l2m.config.checking import check
from l2m.config.description import differences
from l2m.config.run import RunConfig
from l2m.data import Batch, Data, Split
from l2m.mixing import MIXINGS, Mixing
from l2m.records.directory import RunDirectory
from l2m.seeding import generator
from l2m.strategies import STRATEGIES, Context, as_classical
from l2m.tasks import TASKS
from l2m.training.device import torch_state
from l2m.training.run import final_parameters, needs, prepared

REGISTRIES = registries()
MIXES = [name for name in MIXINGS.names() if name != "none"]
STEPS, SIZE, CLASSES = 4, 8, 5

PAIRS = [(name, task) for name in STRATEGIES.names() for task in sorted(STRATEGIES[name].tasks)]
GRID = [
    pytest.param(name, task, mixing, marks=() if name == "learn2mix" or i % len(MIXES) == j else pytest.mark.long)
    for i, (name, task) in enumerate(PAIRS)
    for j, mixing in enumerate(MIXES)
]
"""Every combination; `make test` takes those of learn2mix, and one mixing for each strategy and task."""


@pytest.fixture(autouse=True)
def _tiny_files(tiny_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("L2M_DATA_DIR", str(tiny_data))


def tiny(folder: Path, *overrides: str, task: str = "classification") -> RunConfig:
    common = ("device=cpu", "threads=1", "epochs=2", f"results_dir={folder}")
    return compose(*ROWS[task], *common, *overrides)


def samples(task: str) -> Split:
    draw = generator(0, "samples")
    labels = torch.randint(0, CLASSES, (STEPS * SIZE,), generator=draw)
    inputs = torch.randn(STEPS * SIZE, 1, 2, 3, generator=draw)
    targets = {"classification": labels, "regression": inputs[:, 0, :1, 0].clone(), "reconstruction": None}
    return Split(inputs, targets[task], labels)


def built(name: str, task: str = "classification", epochs: int = 10, steps: int = STEPS, **options: Any) -> Any:
    """A prepared mixing, guided by a linear teacher."""
    problems: list[str] = []
    choice = MIXINGS.check({"name": name, **options}, problems)
    assert not problems
    split = samples(task)
    context = Context(split, CLASSES, SIZE, steps, lambda purpose: generator(3, purpose))
    data = Data(split, split, tuple("abcde"), CLASSES if task == "classification" else None, {})
    mixing: Mixing = MIXINGS.build(choice)
    mixing.prepare(context, epochs, data, {"teacher": linear("teacher", task)})
    return mixing


def linear(purpose: str, task: str = "classification") -> Any:
    """Losses under a linear model, whose weights are the attribute ``weights``."""
    outputs = {"classification": CLASSES, "regression": 1, "reconstruction": 6}[task]
    weights = torch.randn(outputs, 6, generator=generator(0, purpose)).requires_grad_()

    def losses(inputs: Tensor, targets: Tensor) -> Tensor:
        return TASKS[task].loss(inputs.flatten(1) @ weights.T, targets)

    losses.weights = weights  # type: ignore[attr-defined]
    return losses


def alike(model: Any) -> Any:
    """The losses under a model twice, as those of a strategy that adjusts no outputs."""
    return lambda *pair: (losses := model(*pair), losses)


def draws(purpose: str, epoch: int, alpha: float, steps: int = STEPS) -> tuple[Any, Any]:
    """λ (P,) and partners (P, M) of an epoch, in the documented order: λ first, then permutations."""
    rng = np.random.default_rng(generator(3, f"{purpose}/{epoch}").initial_seed())
    shares = rng.beta(alpha, alpha, steps)
    return shares, rng.permuted(np.tile(np.arange(SIZE), (steps, 1)), axis=1)


def mean(batch: Batch, per_sample: Tensor) -> Tensor:
    return per_sample.mean()


# One step, against a direct computation


@pytest.mark.parametrize("task", sorted(TASKS))
def test_mixup_is_the_mean_of_two_losses(task: str) -> None:
    mixing, model, split = built("mixup", task), linear("student", task), samples(task)
    assert mixing.begin_epoch(2)
    shares, partners = draws("mixup", 2, 1.0)
    assert len({tuple(row) for row in partners}) == STEPS
    for step in range(STEPS):
        batch = split.batch(slice(step * SIZE, (step + 1) * SIZE))
        untouched = [part.clone() for part in batch]
        per_sample, objective = mixing.losses(batch, alike(model), mean)
        share, other = float(shares[step]), torch.from_numpy(partners[step])
        assert sorted(other.tolist()) == list(range(SIZE))
        mixed = share * batch.inputs + (1 - share) * batch.inputs[other]
        outputs = mixed.flatten(1) @ model.weights.T
        if task == "classification":
            by = [functional.cross_entropy(outputs, each, reduction="none")
                  for each in (batch.targets, batch.targets[other])]  # fmt: skip
            expected = share * by[0] + (1 - share) * by[1]
        else:
            targets = share * batch.targets + (1 - share) * batch.targets[other]
            expected = (outputs - targets.flatten(1)).square().mean(1)
        torch.testing.assert_close(per_sample, expected)
        torch.testing.assert_close(objective, expected.mean())
        assert all(torch.equal(part, before) for part, before in zip(batch, untouched, strict=True))


@pytest.mark.parametrize("task", sorted(TASKS))
def test_regmixup_descends_half_of_the_clean_and_half_of_the_mixed(task: str) -> None:
    mixing, model, batch = built("regmixup", task), linear("student", task), samples(task).batch(slice(0, SIZE))
    mixing.begin_epoch(1)
    per_sample, objective = mixing.losses(batch, alike(model), lambda _, losses: losses.square().sum())
    share, other = (each[0] for each in draws("regmixup", 1, 20.0))
    other = torch.from_numpy(other)
    targets = batch.targets
    if task == "classification":
        targets = functional.one_hot(targets, CLASSES).float()
    clean = model(batch.inputs, batch.targets)
    blend = [share * part + (1 - share) * part[other] for part in (batch.inputs, targets)]
    mixed = model(*(part.float() for part in blend))
    torch.testing.assert_close(per_sample, (clean + mixed) / 2)
    torch.testing.assert_close(objective, (clean.square().sum() + mixed.square().sum()) / 2)


@pytest.mark.parametrize("which", ["low", "high"])
def test_a_student_learns_from_the_samples_its_teacher_selects(which: str) -> None:
    mixing, model, batch = built("guided", filter=which), linear("student"), samples("classification").batch(slice(8))
    mixing.begin_epoch(1)
    per_sample, objective = mixing.losses(batch, alike(model), mean)
    (share, other) = (each[0] for each in draws("guided", 1, 1.0))
    mixed = share * batch.inputs + (1 - share) * batch.inputs[other]
    by = {
        who: sum(
            part * functional.cross_entropy(mixed.float().flatten(1) @ losses.weights.T, labels, reduction="none")
            for part, labels in ((share, batch.targets), (1 - share, batch.targets[other]))
        )
        for who, losses in (("teacher", mixing.trained["teacher"]), ("student", model))
    }
    value = by["teacher"] - by["student"]
    kept = value <= 0 if which == "low" else value > 0
    assert 0 < kept.sum() < SIZE, "or nothing is tested"
    torch.testing.assert_close(per_sample, by["student"])
    torch.testing.assert_close(objective, by["student"][kept].mean())
    (slope,) = torch.autograd.grad(objective, model.weights, retain_graph=True)
    (expected,) = torch.autograd.grad(by["student"][kept].mean(), model.weights)
    torch.testing.assert_close(slope, expected)


def test_a_student_may_also_learn_from_clean_samples() -> None:
    model, batch = linear("student"), samples("classification").batch(slice(8))
    results = []
    for share in (0.0, 0.25):
        mixing = built("guided", clean=share)
        mixing.begin_epoch(1)
        results.append(mixing.losses(batch, alike(model), mean))
    clean = model(batch.inputs, batch.targets)
    for result, mixed, plain in zip(results[1], results[0], (clean, clean.mean()), strict=True):
        torch.testing.assert_close(result, 0.75 * mixed + 0.25 * plain)


def test_a_batch_without_selected_samples_has_no_gradient() -> None:
    model, batch = linear("student"), samples("classification").batch(slice(8))
    for which, shift in (("low", 100.0), ("high", -100.0)):
        mixing = built("guided", filter=which)
        mixing.trained = {"teacher": lambda inputs, targets, shift=shift: model(inputs, targets).detach() + shift}
        mixing.begin_epoch(1)
        per_sample, objective = mixing.losses(batch, alike(model), mean)
        (slope,) = torch.autograd.grad(objective, model.weights)
        assert objective == 0
        assert not slope.any()
        assert per_sample.min() > 0, "statistics ignore the filter"


def test_a_student_keeps_all_samples_of_an_equal_teacher() -> None:
    """r̂ = 0 is low."""
    model, batch = linear("student"), samples("classification").batch(slice(8))
    results = []
    for which in ("low", "all"):
        mixing = built("guided", filter=which)
        mixing.trained = {"teacher": lambda *pair: model(*pair).detach()}
        mixing.begin_epoch(1)
        results.append(mixing.losses(batch, alike(model), mean)[1])
    torch.testing.assert_close(*results)


def test_a_strategys_adjustment_changes_the_objective_alone() -> None:
    """Not the statistics, nor what a teacher selects."""
    model, batch = linear("student"), samples("classification").batch(slice(8))
    for name, options in (("mixup", {}), ("regmixup", {}), ("guided", {"filter": "low"}), ("guided", {"clean": 0.5})):
        results = []
        for factor in (1, 3):
            mixing = built(name, **options)
            mixing.begin_epoch(1)
            adjusted = lambda *pair, factor=factor: (losses := model(*pair), factor * losses)  # noqa: E731
            results.append(mixing.losses(batch, adjusted, mean))
        (plain, objective), (statistics, scaled) = results
        assert torch.equal(plain, statistics)
        torch.testing.assert_close(3 * objective, scaled)


def test_a_run_by_the_clock_is_mixed_to_its_end() -> None:
    assert built("mixup", epochs=4).begin_epoch(5)
    assert not built("mixup", epochs=4, early_stop=0.5).begin_epoch(3)


def test_channels_last_stays_so() -> None:
    images = torch.randint(0, 256, (8, 3, 4, 4), dtype=torch.uint8, generator=generator(0, "images"))
    labels = torch.arange(8) % CLASSES
    split = Split(images, labels, labels, torch.ones(3, 1, 1), torch.zeros(3, 1, 1))
    mixing = built("mixup")
    mixing.begin_epoch(1)
    inputs, _ = mixing.mixed(split.batch(slice(0, 8)))
    assert inputs.is_contiguous(memory_format=torch.channels_last)


# Schedules


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [1, 1, 1, 1, 1]),
        ("easy", [10, 10**0.5, 1, 10**-0.5, 0.1]),
        ("hard", [0.1, 10**-0.5, 1, 10**0.5, 10]),
        ("easy_hard_easy", [0.1, 1, 10, 1, 0.1]),
    ],
)
def test_concentration_over_epochs(schedule: str, expected: list[float]) -> None:
    mixing = built("mixup", epochs=101, schedule=schedule)
    assert [mixing.concentration_at(epoch) for epoch in (1, 26, 51, 76, 101)] == pytest.approx(expected)
    twenty = built("regmixup", epochs=101, schedule=schedule)
    assert twenty.concentration_at(26) == pytest.approx(20 * expected[1])
    assert mixing.concentration_at(500) == pytest.approx(expected[-1]), "of a run limited by seconds"
    assert built("mixup", epochs=1, schedule="easy").concentration_at(1) == 1


@pytest.mark.parametrize(("schedule", "epoch", "alpha"), [
    ("constant", 1, 1.0), ("easy", 1, 10.0), ("easy", 11, 0.1), ("hard", 11, 10.0), ("easy_hard_easy", 6, 10.0),
])  # fmt: skip
def test_shares_have_the_schedules_distribution(schedule: str, epoch: int, alpha: float) -> None:
    mixing = built("mixup", epochs=11, steps=4000, schedule=schedule)
    mixing.begin_epoch(epoch)
    shares = np.array([float(share) for share, _ in mixing._draws])
    places = np.linspace(0.01, 0.99, 99)  # nearer to 1 float32 rounds up to it
    below = (shares[:, None] <= places).mean(0)
    for other in (0.1, 1.0, 10.0):  # Kolmogorov and Smirnov's bounds for 1 % and less than 1e-6
        distance = np.abs(below - stats.beta(other, other).cdf(places)).max() * len(shares) ** 0.5
        assert distance < 1.63 if other == alpha else distance > 2.7


def test_extreme_concentrations_give_shares() -> None:
    for concentration in (1e-3, 1e3):
        mixing = built("mixup", steps=1000, concentration=concentration, schedule="hard")
        for epoch in (1, 10):
            mixing.begin_epoch(epoch)
            shares = torch.stack([share for share, _ in mixing._draws])
            assert ((shares >= 0) & (shares <= 1)).all()


def test_epochs_and_mixings_draw_anew() -> None:
    seen = []
    for name in MIXES:
        for epoch in (1, 2):
            mixing = built(name, concentration=1.0)
            mixing.begin_epoch(epoch)
            seen.append(tuple(float(share) for share, _ in mixing._draws))
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize(("early_stop", "last"), [(1.0, 10), (0.7, 7), (0.69, 6), (0.05, 0)])
def test_early_stop_is_a_share_of_the_epochs(early_stop: float, last: int) -> None:
    mixing = built("mixup", early_stop=early_stop)
    assert [mixing.begin_epoch(epoch) for epoch in range(1, 11)] == [True] * last + [False] * (10 - last)


# Runs


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder for runs that several tests share: the first test trains them."""
    return tmp_path_factory.mktemp("shared")


@pytest.mark.parametrize(("strategy", "task", "mixing"), GRID)
def test_every_strategy_trains_with_every_mixing(strategy: str, task: str, mixing: str, shared: Path) -> None:
    needed = {"curriculum": ["strategy.warm_up=1"], "bilevel": ["strategy.hypergradient=first_order"]}
    unmixed = tiny(shared, f"strategy={strategy}", "epochs=1", *needed.get(strategy, []), task=task)
    records = train(dataclasses.replace(unmixed, mixing=tiny(shared, f"mixing={mixing}").mixing))
    (row,) = records.metrics.to_dict("records")
    assert np.isfinite([row["train_loss"], row["test_loss"], row["test_metric"]]).all()
    assert records.groups["count"].sum() == row["samples"]
    plain = train(unmixed)
    assert plain.path != records.path
    if strategy != "exp3":  # which draws by the losses of the step before
        assert plain.groups["count"].tolist() == records.groups["count"].tolist(), "the first part decides the group"
    assert plain.metrics["train_loss"][0] != row["train_loss"]


def test_stopped_before_it_begins_is_plain_training(tmp_path: Path) -> None:
    stopped = tiny(tmp_path, "mixing=regmixup", "mixing.early_stop=0.1")
    assert same(train(stopped), train(tiny(tmp_path)))


def test_stopping_has_effect_from_the_next_epoch_on(tmp_path: Path) -> None:
    whole, half = (train(tiny(tmp_path, "mixing=mixup", f"mixing.early_stop={share}")) for share in (1, 0.5))
    ours, theirs = left(whole)[0], left(half)[0]
    assert ours[1] == theirs[1]
    assert ours[2] != theirs[2]


def test_no_filter_needs_no_teacher_and_students_share_theirs(tmp_path: Path) -> None:
    low, high, free = (
        tiny(tmp_path, "strategy=learn2mix", "mixing=guided", f"mixing.filter={which}", "mixing.schedule=hard")
        for which in ("low", "high", "all")
    )
    assert needs(free) == []
    (teacher,) = needs(low)
    assert needs(high) == [teacher]
    assert teacher == tiny(tmp_path, "strategy=classical", "mixing=mixup")
    (other,) = needs(tiny(tmp_path, "mixing=guided", "mixing.teacher=regmixup"))
    assert other.mixing["name"] == "regmixup"
    for config in (low, high, free):
        train(config)
    assert RunDirectory(teacher).status() == "done"
    assert len(list(tmp_path.rglob("metrics.csv"))) == 4


def test_the_first_step_of_a_guided_run_by_hand(tmp_path: Path) -> None:
    """Through the engine: the teacher's final parameters, the student's first ones, the run's draws."""
    config = tiny(tmp_path, "strategy=classical", "mixing=guided", "epochs=1")
    with torch_state(config):
        trainer = prepared(config)
        student, teacher = ({k: v.clone() for k, v in state.items()}
                            for state in (trainer.model.state_dict(), final_parameters(needs(config)[0])))  # fmt: skip
        index = first_plan(config)[0]
        batch = trainer.train_set.batch(index)
        rng = np.random.default_rng(generator(config.seed, "guided/1").initial_seed())
        share = float(np.float32(rng.beta(1.0, 1.0, trainer.steps)[0]))
        tiled = np.tile(np.arange(config.batch_size), (trainer.steps, 1))
        other = torch.from_numpy(rng.permuted(tiled, axis=1)[0])
        mixed = share * batch.inputs + (1 - share) * batch.inputs[other]

        def losses(state: dict[str, Tensor]) -> Tensor:
            outputs = torch.func.functional_call(trainer.model, state, (mixed,))
            first, second = (functional.cross_entropy(outputs, labels, reduction="none")
                             for labels in (batch.targets, batch.targets[other]))  # fmt: skip
            return share * first + (1 - share) * second

        own = losses(student)
        kept = losses(teacher) - own <= 0
        seen: list[Tensor] = []
        step = trainer._step

        def watched(batch: Batch) -> tuple[Tensor, ...]:
            result = step(batch)
            seen.append(result[1])
            return result

        trainer._step = watched  # type: ignore[method-assign]
        trainer.train_epoch()
    assert 0 < kept.sum() < len(kept)
    torch.testing.assert_close(seen[0], own[kept].mean().detach())


def first_plan(config: RunConfig) -> Tensor:
    """The first epoch's batches of a run of classical training."""
    with torch_state(config):
        plan = prepared(config).strategy.plan(1)
    assert plan is not None
    return plan


@pytest.mark.parametrize("strategy", ["curriculum", "learn2mix"])
def test_what_a_strategy_needs_is_not_mixed(strategy: str, tmp_path: Path) -> None:
    config = tiny(tmp_path, f"strategy={strategy}", "mixing=mixup", "equal_seconds=true")
    assert {first.mixing["name"] for first in needs(config)} == {"none"}
    mixed = tiny(tmp_path, "strategy=classical", "mixing=mixup", "equal_seconds=true")
    assert needs(mixed) == [as_classical(mixed)], "mixing itself takes time, so it gets the seconds of plain training"


def test_cosine_reaches_every_epoch(tmp_path: Path) -> None:
    config = tiny(tmp_path, "schedule=cosine", "epochs=4")
    with torch_state(config):
        trainer = prepared(config)
        rates = []
        for _ in range(4):
            trainer.train_epoch()
            rates.append(trainer.optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([1e-3 * (1 + np.cos(np.pi * t / 4)) / 2 for t in range(4)])
    first, second = (train(tiny(tmp_path, f"schedule={word}")) for word in ("constant", "cosine"))
    assert left(first)[0][1] == left(second)[0][1], "the first epoch is at the whole rate"
    assert left(first)[0][2] != left(second)[0][2]


# Identity


def test_without_mixing_runs_are_what_they_were(tmp_path: Path) -> None:
    """Records of the paper's strategies are older than mixing, and still valid."""
    runs = Path(__file__).resolve().parents[2] / "results" / "runs" / "mnist"
    strategies = ("classical", "learn2mix", "focal", "smote")
    files = [file for name in strategies for file in sorted(runs.glob(f"{name}/*/config.yaml"))]
    committed = [file for file in files if not {"mixing:", "schedule:"} & set(file.read_text().split())]
    assert len(committed) >= 20
    from l2m.config.checking import read_config

    for file in committed:
        config = read_config(file)
        assert config.mixing == {"name": "none"}
        assert config.schedule == "constant"
        assert file.parent.name == f"seed{config.seed}-{config.digest()}"
        assert not {"mixing", "schedule"} & config.identity().keys()
    assert tiny(tmp_path, "mixing=none", "schedule=constant").digest() == tiny(tmp_path).digest()


def test_mixing_is_part_of_the_identity(tmp_path: Path) -> None:
    plain, mixup = tiny(tmp_path), tiny(tmp_path, "mixing=mixup")
    assert mixup.identity()["mixing"] == {"name": "mixup"}
    assert check(mixup.to_dict()) == mixup
    changes = ["mixing.concentration=2", "mixing.schedule=easy", "mixing.early_stop=0.5", "schedule=cosine"]
    others = [tiny(tmp_path, "mixing=mixup", change) for change in changes]
    assert len({config.digest() for config in (plain, mixup, *others)}) == 2 + len(changes)
    assert differences(plain.identity(), others[0].identity()) == [
        ("mixing at its default", "mixing=mixup"),
        ("mixing.concentration at its default", "mixing.concentration=2.0"),
    ]


def test_reports_distinguish_mixed_runs(tmp_path: Path) -> None:
    from l2m.report import runs

    for overrides in ((), ("mixing=mixup",), ("mixing=mixup", "mixing.concentration=2"), ("schedule=cosine",)):
        for strategy in ("classical", "learn2mix"):
            train(tiny(tmp_path, f"strategy={strategy}", *overrides))
    found = runs.read_runs(tmp_path)
    assert found.problems == []
    assert {run.label for run in found.runs if run.strategy == "classical"} == {
        "classical", "classical mixing=mixup concentration=1.0", "classical mixing=mixup concentration=2.0",
        "classical schedule=cosine",
    }  # fmt: skip
    baselines = {
        run.label: [other.label for other in found.runs if other.is_baseline_of(run)]
        for run in found.runs
        if run.strategy == "learn2mix"
    }
    assert baselines == {label: [label.replace("learn2mix", "classical")] for label in baselines}
    assert len(baselines) == 4


# Refusals


@pytest.mark.parametrize("mixing", MIXES)
def test_tokens_are_refused(mixing: str, tmp_path: Path) -> None:
    config = compose("dataset=imdb", f"mixing={mixing}", "batch_size=10", "device=cpu", f"results_dir={tmp_path}")
    with pytest.raises(
        UserError, match=r"mixing=\w+ needs continuous inputs, but this data set has tokens: use mixing=none$"
    ):
        train(config)
    assert not list(tmp_path.rglob("metrics.csv"))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["mixing=mixupp"], "did you mean mixup?"),
        (["mixing=null"], "a group needs one of its choices"),
        (["mixing=mixup", "mixing.concentration=0"], r"mixing.concentration=0 must be in \[0.001, 1000.0\]"),
        (["mixing=mixup", "mixing.early_stop=0"], r"mixing.early_stop=0 must be in \(0, 1\]"),
        (["mixing=mixup", "mixing.schedule=slow"], "must be one of constant, easy, hard, easy_hard_easy"),
        (["mixing=guided", "mixing.filter=some"], "must be one of low, high, all"),
        (["mixing=mixup", "mixing.filter=low"], "mixing.filter is not an option of the mixing here: add mixing=guided"),
        (["concentration=2"], "concentration is not a key by itself: write mixing.concentration="),
        (["schedule=cosine", "equal_seconds=true"], "schedule=cosine ends with the last epoch"),
        (["schedule=linear"], "schedule=linear must be one of constant, cosine"),
    ],
)
def test_wrong_options_are_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        compose(*overrides)
