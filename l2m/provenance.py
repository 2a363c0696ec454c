"""What trained a run, where and when."""

from __future__ import annotations

import subprocess
from datetime import datetime, timezone
from functools import cache
from pathlib import Path
from typing import Any

import torch

import l2m
from l2m.device import device_name


def provenance(device: torch.device) -> dict[str, Any]:
    """What trains, where and since when."""
    return {
        "version": l2m.__version__,
        "commit": _commit(),
        "torch": str(torch.__version__),
        "device": device_name(device),
        **(_cuda() if device.type == "cuda" else {}),
        "threads": torch.get_num_threads(),
        "start": now(),
    }


def now() -> str:
    """The time in UTC, to the second (ISO 8601)."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


@cache
def _cuda() -> dict[str, Any]:
    """Versions of CUDA, cuDNN and the driver; None of one that this machine does not say."""
    question = "nvidia-smi --query-gpu=driver_version --format=csv,noheader"
    try:
        driver = subprocess.run(question.split(), capture_output=True, text=True).stdout.partition("\n")[0] or None
    except OSError:
        driver = None
    return {"cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version(), "driver": driver}


@cache  # as the code was when it was loaded, though a sweep goes on for hours
def _commit() -> str | None:
    """The commit of the checkout the package runs from, ``-dirty`` if its code was changed; None outside one."""
    home = Path(__file__).resolve().parents[1]
    if not (home / ".git").exists():
        return None
    try:
        commit, changes = (
            subprocess.run(["git", *question.split()], cwd=home, capture_output=True, text=True).stdout.strip()
            for question in ("rev-parse HEAD", "status --porcelain -- l2m conf")
        )
    except OSError:  # no git
        return None
    return f"{commit}-dirty" if commit and changes else commit or None
