"""Names that other packages keep to themselves and the suite relies on: each fails here, by name, when it changes."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch


@pytest.mark.parametrize(
    ("module", "name", "parameters"),
    [
        ("hydra._internal.utils", "get_args_parser", ""),
        ("hydra._internal.core_plugins.basic_sweeper", "BasicSweeper.split_arguments", "overrides max_batch_size"),
        ("hydra.plugins.sweeper", "Sweeper.validate_batch_is_legal", "self batch"),
        ("torch.utils._pytree", "tree_leaves", "tree"),
        ("imblearn.over_sampling", "SMOTE._generate_samples", "self X nn_data nn_num rows cols steps"),
    ],
)
def test_a_private_function_still_takes_what_it_took(module: str, name: str, parameters: str) -> None:
    """Asked in a process of its own, where nothing has replaced it."""
    code = f"import inspect, {module}; print(*inspect.signature({module}.{name}).parameters)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[: len(parameters.split())] == parameters.split()


def test_hydra_still_has_the_entries_of_its_store_in_a_dictionary() -> None:
    from hydra.core.config_store import ConfigStore

    assert isinstance(ConfigStore.instance().repo["hydra"], dict)


def test_torchs_engine_still_runs_backward_by_itself() -> None:
    weight = torch.ones(2, requires_grad=True)
    loss = (3 * weight).sum()
    torch.autograd.Variable._execution_engine.run_backward(
        (loss,), (torch.ones_like(loss),), False, False, (), allow_unreachable=True, accumulate_grad=True
    )
    assert weight.grad is not None
    assert weight.grad.tolist() == [3, 3]


@pytest.mark.parametrize("name", ["_fused_adam_", "_fused_adamw_"])
def test_torchs_fused_kernels_still_take_these_arguments(name: str) -> None:
    weight, steps = torch.ones(2), torch.ones(())
    first, second = torch.zeros(2), torch.zeros(2)
    getattr(torch, name)(
        [weight], [torch.ones(2)], [first], [second], [], [steps], lr=0.1, beta1=0.9, beta2=0.999, eps=1e-8,
        weight_decay=0.0, amsgrad=False, maximize=False,
    )  # fmt: skip
    assert weight.tolist() == pytest.approx([0.9, 0.9])
