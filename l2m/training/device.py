"""The device of a run: its choice, its clock, its arithmetic, and torch's state while a run has it."""

from __future__ import annotations

import ctypes
import logging
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import Any

import torch

from l2m.config.run import RunConfig
from l2m.errors import UserError

LOG = logging.getLogger(__name__)


def choose_device(name: str) -> torch.device:
    """``cpu``, ``cuda`` or ``cuda:N``, or a UserError; ``auto`` is a GPU if torch sees one, else the CPU."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "mps":
        raise UserError("device=mps has no float64, in which a run sums its losses: use device=cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= (count := torch.cuda.device_count()):
        raise UserError(f"device={name} is not here, where torch sees {count} GPUs: use device=cpu or device=auto")
    return device


def stopwatch(device: torch.device) -> Callable[[], Callable[[], float]]:
    """Start it; call it to stop it; call what that gives for the seconds, once the device has been waited for."""

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
    """Torch's default generators, number of threads, current GPU and TF32, put back as they were at the end."""
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
    """Inside, matrix products and convolutions are in TF32 if the run is, else in float32; on a CPU always in float32.

    Torch's defaults differ: cuDNN would round the inputs of convolutions to TF32.
    """
    backends: Any = torch.backends  # of which its stubs lack some
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
    """Inside, a model of the run computes its outputs as in the run's records: the context of every use after it."""
    with set_tf32(config), precision(config, device):
        yield


def precision(config: RunConfig, device: torch.device) -> AbstractContextManager[None]:
    """Inside, a forward pass is in bf16 if the run is; within :func:`torch_state`, which has set the rest."""
    if config.precision != "bf16":
        return nullcontext()  # autocast takes time even where it does nothing
    return torch.autocast(device.type, torch.bfloat16)


@cache
def warn_of_slow_bf16() -> None:
    """Say, once a process, that this processor has no instructions for bf16, if torch says so."""
    told = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    if told.get("architecture") == "x86_64" and not (told.get("avx512_bf16") or told.get("amx_bf16")):
        LOG.warning("this processor has no instructions for bf16: precision=fp32 is quicker here")


def keep_memory() -> None:
    """Let this process keep the memory that it has once had, where it comes from glibc.

    Else what a step allocates is given back to the kernel and fetched anew, page by page: on a CPU a quarter of the
    time of an image row.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(-4, 0)  # M_MMAP_MAX: no piece is mapped by itself, and given back when it is freed
        libc.mallopt(-1, -1)  # M_TRIM_THRESHOLD: nor is the heap's end
