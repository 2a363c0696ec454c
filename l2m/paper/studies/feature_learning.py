"""Which features standard training, mixup and early-stopped mixup learn, on the synthetic patches of Definition 3.1."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, product
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from l2m.errors import UserError
from l2m.paper.studies import STUDIES, Claim, Setting, Study, Tables, grade
from l2m.paper.studies.feature_learning_figures import AXES, METHODS, draw_growth, draw_sizes
from l2m.paper.studies.feature_patches import Definition, accuracy, descend, measures, span
from l2m.report.statistics import half_width, interval
from l2m.schema import Range
from l2m.seeding import generator

Positive = Annotated[float, Range(0, above=True)]
Share = Annotated[float, Range(0, 1)]
Mixing = Annotated[float, Range(0.5, 1, below=True)]
Size = Annotated[int, Range(1)]

UNUSED: dict[str, tuple[str, ...]] = {"standard": ("mixing", "stop_at"), "mixup": ("stop_at",), "stopped": ()}
"""Options that a method does not use."""


@STUDIES.register("feature_learning")
@dataclass(kw_only=True)
class FeatureLearning(Study):
    """Full-batch gradient descent on the talk's two-layer network, with and without mixup.

    The source gives the distribution, the model, the measure Σ_r ⟨w_{1,r}, v⟩² and the three methods, but not the
    sizes, the step or the scale of the initial weights; its curves are only in a figure. The claims are those of the
    text beside that figure and, for standard training, of the summary of Zou et al. (2023), which it cites.

    Choices where the source is silent: mixup has one constant λ, and its loss is the mean over all n² ordered pairs, so
    it is full-batch too. After the stop, training is standard. ``stop_at`` replaces the figure's 10 000, which means
    nothing without its step. :class:`~l2m.paper.studies.feature_patches.Definition` says how samples are drawn. The
    sizes put the noise between the features: from small weights ⟨w, v⟩ grows in proportion to n(1 − ρ)/2, ⟨w, v'⟩ to
    nρ/2 and ⟨w, ξ_i⟩ to ‖ξ_i‖² ≈ σ_p² d, here 90, 10 and 14. Sizes and step were tried on seed 0, which is not among
    the ``seeds``. At one seed all methods have the same data and initial weights. Descent is in float32.

    Rules, fixed before the ``seeds`` were run. A feature has strength Σ_r ⟨w_{1,r}, feature⟩², which it adds to the
    logit of its class. A quantity is *above* another if the 95 % t-interval over seeds of the mean difference of their
    logarithms (of accuracies: of the difference itself) lies above 0, all at the last iteration. A feature is *learned*
    if its strength is above 1: alone it makes odds of e.

    - A method learns the common feature: *reproduced* if learned, *direction only* if above its strength at the start.
    - Standard training fails to learn the rare feature: *reproduced* if 1 is above its strength, *direction only* if
      the common feature's strength is.
    - Mixup, stopped early or not, learns the rare feature: *reproduced* if learned and above its strength in standard
      training, *direction only* if only the latter.
    - Rare test data: *reproduced* if mixup's accuracy on them is above that of standard training.
    - Stopping helps a feature: *reproduced* if its strength with early-stopped mixup is above that with mixup.
    - Too early a stop: *reproduced* if the rare feature's strength after ``stop_at`` is above that after the first
      of ``stops``.
    - Too late a stop: *reproduced* if accuracy on rare test data after ``stop_at`` is above that after the last of
      ``stops``.
    - Other sizes: *reproduced* if the rare feature's strength with mixup is above that with standard training at the
      defaults and in every variation but those of the stop, *direction only* if in more than half of them.
    """

    title = "Common and rare features"
    question = (
        "The talk cites Zou et al. (2023): standard training learns features that many samples share and fails to "
        "learn rare ones, mixup learns both, and stopping mixup early helps. Its Definition 3.1 draws samples of "
        "patches, one of which holds a common or a rare feature. A two-layer network with quadratic activations learns "
        "them by full-batch gradient descent. We follow the strength of both features, which counts as learned above "
        "1, test on data with rare features alone, and vary what the source does not give."
    )

    seeds: tuple[int, ...] = (1, 2, 3, 4, 5)
    samples: Size = 200
    dimension: Annotated[int, Range(5)] = 1000
    patches: Size = 4
    rare_share: Share = 0.1
    borrowed: Annotated[int, Range(0)] = 2
    feature_noise: Annotated[float, Range(0)] = 0.2
    noise: Positive = 0.12
    width: Size = 10
    start: Positive = 0.01
    learning_rate: Positive = 1.0
    mixing: Mixing = 0.6
    iterations: Annotated[int, Range(2)] = 1500
    stop_at: Size = 500
    points: Annotated[int, Range(2)] = 60
    test_samples: Size = 500
    rare_shares: tuple[Share, ...] = (0.05, 0.2)
    noises: tuple[Positive, ...] = (0.08, 0.16)
    widths: tuple[Size, ...] = (3, 30)
    mixings: tuple[Mixing, ...] = (0.5, 0.8)
    stops: tuple[Size, ...] = (50, 150, 1000)

    def run(self, setting: Setting) -> dict[str, pd.DataFrame]:
        """Tables ``growth`` (the defaults, by iteration) and ``ends`` (the last iteration of every setting).

        ``varied`` is the option that differs from the default, and ``value`` its value, or "default" and 0. Both have
        :func:`~l2m.paper.studies.feature_patches.measures`, ``ends`` also accuracies in [0, 1] on test data with a
        common and with a rare feature.

        Raises:
            UserError: a stop at or after the last iteration, or as many patches of feature noise as patches.
        """
        for stop in (self.stop_at, *self.stops):
            if stop >= self.iterations:
                raise UserError(f"a stop at iteration {stop} must be below study.iterations={self.iterations}")
        if self.borrowed >= self.patches:
            raise UserError(f"study.borrowed={self.borrowed} must be below study.patches={self.patches}")
        others = self.rare_shares, self.noises, self.widths, self.mixings, self.stops
        variations: list[tuple[str, float]] = [("default", 0)]
        variations += [(option, value) for option, values in zip(AXES, others, strict=True) for value in values]
        defaults: dict[tuple[int, str], list[dict[str, Any]]] = {}
        ends = []
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # the matrices are small
        try:
            for (varied, value), seed, method in product(variations, self.seeds, METHODS):
                rows = defaults.get((seed, method))
                if rows is None or varied not in UNUSED[method]:
                    setting.report(f"{varied} {value:g}, seed {seed}, {METHODS[method].words}")
                    change: Any = {} if varied == "default" else {varied: value}
                    rows = list(replace(self, **change)._descent(seed, method))
                defaults.setdefault((seed, method), rows)
                ends.append({"varied": varied, "value": value} | rows[-1])
        finally:
            torch.set_num_threads(threads)
        growth = pd.DataFrame(row for rows in defaults.values() for row in rows)
        return {"growth": growth.drop(columns=["accuracy_common", "accuracy_rare"]), "ends": pd.DataFrame(ends)}

    def _descent(self, seed: int, method: str) -> Iterator[dict[str, Any]]:
        """Rows of one method at one seed, the last one with accuracies."""
        definition = Definition(
            self.dimension, self.patches, self.rare_share, self.borrowed, self.feature_noise, self.noise
        )
        drawn = definition.draw(self.samples, generator(seed, "data"))
        shape = 2, self.width, self.dimension
        first = self.start * torch.randn(shape, generator=generator(seed, "parameters"), dtype=torch.float64)
        basis = span(drawn)
        data = replace(drawn, inputs=(drawn.inputs @ basis).float(), positive=drawn.positive.float())
        weights = (first @ basis).float()
        stop = {"standard": 0, "mixup": self.iterations, "stopped": self.stop_at}[method]
        grid = {round(float(step)) for step in np.geomspace(1, self.iterations, self.points)}
        for before, now in pairwise([0, *sorted(grid | {0, self.stop_at})]):
            weights = descend(weights, data, self.mixing if before < stop else 1, self.learning_rate, now - before)
            row: dict[str, Any] = {"seed": seed, "method": method, "iteration": now} | measures(weights, data)
            if now == self.iterations:
                whole = first + (weights.double() - first @ basis) @ basis.T
                for name, share in (("common", 0.0), ("rare", 1.0)):
                    test = replace(definition, rare_share=share).draw(
                        self.test_samples, generator(seed, f"test {name}")
                    )
                    row[f"accuracy_{name}"] = accuracy(whole, test)
            yield row

    def claims(self, tables: Tables) -> list[Claim]:
        columns = ["common", "rare", "accuracy_rare"]
        ends = tables["ends"].assign(common=np.log(tables["ends"]["common"]), rare=np.log(tables["ends"]["rare"]))
        ends = ends.pivot(index="seed", columns=["varied", "value", "method"], values=columns).sort_index(axis=1)
        common, rare, accuracy = (ends[column, "default", 0] for column in columns)
        growth = tables["growth"].query("iteration == 0").pivot(index="seed", columns="method", values="common")
        claims = []
        for method in ("standard", "mixup"):
            grown = common[method] - np.log(growth[method])
            text = f"{METHODS[method].words.capitalize()} learns the common feature (Figure 2a)"
            ours = f"strength {_geometric(common[method])}"
            claims.append(_claim(f"{method}_common", text, ours, [common[method]], [grown]))
        weak = rare["standard"]
        ratio = common["standard"] - weak
        text = "Standard training fails to learn the rare feature (Figure 2b)"
        ours = f"strength {_geometric(weak)}; the common one's is {_geometric(ratio)} times that"
        claims.append(_claim("standard_rare", text, ours, [-weak], [ratio]))
        for method in ("mixup", "stopped"):
            gain = rare[method] - weak
            text = f"{METHODS[method].words.capitalize()} learns the rare feature (Figure 2b)"
            ours = f"strength {_geometric(rare[method])}, {_geometric(gain)} times that in standard training"
            claims.append(_claim(f"{method}_rare", text, ours, [rare[method], gain], [gain]))
        gain = accuracy["mixup"] - accuracy["standard"]
        text = "Mixup classifies data with rare features better than standard training does"
        claims.append(_claim("rare_test", text, _points(gain), [gain]))
        for feature, strength in (("common", common), ("rare", rare)):
            gain = strength["stopped"] - strength["mixup"]
            text = f"Stopping mixup early makes the {feature} feature stronger than mixup throughout"
            ours = f"{_geometric(gain)} times its strength with mixup"
            claims.append(_claim(f"stopping_{feature}", text, ours, [gain]))
        if self.stops:
            first, last = self.stops[0], self.stops[-1]
            early = ends["rare", "stop_at", first, "stopped"]
            gain = rare["stopped"] - early
            text = f"A stop at {first} instead of {self.stop_at} is too early for the rare feature"
            ours = f"strength {_geometric(early)}, after the later stop {_geometric(gain)} times that"
            claims.append(_claim("too_early", text, ours, [gain]))
            gain = accuracy["stopped"] - ends["accuracy_rare", "stop_at", last, "stopped"]
            text = f"A stop at {last} instead of {self.stop_at} is too late: accuracy on rare features falls"
            claims.append(_claim("too_late", text, f"{_points(gain)} for the earlier stop", [gain]))
        mixup, standard = (ends.xs(("rare", method), axis=1, level=(0, "method")) for method in ("mixup", "standard"))
        gains = (mixup - standard).drop(columns="stop_at", level="varied", errors="ignore")
        lows = gains.apply(lambda gain: _interval(gain)[0])
        others = [f"{varied} {value:g}" for varied, value in lows.index[~(lows > 0)]]
        few = len(gains) < 2
        text = "At other sizes too, the rare feature is stronger with mixup than with standard training"
        ours = f"in {gains.shape[1] - len(others)} of {gains.shape[1]} settings"
        verdict = "too few seeds" if few else grade(not others, len(others) < gains.shape[1] / 2)
        note = "" if few or not others else f"not at {', '.join(others)}"
        return [*claims, Claim("other_sizes", text, "no numbers", ours, verdict, note)]

    def figures(self, tables: Tables) -> dict[str, Figure]:
        """``growth``, as in the talk's figure, and ``sizes``, the rare feature's strength in all variations."""
        defaults = {name: float(getattr(self, name)) for name in AXES}
        return {
            "growth": draw_growth(tables["growth"], self.stop_at),
            "sizes": draw_sizes(tables["ends"], defaults, self.iterations),
        }


def _interval(values: pd.Series[float]) -> tuple[float, float]:
    """The 95 % t-interval of the mean; NaN for one value."""
    width = half_width(values)
    return float(values.mean()) - width, float(values.mean()) + width


def _claim(
    key: str, text: str, ours: str, whole: Sequence[pd.Series[float]], direction: Sequence[pd.Series[float]] = ()
) -> Claim:
    """Reproduced where the intervals of ``whole`` lie above 0, direction only where those of ``direction`` do."""
    n = len(whole[0])
    reproduced = all(_interval(values)[0] > 0 for values in whole)
    directed = bool(direction) and all(_interval(values)[0] > 0 for values in direction)
    opposite = any(_interval(values)[1] < 0 for values in whole)
    verdict = "too few seeds" if n < 2 else grade(reproduced, directed)
    note = "the interval lies on the other side" if opposite else "the interval leaves both open"
    return Claim(key, text, "no numbers", f"{ours} (n = {n})", verdict, "" if n < 2 or reproduced else note)


def _geometric(logarithms: pd.Series[float]) -> str:
    """The geometric mean and its 95 % t-interval: ``4.12 [3.71, 4.58]``."""
    low, high = _interval(logarithms)
    return f"{math.exp(logarithms.mean()):.3g} [{math.exp(low):.3g}, {math.exp(high):.3g}]"


def _points(gain: pd.Series[float]) -> str:
    """``+12.3 ± 4.5 points``: a difference of accuracies in %, and half of its 95 % t-interval."""
    return f"{interval(100 * gain.mean(), 100 * half_width(gain), len(gain), 1)} points"
