"""The device of a run: its choice, its clock, its arithmetic, and torch's global state during the run."""

import ctypes
import logging
import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import Any

import torch

from l2m.config.run import Device, RunConfig
from l2m.errors import UserError
from l2m.schema import check_argument
from l2m.training import ranks

LOG = logging.getLogger(__name__)


def choose_device(name: str) -> torch.device:
    """``cpu``, ``cuda`` or ``cuda:N``, or a UserError; ``auto`` is a GPU if torch sees one, else the CPU."""
    check_argument("device", name, Device, "auto takes a GPU if there is one")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and ranks.count() > 1:
        name = f"cuda:{os.environ['LOCAL_RANK']}"
    if name == "mps":
        raise UserError("device=mps lacks float64, which a run needs to sum its losses: use device=cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= (count := torch.cuda.device_count()):
        raise UserError(f"device={name} is not available, torch sees {count} GPUs: use device=cpu or device=auto")
    return device


def stopwatch(device: torch.device) -> Callable[[], Callable[[], float]]:
    """Start a stopwatch. Calling it stops it and returns a function for the seconds, to call after synchronizing."""

    def mark() -> Any:
        if device.type != "cuda":
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def stop() -> Callable[[], float]:
        last = mark()
        return lambda: last - first if isinstance(last, float) else first.elapsed_time(last) / 1000

    first = mark()
    return stop


@contextmanager
def torch_state(config: RunConfig) -> Iterator[None]:
    """Set torch's number of threads, GPU and TF32 inside; restore them and torch's default generators at the end."""
    threads, device = torch.get_num_threads(), choose_device(config.device)
    on_gpu = device.type == "cuda"
    with (
        torch.cuda.device(device) if on_gpu else nullcontext(),
        torch.random.fork_rng([device] if on_gpu else []),
        set_tf32(config),
    ):
        if config.threads:
            torch.set_num_threads(config.threads)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


@contextmanager
def set_tf32(config: RunConfig) -> Iterator[None]:
    """Compute matrix products and convolutions inside in TF32 if the run does, else, and on a CPU, in float32.

    By torch's defaults cuDNN would round the inputs of convolutions to TF32.
    """
    backends: Any = torch.backends  # torch's stubs lack some
    on_gpu = backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn
    on_cpu = backends.mkldnn.matmul, backends.mkldnn.conv, backends.mkldnn.rnn
    before = {kind: kind.fp32_precision for kind in (*on_gpu, *on_cpu)}
    for kind in before:
        kind.fp32_precision = "tf32" if kind in on_gpu and config.precision == "tf32" else "ieee"
    try:
        yield
    finally:
        for kind, value in before.items():
            kind.fp32_precision = "none"  # follows torch.backends.fp32_precision, as it may have done before
            if kind.fp32_precision != value:
                kind.fp32_precision = value


@contextmanager
def compute_like(config: RunConfig, device: torch.device) -> Iterator[None]:
    """Compute outputs of the run's model inside with the run's arithmetic: for every use after training."""
    with set_tf32(config), precision(config, device):
        yield


def precision(config: RunConfig, device: torch.device) -> AbstractContextManager[None]:
    """Run forward passes inside in bf16 if the run does; for use within :func:`torch_state`, which sets the rest."""
    if config.precision != "bf16":
        return nullcontext()  # a disabled autocast takes time too
    return torch.autocast(device.type, torch.bfloat16)


@cache
def warn_of_slow_bf16() -> None:
    """Warn, once a process, if this processor has no instructions for bf16, as far as torch can tell."""
    cpu = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    if cpu.get("architecture") == "x86_64" and not (cpu.get("avx512_bf16") or cpu.get("amx_bf16")):
        LOG.warning("this processor has no instructions for bf16: precision=fp32 is faster here")


def keep_memory() -> None:
    """Keep freed memory in this process, if glibc allocates it.

    To return it to the kernel and fetch it again takes a quarter of the time of an image row on a CPU.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(-4, 0)  # M_MMAP_MAX: no separate mappings, which are returned when freed
        libc.mallopt(-1, -1)  # M_TRIM_THRESHOLD: nor is the end of the heap returned
