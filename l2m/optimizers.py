"""Optimizers, created from what ``trained`` gives and a learning rate. The paper always uses Adam (section C.3)."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from l2m.errors import UserError
from l2m.registry import Registry
from l2m.schema import Range

OPTIMIZERS: Registry[Any] = Registry("optimizer")

Parameters = Iterable[Any]  # as `trained` returns them
Decay = Annotated[float, Range(0, 1, below=True)]
Epsilon = Annotated[float, Range(0, above=True)]


def annealed(learning_rate: float, epoch: int, epochs: int) -> float:
    """The rate of an epoch, counted from 1: half a cosine, 0 at the end (Loshchilov and Hutter, 2017, eq. 5)."""
    return learning_rate * (1 + math.cos(math.pi * (epoch - 1) / epochs)) / 2


def set_rate(optimizer: Any, learning_rate: float) -> None:
    """Set the rate of the next steps, of each group of parameters by its factor."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate * group.get("lr_scale", 1.0)


def trained(model: nn.Module, learning_rate: float) -> list[Any]:
    """The parameters that a model trains, in its order, as an optimizer takes them.

    If the model has ``rate_factors`` by name, they are in the groups of ``torch.optim``: consecutive parameters of
    one factor, with their rate and the factor as ``lr_scale``.
    """
    named = {name: each for name, each in model.named_parameters() if each.requires_grad}
    factors: Any = getattr(model, "rate_factors", {})
    if not factors:
        return list(named.values())
    return [
        {"params": [named[name] for name in names], "lr": learning_rate * factor, "lr_scale": factor}
        for factor, names in groupby(named, lambda name: factors.get(name, 1.0))
    ]


def backward(loss: Tensor) -> None:
    """``loss.backward()`` for a scalar, without torch's Python code around its engine.

    That takes 25 µs, a tenth of a step of the regression rows.
    """
    torch.autograd.Variable._execution_engine.run_backward(
        (loss,), (torch.ones_like(loss),), False, False, (), allow_unreachable=True, accumulate_grad=True
    )


class _Fused:
    """One of torch's fused kernels, which updates all parameters in one call.

    ``torch.optim.Adam(fused=True)`` adds 0.1 ms of Python to each call, a quarter of a step of the regression rows, and
    imports torch's compiler when it is created, a second of every process. To use another optimizer of ``torch.optim``
    register a function that creates it: the engine needs nothing more. Only strategies that differentiate through steps
    need ``stepped``, only runs that train together ``step_runs``, and only CUDA graphs :attr:`replayable`.
    """

    replayable = True
    """Whether ``step`` stays on the device and changes, in place, only parameters and tensors of ``state_dict``."""

    def __init__(self, parameters: Parameters, states: Sequence[str], options: dict[str, Any]) -> None:
        given = list(parameters)
        groups: list[dict[str, Any]] = given if isinstance(given[0], dict) else [{"params": given}]
        self.param_groups = [options | group for group in groups]
        for group in self.param_groups:
            group["state"] = {name: [torch.zeros_like(each) for each in group["params"]] for name in states}

    def zero_grad(self) -> None:
        for group in self.param_groups:
            for each in group["params"]:
                each.grad = None

    @staticmethod
    def _gradients(group: Mapping[str, Any]) -> list[Tensor]:
        """0 where no output depends on a parameter."""
        return [torch.zeros_like(each) if each.grad is None else each.grad for each in group["params"]]

    @property
    def _rates(self) -> list[float]:
        """By parameter."""
        return [group["lr"] for group in self.param_groups for _ in group["params"]]

    def state_dict(self) -> dict[str, list[Tensor]]:
        """The moments, and Adam's numbers of steps, by parameter."""
        states = [group["state"] for group in self.param_groups]
        return {name: [each for state in states for each in state[name]] for name in states[0]}

    def load_state_dict(self, state: Mapping[str, list[Tensor]]) -> None:
        for name, own in self.state_dict().items():
            for target, source in zip(own, state[name], strict=True):
                target.copy_(source)


