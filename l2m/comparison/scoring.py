"""Scores of a comparison's candidates on the held-out parts and on the test part, one training at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from l2m.comparison.candidates import Candidate
from l2m.comparison.findings import DRAWS, Drawn
from l2m.training.scores import Floats, Score, resample


def score_held_out(candidates: Mapping[str, Candidate], score: Score, parts: int) -> pd.DataFrame:
    """The score on each held-out part (parts, candidates), the best mean first."""
    rows = [
        {name: score.of(candidate.held_out(part).samples) for name, candidate in candidates.items()}
        for part in range(parts)  # outermost, as the data of a part are loaded once
    ]
    table = pd.DataFrame(rows).rename_axis("part")
    order = table.mean().sort_values(ascending=not score.higher_is_better, kind="stable")
    return table[order.index]


def score_test_part(
    candidates: Mapping[str, Candidate], scores: Mapping[str, Score], seeds: Sequence[int]
) -> tuple[pd.DataFrame, Mapping[str, Drawn], Mapping[str, Floats]]:
    """Scores on the test part.

    Returns:
        A row a candidate and seed, in their order; by candidate, the scores' means over seeds on bootstrap draws; by
        candidate, its mean confusion matrix (k, k), for a classification only.
    """
    rows, drawn, confusion = [], dict[str, Floats](), dict[str, Floats]()
    for seed in seeds:
        for name, candidate in candidates.items():
            result = candidate.tested(seed)
            values = {score: each.of(result.samples) for score, each in scores.items()}
            rows.append({"strategy": name, "seed": seed, **candidate.rates, **result.about, **values})
            drawn[name] = drawn.get(name, 0) + resample(scores.values(), result.samples, DRAWS) / len(seeds)
            if result.samples.labels is not None:
                confusion[name] = confusion.get(name, 0) + result.samples.confusion / len(seeds)
    runs = pd.DataFrame(rows).set_index("strategy").loc[list(candidates)].reset_index()
    by_score = {name: dict(zip(scores, each.T, strict=True)) for name, each in drawn.items()}
    return runs, by_score, confusion
