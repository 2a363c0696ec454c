"""The suite's optimizers are torch's, bit for bit, and continue from their state; none imports torch's compiler."""

import subprocess
import sys
from collections.abc import Callable

import pytest
import torch

from l2m import UserError
from l2m.optimizers import OPTIMIZERS, annealed, set_rate, trained

OPTIONS = {"beta1": 0.8, "beta2": 0.95, "epsilon": 1e-6}
NESTEROV = {"name": "sgd", "momentum": 0.8, "weight_decay": 0.3, "nesterov": True}


def parameters() -> list[torch.nn.Parameter]:
    draw = torch.Generator().manual_seed(1)
    return [torch.nn.Parameter(torch.randn(shape, generator=draw)) for shape in ((7, 3), (3,), (2, 1, 5, 5))]


def gradients(of: list[torch.nn.Parameter], step: int) -> None:
    draw = torch.Generator().manual_seed(step)
    for each in of:
        each.grad = torch.randn(each.shape, generator=draw)


@pytest.mark.parametrize(
    ("choice", "reference"),
    [
        ({"name": "adam"}, lambda of: torch.optim.Adam(of, 0.01, fused=True)),
        ({"name": "adam", **OPTIONS}, lambda of: torch.optim.Adam(of, 0.01, (0.8, 0.95), 1e-6, fused=True)),
        ({"name": "adamw"}, lambda of: torch.optim.AdamW(of, 0.01, fused=True)),
        (
            {"name": "adamw", "weight_decay": 0.3, **OPTIONS},
            lambda of: torch.optim.AdamW(of, 0.01, (0.8, 0.95), 1e-6, 0.3, fused=True),
        ),
        ({"name": "sgd"}, lambda of: torch.optim.SGD(of, 0.01, 0.9, fused=True)),
        ({"name": "sgd", "momentum": 0.0}, lambda of: torch.optim.SGD(of, 0.01, fused=True)),
        (NESTEROV, lambda of: torch.optim.SGD(of, 0.01, 0.8, weight_decay=0.3, nesterov=True, fused=True)),
    ],
)
def test_steps_are_those_of_torch(choice: dict[str, object], reference: object) -> None:
    ours, theirs = parameters(), parameters()
    optimizer, known = OPTIMIZERS.build(choice, ours, 0.01), reference(theirs)
    for step in range(20):
        for of, by in ((ours, optimizer), (theirs, known)):
            by.zero_grad()
            assert all(each.grad is None for each in of)
            gradients(of, step)
            by.step()
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert not torch.equal(ours[0], parameters()[0])


@pytest.mark.parametrize("choice", [{"name": "adam"}, {"name": "sgd"}])
def test_a_parameter_that_no_output_depends_on_stays(choice: dict[str, object]) -> None:
    used, unused = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(3))
    optimizer = OPTIMIZERS.build(choice, [used, unused], 0.1)
    for _ in range(2):
        optimizer.zero_grad()
        used.sum().backward()
        optimizer.step()
    assert (used < 1).all()
    assert torch.equal(unused, torch.ones(3))


@pytest.mark.parametrize("choice", [{"name": "adam", **OPTIONS}, {"name": "adamw", "weight_decay": 0.3}, NESTEROV])
def test_steps_of_runs_are_those_of_each(choice: dict[str, object]) -> None:
    rates, alone = (0.01, 0.03), [torch.nn.Parameter(torch.randn(50)) for _ in range(2)]
    own = [OPTIMIZERS.build(choice, [each], rate) for each, rate in zip(alone, rates, strict=True)]
    runs = torch.stack([each.detach() for each in alone])
    state = {name: torch.stack([each.state_dict()[name][0].view(-1) for each in own]) for name in own[0].state_dict()}
    for _ in range(20):
        gradient = torch.randn(2, 50) * 10 ** (-6 * torch.rand(2, 50))
        for parameter, optimizer, slope in zip(alone, own, gradient, strict=True):
            parameter.grad = slope
            optimizer.step()
        own[0].step_runs(runs, gradient, state, torch.tensor(rates, dtype=torch.float64)[:, None])
    torch.testing.assert_close(runs, torch.stack([each.detach() for each in alone]), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("choice", "reference"),
    [
        ({"name": "adamw", "weight_decay": 0.3}, lambda of: torch.optim.AdamW(of, weight_decay=0.3, fused=True)),
        (NESTEROV, lambda of: torch.optim.SGD(of, 0.01, 0.8, weight_decay=0.3, nesterov=True, fused=True)),
    ],
)
def test_groups_of_parameters_step_at_their_own_rates_as_in_torch(
    choice: dict[str, object], reference: Callable[[list[dict[str, object]]], torch.optim.Optimizer]
) -> None:
    ours, theirs = torch.nn.Module(), parameters()
    for i, each in enumerate(parameters()):
        ours.register_parameter(str(i), each)
    ours.rate_factors = {"0": 0.1, "2": 0.1}
    optimizer = OPTIMIZERS.build(choice, trained(ours, 0.01), 0.01)
    rates = zip(theirs, (0.001, 0.01, 0.001), strict=True)
    known = reference([{"params": [each], "lr": rate} for each, rate in rates])
    values, state = [each.detach().clone() for each in ours.parameters()], optimizer.state_dict()
    state = {name: [each.clone() for each in parts] for name, parts in state.items()}
    for step in range(20):
        if step == 10:
            set_rate(optimizer, 0.02)
            for group in known.param_groups:
                group["lr"] *= 2
        for of, by in ((list(ours.parameters()), optimizer), (theirs, known)):
            gradients(of, step)
            by.step()
        values, state = optimizer.stepped(values, [each.grad for each in ours.parameters()], state)
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs, strict=True))
    assert all(torch.allclose(a, b, rtol=1e-5, atol=1e-6) for a, b in zip(ours.parameters(), values, strict=True))


