"""What trained a run, where and when."""

from __future__ import annotations

import subprocess
from datetime import datetime, timezone
from functools import cache
from pathlib import Path
from typing import Any

import torch

from l2m import __version__

HOME = Path(__file__).resolve().parents[2]


def provenance(device: torch.device) -> dict[str, Any]:
    """What trains, where and since when."""
    return {
        "version": __version__,
        "commit": _commit(),
        "torch": str(torch.__version__),
        "device": device_name(device),
        **(_cuda() if device.type == "cuda" else {}),
        "threads": torch.get_num_threads(),
        "start": now(),
    }


def device_name(device: torch.device) -> str:
    """``cpu``, or what the GPU calls itself."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def now() -> str:
    """The time in UTC, to the second (ISO 8601)."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


@cache
def _cuda() -> dict[str, Any]:
    """Versions of CUDA, cuDNN and the driver; None of one that this machine does not say."""
    driver = _ask("nvidia-smi --query-gpu=driver_version --format=csv,noheader").partition("\n")[0]
    return {"cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version(), "driver": driver or None}


@cache  # as the code was when it was loaded, though a sweep goes on for hours
def _commit() -> str | None:
    """The commit of the checkout the package runs from, ``-dirty`` if its code was changed; None outside one."""
    if not (HOME / ".git").exists():
        return None
    commit, changes = _ask("git rev-parse HEAD"), _ask("git status --porcelain -- l2m conf")
    return f"{commit}-dirty" if commit and changes else commit or None


def _ask(command: str) -> str:
    """What a program prints; nothing where there is no such program."""
    try:
        return subprocess.run(command.split(), cwd=HOME, capture_output=True, text=True).stdout.strip()
    except OSError:
        return ""
