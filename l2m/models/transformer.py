"""The transformer of the IMDB row (section C.1.4)."""

import math
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional

from l2m.data import Data
from l2m.data.tokens import PAD
from l2m.errors import UserError
from l2m.models import MODELS
from l2m.schema import Range

WIDTH = 64
"""Size of a token's embedding."""
HEADS = 4
TOKENS_AT_ONCE = 25_000
"""Tokens that a CPU encodes at a time: results of up to 20 MB are kept in memory that is reused.

Those of 500 reviews are ten times as large; allocating memory for each takes a third of a step.
"""


@MODELS.register("transformer", revision=2)  # the first trained the embedding of padding
def transformer(
    data: Data,
    *,
    train_padding: bool = False,
    mask_padding: bool = False,
    attention_dropout: Annotated[float, Range(0, 1, below=True)] = 0.0,
) -> nn.Module:
    """Embedding 64, positions, one encoder layer (4 heads, hidden 128), mean over the sequence, 64-32-outputs.

    Dropout is 0.1 on the mean, as the paper says, and in the encoder layer, torch's default, except on the weights of
    attention: with ``attention_dropout`` above 0 torch has no memory-efficient kernel on a CPU and stores all
    (M, 4, L, L). As in the authors' code, the embedding of padding is 0 and stays so unless ``train_padding``, and
    padding is attended to and counts in the mean unless ``mask_padding``.

    Raises:
        UserError: the inputs are not tokens.
    """
    shape = tuple(data.train.inputs.shape[1:])
    if data.vocabulary_size is None:
        raise UserError(
            f"model=transformer needs tokens, but this data set has numbers of shape {shape}: use model=mlp"
        )
    return Transformer(data.vocabulary_size, shape[0], data.outputs, train_padding, mask_padding, attention_dropout)


class Transformer(nn.Module):
    """Maps tokens (M, L) to (M, outputs)."""

    positions: Tensor

    def __init__(
        self, vocabulary: int, length: int, outputs: int, train_padding: bool, mask_padding: bool, attention_rate: float
    ) -> None:
        super().__init__()
        self.mask_padding = mask_padding
        self.embedding = nn.Embedding(vocabulary, WIDTH, padding_idx=None if train_padding else PAD)
        self.register_buffer("positions", sinusoids(length), persistent=False)
        self.encoder = nn.TransformerEncoderLayer(WIDTH, HEADS, dim_feedforward=128, dropout=0.1, batch_first=True)
        self.encoder.self_attn.dropout = attention_rate
        self.head = nn.Sequential(nn.Dropout(0.1), nn.Linear(WIDTH, 32), nn.ReLU(inplace=True), nn.Linear(32, outputs))

    def forward(self, tokens: Tensor) -> Tensor:
        embedded = self.embedding(tokens)  # (M, L, 64)
        if embedded.device.type != "cpu" or torch.compiler.is_compiling():
            return self.head(self._means(tokens, embedded))  # type: ignore[no-any-return]
        few = max(1, TOKENS_AT_ONCE // tokens.shape[1])
        means = [self._means(*part) for part in zip(tokens.split(few), embedded.split(few), strict=True)]
        return self.head(torch.cat(means))  # type: ignore[no-any-return]

    def _means(self, tokens: Tensor, embedded: Tensor) -> Tensor:
        """The mean (m, 64) of the encoder layer's output over each sequence."""
        embedded = embedded + self.positions
        if not self.mask_padding:
            return encoded(self.encoder, embedded).mean(1)
        kept = tokens != PAD
        kept[:, 0] = True  # so that a sequence of padding alone has a mean
        sums = encoded(self.encoder, embedded, kept[:, None, None]).masked_fill(~kept[:, :, None], 0).sum(1)
        return sums / kept.sum(1, keepdim=True)


def encoded(layer: nn.TransformerEncoderLayer, x: Tensor, attended: Tensor | None = None) -> Tensor:
    """``layer(x)`` for x (m, L, 64), normalised after each residual sum; torch's copies queries, keys and values.

    Args:
        attended: (m, 1, 1, L), whether a token is attended to. None: all are.
    """
    attention, training = layer.self_attn, layer.training
    projected = functional.linear(x, attention.in_proj_weight, attention.in_proj_bias)
    query, key, value = (part.transpose(1, 2) for part in projected.unflatten(2, (3, HEADS, -1)).unbind(2))
    rate = attention.dropout if training else 0.0
    heads = functional.scaled_dot_product_attention(query, key, value, attended, rate)  # (m, 4, L, 16), as each
    x = layer.norm1(x + dropout(attention.out_proj(heads.transpose(1, 2).flatten(2)), layer.dropout1.p, training))
    hidden = dropout(layer.linear1(x).relu_(), layer.dropout.p, training)
    return layer.norm2(x + dropout(layer.linear2(hidden), layer.dropout2.p, training))  # type: ignore[no-any-return]


def dropout(x: Tensor, p: float, training: bool) -> Tensor:
    """``functional.dropout``: each element becomes 0 with probability p, independently, or is divided by 1 − p.

    On a CPU drawing a random number for each element takes longer than the neighbouring layers. The distance from one 0
    to the next is geometric: drawing the distances, p times as many, gives the same distribution of masks.
    """
    if not training or not 0 < p < 1 or x.device.type != "cpu":
        return functional.dropout(x, p, training)
    count = x.numel()
    enough = int(count * p + 8 * math.sqrt(count * p)) + 10  # too few for fewer than one mask in 10^12
    places = torch.empty(enough, dtype=torch.int64).geometric_(p).cumsum(0).sub_(1)
    dropped = places[: int(torch.searchsorted(places, count))]
    return x * x.new_full((count,), 1 / (1 - p)).index_fill_(0, dropped, 0).view(x.shape)


def sinusoids(length: int) -> Tensor:
    """Positions (L, 64): column 2i holds sin(p / 10 000^(2i / 64)), column 2i + 1 its cosine (Vaswani et al., 2017)."""
    frequencies = 10_000.0 ** (-torch.arange(0, WIDTH, 2) / WIDTH)
    angles = torch.arange(length)[:, None] * frequencies
    return torch.stack([angles.sin(), angles.cos()], 2).flatten(1)
