"""Exponentiated-gradient updates of weights on the simplex (Kivinen and Warmuth, 1997)."""

from collections.abc import Mapping

import torch
from torch import Tensor

MEMORY = 0.9
"""Decay of the running mean of the slopes' squared size."""


class ExponentiatedWeights:
    """Weights α (k,) with α_i ∝ α_i exp(−rate · h_i / size) at each move; never waits for the GPU.

    Args:
        start: α, (k,) float64, above 0 and summing to 1, on the device of all moves.
        rate: at least 0; at 0 the weights do not change.
        scaled: size is the root of a running mean (decay 0.9, bias-corrected) of (max_i |h_i − Σ_j α_j h_j|)², so that
            the logarithm of a weight moves by about ``rate`` at most. Otherwise size is 1.
    """

    def __init__(self, start: Tensor, rate: float, scaled: bool) -> None:
        self._rate, self._scaled = rate, scaled
        self._logarithms = start.log()
        self._seen = start.new_zeros(2)  # the running mean of squares, and its total weight

    @property
    def weights(self) -> Tensor:
        """α, (k,) float64; a copy."""
        return self._logarithms.softmax(0)

    def move(self, slopes: Tensor) -> None:
        """Descend along ``slopes`` h (k,)."""
        centred = slopes.to(self._logarithms) - self.weights @ slopes.to(self._logarithms)
        if self._scaled:
            largest = centred.abs().max().square()
            self._seen = MEMORY * self._seen + (1 - MEMORY) * torch.stack([largest, torch.ones_like(largest)])
            centred = centred / (self._seen[0] / self._seen[1]).sqrt().clamp_min(1e-300)
        self._logarithms = (self._logarithms - self._rate * centred).log_softmax(0)

    def state_dict(self) -> dict[str, Tensor]:
        """Tensors from which ``load_state_dict`` continues exactly."""
        return {"logarithms": self._logarithms, "seen": self._seen}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue from a ``state_dict`` of any device."""
        self._logarithms = state["logarithms"].to(self._logarithms)
        self._seen = state["seen"].to(self._seen)
