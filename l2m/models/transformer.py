"""The transformer of the IMDB row (section C.1.4)."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor, nn

from l2m.data import Data
from l2m.data.text import PAD
from l2m.models import MODELS, sequence_size
from l2m.schema import Range

WIDTH = 64
"""Numbers that stand for a token."""


@MODELS.register("transformer")
def transformer(
    data: Data,
    *,
    mask_padding: bool = False,
    attention_dropout: Annotated[float, Range(0, 1, below=True)] = 0.0,
) -> nn.Module:
    """Embedding 64, positions, one encoder layer (4 heads, hidden 128), mean over the sequence, 64-32-outputs.

    Dropout is 0.1 on the mean, as the paper says, and in the encoder layer, as torch's is, but for the weights of
    attention: with ``attention_dropout`` above 0 torch has no lean kernel on a CPU, and holds all (M, 4, L, L).
    Without ``mask_padding``, as in the authors' code, padding is attended to and counts in the mean.
    """
    vocabulary, length = sequence_size(data, "transformer")
    return Transformer(vocabulary, length, data.outputs, mask_padding, attention_dropout)


class Transformer(nn.Module):
    """Maps tokens (M, L) to (M, outputs)."""

    positions: Tensor

    def __init__(
        self, vocabulary: int, length: int, outputs: int, mask_padding: bool, attention_dropout: float
    ) -> None:
        super().__init__()
        self.mask_padding = mask_padding
        self.embedding = nn.Embedding(vocabulary, WIDTH)
        self.register_buffer("positions", sinusoids(length)[:, None], persistent=False)
        # the sequence comes first: torch evaluates batch_first=True by a kernel that holds all (M, 4, L, L) weights
        self.encoder = nn.TransformerEncoderLayer(WIDTH, nhead=4, dim_feedforward=128, dropout=0.1)
        self.encoder.self_attn.dropout = attention_dropout
        self.head = nn.Sequential(nn.Dropout(0.1), nn.Linear(WIDTH, 32), nn.ReLU(inplace=True), nn.Linear(32, outputs))

    def forward(self, tokens: Tensor) -> Tensor:
        embedded = self.embedding(tokens.T) + self.positions  # (L, M, 64)
        if not self.mask_padding:
            return self.head(self.encoder(embedded).mean(0))  # type: ignore[no-any-return]
        padding = tokens == PAD
        padding[:, 0] = False  # of nothing but padding the first token stands
        encoded = self.encoder(embedded, src_key_padding_mask=padding).masked_fill(padding.T[:, :, None], 0)
        return self.head(encoded.sum(0) / (~padding).sum(1, keepdim=True))  # type: ignore[no-any-return]


def sinusoids(length: int) -> Tensor:
    """Positions (L, 64): column 2i holds sin(p / 10 000^(2i / 64)), column 2i + 1 its cosine (Vaswani et al., 2017)."""
    frequencies = 10_000.0 ** (-torch.arange(0, WIDTH, 2) / WIDTH)
    angles = torch.arange(length)[:, None] * frequencies
    return torch.stack([angles.sin(), angles.cos()], 2).flatten(1)
