"""The device of a run: its choice, its clock, and torch's state while a run has it."""

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

from l2m.config import RunConfig

LOG = logging.getLogger(__name__)


def choose_device(name: str) -> torch.device:
    """``cuda`` if asked for, or if there is one and the choice is ``auto``; else ``cpu``."""
    return torch.device("cuda" if name == "cuda" or (name == "auto" and torch.cuda.is_available()) else "cpu")


def stopwatch(device: torch.device) -> Callable[[], Callable[[], float]]:
    """Start it; call it to stop it; call what that gives for the seconds, once the device has been waited for."""
    if device.type != "cuda":
        began = time.perf_counter()

        def stop() -> Callable[[], float]:
            elapsed = time.perf_counter() - began
            return lambda: elapsed

        return stop
    first, last = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    first.record()

    def record() -> Callable[[], float]:
        last.record()
        return lambda: first.elapsed_time(last) / 1000

    return record


@contextmanager
def torch_state(config: RunConfig) -> Iterator[None]:
    """Torch's default generators, number of threads and TF32, put back as they were at the end."""
    threads = torch.get_num_threads()
    products: tuple[Any, ...] = (torch.backends.cudnn, torch.backends.cuda.matmul)
    before = [kind.allow_tf32 for kind in products]
    devices = [torch.cuda.current_device()] if choose_device(config.device).type == "cuda" else []
    with torch.random.fork_rng(devices):
        if config.threads:
            torch.set_num_threads(config.threads)
        for kind in products:
            kind.allow_tf32 = config.precision == "tf32"  # cuDNN's default would round convolutions' inputs in fp32
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            for kind, allowed in zip(products, before, strict=True):
                kind.allow_tf32 = allowed


def precision(config: RunConfig, device: torch.device) -> AbstractContextManager[None]:
    """Inside, a forward pass has the run's precision."""
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


def device_name(device: torch.device) -> str:
    """``cpu``, or what the GPU calls itself."""
    return torch.cuda.get_device_name() if device.type == "cuda" else "cpu"
