from dataclasses import dataclass
from typing import Annotated

from torch import Tensor

from l2m.data import Batch
from l2m.schema import Range
from l2m.strategies import STRATEGIES, Strategy


@STRATEGIES.register("hardest")
@dataclass(kw_only=True)
class Hardest(Strategy):
    """The mean loss of a share of each batch, that with the highest losses."""

    share: Annotated[float, Range(0, 1, above=True)] = 0.5

    def loss(self, batch: Batch, per_sample: Tensor) -> Tensor:
        return per_sample.topk(max(1, int(self.share * len(per_sample)))).values.mean()
