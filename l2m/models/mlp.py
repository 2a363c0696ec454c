"""The fully connected network of the regression rows (section C.1.1)."""

from collections.abc import Sequence
from itertools import chain, pairwise
from typing import Annotated

from torch import nn

from l2m.data import Data
from l2m.errors import UserError
from l2m.models import MODELS
from l2m.schema import Range


@MODELS.register("mlp")
def mlp(data: Data, *, hidden: Annotated[int, Range(0, 2**16)] = 64) -> nn.Module:
    """d-``hidden``-outputs with ReLU, or without hidden units d-outputs, a linear model; images are flattened to d."""
    if data.vocabulary_size:
        raise UserError("model=mlp needs numbers, but this data set has tokens: use model=transformer")
    return network(data.train.inputs[0].numel(), [hidden] if hidden else [], data.outputs)


def network(features: int, hidden: Sequence[int], outputs: int) -> nn.Sequential:
    """features-hidden-outputs with ReLU after each hidden layer."""
    layers = [[nn.Linear(*sizes), nn.ReLU(inplace=True)] for sizes in pairwise([features, *hidden])]
    return nn.Sequential(nn.Flatten(), *chain(*layers), nn.Linear([features, *hidden][-1], outputs))
