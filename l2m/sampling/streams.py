"""``StreamMixer``: batches from sources that are read in order, at shares that follow the sources' losses."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from itertools import islice
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from l2m.errors import UserError
from l2m.sampling.apportion import Floats, apportion
from l2m.sampling.exponentiated_weights import ExponentiatedWeights
from l2m.sampling.group_losses import GroupLosses
from l2m.sampling.labels import as_array
from l2m.sampling.loaders import asker
from l2m.sampling.sampler import Learn2MixBatchSampler
from l2m.schema import Range, check_argument

_COUNT = Annotated[int, Range(1)]


class StreamMixer(IterableDataset[list[tuple[int, Any]]]):
    """Yields batches of ``(source, sample)``; ``add`` moves the sources' shares towards their losses.

    Use it as ``DataLoader(StreamMixer(sources, ...), batch_size=None, collate_fn=default_collate)``. Every batch has
    exactly ``batch_size`` samples in random order, and in each worker a source's samples are within one of what it is
    due. Ranks and workers read every n-th sample of each source. A pass begins all sources anew, or from a state.

    Args:
        sources: k iterables by name, numbered in this order. Those with a ``state_dict`` resume by it; others are read
            again up to where they were.
        batch_size: samples a batch of one process.
        rule: ``learn2mix`` as in ``Learn2MixBatchSampler``, ``exponentiated`` α_i ∝ α_i exp(rate · L_i)
            as in DoReMi, or ``fixed``.
        mixing_rate: the rule's rate, in [0, 1] for learn2mix.
        proportions: initial shares, (k,) numbers that sum to 1; by default equal.
        update_every: steps between updates of the shares.
        reference_losses: (k,), for example a smaller model's: L is then what exceeds them.
        tokens: the tokens of a sample; shares are then of tokens, in the mean over batches.
        ends: a source that ends begins again (``cycle``), or so until the last has ended once (``last``), or ends the
            pass at once (``first``). The last, incomplete batch is dropped.
        prefetched: batches that a loader with workers draws ahead: ``num_workers * prefetch_factor``. An update acts so
            many batches later, and thus at the same batch in every run, until one of several workers has ended.
        split_themselves: whether sources divide themselves among workers and ranks; needed for ``IterableDataset``.
        num_replicas: ranks that draw batches of their own.
        rank: the number of this one, from 0.
        seed: of the order within batches.

    Raises:
        ValueError: a value out of these ranges.

    Examples:
        >>> mixer = StreamMixer({"letters": "abcd", "digits": "12"}, batch_size=6, proportions=[2 / 3, 1 / 3])
        >>> sorted(next(iter(mixer)))
        [(0, 'a'), (0, 'b'), (0, 'c'), (0, 'd'), (1, '1'), (1, '2')]
    """

    def __init__(
        self,
        sources: Mapping[str, Iterable[Any]],
        *,
        batch_size: int,
        rule: Literal["learn2mix", "exponentiated", "fixed"] = "learn2mix",
        mixing_rate: float = 0.1,
        proportions: Sequence[float] | Floats | Tensor | None = None,
        update_every: int = 100,
        reference_losses: Sequence[float] | Floats | Tensor | None = None,
        tokens: Callable[[Any], int] | None = None,
        ends: Literal["cycle", "first", "last"] = "cycle",
        prefetched: int = 0,
        split_themselves: bool | None = None,
        num_replicas: int = 1,
        rank: int = 0,
        seed: int = 0,
    ) -> None:
        if not isinstance(sources, Mapping) or not sources:
            what = type(sources).__name__ if sources else "empty"
            raise UserError(f"sources must be iterables by name, not {what}: give {{name: iterable}}")
        self._names, self._sources, k = list(sources), list(sources.values()), len(sources)
        self._size: int = check_argument("batch_size", batch_size, _COUNT, "samples a batch")
        check_argument("rule", rule, Literal["learn2mix", "exponentiated", "fixed"], "how shares move")
        self._ends = check_argument("ends", ends, Literal["cycle", "first", "last"], "what follows a source's end")
        self._every: int = check_argument("update_every", update_every, _COUNT, "steps between updates")
        self._ahead: int = check_argument("prefetched", prefetched, Annotated[int, Range(0)], "batches drawn ahead")
        self._replicas: int = check_argument("num_replicas", num_replicas, _COUNT, "the number of processes")
        self._rank: int = check_argument("rank", rank, Annotated[int, Range(0, self._replicas - 1)], "of num_replicas")
        self._seed: int = check_argument("seed", seed, Annotated[int, Range(0)], "of the order within batches")
        self._tokens, self._split = tokens, split_themselves
        given = as_array("reference_losses", np.zeros(k) if reference_losses is None else reference_losses)
        if given.dtype.kind not in "biuf" or given.shape != (k,) or not np.isfinite(given).all():
            raise UserError(f"reference_losses must be {k} finite numbers, one a source, not {given.tolist()}")
        self._reference = given
        self._lowest = -np.inf if reference_losses is None else 0.0  # of what exceeds them
        self._losses = GroupLosses(k)
        rate = check_argument("mixing_rate", mixing_rate, Annotated[float, Range(0)], "the rule's rate")
        self._rule = Learn2MixBatchSampler(
            range(k), batch_size=1, mixing_rate=rate if rule == "learn2mix" else 0, proportions=proportions
        )
        self._rule_name = rule
        self._weights: ExponentiatedWeights | None = None
        if rule == "exponentiated":
            self._weights = ExponentiatedWeights(self._rule.proportions, rate, scaled=False)
        changes = torch.full((2 + self._ahead // self._every, 1 + k), torch.inf, dtype=torch.float64)
        self._changes = changes.share_memory_()  # seen by workers: the first batch at these shares, and the shares
        self._changes[0] = torch.cat([torch.zeros(1), self.proportions])
        self._passes = torch.full((1 + self._ahead,), -1).share_memory_()  # of each worker, in _number_of_pass
        self._over = torch.full((1,), -1).share_memory_()  # the last pass of workers of which one has ended
        self._pass: dict[str, Any] = {}
        self._process = 0  # that began it
        self._resumed: dict[str, Any] | None = None

    @property
    def proportions(self) -> Tensor:
        """The sources' shares after the last update, (k,) float64; a copy."""
        return self._weights.weights if self._weights else self._rule.proportions

    def add(self, losses: ArrayLike | Tensor, sources: ArrayLike | Tensor) -> None:
        """Add the losses (M,) of a step's samples, or tokens, and the numbers of their sources (M,).

        Every ``update_every`` steps this moves the shares. Ranks sum their losses, and all must add at every step.
        """
        self._losses.add(losses, sources)
        steps = self._losses.batches
        if steps % self._every:
            return
        means, seen = self._losses.end_part()
        excess = (means - torch.from_numpy(self._reference)).clamp_min(self._lowest)
        self._rule.update(excess, seen)  # only checks the losses if the rule is another
        if self._weights and seen.any():
            self._weights.move(-excess.where(seen, excess[seen].mean()))
        row = steps // self._every % len(self._changes)
        self._changes[row] = torch.cat([torch.tensor([steps + self._ahead]), self.proportions])

    def __iter__(self) -> Iterator[list[tuple[int, Any]]]:
        """One pass, batch by batch.

        Raises:
            ValueError: a source has no samples, sources may divide themselves or not, ``prefetched`` is too small, or a
                loader would make batches of batches.
        """
        if getattr(asker(), "auto_collation", False):
            raise UserError("a mixer yields whole batches: give DataLoader batch_size=None")
        info, k, state, self._resumed = get_worker_info(), len(self._sources), self._resumed, None
        workers, worker = (info.num_workers, info.id) if info else (1, 0)
        parts, part = self._replicas * workers, self._rank * workers + worker
        if info and self._ahead < workers:
            raise UserError(
                f"prefetched={self._ahead} is too small for {workers} workers: give num_workers * prefetch_factor"
            )
        if info and self._process == os.getpid() and not state:
            raise UserError("a worker cannot begin a second pass: leave out persistent_workers")
        if parts > 1 and self._split is None and any(isinstance(each, IterableDataset) for each in self._sources):
            raise UserError(
                f"{parts} processes read an IterableDataset, which may divide itself among them or not: give "
                "split_themselves=True or False"
            )
        if self._split:
            parts, part = 1, 0
        if state and state["over"]:
            if info:
                return  # its loader goes on with the other workers
            self._pass, state = state, None
        if not state:
            own = self._number_of_pass(info) if info else 0
            rounds = [each + 1 + own for each in self._pass.get("rounds", [-1] * k)]
        now = self._pass = state or {
            "first": self._losses.batches, "drawn": 0, "owed": [0.0] * k, "tokens": [0] * k, "counted": [0] * k,
            "samples": [0] * k, "rounds": rounds, "ended": [], "sources": {}, "number": own, "over": False,
        }  # fmt: skip
        self._process = os.getpid()
        streams = [self._read(source, now, parts, part) for source in range(k)]
        number, used = -1, torch.zeros(1)
        while True:
            changes = self._changes.clone()  # whole, as the main process may write a row meanwhile
            first = changes[:, 0]
            if ((first > used[0]) & (first <= number)).any() and now["number"] != self._over:
                raise UserError(
                    f"batch {number} was drawn before an update that it should follow: call add after every batch, and "
                    f"give prefetched=num_workers * prefetch_factor, one more with Accelerate, not {self._ahead}"
                )
            number = now["first"] + now["drawn"] * workers + worker
            used = changes[first.where(first <= number, -1).argmax()]
            tokens = np.array(now["tokens"]) / np.maximum(now["counted"], 1)
            wanted = used[1:].numpy() / np.where(tokens > 0, tokens, tokens[tokens > 0].mean() if tokens.any() else 1)
            counts, owed = apportion(np.array(now["owed"]), self._size * wanted / wanted.sum(), self._size)
            order = np.random.default_rng((self._seed, number)).permutation(np.repeat(np.arange(k), counts))
            batch = [(int(source), sample) for source in order for sample in islice(streams[source], 1)]
            if len(batch) < self._size:
                now["over"] = True
                if info:  # the others come sooner from here on, so they cannot know their numbers
                    self._over.fill_(now["number"])
                return
            now["owed"], now["drawn"] = owed.tolist(), now["drawn"] + 1
            yield batch

    def _number_of_pass(self, info: Any) -> int:
        """From 0, equal in all workers of a pass: those that began it say it, beside the seed that the loader drew."""
        seed, known = (info.seed - info.id) % 2**31, self._passes.tolist()
        number: int = next((each >> 31 for each in known if each % 2**31 == seed), (max(known) >> 31) + 1)
        self._passes[info.id] = number << 31 | seed
        return number

    def _read(self, number: int, now: dict[str, Any], parts: int, part: int) -> Iterator[Any]:
        """Every ``parts``-th sample of a source, from where the pass ``now`` is, again and again."""
        source = self._sources[number]
        while True:
            if hasattr(source, "set_epoch"):
                epoch = getattr(source, "_epoch", None)
                if get_worker_info() and isinstance(epoch, Tensor):  # of datasets, shared by workers of other rounds
                    source._epoch = epoch.clone()  # type: ignore[attr-defined]
                source.set_epoch(now["rounds"][number])
            skipped = part + parts * now["samples"][number]
            if str(number) in now["sources"]:
                source.load_state_dict(now["sources"].pop(str(number)))  # type: ignore[attr-defined]
                skipped = parts - 1
            for sample in islice(source, skipped, None, parts):
                now["samples"][number] += 1
                now["counted"][number] += 1
                tokens = self._tokens(sample) if self._tokens else 1
                now["tokens"][number] += tokens.item() if hasattr(tokens, "item") else tokens  # a state has numbers
                yield sample
            if not now["samples"][number]:
                raise UserError(
                    f"source {self._names[number]} had no samples when one of {parts} processes read it: each needs "
                    "some at every reading, so give a list or an object whose __iter__ begins anew, not a generator"
                )
            now["samples"][number] = 0
            now["rounds"][number] += 1
            now["ended"] = sorted({*now["ended"], number})
            if self._ends == "first" or (self._ends == "last" and len(now["ended"]) == len(self._sources)):
                return

    def state_dict(self) -> dict[str, Any]:
        """Tensors and numbers from which ``load_state_dict`` continues: of a worker's pass, elsewhere of all."""
        now = deepcopy(self._resumed or self._pass)
        for number, source in enumerate(self._sources):
            if now and now["samples"][number] and hasattr(source, "state_dict"):
                now["sources"].setdefault(str(number), source.state_dict())
        state: dict[str, Any] = {"pass": now}
        if not get_worker_info():
            state |= {"names": self._names, "changes": self._changes.clone(), "losses": self._losses.state_dict()}
            state |= {"rule": (self._weights or self._rule).state_dict(), "passes": int(self._passes.max()) >> 31}
            state["rule_name"] = self._rule_name
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a ``state_dict``: the next pass yields what would have followed.

        Raises:
            ValueError: the state is of other sources, of another rule, or of none.
        """
        if "pass" not in state:
            raise UserError(f"the state has {', '.join(state) or 'nothing'}: pass what the mixer's state_dict returned")
        if get_worker_info():
            self._resumed = deepcopy(state["pass"]) or None
            return
        if state["names"] != self._names or state["changes"].shape != self._changes.shape:
            raise UserError(
                f"the state is of the sources {', '.join(state['names'])}, but these are {', '.join(self._names)}: use "
                "the same, with the same prefetched and update_every"
            )
        if state.get("rule_name") != self._rule_name:
            raise UserError(f"the state is of another rule than {self._rule_name}: use the same")
        (self._weights or self._rule).load_state_dict(state["rule"])
        self._losses.load_state_dict(state["losses"])
        self._changes.copy_(state["changes"])
        self._passes.fill_(state["passes"] << 31)
        self._resumed = deepcopy(state["pass"]) or None
