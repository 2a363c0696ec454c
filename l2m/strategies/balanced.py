"""Balanced batches: every group always has the share 1/k."""

from dataclasses import dataclass

from l2m.data import Split
from l2m.strategies import STRATEGIES, Context, SampledStrategy


@STRATEGIES.register("balanced")
@dataclass(kw_only=True)
class Balanced(SampledStrategy):
    """A control that the paper lacks: it separates the effect of balancing from that of adapting."""

    def prepare(self, context: Context) -> Split:
        self.sampler = context.sampler(proportions=[1 / context.groups] * context.groups)
        return super().prepare(context)
