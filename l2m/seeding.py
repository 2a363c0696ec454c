"""Independent random generators, derived from one seed by the name of their purpose."""

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor


def derive(seed: int, purpose: str) -> int:
    """A 63-bit seed for one purpose ("parameters", "order", ...) of a run's ``seed``."""
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(seed: int, purpose: str) -> torch.Generator:
    """A CPU generator for one purpose of a run's ``seed``."""
    return torch.Generator().manual_seed(derive(seed, purpose))


def seed_defaults(seed: int, device: torch.device) -> None:
    """Seed torch's default generators as ``torch.manual_seed`` does, of the GPUs that of ``device`` alone."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)


def default_states(device: torch.device) -> dict[str, Tensor]:
    """The states of torch's default generators: that of the CPU, and that of a GPU."""
    states = {"cpu": torch.get_rng_state()}
    return states | {"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else states


def restore_defaults(states: Mapping[str, Tensor], device: torch.device) -> None:
    """Set torch's default generators to states of any device; a GPU's only if there is one here and there was."""
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)


def to_device(tensor: Tensor, device: torch.device | str) -> Tensor:
    """Move a tensor; a copy from the CPU to a GPU goes through pinned memory and is asynchronous."""
    if tensor.device.type == "cpu" and torch.device(device).type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