def test_the_cosine_is_that_of_torch() -> None:
    ours, theirs = parameters(), parameters()
    optimizer, known = OPTIMIZERS.build({"name": "adam"}, ours, 0.01), torch.optim.Adam(theirs, 0.01, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(known, T_max=7)
    for epoch in range(1, 8):
        set_rate(optimizer, annealed(0.01, epoch, 7))
        assert optimizer.param_groups[0]["lr"] == pytest.approx(schedule.get_last_lr()[0], rel=1e-12)
        for step in range(3):
            for of, by in ((ours, optimizer), (theirs, known)):
                gradients(of, step)
                by.step()
        schedule.step()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_a_state_is_gone_on_from(name: str) -> None:
    whole, halves = parameters(), parameters()
    first = OPTIMIZERS.build({"name": name}, whole, 0.01)
    for step in range(4):
        gradients(whole, step)
        first.step()
        if step == 1:
            state = {name: [each.clone() for each in parts] for name, parts in first.state_dict().items()}
            for of, value in zip(halves, whole, strict=True):
                of.data.copy_(value)
    second = OPTIMIZERS.build({"name": name}, halves, 0.01)
    second.load_state_dict(state)
    for step in (2, 3):
        gradients(halves, step)
        second.step()
    assert all(torch.equal(a, b) for a, b in zip(whole, halves, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "choice", [{"name": "adam"}, {"name": "adamw", "weight_decay": 0.3, **OPTIONS}, {"name": "sgd"}, NESTEROV]
)
def test_steps_as_a_function_are_steps(choice: dict[str, object], dtype: torch.dtype) -> None:
    """Of the last parameter no gradient is ever but 0."""
    ours = [torch.nn.Parameter(each.detach().to(dtype)) for each in parameters()]
    optimizer = OPTIMIZERS.build(choice, ours, 0.01)
    values, state = [each.detach().clone() for each in ours], optimizer.state_dict()
    state = {name: [each.clone() for each in parts] for name, parts in state.items()}
    for step in range(20):
        for each, like in zip(ours, parameters(), strict=True):
            draw = torch.Generator().manual_seed(step)
            each.grad = torch.randn(like.shape, generator=draw).to(dtype)
        ours[-1].grad.zero_()
        optimizer.step()
        values, state = optimizer.stepped(values, [each.grad for each in ours], state)
    tolerance = {"rtol": 1e-5, "atol": 1e-6} if dtype == torch.float32 else {"rtol": 1e-12, "atol": 1e-14}
    assert all(torch.allclose(a, b, **tolerance) for a, b in zip(ours, values, strict=True))
    for name, parts in optimizer.state_dict().items():
        assert all(torch.allclose(a, b, **tolerance) for a, b in zip(parts, state[name], strict=True))


def test_steps_as_a_function_have_the_derivative_of_steps() -> None:
    """By finite differences, in the gradient and both moments; and 0 where all of them are 0."""
    optimizer = OPTIMIZERS.build({"name": "adamw"}, parameters()[:1], 0.01)
    draw = torch.Generator().manual_seed(3)
    value, first, gradient = (torch.randn(4, generator=draw, dtype=torch.float64) for _ in range(3))
    second = torch.rand(4, generator=draw, dtype=torch.float64)

    def after(*inputs: torch.Tensor) -> torch.Tensor:
        value, gradient, first, second = inputs
        state = {"first": [first], "second": [second], "steps": [torch.tensor(2.0)]}
        return optimizer.stepped([value], [gradient], state)[0][0]

    inputs = [each.requires_grad_() for each in (value, gradient, first, second)]
    assert torch.autograd.gradcheck(after, inputs)
    nothing = torch.zeros(4, dtype=torch.float64)
    dead = nothing.clone().requires_grad_()
    slopes = torch.autograd.grad(after(value, dead * dead, nothing, nothing).sum(), dead)
    assert torch.equal(slopes[0], nothing)


def test_a_state_of_another_model_is_refused() -> None:
    state = OPTIMIZERS.build({"name": "adam"}, parameters()[:2], 0.01).state_dict()
    with pytest.raises(ValueError, match="zip"):
        OPTIMIZERS.build({"name": "adam"}, parameters(), 0.01).load_state_dict(state)


def test_nesterov_needs_momentum() -> None:
    with pytest.raises(UserError, match=r"optimizer\.nesterov=true needs a momentum above 0: set one"):
        OPTIMIZERS.build({"name": "sgd", "momentum": 0.0, "nesterov": True}, parameters(), 0.01)


def test_a_run_does_not_import_the_compiler() -> None:
    """It takes a second of every process, and comes with ``torch.optim``."""
    code = (
        "import sys; from l2m import compose; from l2m.training.engine import Trainer\n"
        "for name in ('adam', 'sgd'):\n"
        "    Trainer(compose('epochs=1', f'optimizer={name}')).run_epoch()\n"
        "assert 'torch._dynamo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