class _Adam(_Fused):
    """Adam or AdamW."""

    def __init__(self, kernel: Callable[..., None], parameters: Parameters, **options: float) -> None:
        super().__init__(parameters, ("first", "second"), options)
        self._kernel = kernel
        self._steps = torch.zeros((), device=self.param_groups[0]["params"][0].device)  # one for all
        for group in self.param_groups:
            group["state"]["steps"] = [self._steps] * len(group["params"])  # torch's kernel expects a list

    @torch.no_grad()
    def step(self) -> None:
        self._steps += 1
        for group in self.param_groups:
            first, second, steps = group["state"].values()
            self._kernel(
                group["params"], self._gradients(group), first, second, [], steps, lr=group["lr"],
                beta1=group["beta1"], beta2=group["beta2"], eps=group["eps"], weight_decay=group["weight_decay"],
                amsgrad=False, maximize=False,
            )  # fmt: skip

    def stepped(
        self, parameters: Sequence[Tensor], gradients: Sequence[Tensor], state: Mapping[str, Sequence[Tensor]]
    ) -> tuple[list[Tensor], dict[str, list[Tensor]]]:
        """:meth:`step` as a differentiable function of parameters and a ``state_dict``; returns the new ones.

        Its derivative is 0 where all gradients of a parameter have been 0.
        """
        options = self.param_groups[0]
        beta1, beta2 = options["beta1"], options["beta2"]
        steps = [each + 1 for each in state["steps"]]
        first = [torch.lerp(g, m, beta1) for m, g in zip(state["first"], gradients, strict=True)]
        second = [torch.lerp(g.square(), v, beta2) for v, g in zip(state["second"], gradients, strict=True)]
        values = []
        for value, m, v, n, rate in zip(parameters, first, second, steps, self._rates, strict=True):
            unbiased1, unbiased2 = (1 - beta ** n.double() for beta in (beta1, beta2))
            root = torch.where(v > 0, v, 1.0).sqrt().where(v > 0, 0.0)  # the slope of the root at 0 is infinite
            move = m / (root / unbiased2.sqrt().to(v.dtype) + options["eps"])
            kept = 1 - rate * options["weight_decay"]
            values.append(value * kept - (rate / unbiased1).to(v.dtype) * move)
        return values, {"first": first, "second": second, "steps": steps}

    def step_runs(self, values: Tensor, gradients: Tensor, state: Mapping[str, Tensor], rates: Tensor) -> None:
        """:meth:`step` for the parameters (R, P) of R runs, each with its rate and number of steps (R, 1)."""
        group = self.param_groups[0]
        beta1, beta2 = group["beta1"], group["beta2"]
        steps = state["steps"].add_(1).double()
        first = state["first"].lerp_(gradients, 1 - beta1)
        second = state["second"].mul_(beta2).addcmul_(gradients, gradients, value=1 - beta2)
        root = second.sqrt().div_((1 - beta2**steps).sqrt().to(values.dtype)).add_(group["eps"])
        if group["weight_decay"]:
            values.mul_((1 - rates * group["weight_decay"]).to(values.dtype))
        values.addcmul_(first / root, (-rates / (1 - beta1**steps)).to(values.dtype))


class _SGD(_Fused):
    """Stochastic gradient descent."""

    def __init__(self, parameters: Parameters, **options: float) -> None:
        super().__init__(parameters, ("momentum",), options)

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            moments = group["state"]["momentum"] if group["momentum"] else []  # as the kernel expects
            torch._fused_sgd_(
                group["params"], self._gradients(group), moments, lr=group["lr"], momentum=group["momentum"],
                weight_decay=group["weight_decay"], nesterov=group["nesterov"], dampening=0.0, maximize=False,
                is_first_step=False,  # the first adds to 0, which is the same
            )  # fmt: skip

    def stepped(
        self, parameters: Sequence[Tensor], gradients: Sequence[Tensor], state: Mapping[str, Sequence[Tensor]]
    ) -> tuple[list[Tensor], dict[str, list[Tensor]]]:
        """:meth:`step` as a differentiable function of parameters and a ``state_dict``; returns the new ones."""
        options = self.param_groups[0]
        decay, momentum = options["weight_decay"], options["momentum"]
        slopes = [g + decay * value for value, g in zip(parameters, gradients, strict=True)]
        moments = [momentum * m + g for m, g in zip(state["momentum"], slopes, strict=True)]
        moves = [g + momentum * m for m, g in zip(moments, slopes, strict=True)] if options["nesterov"] else moments
        moved = zip(parameters, moves, self._rates, strict=True)
        return [value - rate * move for value, move, rate in moved], {"momentum": moments}

    def step_runs(self, values: Tensor, gradients: Tensor, state: Mapping[str, Tensor], rates: Tensor) -> None:
        """:meth:`step` for the parameters (R, P) of R runs, each with its rate (R, 1)."""
        group = self.param_groups[0]
        slopes = gradients.add(values, alpha=group["weight_decay"])
        moments = state["momentum"].mul_(group["momentum"]).add_(slopes)
        moves = slopes.add(moments, alpha=group["momentum"]) if group["nesterov"] else moments
        values.addcmul_(moves, (-rates).to(values.dtype))


@OPTIMIZERS.register("adam")
def adam(
    parameters: Parameters, learning_rate: float, *, beta1: Decay = 0.9, beta2: Decay = 0.999, epsilon: Epsilon = 1e-8
) -> _Adam:
    """Adam (Kingma and Ba, 2015)."""
    return _Adam(
        torch._fused_adam_, parameters, lr=learning_rate, beta1=beta1, beta2=beta2, eps=epsilon, weight_decay=0.0
    )


@OPTIMIZERS.register("adamw")
def adamw(
    parameters: Parameters,
    learning_rate: float,
    *,
    weight_decay: Annotated[float, Range(0)] = 0.01,
    beta1: Decay = 0.9,
    beta2: Decay = 0.999,
    epsilon: Epsilon = 1e-8,
) -> _Adam:
    """Adam with decoupled weight decay, which the authors' code uses for MNIST reconstruction."""
    return _Adam(
        torch._fused_adamw_, parameters, lr=learning_rate, beta1=beta1, beta2=beta2, eps=epsilon,
        weight_decay=weight_decay,
    )  # fmt: skip


@OPTIMIZERS.register("sgd")
def sgd(
    parameters: Parameters,
    learning_rate: float,
    *,
    momentum: Decay = 0.9,
    weight_decay: Annotated[float, Range(0)] = 0.0,
    nesterov: bool = False,
) -> _SGD:
    """Stochastic gradient descent as torch has it: weight decay is added to the gradient, without dampening.

    Raises:
        UserError: Nesterov's step is asked for without momentum.
    """
    if nesterov and not momentum:
        raise UserError("optimizer.nesterov=true needs a momentum above 0: set one, or leave nesterov at false")
    return _SGD(parameters, lr=learning_rate, momentum=momentum, weight_decay=weight_decay, nesterov=nesterov)
