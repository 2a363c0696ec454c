"""A GPU for machines without one: its tensors lie in the CPU's memory, and claim to be on ``cuda:0``.

Inside ``fake_gpu()`` a run with ``device=cuda`` computes what it would on the CPU, and the fake refuses operations that
mix devices, counts what a GPU would be waited for, and records and replays CUDA graphs. A tensor is on the GPU if its
storage is marked so: made with ``device=cuda``, or by an operation of tensors that are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from l2m import optimizers

aten = torch.ops.aten
GPU = torch.device("cuda", 0)

READS = {
    aten._local_scalar_dense, aten.equal, aten.is_nonzero, aten.nonzero, aten.masked_select, aten._unique2,
    aten.unique_dim, aten.unique_consecutive, aten.bincount,
}  # fmt: skip
"""Operations whose result, or its size, the CPU needs: a GPU is waited for."""

MIXES = {aten.copy_, aten._to_copy}
INDEXES = {aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_}

CHECKED_ON_A_CPU_ALONE = (torch._C._nn.one_hot,)
"""Functions that read their arguments to check them, where these are on a CPU."""


class MixedDevices(RuntimeError):
    """An operation was given tensors of the CPU and of the GPU."""


def is_on_gpu(tensor: Tensor) -> bool:
    return getattr(tensor.untyped_storage(), "on_gpu", False)


def _tensors(*values: object) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]


class FakeGPU:
    """What was counted.

    Attributes:
        waits: for the GPU, by a read of what it holds.
        copies: from the CPU to the GPU that wait for it: of memory that is not pinned, or not said to be asynchronous.
        scattered: images that a convolution took in another order than channels-last.
        launched: operations on the GPU by name, views excepted; a replay launches none of those in its graph.
    """

    def __init__(self) -> None:
        self.waits = self.copies = self.scattered = 0
        self.launched: Counter[str] = Counter()
        self.recording: Graph | None = None
        self.inside: object = None
        """The torch function that is being called."""
        self.sync_debug_mode = "default"
        """As :func:`torch.cuda.set_sync_debug_mode` sets it: with ``error`` what waits is refused."""
        self.making = False
        """Whether tensors that are made of no other are on the GPU: those that an operation needs for itself."""

    def wait(self) -> None:
        if self.inside not in CHECKED_ON_A_CPU_ALONE:
            self._refuse()
            self.waits += 1

    def copy(self, pinned: bool) -> None:
        if not pinned:
            self._refuse()
        self.copies += not pinned

    def _refuse(self) -> None:
        if self.recording:
            raise RuntimeError("CUDA error: operation not permitted when stream is capturing")
        if self.sync_debug_mode == "error":
            raise RuntimeError("called a synchronizing CUDA operation")


class Graph:
    """Operations as they were recorded; a replay does them again, on the same memory."""

    def __init__(self) -> None:
        self.steps: list[tuple[Any, Any, Any, Any]] = []
        self.changed: dict[int, tuple[Tensor, Tensor]] = {}

    def replay(self) -> None:
        with torch._C._AutoDispatchBelowAutograd(), torch.utils._python_dispatch._disable_current_modes():
            for op, args, kwargs, before in self.steps:
                memory = {id(each.untyped_storage()) for each in _tensors(args, kwargs)}
                for own, new in zip(_tensors(before), _tensors(op(*args, **kwargs)), strict=True):
                    if id(own.untyped_storage()) not in memory:
                        own.copy_(new)

    def keep(self, op: Any, args: Any, kwargs: Any) -> None:
        """Remember what an operation is about to change: a capture changes nothing."""
        written = [argument.alias_info and argument.alias_info.is_write for argument in op._schema.arguments]
        given = dict(zip((argument.name for argument in op._schema.arguments), args, strict=False)) | kwargs
        for argument, writes in zip(op._schema.arguments, written, strict=True):
            for each in _tensors(given.get(argument.name)) if writes else ():
                self.changed.setdefault(each.data_ptr(), (each, each.clone()))

    def undo(self) -> None:
        for tensor, before in self.changed.values():
            tensor.copy_(before)


class _Operations(TorchDispatchMode):
    """Sees every operation, of the backward pass too."""

    def __init__(self, gpu: FakeGPU) -> None:
        super().__init__()
        self.gpu = gpu

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        gpu, kwargs, kind = self.gpu, kwargs or {}, op.overloadpacket
        given = _tensors(args, kwargs)
        on_the_gpu = [each for each in given if is_on_gpu(each)]
        on_the_cpu = [each for each in given if not is_on_gpu(each) and each.ndim]
        if on_the_gpu:
            gpu.launched[str(kind)] += not op.is_view
            if kind in INDEXES:
                indices = _tensors(args[1])
                if any(each.dtype in (torch.bool, torch.uint8) for each in indices):
                    gpu.wait()
                for each in indices:
                    if not is_on_gpu(each):
                        gpu.copy(pinned=False)
                on_the_cpu = [each for each in on_the_cpu if not any(each is index for index in indices)]
            if kind is aten.copy_ and on_the_cpu:
                source = args[1]
                asynchronous = (len(args) > 2 and args[2]) or kwargs.get("non_blocking", False)
                if is_on_gpu(source):
                    gpu.wait()
                else:
                    gpu.copy(asynchronous and getattr(source.untyped_storage(), "pinned", False))
            elif on_the_cpu and kind not in MIXES:
                raise MixedDevices(
                    f"{op} of tensors {[tuple(each.shape) for each in on_the_cpu]} on the CPU, others on cuda"
                )
            if any(isinstance(each, torch.Generator) for each in tree_leaves((args, kwargs))):
                raise MixedDevices(f"{op} draws on cuda from a generator of the CPU")
            if kind in READS or (op is aten.repeat_interleave.Tensor and kwargs.get("output_size") is None):
                gpu.wait()
            if kind is aten.convolution and not args[0].is_contiguous(memory_format=torch.channels_last):
                gpu.scattered += len(args[0])
        if gpu.recording:
            gpu.recording.keep(op, args, kwargs)
        results = op(*args, **kwargs)
        if gpu.recording:
            gpu.recording.steps.append((op, args, kwargs, results))
        if on_the_gpu if given else gpu.making:
            memory = {id(each.untyped_storage()) for each in given}
            for each in _tensors(results):
                if id(each.untyped_storage()) not in memory:
                    each.untyped_storage().on_gpu = True
        return results


class _Functions(TorchFunctionMode):
    """Sees what Python asks torch for: devices, and copies from one to the other."""

    def __init__(self, gpu: FakeGPU) -> None:
        super().__init__()
        self.gpu = gpu
        self.own: dict[Any, Callable[..., Any]] = {
            torch.Tensor.device.__get__: lambda each: GPU if is_on_gpu(each) else torch.device("cpu"),
            torch.Tensor.is_cuda.__get__: is_on_gpu,
            torch.Tensor.to: self.to,
            torch.Tensor.cpu: lambda each: self.to(each, "cpu"),
            torch.Tensor.cuda: lambda each: self.to(each, GPU),
            torch.Tensor.pin_memory: self.pin,
            torch.Tensor.tolist: self.read,
            torch.Tensor.numpy: partial(self.array, torch.Tensor.numpy),
            torch.Tensor.__array__: partial(self.array, torch.Tensor.__array__),
        }

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        own = self.own.get(function)
        return own(*args, **kwargs) if own else self.call(function, *args, **kwargs)

    def call(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        making = any(map(is_on_gpu, _tensors(args, kwargs)))
        if kwargs.get("device") is not None:
            making = torch.device(kwargs.pop("device")).type == "cuda"
            if making and kwargs.get("generator") is not None:
                raise MixedDevices(f"{function.__name__} draws on cuda from a generator of the CPU")
        before = self.gpu.inside, self.gpu.making
        self.gpu.inside, self.gpu.making = function, making
        try:
            result = function(*args, **kwargs)
            if making and not any(map(is_on_gpu, _tensors(args, kwargs))):  # as torch.tensor, which makes it unseen
                for each in _tensors(result):
                    each.untyped_storage().on_gpu = True
            return result
        finally:
            self.gpu.inside, self.gpu.making = before

    def to(self, tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        others = [each.dtype if isinstance(each, Tensor) else each for each in args]
        devices = [*args, kwargs.pop("device", None), kwargs.get("other")]
        asked = next((each for each in devices if isinstance(each, (str, torch.device, Tensor))), None)
        others = [each for each in others if isinstance(each, torch.dtype)]
        asynchronous = kwargs.pop("non_blocking", False) or (len(args) > 2 and args[2] is True)
        if isinstance(other := kwargs.pop("other", None), Tensor):
            others.append(other.dtype)
        to_gpu = is_on_gpu(tensor)
        if asked is not None:
            to_gpu = is_on_gpu(asked) if isinstance(asked, Tensor) else torch.device(asked).type == "cuda"
        if to_gpu == is_on_gpu(tensor):
            return self.call(torch.Tensor.to, tensor, *others, **kwargs) if others or kwargs else tensor
        if to_gpu:
            self.gpu.copy(asynchronous and getattr(tensor.untyped_storage(), "pinned", False))
        else:
            self.gpu.wait()
        kwargs["copy"] = True
        moved: Tensor = self.call(torch.Tensor.to, tensor, *(others or [tensor.dtype]), **kwargs)
        moved.untyped_storage().on_gpu = to_gpu  # type: ignore[attr-defined]
        return moved

    def pin(self, tensor: Tensor) -> Tensor:
        if is_on_gpu(tensor):
            raise MixedDevices("memory of cuda cannot be pinned")
        pinned = tensor.clone()
        pinned.untyped_storage().pinned = True  # type: ignore[attr-defined]
        return pinned

    def read(self, tensor: Tensor) -> Any:
        if is_on_gpu(tensor):
            self.gpu.wait()
        return torch.Tensor.tolist(tensor)

    def array(self, function: Any, tensor: Tensor, *args: Any, **kwargs: Any) -> Any:
        if is_on_gpu(tensor):
            raise TypeError("can't convert cuda:0 device type tensor to numpy")
        return function(tensor, *args, **kwargs)


class _Event:
    def __init__(self, **options: bool) -> None: ...

    def record(self) -> None: ...

    def elapsed_time(self, other: _Event) -> float:
        return 1.0


class _Stream:
    def wait_stream(self, other: _Stream) -> None: ...


@contextmanager
def fake_gpu() -> Iterator[FakeGPU]:
    """Inside, torch sees one GPU."""
    gpu, autocast, backward = FakeGPU(), torch.autocast, optimizers.backward

    def descend(loss: Tensor) -> None:
        gpu.making = is_on_gpu(loss)
        try:
            backward(loss)
        finally:
            gpu.making = False

    @contextmanager
    def capture(graph: Graph) -> Iterator[None]:
        gpu.recording, drawn = graph, torch.get_rng_state()
        try:
            yield
        finally:
            gpu.recording = None
            torch.set_rng_state(drawn)
            with torch.no_grad():
                graph.undo()

    state = torch.zeros(16, dtype=torch.uint8)
    cuda: dict[str, Any] = {
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "get_device_name": lambda device=None: "Fake GPU",
        "device": nullcontext,
        "get_rng_state": lambda device=None: state.clone(),
        "set_rng_state": lambda new, device=None: None,
        "Event": _Event,
        "Stream": _Stream,
        "current_stream": _Stream,
        "set_stream": lambda stream: None,
        "stream": nullcontext,
        "CUDAGraph": Graph,
        "graph": capture,
        "synchronize": lambda device=None: None,
        "set_sync_debug_mode": lambda mode: setattr(gpu, "sync_debug_mode", mode),
        "reset_peak_memory_stats": lambda device=None: None,
        "max_memory_allocated": lambda device=None: 0,
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in cuda.items():
            patch.setattr(torch.cuda, name, value)
        patch.setattr(torch, "autocast", lambda kind, *args, **kwargs: autocast("cpu", *args, **kwargs))
        patch.setattr(torch.backends.cudnn, "version", lambda: None)  # a build for CUDA asks the driver
        patch.setattr(optimizers, "backward", descend)
        with _Functions(gpu), _Operations(gpu):
            yield gpu
