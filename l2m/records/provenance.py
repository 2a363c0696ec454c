"""Version, commit, device and start of a run, for ``run.json``."""

import subprocess
from datetime import datetime, timezone
from functools import cache
from pathlib import Path
from typing import Any

import torch

from l2m import __version__

ROOT = Path(__file__).resolve().parents[2]


def provenance(device: torch.device) -> dict[str, Any]:
    """Version, commit, device, threads and the current time."""
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
    """``cpu``, or the name of the GPU."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def now() -> str:
    """The time in UTC, to the second (ISO 8601)."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


@cache
def _cuda() -> dict[str, Any]:
    """Versions of CUDA, cuDNN and the driver; None for one that is unknown."""
    driver = _run("nvidia-smi --query-gpu=driver_version --format=csv,noheader").partition("\n")[0]
    return {"cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version(), "driver": driver or None}


@cache  # the code may change while a long sweep runs
def _commit() -> str | None:
    """The commit of the package's checkout, with ``-dirty`` if its code was changed; None outside a checkout."""
    if not (ROOT / ".git").exists():
        return None
    commit, changes = _run("git rev-parse HEAD"), _run("git status --porcelain -- l2m conf")
    return f"{commit}-dirty" if commit and changes else commit or None


def _run(command: str) -> str:
    """The output of a program; empty if it is not installed."""
    try:
        return subprocess.run(command.split(), cwd=ROOT, capture_output=True, text=True).stdout.strip()
    except OSError:
        return ""
