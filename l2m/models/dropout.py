"""Dropout for a CPU, where drawing a random number for each element takes longer than the neighbouring layers."""

import math

import torch
from torch import Tensor
from torch.nn import functional


def dropout(x: Tensor, p: float, training: bool) -> Tensor:
    """``functional.dropout``: each element becomes 0 with probability p, independently, or is divided by 1 − p.

    The distance from one 0 to the next is geometric. Drawing the distances, p times as many as there are elements,
    gives the same distribution of masks.
    """
    if not training or not 0 < p < 1 or x.device.type != "cpu":
        return functional.dropout(x, p, training)
    count = x.numel()
    enough = int(count * p + 8 * math.sqrt(count * p)) + 10  # too few for fewer than one mask in 10^12
    places = torch.empty(enough, dtype=torch.int64).geometric_(p).cumsum(0).sub_(1)
    dropped = places[: int(torch.searchsorted(places, count))]
    return x * x.new_full((count,), 1 / (1 - p)).index_fill_(0, dropped, 0).view(x.shape)
